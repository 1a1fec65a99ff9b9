/* passt's command line: what is always there, and what a caller may add. */
#include "tests/lib/harness.h"

#include "net/passt.h"

#include <string.h>

static bool has(const char *const *argv, const char *word)
{
    for (; *argv; argv++)
        if (strcmp(*argv, word) == 0)
            return true;
    return false;
}

static void the_way_to_the_host_is_always_shut(void **state)
{
    const char *argv[PASST_MAX_ARGS];
    struct err err = {0};

    assert_true(passt_argv(NULL, 0, argv, &err));
    assert_string_equal(argv[0], PASST_PATH);
    assert_true(has(argv, "--no-map-gw"));
    assert_true(has(argv, "--one-off"));
    assert_true(has(argv, "--foreground"));
}

static void allowed_options_are_added_in_order(void **state)
{
    static const char *const options[] = {"--mtu", "1400", "--ipv4-only", "--tcp-ports",
                                          "127.0.0.1/2222:22"};
    const char *argv[PASST_MAX_ARGS];
    struct err err = {0};
    unsigned n = 0;

    assert_true(passt_argv(options, ARRAY_LEN(options), argv, &err));
    while (argv[n])
        n++;
    for (unsigned i = 0; i < ARRAY_LEN(options); i++)
        assert_ptr_equal(argv[n - ARRAY_LEN(options) + i], options[i]);
}

static void what_names_files_or_users_is_refused(void **state)
{
    static const char *const wrong[][2] = {
        {"--pcap", "/tmp/x"},     {"--log-file", "/tmp/x"}, {"--pid", "/tmp/x"}, {"--runas", "0"},
        {"--socket", "/tmp/x"},   {"-p", "/tmp/x"},         {"--mtu", "--pcap"}, {"--mtu", ""},
        {"--mtu", "1;id"},        {"--mtu=1", "1"},         {"mtu", "1400"},     {"", ""},
        {"--dns", "1.1.1.1\n-p"}, {"--mtu", "$(id)"},
    };
    const char *argv[PASST_MAX_ARGS];

    for (unsigned i = 0; i < ARRAY_LEN(wrong); i++) {
        struct err err = {0};
        if (passt_argv(wrong[i], 2, argv, &err))
            fail_msg("accepted: %s %s", wrong[i][0], wrong[i][1]);
        assert_int_equal(err.code, ERR_INVALID);
    }
}

static void a_missing_value_is_refused(void **state)
{
    static const char *const options[] = {"--ipv4-only", "--mtu"};
    const char *argv[PASST_MAX_ARGS];
    struct err err = {0};

    assert_false(passt_argv(options, 2, argv, &err));
    assert_int_equal(err.code, ERR_INVALID);
}

static void more_words_than_fit_are_refused(void **state)
{
    const char *options[PASST_MAX_OPTIONS + 1], *argv[PASST_MAX_ARGS];
    struct err err = {0};

    for (unsigned i = 0; i < ARRAY_LEN(options); i++)
        options[i] = "--ipv4-only";
    assert_true(passt_argv(options, PASST_MAX_OPTIONS, argv, &err));
    assert_false(passt_argv(options, PASST_MAX_OPTIONS + 1, argv, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_way_to_the_host_is_always_shut),
        cmocka_unit_test(allowed_options_are_added_in_order),
        cmocka_unit_test(what_names_files_or_users_is_refused),
        cmocka_unit_test(a_missing_value_is_refused),
        cmocka_unit_test(more_words_than_fit_are_refused),
    };

    return cmocka_run_group_tests_name("net/passt", tests, NULL, NULL);
}
