/* Sizes and durations as people write them. */
#include "tests/lib/harness.h"

#include "cli/quantity.h"

static void sizes_count_in_1024s(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {
        {"0", 0},           {"1073741824", 1073741824}, {"512M", 536870912},
        {"1g", 1073741824}, {"1GiB", 1073741824},       {"1.5G", 1610612736},
        {"0.5k", 512},      {"2T", 2199023255552},      {"18446744073709551615", UINT64_MAX}};
    uint64_t bytes;

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_true(size_parse(good[i].text, &bytes));
        assert_int_equal(bytes, good[i].bytes);
    }
}

static void other_sizes_are_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "G",
                                      "-1",
                                      "+1",
                                      "1X",
                                      "1GB",
                                      "1 G",
                                      "1.G",
                                      ".5G",
                                      "1e3",
                                      "0x1",
                                      "1,5G",
                                      "1.5",
                                      "0.3K",
                                      "18446744073709551616",
                                      "16777216T",
                                      "99999999999999999999999999999999"};
    uint64_t bytes = 7;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (size_parse(bad[i], &bytes))
            fail_msg("'%s' was taken for %llu", bad[i], (unsigned long long)bytes);
        assert_int_equal(bytes, 7);
    }
}

static void sizes_are_shown_short(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {{0, "0 B"},
                 {1023, "1023 B"},
                 {1024, "1 KiB"},
                 {536870912, "512 MiB"},
                 {1610612736, "1.5 GiB"},
                 {UINT64_MAX, "16777215.9 TiB"}};
    char text[QUANTITY_TEXT];

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_text(cases[i].bytes, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void durations_are_seconds_or_have_a_unit(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"0", 0},       {"90", 90000},   {"90s", 90000},     {"500ms", 500},
                {"5m", 300000}, {"2h", 7200000}, {"30d", 2592000000}};
    static const char *const bad[] = {
        "", "s", "-1s", "1.5h", "1w", "5 m", "soon", "99999999999999999999", "99999999d"};
    int64_t ms;

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_true(duration_parse(good[i].text, &ms));
        assert_int_equal(ms, good[i].ms);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (duration_parse(bad[i], &ms))
            fail_msg("'%s' was taken for %lld ms", bad[i], (long long)ms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_count_in_1024s),
        cmocka_unit_test(other_sizes_are_refused),
        cmocka_unit_test(sizes_are_shown_short),
        cmocka_unit_test(durations_are_seconds_or_have_a_unit),
    };

    return cmocka_run_group_tests_name("cli/quantity", tests, NULL, NULL);
}
