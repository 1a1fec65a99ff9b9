/* The ring of the newest events: what it covers, and that it is bounded. */
#include "tests/lib/harness.h"

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/event/ring.h"

#include <stdlib.h>
#include <string.h>

static struct event_ring ring;

static int begin_at_100(void **state)
{
    event_ring_init(&ring, 100);
    return 0;
}

static int end(void **state)
{
    event_ring_clear(&ring);
    return 0;
}

static void add(uint64_t seq, size_t text_bytes)
{
    struct event_line line = {.seq = seq, .type = "vm.state", .json = mem_alloc(text_bytes + 1)};

    memset(line.json, 'x', text_bytes);
    event_ring_add(&ring, &line);
    assert_null(line.json);
}

/* The number of the first event after 'after', or 0; asserts that the rest follows without gaps. */
static uint64_t first_after(uint64_t after, unsigned cap, unsigned *n)
{
    CLEANUP(mem_freep) struct event_line *out = mem_array(cap, sizeof *out);
    uint64_t first;

    *n = event_ring_read(&ring, after, out, cap);
    first = *n ? out[0].seq : 0;
    for (unsigned i = 0; i < *n; i++) {
        assert_int_equal(out[i].seq, first + i);
        assert_string_equal(out[i].type, "vm.state");
        event_line_clear(&out[i]);
    }
    return first;
}

static void an_empty_ring_covers_only_what_is_to_come(void **state)
{
    unsigned n;

    assert_true(event_ring_covers(&ring, 100));
    assert_true(event_ring_covers(&ring, 101));
    assert_false(event_ring_covers(&ring, 99));
    assert_int_equal(first_after(100, 8, &n), 0);
}

static void a_reader_gets_what_comes_after_its_number(void **state)
{
    unsigned n;

    for (uint64_t seq = 101; seq <= 110; seq++)
        add(seq, 10);
    assert_int_equal(ring.newest, 110);
    assert_true(event_ring_covers(&ring, 100));
    assert_false(event_ring_covers(&ring, 99));
    assert_int_equal(first_after(100, 4, &n), 101);
    assert_int_equal(n, 4);
    assert_int_equal(first_after(107, 64, &n), 108);
    assert_int_equal(n, 3);
    assert_int_equal(first_after(110, 64, &n), 0);
}

static void the_oldest_make_room_by_number(void **state)
{
    unsigned n;

    for (uint64_t seq = 101; seq <= 100 + 3 * EVENT_RING_LINES; seq++)
        add(seq, 1);
    assert_int_equal(ring.n, EVENT_RING_LINES);
    assert_int_equal(ring.bytes, EVENT_RING_LINES);
    assert_int_equal(first_after(0, EVENT_RING_LINES, &n), 101 + 2 * EVENT_RING_LINES);
    assert_int_equal(n, EVENT_RING_LINES);
    assert_false(event_ring_covers(&ring, 99 + 2 * EVENT_RING_LINES));
    assert_true(event_ring_covers(&ring, 100 + 2 * EVENT_RING_LINES));
}

static void the_oldest_make_room_by_size(void **state)
{
    unsigned n;

    for (uint64_t seq = 101; seq <= 110; seq++)
        add(seq, EVENT_RING_BYTES / 4);
    assert_int_equal(ring.n, 4);
    assert_true(ring.bytes <= EVENT_RING_BYTES);
    assert_int_equal(first_after(0, 16, &n), 107);
    add(111, 2 * EVENT_RING_BYTES); /* alone, if it must be */
    assert_int_equal(ring.n, 1);
    assert_int_equal(first_after(0, 16, &n), 111);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin_at_100, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_empty_ring_covers_only_what_is_to_come),
        TEST(a_reader_gets_what_comes_after_its_number),
        TEST(the_oldest_make_room_by_number),
        TEST(the_oldest_make_room_by_size),
    };

    return cmocka_run_group_tests_name("core/event/ring", tests, NULL, NULL);
}
