/* A pattern in a stream that comes in pieces. */
#include "tests/lib/harness.h"

#include "cli/until.h"

#include <string.h>

static struct fault fault;

static void a_match_across_pieces_is_seen(void **state)
{
    static const char output[] = "booting\r\nlogin: \r\nvm# ";
    struct until u;

    for (size_t cut = 0; cut < sizeof output - 1; cut++) {
        assert_true(until_init(&u, "^vm# $", &fault));
        assert_false(until_seen(&u, output, cut));
        assert_true(until_seen(&u, output + cut, sizeof output - 1 - cut));
        until_clear(&u);
    }
}

static void nul_bytes_do_not_hide_what_follows(void **state)
{
    struct until u;

    assert_true(until_init(&u, "READY", &fault));
    assert_true(until_seen(&u, "a\0b READY", 9));
    until_clear(&u);
}

static void old_output_is_forgotten_not_piled_up(void **state)
{
    static char noise[3 * UNTIL_WINDOW];
    struct until u;

    memset(noise, '.', sizeof noise);
    assert_true(until_init(&u, "READY", &fault));
    for (int i = 0; i < 20; i++)
        assert_false(until_seen(&u, noise, sizeof noise));
    assert_true(u.window.len <= 2 * UNTIL_WINDOW);
    assert_true(until_seen(&u, "READY", 5));
    until_clear(&u);
}

static void a_wrong_pattern_is_a_usage_error(void **state)
{
    struct until u;

    assert_false(until_init(&u, "(", &fault));
    assert_int_equal(fault.exit, CLI_USAGE);
    assert_true(until_init(&u, NULL, &fault));
    assert_false(until_seen(&u, "anything", 8));
    until_clear(&u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_match_across_pieces_is_seen),
        cmocka_unit_test(nul_bytes_do_not_hide_what_follows),
        cmocka_unit_test(old_output_is_forgotten_not_piled_up),
        cmocka_unit_test(a_wrong_pattern_is_a_usage_error),
    };

    return cmocka_run_group_tests_name("cli/until", tests, NULL, NULL);
}
