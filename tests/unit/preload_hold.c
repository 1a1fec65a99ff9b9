/* Which pages are let go of together while a guest's memory is written down. */
#include "tests/lib/harness.h"

#include "vmmd/preload/hold.h"

enum { PAGE = 4096, FD = 7, PAGES = HOLD_HUGE_PAGE / PAGE };
#define BASE 0x7f0000000000ull

static struct hold h;
static struct hold_range out[3];

static int ask(uint64_t page)
{
    return hold_take(&h, FD, (struct hold_range){BASE + page * PAGE, PAGE}, out);
}

static void expect_range(int i, uint64_t page, uint64_t n)
{
    assert_int_equal(out[i].start, BASE + page * PAGE);
    assert_int_equal(out[i].len, n * PAGE);
}

static int begin(void **state)
{
    h = (struct hold){.fd = -1};
    return 0;
}

static void pages_in_order_are_let_go_of_as_huge_ones(void **state)
{
    for (uint64_t page = 0; page < 3 * PAGES; page++) {
        bool is_last = page % PAGES == PAGES - 1;
        assert_int_equal(ask(page), is_last);
        if (is_last)
            expect_range(0, page + 1 - PAGES, PAGES);
    }
    assert_int_equal(hold_end(&h, FD, out), 0);
}

static void a_page_that_is_waited_for_is_let_go_of_at_once(void **state)
{
    assert_int_equal(ask(10), 0);
    assert_int_equal(ask(11), 0);
    h.is_waited = 1;
    assert_int_equal(ask(700), 2);
    expect_range(0, 10, 2);
    expect_range(1, 700, 1);
    assert_int_equal(ask(701), 0); /* nobody waits for this one */
    h.is_waited = 1;
    assert_int_equal(ask(702), 2); /* in order, but somebody does */
    expect_range(0, 701, 1);
    expect_range(1, 702, 1);
}

static void another_block_begins_anew(void **state)
{
    assert_int_equal(ask(0), 0);
    assert_int_equal(ask(9000), 1);
    expect_range(0, 0, 1);
    assert_int_equal(hold_end(&h, FD, out), 1);
    expect_range(0, 9000, 1);
    assert_int_equal(hold_end(&h, FD, out), 0);
}

static void a_long_stretch_is_let_go_of_to_its_last_huge_page(void **state)
{
    assert_int_equal(ask(0), 0);
    assert_int_equal(hold_take(&h, FD, (struct hold_range){BASE + PAGE, 2 * HOLD_HUGE_PAGE}, out),
                     1);
    expect_range(0, 0, 2 * PAGES);
    assert_int_equal(hold_end(&h, FD, out), 1);
    expect_range(0, 2 * PAGES, 1);
}

static void what_an_earlier_snapshot_held_is_no_business_of_the_next(void **state)
{
    assert_int_equal(ask(3), 0);
    assert_int_equal(hold_take(&h, FD + 1, (struct hold_range){BASE + 4 * PAGE, PAGE}, out), 0);
    assert_int_equal(hold_end(&h, FD + 1, out), 1);
    expect_range(0, 4, 1);
}

/* Whatever the order, each page that was asked for is let go of once the end is asked for, and no
 * other is. */
static void nothing_is_forgotten_and_nothing_else_let_go_of(void **state)
{
    enum { ALL = 4 * PAGES };
    static uint8_t asked[ALL], gone[ALL];
    uint64_t page = 0;
    uint32_t random = 1;

    for (int i = 0; i < 3 * ALL; i++) {
        int n;
        random = random * 1664525 + 1013904223;
        if (random >> 24 == 0) {
            page = (random >> 4) % ALL;
            h.is_waited = 1;
        }
        asked[page] = 1;
        n = ask(page);
        if (page + 1 == ALL)
            n += hold_end(&h, FD, &out[n]);
        for (int k = 0; k < n; k++)
            for (uint64_t at = out[k].start; at < out[k].start + out[k].len; at += PAGE)
                gone[(at - BASE) / PAGE] = 1;
        page = (page + 1) % ALL;
    }
    if (hold_end(&h, FD, out))
        for (uint64_t at = out[0].start; at < out[0].start + out[0].len; at += PAGE)
            gone[(at - BASE) / PAGE] = 1;
    assert_memory_equal(asked, gone, ALL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(pages_in_order_are_let_go_of_as_huge_ones, begin),
        cmocka_unit_test_setup(a_page_that_is_waited_for_is_let_go_of_at_once, begin),
        cmocka_unit_test_setup(another_block_begins_anew, begin),
        cmocka_unit_test_setup(a_long_stretch_is_let_go_of_to_its_last_huge_page, begin),
        cmocka_unit_test_setup(what_an_earlier_snapshot_held_is_no_business_of_the_next, begin),
        cmocka_unit_test_setup(nothing_is_forgotten_and_nothing_else_let_go_of, begin),
    };

    return cmocka_run_group_tests_name("unit/preload_hold", tests, NULL, NULL);
}
