/* Storage that is full or does not answer, under a guest that counts (tests/lib/counter.h): one
 * pool lies on a small file system of its own (tests/lib/small_fs.h), which is filled and frozen.
 */
#include "tests/lib/chain.h"
#include "tests/lib/counter.h"
#include "tests/lib/proc.h"
#include "tests/lib/rig.h"
#include "tests/lib/small_fs.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SOON_MS 60000
/* Larger by far than what QEMU copies at one go, whatever its limit. */
#define DISK_BYTES (32 << 20)
#define DISK(format, pool)                                                                         \
    "{\"size_bytes\":33554432,\"format\":\"" format "\",\"bus\":\"ide\",\"pool\":\"" pool "\"}"
#define ANOTHER_DISK                                                                               \
    "{\"size_bytes\":16777216,\"format\":\"raw\",\"bus\":\"virtio\",\"pool\":\"second\"}"
#define SPEC_ONE                                                                                   \
    "{\"name\":\"web\",\"machine\":\"pc\",\"accel\":\"tcg\",\"memory_bytes\":16777216,"            \
    "\"nics\":[],\"video\":{\"model\":\"none\"},\"pointer\":\"mouse\",\"rng\":false,"              \
    "\"disks\":[" DISK("raw", "main") "]}"
#define SPEC(second)                                                                               \
    "{\"name\":\"web\",\"machine\":\"pc\",\"accel\":\"tcg\",\"memory_bytes\":16777216,"            \
    "\"nics\":[],\"video\":{\"model\":\"none\"},\"pointer\":\"mouse\",\"rng\":false,"              \
    "\"disks\":[" DISK("raw", "main") "," second "]}"

static struct rig rig = {.before = small_fs_mount, .after = small_fs_unmount};

/* ---- the guest ---- */

static void count_on(void)
{
    const uint32_t than = counter_said(&rig, "web") + 5;
    int64_t deadline_ms = clock_mono_ms() + SOON_MS;

    while (counter_said(&rig, "web") <= than) {
        if (clock_mono_ms() > deadline_ms)
            fail_msg("the guest does not go on: it stands at %x", counter_said(&rig, "web"));
        (void)poll(NULL, 0, 20); /* asked again until it has counted */
    }
}

static void nothing_is_lost(void)
{
    const uint32_t said = counter_said(&rig, "web");
    const uint32_t is = counter_on_disk(&rig, "web");

    if (is < said)
        fail_msg("the guest said it wrote %x, on the disk is %x", said, is);
}

static void define(const char *spec)
{
    json_decref(rig_do(&rig, "POST", "/api/v1/vms", spec, 201));
    counter_install(&rig);
}

/* So much that a copy of it takes a while. */
static void has_much_on_its_disk(const char *pool, off_t bytes)
{
    CLEANUP(mem_freep) char *pattern = str_format("%s/%s/*/*.raw", rig.dir, pool);
    char block[65536];
    glob_t found;
    int fd;

    memset(block, 'x', sizeof block);
    assert_int_equal(glob(pattern, GLOB_NOSORT, NULL, &found), 0);
    fd = open(found.gl_pathv[0], O_WRONLY | O_CLOEXEC);
    globfree(&found);
    for (off_t at = 1 << 20; at < bytes; at += (off_t)sizeof block)
        assert_int_equal(pwrite(fd, block, sizeof block, at), sizeof block);
    assert_int_equal(close(fd), 0);
}

/* ---- operations ---- */

/* The newest one on the VM. */
static json_t *latest(void)
{
    CLEANUP(json_decrefp)
    json_t *list = rig_do(&rig, "GET", "/api/v1/operations?vm=web", NULL, 200);

    return json_incref(json_array_get(json_object_get(list, "items"), 0));
}

static char *begin_move(const char *pool, unsigned bandwidth)
{
    CLEANUP(mem_freep)
    char *body = str_format("{\"pool\":\"%s\",\"bandwidth\":%u}", pool, bandwidth);
    CLEANUP(json_decrefp) json_t *op = NULL;
    int status;

    op = rig_send(&rig, "POST", "/api/v1/vms/web/actions/move-storage", body, NULL, &status);
    assert_int_equal(status, 202);
    return str_format("/api/v1/operations/%s", json_get_text(op, "id"));
}

static void await(const char *op, const char *member, const char *value)
{
    int64_t deadline_ms = clock_mono_ms() + SOON_MS;

    for (;;) {
        CLEANUP(json_decrefp) json_t *now = rig_do(&rig, "GET", op, NULL, 200);
        if (str_eq(json_get_text(now, member), value))
            return;
        if (clock_mono_ms() > deadline_ms || json_get_text(now, "ended_at")) {
            CLEANUP(mem_freep) char *text = json_write(now);
            fail_msg("'%s' of the operation does not become '%s': %s", member, value, text);
        }
        (void)poll(NULL, 0, 10); /* asked again until it is so */
    }
}

/* Its target's files are made, and QEMU writes to them. */
static void await_copying(const char *op)
{
    int64_t deadline_ms = clock_mono_ms() + SOON_MS;

    for (;;) {
        CLEANUP(json_decrefp) json_t *now = rig_do(&rig, "GET", op, NULL, 200);
        if (json_get_u64(json_object_get(now, "progress"), "done", 0) > 0)
            return;
        if (clock_mono_ms() > deadline_ms || json_get_text(now, "ended_at"))
            fail_msg("nothing is copied");
        (void)poll(NULL, 0, 10); /* asked again until it is so */
    }
}

/* ---- a merge that has something to copy, beside the guest's own disk ---- */

/* Some room that is its own makes the leaf the larger of the two: what lies below is copied into it
 * and not the other way round. */
static void is_the_larger(const char *pool)
{
    CLEANUP(mem_freep) char *pattern = str_format("%s/%s/*/*.qcow2", rig.dir, pool);
    glob_t found;
    int fd;

    assert_int_equal(glob(pattern, GLOB_NOSORT, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    fd = open(found.gl_pathv[0], O_WRONLY | O_CLOEXEC);
    globfree(&found);
    assert_int_equal(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 20 << 20), 0);
    assert_int_equal(close(fd), 0);
}

/* A disk that the guest never looks at lies in the pool, with a snapshot. */
static void has_another_disk_with_a_snapshot(void)
{
    json_decref(rig_do(&rig, "POST", "/api/v1/vms/web/disks", ANOTHER_DISK, 200));
    has_much_on_its_disk("second", 16 << 20);
    json_decref(rig_do(&rig, "POST", "/api/v1/vms/web/snapshots", "{\"name\":\"one\"}", 200));
    is_the_larger("second");
}

static char *begin_deletion(void)
{
    CLEANUP(json_decrefp) json_t *op = NULL;
    CLEANUP(json_decrefp) json_t *one = NULL;
    CLEANUP(mem_freep) char *path = NULL;
    int status;

    one = rig_do(&rig, "GET", "/api/v1/vms/web/snapshots?filter=name==one", NULL, 200);
    path = str_format("/api/v1/snapshots/%s?bandwidth=1000",
                      json_get_text(json_array_get(json_object_get(one, "items"), 0), "id"));
    op = rig_send(&rig, "DELETE", path, NULL, NULL, &status);
    assert_int_equal(status, 202);
    return str_format("/api/v1/operations/%s", json_get_text(op, "id"));
}

/* Whose next write waits for the storage. */
static char *begin_merge_and_freeze(void)
{
    char *op;

    define(SPEC_ONE);
    rig_act(&rig, "web", "start");
    counter_await_life(&rig, "web", SOON_MS);
    has_another_disk_with_a_snapshot();
    op = begin_deletion();
    await_copying(op);
    small_fs_freeze(&rig);
    json_decref(rig_do(&rig, "PATCH", op, "{\"bandwidth\":0}", 200));
    count_on();
    return op;
}

/* Main makes the file of a new disk itself: in a frozen file system it waits for certain. */
static char *begin_addition(void)
{
    CLEANUP(json_decrefp) json_t *op = NULL;
    int status;

    op = rig_send(&rig, "POST", "/api/v1/vms/web/disks", ANOTHER_DISK, NULL, &status);
    assert_int_equal(status, 202);
    return str_format("/api/v1/operations/%s", json_get_text(op, "id"));
}

/* A thread of vmmd-main's: a wait of the disk's own is over sooner. */
static void await_stuck(void)
{
    int64_t deadline_ms = clock_mono_ms() + SOON_MS;
    pid_t main_pid = rig_child(&rig, "vmmd-main");

    for (unsigned seen = 0; seen < 20; seen = proc_waits_for_disk(main_pid) ? seen + 1 : 0) {
        if (clock_mono_ms() > deadline_ms)
            fail_msg("vmmd-main does not wait for the frozen file system");
        (void)poll(NULL, 0, 20); /* looked at again until it has waited for long */
    }
}

static void cancel(const char *op)
{
    CLEANUP(mem_freep) char *path = str_format("%s/actions/cancel", op);

    json_decref(rig_do(&rig, "POST", path, "{}", 202));
}

/* ---- */

static int setup(void **state)
{
    rig_make(&rig, 0);
    return 0;
}

static int teardown(void **state)
{
    small_fs_thaw(&rig); /* a test that failed may have left it frozen, and then nobody could end */
    rig_remove(&rig);
    return 0;
}

static void a_guest_whose_storage_is_full_stands_still_and_goes_on_by_itself(void **state)
{
    define(SPEC(DISK("qcow2", "second")));
    small_fs_fill(&rig);
    rig_act(&rig, "web", "start");
    rig_await(&rig, "web", "paused", "no-space", SOON_MS);
    small_fs_free_again(&rig);
    rig_await(&rig, "web", "running", NULL, SOON_MS);
    count_on();
    CLEANUP(json_decrefp) json_t *op = latest();
    assert_string_equal(json_get_text(op, "kind"), "vm.resume");
    assert_string_equal(json_get_text(op, "created_by"), "vmmd");
    rig_act(&rig, "web", "stop");
    nothing_is_lost();
}

static void it_does_so_even_if_the_daemon_died_meanwhile(void **state)
{
    define(SPEC(DISK("qcow2", "second")));
    small_fs_fill(&rig);
    rig_act(&rig, "web", "start");
    rig_await(&rig, "web", "paused", "no-space", SOON_MS);
    rig_kill(&rig, NULL);
    rig_spawn(&rig);
    rig_await(&rig, "web", "paused", "no-space", SOON_MS);
    small_fs_free_again(&rig);
    rig_await(&rig, "web", "running", NULL, SOON_MS);
    count_on();
    nothing_is_lost();
}

static void a_guest_that_a_client_paused_is_left_alone(void **state)
{
    define(SPEC(DISK("qcow2", "second")));
    json_decref(rig_do(&rig, "POST", "/api/v1/vms",
                       "{\"name\":\"other\",\"machine\":\"pc\",\"accel\":\"tcg\",\"nics\":[],"
                       "\"memory_bytes\":16777216,\"disks\":[]}",
                       201));
    rig_act(&rig, "other", "start");
    rig_act(&rig, "other", "pause");
    small_fs_fill(&rig);
    rig_act(&rig, "web", "start");
    rig_await(&rig, "web", "paused", "no-space", SOON_MS);
    small_fs_free_again(&rig);
    rig_await(&rig, "web", "running", NULL, SOON_MS); /* all were looked at */
    rig_await(&rig, "other", "paused", "user", 0);
}

static void a_move_whose_target_is_full_waits_and_goes_on(void **state)
{
    CLEANUP(mem_freep) char *op = NULL;

    define(SPEC(DISK("qcow2", "main")));
    has_much_on_its_disk("main", DISK_BYTES);
    rig_act(&rig, "web", "start");
    counter_await_life(&rig, "web", SOON_MS);
    op = begin_move("second", 1000);
    await_copying(op);
    small_fs_fill(&rig);
    json_decref(rig_do(&rig, "PATCH", op, "{\"bandwidth\":0}", 200));
    count_on();
    await(op, "state", "running");
    small_fs_free_again(&rig);
    await(op, "state", "succeeded");
    count_on();
    rig_act(&rig, "web", "stop");
    nothing_is_lost();
}

static void a_target_that_does_not_answer_leaves_the_guest_running(void **state)
{
    CLEANUP(mem_freep) char *op = NULL;

    define(SPEC(DISK("qcow2", "main")));
    has_much_on_its_disk("main", DISK_BYTES);
    rig_act(&rig, "web", "start");
    counter_await_life(&rig, "web", SOON_MS);
    op = begin_move("second", 1000);
    await_copying(op);
    small_fs_freeze(&rig);
    count_on();
    small_fs_thaw(&rig);
    json_decref(rig_do(&rig, "PATCH", op, "{\"bandwidth\":0}", 200));
    await(op, "state", "succeeded");
    count_on();
    rig_act(&rig, "web", "stop");
    nothing_is_lost();
}

static void a_move_onto_it_is_cancelled_once_it_answers(void **state)
{
    CLEANUP(mem_freep) char *op = NULL;

    define(SPEC(DISK("qcow2", "main")));
    has_much_on_its_disk("main", DISK_BYTES);
    rig_act(&rig, "web", "start");
    counter_await_life(&rig, "web", SOON_MS);
    op = begin_move("second", 1000);
    await_copying(op);
    small_fs_freeze(&rig);
    cancel(op);
    count_on();
    count_on();
    small_fs_thaw(&rig);
    await(op, "state", "cancelled");
    count_on();
    rig_act(&rig, "web", "stop");
    nothing_is_lost();
}

/* Its counter never falls, whatever it finds on its disk. */
static void goes_on_anew(void)
{
    count_on();
    rig_act(&rig, "web", "stop");
    rig_act(&rig, "web", "start");
    count_on();
}

static void a_merge_in_it_is_cancelled_once_it_answers(void **state)
{
    CLEANUP(mem_freep) char *op = begin_merge_and_freeze();

    cancel(op);
    count_on();
    count_on();
    small_fs_thaw(&rig);
    await(op, "state", "cancelled");
    goes_on_anew();
}

/* Of the snapshot that is there still; QEMU has nothing in its way. */
static void await_another_deletion(void)
{
    CLEANUP(mem_freep) char *op = begin_deletion();

    json_decref(rig_do(&rig, "PATCH", op, "{\"bandwidth\":0}", 200));
    await(op, "state", "succeeded");
}

static void a_daemon_that_waits_for_it_ends_when_it_is_told_to(void **state)
{
    CLEANUP(mem_freep) char *op = begin_merge_and_freeze();

    cancel(op);
    count_on();
    rig_stop(&rig);
    small_fs_thaw(&rig);
    rig_spawn(&rig);
    await(op, "state", "cancelled"); /* and what QEMU had begun is called off */
    await_another_deletion();
    goes_on_anew();
}

static void a_daemon_begins_beside_it(void **state)
{
    define(SPEC_ONE);
    rig_act(&rig, "web", "start");
    counter_await_life(&rig, "web", SOON_MS);
    has_another_disk_with_a_snapshot();
    rig_stop(&rig);
    small_fs_freeze(&rig);
    rig_spawn(&rig);
    rig_await(&rig, "web", "running", NULL, SOON_MS);
    count_on();
    small_fs_thaw(&rig);
    goes_on_anew();
}

static void the_next_daemon_waits_for_the_one_that_waits_for_it(void **state)
{
    CLEANUP(mem_freep) char *op = NULL;

    define(SPEC_ONE);
    rig_act(&rig, "web", "start");
    counter_await_life(&rig, "web", SOON_MS);
    small_fs_freeze(&rig);
    op = begin_addition();
    await_stuck();
    rig_stop(&rig);
    rig_launch(&rig);
    rig_await_log(&rig, "has ended but for a thread that waits for storage");
    small_fs_thaw(&rig);
    rig_await_served(&rig);
    await(op, "state", "succeeded");
    goes_on_anew();
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_guest_whose_storage_is_full_stands_still_and_goes_on_by_itself),
        T(it_does_so_even_if_the_daemon_died_meanwhile),
        T(a_guest_that_a_client_paused_is_left_alone),
        T(a_move_whose_target_is_full_waits_and_goes_on),
        T(a_target_that_does_not_answer_leaves_the_guest_running),
        T(a_move_onto_it_is_cancelled_once_it_answers),
        T(a_merge_in_it_is_cancelled_once_it_answers),
        T(a_daemon_that_waits_for_it_ends_when_it_is_told_to),
        T(a_daemon_begins_beside_it),
        T(the_next_daemon_waits_for_the_one_that_waits_for_it),
    };
    const char *why;

    if (!small_fs_possible(&why)) {
        print_message("[  SKIPPED ] integration/storage_faults: %s\n", why);
        return 0;
    }
    return cmocka_run_group_tests_name("integration/storage_faults", tests, NULL, NULL);
}
