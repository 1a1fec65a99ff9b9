/* Disks that come, grow and go on the fake backend: what there is afterwards, in the configuration,
 * in the pools and in the machine, and what a restart of the daemon makes of it. That a guest sees
 * it is shown with a real one: tests/integration/disks.c. */
#include "tests/lib/world_acts.h"
#include "tests/lib/world_disks.h"

#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/core/parts.h"
#include "core/disk/change.h"
#include "core/disk/pool.h"
#include "core/disk/space.h"
#include "core/move/move.h"
#include "core/snap/snap.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DISKS "\"disks\":[{\"size_bytes\":1048576,\"format\":\"raw\"}]"
#define MIB   (1ull << 20)

static struct world w;
static struct uuid op; /* of the last operation */

static int setup(void **state)
{
    world_make(&w);
    world_create(&w, "web", DISKS);
    return 0;
}

static int teardown(void **state)
{
    world_remove(&w);
    return 0;
}

static const char *add(const char *body)
{
    CLEANUP(json_decrefp) json_t *json = json_loads(body, 0, NULL);
    struct err err = {0};

    assert_non_null(json);
    return world_outcome(&w, disk_add(w.core, "web", json, &world_admin, &op, &err), &op, &err);
}

static json_t *disks(void)
{
    struct err err = {0};
    json_t *list = world_list(&w, &schema_disk,
                              (struct query_ask){.order = "position", .page_size = 100}, &err);

    assert_non_null(list);
    return list;
}

/* A member of the VM's n-th disk, as text; "-" when there is none. */
static const char *disk(unsigned n, const char *member)
{
    static char text[64];
    CLEANUP(json_decrefp) json_t *list = disks();
    const json_t *value =
        json_object_get(json_array_get(json_object_get(list, "items"), n), member);

    if (json_is_integer(value))
        snprintf(text, sizeof text, "%lld", (long long)json_integer_value(value));
    else
        str_copy(text, sizeof text, value ? json_string_value(value) : "-");
    return text;
}

static const char *drop(unsigned n)
{
    struct err err = {0};

    return world_outcome(&w, disk_remove(w.core, disk(n, "id"), &world_admin, &op, &err), &op,
                         &err);
}

static const char *grow(unsigned n, uint64_t size_bytes)
{
    struct err err = {0};

    return world_outcome(&w, disk_grow(w.core, disk(n, "id"), size_bytes, &world_admin, &op, &err),
                         &op, &err);
}

static const char *limit(unsigned n, const char *patch)
{
    CLEANUP(json_decrefp) json_t *json = json_loads(patch, 0, NULL), *shown = NULL;
    struct err err = {0};

    shown = disk_edit(w.core, disk(n, "id"), json, &world_admin, &err);
    return shown ? "done" : err_slug(err.code);
}

static void act(enum vm_verb verb)
{
    assert_string_equal(world_act(&w, "web", verb), "succeeded");
}

static const char *snap(const char *name)
{
    struct err err = {0};

    return world_outcome(&w, snapshot_create(w.core, "web", name, NULL, &world_admin, &op, &err),
                         &op, &err);
}

static const char *revert(const char *name)
{
    struct err err = {0};

    return world_outcome(&w, snapshot_revert(w.core, "web", name, &world_admin, &op, &err), &op,
                         &err);
}

/* ---- adding ---- */

static void a_disk_is_added_while_the_vm_is_off(void **state)
{
    assert_string_equal(add("{\"size_bytes\":2097152}"), "succeeded");
    assert_string_equal(disk(1, "position"), "1");
    assert_string_equal(disk(1, "bus"), "virtio");
    assert_string_equal(disk(1, "format"), "qcow2");
    assert_string_equal(disk(1, "files"), "1");
    assert_int_equal(world_files(&w), 2);
    world_restart(&w);
    assert_string_equal(disk(1, "size_bytes"), "2097152");
    act(VM_VERB_START);
}

static void a_running_vm_gets_it_at_once(void **state)
{
    act(VM_VERB_START);
    assert_string_equal(add("{\"size_bytes\":2097152,\"bus\":\"scsi\",\"format\":\"raw\"}"),
                        "succeeded");
    assert_string_equal(disk(1, "bus"), "scsi");
    assert_string_equal(grow(1, 4 * MIB), "succeeded"); /* the machine has it */
    assert_string_equal(disk(1, "size_bytes"), "4194304");
    assert_string_equal(world_vm(&w, "web", "state"), "running");
}

static void every_bus_and_format_has_its_say(void **state)
{
    act(VM_VERB_START);
    assert_string_equal(add("{\"size_bytes\":2097152,\"bus\":\"ide\"}"), "wrong-state");
    assert_string_equal(add("{\"size_bytes\":2097152,\"bus\":\"usb\"}"), "succeeded");
    assert_string_equal(add("{\"size_bytes\":2097152,\"bus\":\"nvme\",\"format\":\"vhdx\"}"),
                        "succeeded");
    assert_string_equal(add("{\"size_bytes\":2097152,\"bus\":\"floppy\"}"), "invalid");
    assert_string_equal(add("{\"size_bytes\":2097153}"), "invalid");
    assert_string_equal(add("{\"size_bytes\":2190433321472,\"format\":\"vhd\"}"), "invalid");
    assert_string_equal(add("{\"size_bytes\":2097152,\"pool\":\"none\"}"), "not-found");
    assert_int_equal(world_files(&w), 3);
}

static void a_pool_says_which_format_new_disks_have(void **state)
{
    CLEANUP(json_decrefp) json_t *patch = json_pack("{s:s}", "default_format", "raw"), *pool = NULL;
    struct err err = {0};

    pool = pool_edit(w.core, "main", patch, &world_admin, &err);
    assert_non_null(pool);
    assert_string_equal(json_get_text(pool, "default_format"), "raw");
    world_restart(&w);
    assert_string_equal(add("{\"size_bytes\":2097152}"), "succeeded");
    assert_string_equal(disk(1, "format"), "raw");
    world_create(&w, "shop", "\"disks\":[{\"size_bytes\":1048576}]");
    assert_int_equal(world_files(&w), 3);
}

static void no_vm_has_more_than_sixteen(void **state)
{
    for (unsigned i = 1; i < VM_DISKS_MAX; i++)
        assert_string_equal(add("{\"size_bytes\":1048576,\"format\":\"raw\"}"), "succeeded");
    assert_string_equal(add("{\"size_bytes\":1048576,\"format\":\"raw\"}"), "invalid");
    assert_int_equal(world_files(&w), VM_DISKS_MAX);
}

/* ---- removing ---- */

static void a_removed_disk_leaves_a_place_that_the_next_one_takes(void **state)
{
    act(VM_VERB_START);
    assert_string_equal(add("{\"size_bytes\":2097152}"), "succeeded");
    assert_string_equal(add("{\"size_bytes\":3145728}"), "succeeded");
    assert_string_equal(drop(1), "succeeded");
    assert_int_equal(world_files(&w), 2);
    assert_string_equal(disk(1, "position"), "2");
    world_restart(&w);
    assert_string_equal(disk(1, "position"), "2");
    act(VM_VERB_START);
    assert_string_equal(add("{\"size_bytes\":2097152}"), "succeeded");
    assert_string_equal(disk(1, "position"), "1");
    assert_int_equal(world_files(&w), 3);
}

static void a_vm_can_be_left_without_disks(void **state)
{
    assert_string_equal(drop(0), "succeeded");
    assert_int_equal(world_files(&w), 0);
    world_restart(&w);
    act(VM_VERB_START);
    assert_string_equal(disk(0, "id"), "-");
}

static void a_paused_guest_lets_go_of_nothing(void **state)
{
    act(VM_VERB_START);
    act(VM_VERB_PAUSE);
    assert_string_equal(drop(0), "wrong-state");
    assert_string_equal(add("{\"size_bytes\":2097152}"), "succeeded");
    assert_string_equal(grow(0, 2 * MIB), "succeeded");
}

#ifdef VMMD_FAILPOINTS
static void a_guest_that_does_not_hear_keeps_its_disk(void **state)
{
    act(VM_VERB_START);
    assert_string_equal(add("{\"size_bytes\":2097152}"), "succeeded");
    failpoint_arm("fake.disk.unplug.guest=fail");
    assert_string_equal(drop(1), "timeout");
    failpoint_arm(NULL);
    assert_string_equal(disk(1, "position"), "1");
    assert_int_equal(world_files(&w), 2);
    assert_string_equal(drop(1), "succeeded");
    assert_int_equal(world_files(&w), 1);
}

static void a_machine_that_refuses_the_device_changes_nothing(void **state)
{
    act(VM_VERB_START);
    failpoint_arm("fake.disk.add=fail");
    assert_string_not_equal(add("{\"size_bytes\":2097152}"), "succeeded");
    failpoint_arm(NULL);
    assert_string_equal(disk(1, "id"), "-");
    assert_int_equal(world_files(&w), 1);
    world_restart(&w);
    assert_string_equal(disk(1, "id"), "-");
    assert_int_equal(world_files(&w), 1);
}
#endif

/* ---- growing ---- */

static void a_disk_grows_and_never_shrinks(void **state)
{
    assert_string_equal(grow(0, 2 * MIB), "succeeded");
    assert_string_equal(disk(0, "size_bytes"), "2097152");
    assert_string_equal(grow(0, 2 * MIB), "invalid");
    assert_string_equal(grow(0, MIB), "invalid");
    assert_string_equal(grow(0, 3 * MIB + 1), "invalid");
    act(VM_VERB_START);
    assert_string_equal(grow(0, 5 * MIB), "succeeded");
    world_restart(&w);
    assert_string_equal(disk(0, "size_bytes"), "5242880");
}

static void a_vhd_says_what_to_do_instead(void **state)
{
    assert_string_equal(add("{\"size_bytes\":2097152,\"format\":\"vhd\"}"), "succeeded");
    assert_string_equal(grow(1, 4 * MIB), "unsupported");
}

/* ---- with snapshots ---- */

static void a_snapshot_brings_a_removed_disk_back(void **state)
{
    assert_string_equal(add("{\"size_bytes\":2097152,\"bus\":\"scsi\"}"), "succeeded");
    assert_string_equal(snap("two"), "succeeded");
    assert_int_equal(world_files(&w), 4);
    assert_string_equal(drop(1), "succeeded");
    assert_int_equal(world_files(&w), 3); /* its leaf went */
    world_restart(&w);
    assert_int_equal(world_files(&w), 3);
    assert_string_equal(revert("two"), "succeeded");
    assert_string_equal(disk(1, "bus"), "scsi");
    assert_string_equal(disk(1, "position"), "1");
    assert_string_equal(disk(1, "files"), "2");
    assert_int_equal(world_files(&w), 4);
    world_restart(&w);
    assert_string_equal(disk(1, "bus"), "scsi");
    act(VM_VERB_START);
}

static const char *move_all(const char *pool)
{
    const struct move_request request = {.pool = pool, .format = -1};
    struct err err = {0};
    json_t *plan = NULL;

    return world_outcome(
        &w, vm_move_storage(w.core, "web", &request, &world_admin, &op, &plan, &err), &op, &err);
}

static void what_a_snapshot_has_of_a_removed_disk_moves_along(void **state)
{
    struct err err = {0};
    struct uuid id;

    assert_true(pool_create(w.core, "away", "second", &world_admin, &id, &err));
    assert_string_equal(add("{\"size_bytes\":2097152}"), "succeeded");
    assert_string_equal(snap("two"), "succeeded");
    assert_string_equal(drop(1), "succeeded");
    assert_string_equal(move_all("away"), "succeeded");
    assert_true(pool_delete(w.core, "main", &world_admin, &err)); /* nothing of it is left there */
    world_restart(&w);
    assert_string_equal(revert("two"), "succeeded");
    assert_string_equal(disk(1, "pool"), "away");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    assert_string_equal(drop(1), "succeeded");
    assert_true(pool_create(w.core, "main", "main", &world_admin, &id, &err));
    assert_string_equal(move_all("main"), "succeeded"); /* beside the running guest */
    assert_true(pool_delete(w.core, "away", &world_admin, &err));
    assert_string_equal(world_act(&w, "web", VM_VERB_STOP), "succeeded");
    assert_string_equal(revert("two"), "succeeded");
    assert_string_equal(disk(1, "pool"), "main");
}

static void a_disk_that_the_snapshot_does_not_have_goes(void **state)
{
    assert_string_equal(snap("one"), "succeeded");
    assert_string_equal(add("{\"size_bytes\":2097152}"), "succeeded");
    assert_string_equal(revert("one"), "succeeded");
    assert_string_equal(disk(1, "id"), "-");
    assert_int_equal(world_files(&w), 2);
    world_restart(&w);
    assert_int_equal(world_files(&w), 2);
}

static void only_the_leaf_grows(void **state)
{
    assert_string_equal(snap("small"), "succeeded");
    assert_string_equal(grow(0, 8 * MIB), "succeeded");
    assert_string_equal(snap("large"), "succeeded");
    assert_string_equal(revert("small"), "succeeded");
    assert_string_equal(disk(0, "size_bytes"), "1048576");
    assert_string_equal(revert("large"), "succeeded");
    assert_string_equal(disk(0, "size_bytes"), "8388608");
    world_restart(&w);
    assert_string_equal(disk(0, "size_bytes"), "8388608");
}

/* ---- limits ---- */

static void limits_are_changed_while_it_runs(void **state)
{
    act(VM_VERB_START);
    assert_string_equal(limit(0, "{\"limits\":{\"iops\":100,\"iops_burst\":500,\"burst_s\":5}}"),
                        "done");
    assert_string_equal(limit(0, "{\"limits\":{\"iops_read\":100}}"), "invalid");
    assert_string_equal(limit(0, "{\"limits\":{\"iops\":600}}"), "invalid");
    assert_string_equal(limit(0, "{\"size_bytes\":1}"), "invalid");
    assert_string_equal(limit(0, "{\"limits\":{\"iops\":null,\"iops_burst\":null}}"), "done");
    assert_string_equal(limit(0, "{\"limits\":{\"bytes_per_s\":1048576}}"), "done");
    world_restart(&w);
    act(VM_VERB_START);
    assert_string_equal(limit(0, "{\"limits\":null}"), "done");
}

/* ---- pools ---- */

static json_t *files(const char *filter)
{
    CLEANUP(query_clear) struct query query = {0};
    CLEANUP(strbuf_clear) struct strbuf out = {0};
    const struct query_ask ask = {.filter = filter, .page_size = 100};
    struct err err = {0};

    assert_true(query_parse(&schema_pool_file, &ask, &query, &err));
    assert_true(pool_files(w.core, "main", &query, &out, &err));
    return json_loadb(out.data, out.len, 0, NULL);
}

static size_t count(const char *filter)
{
    CLEANUP(json_decrefp) json_t *list = files(filter);

    return json_array_size(json_object_get(list, "items"));
}

static void a_pool_tells_whose_its_files_are(void **state)
{
    CLEANUP(mem_freep) char *path = NULL;
    CLEANUP(json_decrefp) json_t *pool = NULL;
    struct err err = {0};
    int fd;

    pool = pool_show(w.core, "main", &err);
    assert_string_equal(snap("a"), "succeeded");
    path = str_format("%s/root-main/%s/backup.img", w.dir, json_get_text(pool, "id"));
    fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(count("kind==disk"), 1);
    assert_int_equal(count("kind==snapshot"), 1);
    assert_int_equal(count("kind==orphan"), 1);
    assert_int_equal(count("name==backup.img"), 1);
    world_restart(&w);
    assert_int_equal(count("kind==orphan"), 1); /* it is nobody's, and stays */
    assert_int_equal(unlink(path), 0);
}

static const char *edit_pool(const char *text)
{
    CLEANUP(json_decrefp) json_t *patch = json_loads(text, 0, NULL), *pool = NULL;
    struct err err = {0};

    pool = pool_edit(w.core, "main", patch, &world_admin, &err);
    return pool ? "done" : err_slug(err.code);
}

static bool is_short(void)
{
    CLEANUP(json_decrefp) json_t *pool = NULL;
    struct err err = {0};

    space_watch(w.core);
    pool = pool_show(w.core, "main", &err);
    return json_get_bool(pool, "low_space", false);
}

static void a_pool_that_is_short_of_space_says_so(void **state)
{
    assert_false(is_short());
    assert_string_equal(edit_pool("{\"reserve_bytes\":4503599627370495}"), "done");
    assert_true(is_short());
    assert_string_equal(add("{\"size_bytes\":2097152}"), "no-space");
    world_restart(&w);
    assert_true(is_short());
    assert_string_equal(edit_pool("{\"reserve_bytes\":null}"), "done");
    assert_false(is_short());
    assert_string_equal(add("{\"size_bytes\":2097152}"), "succeeded");
}

static void a_quota_limits_what_its_disks_promise(void **state)
{
    assert_string_equal(edit_pool("{\"quota_bytes\":67108864,\"reserve_bytes\":0}"), "done");
    assert_string_equal(add("{\"size_bytes\":67108864}"), "succeeded");
    assert_string_equal(add("{\"size_bytes\":134217728}"), "no-space");
    assert_string_equal(grow(1, 128 * MIB), "no-space");
    assert_string_equal(edit_pool("{\"name\":\"small\"}"), "done");
    assert_string_equal(add("{\"size_bytes\":1048576,\"pool\":\"small\"}"), "succeeded");
}

static void what_operations_put_by_is_not_there_for_others(void **state)
{
    const struct uuid one = uuid_new(), two = uuid_new();
    struct err err = {0};
    struct space space;
    struct uuid pool;
    CLEANUP(json_decrefp) json_t *shown = pool_show(w.core, "main", &err);

    assert_true(uuid_parse(json_get_text(shown, "id"), &pool));
    assert_string_equal(edit_pool("{\"quota_bytes\":67108864,\"reserve_bytes\":1048576}"), "done");
    assert_true(space_reserve(w.core, &pool, &one, 40 * MIB, NULL, &err));
    assert_true(space_reserve(w.core, &pool, &one, 41 * MIB, NULL, &err)); /* in its place */
    assert_false(space_reserve(w.core, &pool, &two, 30 * MIB, "/pool", &err));
    assert_int_equal(err.code, ERR_NO_SPACE);
    assert_string_equal(err.field, "/pool");
    assert_true(space_read(w.core, &pool, &space, &err));
    assert_int_equal(space.reserved_bytes, 41 * MIB);
    space_release(w.core, &one);
    assert_true(space_check(w.core, &pool, 30 * MIB, NULL, &err));
    assert_false(space_check(w.core, &pool, 64 * MIB, NULL, &err));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_disk_is_added_while_the_vm_is_off),
        T(a_running_vm_gets_it_at_once),
        T(every_bus_and_format_has_its_say),
        T(a_pool_says_which_format_new_disks_have),
        T(no_vm_has_more_than_sixteen),
        T(a_removed_disk_leaves_a_place_that_the_next_one_takes),
        T(a_vm_can_be_left_without_disks),
        T(a_paused_guest_lets_go_of_nothing),
#ifdef VMMD_FAILPOINTS
        T(a_guest_that_does_not_hear_keeps_its_disk),
        T(a_machine_that_refuses_the_device_changes_nothing),
#endif
        T(a_disk_grows_and_never_shrinks),
        T(a_vhd_says_what_to_do_instead),
        T(a_snapshot_brings_a_removed_disk_back),
        T(what_a_snapshot_has_of_a_removed_disk_moves_along),
        T(a_disk_that_the_snapshot_does_not_have_goes),
        T(only_the_leaf_grows),
        T(limits_are_changed_while_it_runs),
        T(a_pool_tells_whose_its_files_are),
        T(a_pool_that_is_short_of_space_says_so),
        T(a_quota_limits_what_its_disks_promise),
        T(what_operations_put_by_is_not_there_for_others),
    };

    return cmocka_run_group_tests_name("core/disks", tests, NULL, NULL);
}
