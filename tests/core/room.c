/* What copies on the fake backend leave to others: a pool's quota, its reserve, and what operations
 * have put by. */
#include "tests/lib/world_acts.h"

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/pool.h"
#include "core/snap/export.h"

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

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(an_export_leaves_the_reserve_of_its_root),
    };

    return cmocka_run_group_tests_name("core/room", tests, NULL, NULL);
}
