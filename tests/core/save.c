/* Saving and going on, on the fake backend: a guest that counts says whether it went on where it
 * was. That a real one does, with its disk, is shown by tests/integration/save.c. */
#include "tests/lib/ticks.h"
#include "tests/lib/world_acts.h"

#include "backends/fake/fake.h"
#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/job/job.h"
#include "core/ram/image.h"
#include "core/vm/bulk.h"
#include "core/vm/registry.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DISKS "\"disks\":[{\"size_bytes\":1048576,\"format\":\"raw\"},{\"size_bytes\":2097152}]"
#define SAVES "\"host_shutdown\":{\"action\":\"save\"}"
#define NVME  "\"disks\":[{\"size_bytes\":1048576,\"format\":\"raw\",\"bus\":\"nvme\"}]"

static struct world w;

static int setup(void **state)
{
    fake_tick_ms = 5;
    world_make(&w);
    return 0;
}

static int teardown(void **state)
{
#ifdef VMMD_FAILPOINTS
    failpoint_arm(NULL);
#endif
    atomic_store(&fake_memory_held, false);
    atomic_store(&fake_full, false);
    world_remove(&w);
    return 0;
}

static void runs(const char *name, const char *more)
{
    world_create(&w, name, more);
    assert_string_equal(world_act(&w, name, VM_VERB_START), "succeeded");
}

static void is_saved(const char *name, const char *more)
{
    runs(name, more);
    ticks_await(&w, name, 3);
    assert_string_equal(world_act(&w, name, VM_VERB_SAVE), "succeeded");
}

static struct vm *vm_of(const char *name)
{
    struct err err = {0};
    struct vm *vm = vm_get(w.core, name, &err);

    assert_non_null(vm);
    return vm;
}

/* The image that the VM goes on with. */
static int open_image(const char *name, int flags)
{
    CLEANUP(vm_drop) struct vm_hold hold = {w.core, vm_of(name)};
    struct layer layer = {.dir = -1};
    struct err err = {0};
    int fd;

    lock_take(&w.core->registry.lock);
    layer = layer_of_file(w.core, file_find(w.core, &hold.vm->memory));
    lock_drop(&w.core->registry.lock);
    fd = layer_open(&layer, flags, &err);
    assert_true(fd >= 0);
    return fd;
}

/* ---- there and back ---- */

static void a_saved_vm_goes_on_where_it_was(void **state)
{
    uint64_t said;

    runs("web", DISKS);
    ticks_await(&w, "web", 3);
    assert_string_equal(world_act(&w, "web", VM_VERB_SAVE), "succeeded");
    assert_string_equal(world_vm(&w, "web", "state"), "saved");
    assert_string_equal(world_vm(&w, "web", "run.state"), "saved");
    assert_string_equal(world_vm(&w, "web", "run.reason"), "user");
    assert_string_equal(world_vm(&w, "web", "desired"), "saved");
    assert_string_equal(world_vm(&w, "web", "saved.ram_bytes"), "536870912");
    assert_string_equal(world_vm(&w, "web", "saved.pool"), "main");
    assert_int_equal(world_files(&w), 3);
    said = ticks_read(&w, "web").last;
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    assert_string_equal(world_vm(&w, "web", "run.state"), "running");
    assert_string_equal(world_vm(&w, "web", "desired"), "running");
    assert_string_equal(world_vm(&w, "web", "saved"), "null");
    assert_int_equal(world_files(&w), 2);
    ticks_await(&w, "web", said + 2);
    assert_int_equal(ticks_read(&w, "web").boots, 1);
}

static void it_can_be_saved_again_and_again(void **state)
{
    runs("web", DISKS);
    for (unsigned i = 1; i <= 3; i++) {
        ticks_await(&w, "web", 2 * i);
        assert_string_equal(world_act(&w, "web", VM_VERB_SAVE), "succeeded");
        assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    }
    assert_int_equal(ticks_read(&w, "web").boots, 1);
    assert_int_equal(world_files(&w), 2);
}

static void a_paused_one_goes_on_as_well(void **state)
{
    runs("web", DISKS);
    assert_string_equal(world_act(&w, "web", VM_VERB_PAUSE), "succeeded");
    assert_string_equal(world_act(&w, "web", VM_VERB_SAVE), "succeeded");
    assert_string_equal(world_vm(&w, "web", "run.state"), "saved");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    assert_string_equal(world_vm(&w, "web", "run.state"), "running");
}

static void one_without_disks_goes_to_the_oldest_pool(void **state)
{
    is_saved("web", "");
    assert_string_equal(world_vm(&w, "web", "saved.pool"), "main");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    assert_int_equal(ticks_read(&w, "web").boots, 1);
}

static void a_saved_vm_can_be_started_discarded_or_deleted(void **state)
{
    is_saved("web", DISKS);
    assert_string_equal(
        world_vm(&w, "web", "actions"),
        "[\"start\",\"discard\",\"delete\",\"revert\",\"archive-snapshot\",\"unarchive-snapshot\","
        "\"export\",\"move-storage\"]");
    assert_string_equal(world_act(&w, "web", VM_VERB_SAVE), "wrong-state");
    assert_string_equal(world_act(&w, "web", VM_VERB_STOP), "wrong-state");
    assert_string_equal(world_act(&w, "web", VM_VERB_DISCARD), "succeeded");
    assert_string_equal(world_vm(&w, "web", "run.state"), "off");
    assert_string_equal(world_vm(&w, "web", "desired"), "off");
    assert_string_equal(world_vm(&w, "web", "saved"), "null");
    assert_int_equal(world_files(&w), 2);
    assert_string_equal(world_act(&w, "web", VM_VERB_DISCARD), "wrong-state");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    ticks_await(&w, "web", 1);
    assert_int_equal(ticks_read(&w, "web").boots, 2);
}

static void its_memory_goes_with_it_when_it_is_deleted(void **state)
{
    is_saved("web", DISKS);
    assert_string_equal(world_delete(&w, "web"), "succeeded");
    assert_int_equal(world_files(&w), 0);
}

static void one_that_is_off_has_nothing_to_save(void **state)
{
    world_create(&w, "web", DISKS);
    assert_string_equal(world_act(&w, "web", VM_VERB_SAVE), "wrong-state");
    assert_string_equal(world_act(&w, "nobody", VM_VERB_SAVE), "not-found");
}

static void it_is_still_saved_after_a_restart_of_daemon_and_host(void **state)
{
    is_saved("web", DISKS);
    world_restart(&w);
    assert_string_equal(world_vm(&w, "web", "run.state"), "saved");
    world_boot_host(&w);
    world_create(&w, "late", "");
    assert_string_equal(world_vm(&w, "web", "run.state"), "saved");
    assert_string_equal(world_vm(&w, "web", "saved.ram_bytes"), "536870912");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    ticks_await(&w, "web", 4);
    assert_int_equal(ticks_read(&w, "web").boots, 1);
}

/* ---- it cannot be saved ---- */

static void what_prevents_it_is_said_before_anything_is_made(void **state)
{
    struct origin trying = world_admin;
    struct err err = {0};
    struct uuid op;

    runs("web", NVME);
    trying.dry_run = true;
    assert_false(vm_act(w.core, "web", VM_VERB_SAVE, NULL, &trying, &op, &err));
    assert_int_equal(err.code, ERR_WRONG_STATE);
    assert_non_null(strstr(err.detail, "NVMe"));
    assert_string_equal(world_act(&w, "web", VM_VERB_SAVE), "wrong-state");
    assert_string_equal(world_vm(&w, "web", "run.state"), "running");
    assert_string_equal(world_vm(&w, "web", "job"), "null");
    assert_int_equal(world_files(&w), 1);
}

static void a_full_pool_leaves_the_guest_running(void **state)
{
    struct err err = {0};
    struct uuid op;

    runs("web", DISKS);
    atomic_store(&fake_full, true);
    assert_true(vm_act(w.core, "web", VM_VERB_SAVE, NULL, &world_admin, &op, &err));
    CLEANUP(json_decrefp) json_t *job = world_end_of(&w, &op);
    assert_string_equal(json_get_text(json_object_get(job, "error"), "code"), "no-space");
    assert_string_equal(world_vm(&w, "web", "run.state"), "running");
    assert_string_equal(world_vm(&w, "web", "desired"), "running");
    assert_int_equal(world_files(&w), 2);
    ticks_await(&w, "web", ticks_read(&w, "web").last + 2);
}

static struct uuid begin_save(const char *name)
{
    struct err err = {0};
    struct uuid op;

    atomic_store(&fake_memory_held, true);
    if (!vm_act(w.core, name, VM_VERB_SAVE, NULL, &world_admin, &op, &err))
        fail_msg("%s", err.detail);
    world_await(&w, name, "state", "saving");
    return op;
}

static void a_save_that_is_cancelled_lets_the_guest_go_on(void **state)
{
    struct err err = {0};
    struct uuid op;

    runs("web", DISKS);
    op = begin_save("web");
    assert_true(job_cancel(w.core, &op, &world_admin, &err));
    CLEANUP(json_decrefp) json_t *job = world_end_of(&w, &op);
    assert_string_equal(json_get_text(job, "state"), "cancelled");
    assert_string_equal(world_vm(&w, "web", "run.state"), "running");
    assert_int_equal(world_files(&w), 2);
    ticks_await(&w, "web", ticks_read(&w, "web").last + 2);
}

/* Its step is written by then; the next thing to be recorded is that the VM is saved. */
static void await_writing(const struct uuid *op)
{
    struct err err = {0};
    bool writes = false;

    while (!writes) {
        CLEANUP(json_decrefp) json_t *job = job_wait(w.core, op, 10, &err);
        assert_true(job && json_is_null(json_object_get(job, "ended_at")));
        writes = json_get_u64(json_object_get(job, "progress"), "total", 0) > 0;
    }
}

static void a_full_state_directory_leaves_the_guest_running(void **state)
{
#ifdef VMMD_FAILPOINTS
    struct uuid op;

    runs("web", DISKS);
    op = begin_save("web");
    await_writing(&op);
    failpoint_arm("store.commit.before=break");
    atomic_store(&fake_memory_held, false);
    ticks_await(&w, "web", ticks_read(&w, "web").last + 2); /* it stood still till then */
    failpoint_arm(NULL);                                    /* somebody has made room */
    CLEANUP(json_decrefp) json_t *job = world_end_of(&w, &op);
    assert_string_equal(json_get_text(job, "state"), "failed");
    assert_string_equal(world_vm(&w, "web", "run.state"), "running");
    ticks_await(&w, "web", ticks_read(&w, "web").last + 2);
    assert_int_equal(world_files(&w), 3);
    world_restart(&w);
    world_settle(&w, "web");
    assert_int_equal(world_files(&w), 2);
#else
    skip();
#endif
}

static void one_that_is_forced_off_meanwhile_is_off(void **state)
{
    struct uuid op;

    runs("web", DISKS);
    op = begin_save("web");
    assert_string_equal(world_act(&w, "web", VM_VERB_STOP), "succeeded");
    CLEANUP(json_decrefp) json_t *job = world_end_of(&w, &op);
    assert_string_not_equal(json_get_text(job, "state"), "succeeded");
    assert_string_equal(world_vm(&w, "web", "run.state"), "off");
    assert_int_equal(world_files(&w), 2);
}

static void a_qemu_that_dies_meanwhile_is_a_crash(void **state)
{
    runs("web", DISKS);
    (void)begin_save("web");
    world_restart(&w); /* fakes die with their daemon */
    world_await(&w, "web", "job", "null");
    assert_string_equal(world_vm(&w, "web", "run.state"), "crashed");
    assert_string_equal(world_vm(&w, "web", "saved"), "null");
    assert_int_equal(world_files(&w), 2);
}

/* ---- it cannot go on ---- */

static void assert_refused_and_still_saved(const char *why)
{
    struct err err = {0};
    struct uuid op;

    assert_true(vm_act(w.core, "web", VM_VERB_START, NULL, &world_admin, &op, &err));
    CLEANUP(json_decrefp) json_t *job = world_end_of(&w, &op);
    const char *said = json_get_text(json_object_get(job, "error"), "detail");
    assert_string_equal(json_get_text(job, "state"), "failed");
    assert_non_null(strstr(said, why));
    assert_non_null(strstr(said, "discard"));
    world_await(&w, "web", "job", "null");
    assert_string_equal(world_vm(&w, "web", "run.state"), "saved");
    assert_string_equal(world_vm(&w, "web", "run.reason"), "user");
    assert_string_equal(world_vm(&w, "web", "saved.ram_bytes"), "536870912");
    assert_int_equal(world_files(&w), 3);
}

static void an_image_that_is_not_whole_is_refused(void **state)
{
    is_saved("web", DISKS);
    {
        CLEANUP(closep) int fd = open_image("web", O_RDWR);
        assert_int_equal(ftruncate(fd, 4096), 0);
    }
    assert_refused_and_still_saved("short");
    assert_string_equal(world_act(&w, "web", VM_VERB_DISCARD), "succeeded");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
}

static void one_that_does_not_fit_the_disks_is_refused(void **state)
{
    is_saved("web", DISKS);
    {
        CLEANUP(vm_drop) struct vm_hold hold = {w.core, vm_of("web")};
        const struct uuid image = hold.vm->memory;
        ram_vm_set(w.core, hold.vm, &image, "{\"disks\":[]}");
    }
    assert_refused_and_still_saved("disk");
}

static void a_start_that_fails_leaves_it_saved(void **state)
{
#ifdef VMMD_FAILPOINTS
    is_saved("web", DISKS);
    failpoint_arm("fake.start=fail");
    assert_string_not_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    failpoint_arm(NULL);
    assert_string_equal(world_vm(&w, "web", "run.state"), "saved");
    assert_string_equal(world_vm(&w, "web", "run.reason"), "start-failed");
    assert_string_equal(world_vm(&w, "web", "desired"), "saved");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    ticks_await(&w, "web", 4);
    assert_int_equal(ticks_read(&w, "web").boots, 1);
#else
    skip();
#endif
}

static void what_it_was_counts_until_its_next_cold_start(void **state)
{
    CLEANUP(json_decrefp) json_t *patch = json_pack("{s:I}", "memory_bytes", (json_int_t)1 << 30);
    struct err err = {0};
    struct etag etag;

    is_saved("web", DISKS);
    json_decref(vm_edit(w.core, "web", patch, NULL, &world_admin, &etag, &err));
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    assert_string_equal(world_vm(&w, "web", "pending"), "{\"memory_bytes\":1073741824}");
    assert_string_equal(world_act(&w, "web", VM_VERB_STOP), "succeeded");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    assert_string_equal(world_vm(&w, "web", "pending"), "null");
}

/* ---- many, and the host ---- */

static void many_are_saved_at_once(void **state)
{
    CLEANUP(json_decrefp) json_t *refs = json_pack("[s,s,s,s]", "a", "b", "c", "n"), *done = NULL;
    struct err err = {0};

    runs("a", DISKS);
    runs("b", DISKS);
    world_create(&w, "c", DISKS);
    runs("n", NVME);
    done = vm_act_all(w.core, refs, VM_VERB_SAVE, NULL, &world_admin, &err);
    world_await(&w, "a", "run.state", "saved");
    world_await(&w, "b", "run.state", "saved");
    for (size_t i = 2; i < 4; i++) {
        const json_t *item = json_array_get(json_object_get(done, "items"), i);
        assert_string_equal(json_get_text(json_object_get(item, "error"), "code"), "wrong-state");
    }
    assert_string_equal(world_vm(&w, "n", "job"), "null");
    assert_string_equal(world_vm(&w, "n", "run.state"), "running");
}

static json_t *shut_down(void)
{
    struct err err = {0};
    struct uuid op;
    json_t *job;

    assert_true(guests_shutdown(w.core, &world_admin, &op, &err));
    job = world_end_of(&w, &op);
    assert_string_equal(json_get_text(job, "state"), "succeeded");
    return job;
}

static void assert_how(const json_t *job, size_t i, const char *vm, const char *how)
{
    const json_t *one = NULL, *took = json_object_get(json_object_get(job, "result"), "took");
    size_t at;

    json_array_foreach ((json_t *)took, at, one)
        if (str_eq(json_get_text(one, "vm"), vm))
            break;
    assert_non_null(one);
    assert_string_equal(json_get_text(one, "how"), how);
    assert_true(json_get_u64(one, "ms", UINT64_MAX) < 60000);
    assert_int_equal(json_array_size(took), i);
}

static void guests_are_saved_with_the_host_and_go_on_with_it(void **state)
{
    CLEANUP(json_decrefp) json_t *job = NULL;

    runs("ran", DISKS "," SAVES);
    runs("stood", SAVES);
    assert_string_equal(world_act(&w, "stood", VM_VERB_PAUSE), "succeeded");
    is_saved("mine", SAVES);
    runs("plain", "");
    job = shut_down();
    assert_int_equal(json_get_u64(json_object_get(job, "result"), "guests", 0), 3);
    assert_int_equal(json_get_u64(json_object_get(job, "result"), "saved", 0), 2);
    assert_int_equal(json_get_u64(json_object_get(job, "result"), "forced_off", 9), 0);
    assert_how(job, 3, "ran", "saved");
    assert_how(job, 3, "stood", "saved");
    assert_how(job, 3, "plain", "shut-down");
    assert_string_equal(world_vm(&w, "ran", "run.reason"), "host-shutdown");
    world_boot_host(&w);
    world_await(&w, "ran", "run.state", "running");
    assert_string_equal(world_vm(&w, "stood", "run.state"), "saved");
    assert_string_equal(world_vm(&w, "mine", "run.state"), "saved");
    assert_string_equal(world_vm(&w, "plain", "run.state"), "off");
    ticks_await(&w, "ran", 4);
    assert_int_equal(ticks_read(&w, "ran").boots, 1);
}

static void one_that_starts_with_the_host_goes_on_with_it(void **state)
{
    is_saved("web", DISKS ",\"autostart\":{\"enabled\":true}");
    world_boot_host(&w);
    world_await(&w, "web", "run.state", "running");
    ticks_await(&w, "web", 4);
    assert_int_equal(ticks_read(&w, "web").boots, 1);
}

static void what_cannot_be_saved_gets_the_power_button(void **state)
{
    CLEANUP(json_decrefp) json_t *job = NULL;

    runs("nvme", NVME "," SAVES);
    runs("slow", DISKS ",\"host_shutdown\":{\"action\":\"save\",\"timeout_s\":1}");
    atomic_store(&fake_memory_held, true);
    job = shut_down();
    assert_how(job, 2, "nvme", "shut-down");
    assert_how(job, 2, "slow", "shut-down");
    assert_string_equal(world_vm(&w, "slow", "run.state"), "off");
    assert_string_equal(world_vm(&w, "slow", "run.reason"), "guest-shutdown");
    assert_int_equal(world_files(&w), 3);
}

static void a_save_that_goes_on_already_is_waited_for(void **state)
{
    CLEANUP(json_decrefp) json_t *job = NULL;
    struct err err = {0};
    struct uuid op;

    runs("web", DISKS "," SAVES);
    (void)begin_save("web");
    assert_true(guests_shutdown(w.core, &world_admin, &op, &err));
    atomic_store(&fake_memory_held, false);
    job = world_end_of(&w, &op);
    assert_string_equal(json_get_text(job, "state"), "succeeded");
    assert_string_equal(world_vm(&w, "web", "run.state"), "saved");
    assert_string_equal(world_vm(&w, "web", "run.reason"), "user");
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(a_saved_vm_goes_on_where_it_was),
        STORY(it_can_be_saved_again_and_again),
        STORY(a_paused_one_goes_on_as_well),
        STORY(one_without_disks_goes_to_the_oldest_pool),
        STORY(a_saved_vm_can_be_started_discarded_or_deleted),
        STORY(its_memory_goes_with_it_when_it_is_deleted),
        STORY(one_that_is_off_has_nothing_to_save),
        STORY(it_is_still_saved_after_a_restart_of_daemon_and_host),
        STORY(what_prevents_it_is_said_before_anything_is_made),
        STORY(a_full_pool_leaves_the_guest_running),
        STORY(a_save_that_is_cancelled_lets_the_guest_go_on),
        STORY(a_full_state_directory_leaves_the_guest_running),
        STORY(one_that_is_forced_off_meanwhile_is_off),
        STORY(a_qemu_that_dies_meanwhile_is_a_crash),
        STORY(an_image_that_is_not_whole_is_refused),
        STORY(one_that_does_not_fit_the_disks_is_refused),
        STORY(a_start_that_fails_leaves_it_saved),
        STORY(what_it_was_counts_until_its_next_cold_start),
        STORY(many_are_saved_at_once),
        STORY(guests_are_saved_with_the_host_and_go_on_with_it),
        STORY(one_that_starts_with_the_host_goes_on_with_it),
        STORY(what_cannot_be_saved_gets_the_power_button),
        STORY(a_save_that_goes_on_already_is_waited_for),
    };

    world_without_qemu();
    return cmocka_run_group_tests_name("core/save", tests, NULL, NULL);
}
