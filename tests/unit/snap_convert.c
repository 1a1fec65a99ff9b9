/* How long a copy of a stranger's image may go without progress. */
#include "tests/lib/harness.h"

#include "core/disk/import.h"
#include "core/snap/convert.h"

static void it_is_stuck_when_nothing_came_for_so_long(void **state)
{
    struct convert_clock clock = {0};

    assert_false(convert_is_stuck(&clock, 0, 1000, 500));
    assert_false(convert_is_stuck(&clock, 0, 1499, 500));
    assert_true(convert_is_stuck(&clock, 0, 1500, 500));
}

static void any_progress_begins_it_anew(void **state)
{
    struct convert_clock clock = {0};

    for (int64_t now = 1000; now < 100000; now += 499)
        assert_false(convert_is_stuck(&clock, (uint64_t)now, now, 500));
    assert_true(convert_is_stuck(&clock, clock.done, clock.since_ms + 500, 500));
}

static void who_copies_an_image_of_ours_waits_for_its_storage(void **state)
{
    struct convert_clock clock = {0};

    assert_false(convert_is_stuck(&clock, 0, 1, 0));
    assert_false(convert_is_stuck(&clock, 0, INT64_MAX, 0));
}

/* Room for all data, tables, and a last block; not for twice the disk. */
static void the_bound_is_the_disk_and_its_tables(void **state)
{
    const uint64_t gib = 1ull << 30, most = 64ull << 40;

    assert_true(import_file_max(0) >= 256ull << 20);
    assert_true(import_file_max(gib) < 2 * gib);
    assert_true(import_file_max(most) > most + most / 1024);
    assert_true(import_file_max(most) < most + most / 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_stuck_when_nothing_came_for_so_long),
        cmocka_unit_test(any_progress_begins_it_anew),
        cmocka_unit_test(who_copies_an_image_of_ours_waits_for_its_storage),
        cmocka_unit_test(the_bound_is_the_disk_and_its_tables),
    };

    return cmocka_run_group_tests_name("unit/snap_convert", tests, NULL, NULL);
}
