/* What copies on the fake backend leave to others: a pool's quota, its reserve, and what operations
 * have put by. */
#include "tests/lib/world_acts.h"

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/pool.h"
#include "core/disk/space.h"
#include "core/snap/clone.h"
#include "core/snap/export.h"

#include <string.h>

#define DISKS "\"disks\":[{\"size_bytes\":1048576,\"format\":\"raw\"},{\"size_bytes\":2097152}]"

static struct world w;

static int setup(void **state)
{
    world_make(&w);
    world_create(&w, "web", DISKS);
    world_fatten(&w);
    assert_string_equal(world_take(&w, "web", "a"), "succeeded");
    return 0;
}

static int teardown(void **state)
{
    world_remove(&w);
    return 0;
}

static void set_pool(const char *text)
{
    CLEANUP(json_decrefp) json_t *patch = json_loads(text, 0, NULL), *pool = NULL;
    struct err err = {0};

    pool = pool_edit(w.core, "main", patch, &world_admin, &err);
    assert_non_null(pool);
}

static const char *export(void)
{
    const struct export_ask ask = {.format = DISK_RAW};
    struct err err = {0};
    struct uuid op;

    return world_outcome(&w, snapshot_export(w.core, "web", "a", &ask, &world_admin, &op, &err),
                         &op, &err);
}

static void an_export_leaves_the_reserve_of_its_root(void **state)
{
    set_pool("{\"reserve_bytes\":4503599627370495}");
    assert_string_equal(export(), "no-space");
    set_pool("{\"reserve_bytes\":0}");
    assert_string_equal(export(), "succeeded");
}

static const char *clone_web(const char *name, bool full)
{
    const struct clone_ask ask = {.name = name, .snapshot = "a", .full = full};
    struct err err = {0};
    struct uuid op, id;

    return world_outcome(&w, vm_clone(w.core, "web", &ask, &world_admin, &op, &id, &err), &op,
                         &err);
}

static unsigned blockers(bool full)
{
    const struct clone_ask ask = {.name = "two", .snapshot = "a", .full = full};
    struct err err = {0};
    CLEANUP(json_decrefp) json_t *plan = vm_clone_plan(w.core, "web", &ask, &err);

    assert_non_null(plan);
    return (unsigned)json_array_size(json_object_get(plan, "blockers"));
}

static void nothing_is_put_by_any_more(void)
{
    struct err err = {0};
    CLEANUP(json_decrefp) json_t *pool = pool_show(w.core, "main", &err);

    assert_int_equal(json_get_u64(pool, "reserved_bytes", 1), 0);
}

/* The VM's files take 2 MiB and what overlays have. */
static void a_clone_stays_within_the_quota(void **state)
{
    set_pool("{\"quota_bytes\":3670016,\"reserve_bytes\":0}");
    assert_int_equal(blockers(true), 1);
    assert_string_equal(clone_web("two", true), "no-space");
    assert_false(world_has_vm(&w, "two"));
    assert_int_equal(blockers(false), 0);
    assert_string_equal(clone_web("two", false), "succeeded");
    assert_string_equal(world_act(&w, "two", VM_VERB_FLATTEN), "failed");
    nothing_is_put_by_any_more();
    set_pool("{\"quota_bytes\":8388608}");
    assert_string_equal(world_act(&w, "two", VM_VERB_FLATTEN), "succeeded");
    assert_string_equal(clone_web("three", true), "succeeded");
    nothing_is_put_by_any_more();
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(an_export_leaves_the_reserve_of_its_root),
        T(a_clone_stays_within_the_quota),
    };

    return cmocka_run_group_tests_name("core/room", tests, NULL, NULL);
}
