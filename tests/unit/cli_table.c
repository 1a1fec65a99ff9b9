/* Tables for people: widths, cutting, and hostile names. */
#include "tests/lib/harness.h"

#include "cli/table.h"
#include "cli/text.h"

#include <stdlib.h>
#include <string.h>

static void check_escape(const char *raw, const char *safe)
{
    char *got = text_escape(raw);

    assert_string_equal(got, safe);
    free(got);
}

static void what_could_steer_a_terminal_is_shown_instead(void **state)
{
    check_escape("plain, \xc3\xa4\xe6\xbc\xa2 \xf0\x9f\x98\x80",
                 "plain, \xc3\xa4\xe6\xbc\xa2 \xf0\x9f\x98\x80");
    check_escape("\033[2J\a", "\\x1b[2J\\x07");
    check_escape("a\nb\tc\rd\x7f", "a\\nb\\tc\\rd\\x7f");
    check_escape("\xc2\x9b"
                 "31m",
                 "\\x9b31m"); /* CSI as one C1 character */
    check_escape("a\xe2\x80\xae"
                 "b",
                 "a\\u202eb"); /* right-to-left override */
    check_escape("a\xe2\x80\x8b"
                 "b",
                 "a\\u200bb");                       /* zero width space */
    check_escape("\xff\xc3", "\\xff\\xc3");          /* no UTF-8, cut UTF-8 */
    check_escape("\xed\xa0\x80", "\\xed\\xa0\\x80"); /* a surrogate */
    check_escape("\xf3\xa0\x81\x81", "\\U000e0041"); /* an invisible tag */
}

static void columns_are_counted_as_the_terminal_does(void **state)
{
    assert_int_equal(text_width(""), 0);
    assert_int_equal(text_width("abc"), 3);
    assert_int_equal(text_width("\xc3\xa4"), 1);
    assert_int_equal(text_width("\xe6\xbc\xa2\xe5\xad\x97"), 4);  /* two wide ones */
    assert_int_equal(text_width("e\xcc\x81"), 1);                 /* e and a combining accent */
    assert_int_equal(text_fit("\xe6\xbc\xa2\xe5\xad\x97", 3), 3); /* no half character */
    assert_int_equal(text_fit("abc", 2), 2);
}

static char *render(size_t width, bool headers)
{
    static const char *const titles[] = {"NAME", "STATE", "MEMORY"};
    static const bool right[] = {false, false, true};
    static char *const cells[] = {"web",   "running", "512 MiB",     "\xe6\xbc\xa2\xe5\xad\x97",
                                  "off",   "1 GiB",   "a-long-name", "-",
                                  "16 MiB"};
    struct table table = {.n_columns = 3,
                          .titles = titles,
                          .right = right,
                          .cells = cells,
                          .n_rows = 3,
                          .headers = headers,
                          .width = width};
    struct strbuf b = {0};

    table_render(&table, &b);
    return strbuf_take(&b);
}

static void columns_stand_below_each_other(void **state)
{
    char *text = render(0, true);

    assert_string_equal(text, "NAME         STATE     MEMORY\n"
                              "web          running  512 MiB\n"
                              "\xe6\xbc\xa2\xe5\xad\x97         off        1 GiB\n"
                              "a-long-name  -         16 MiB\n");
    free(text);
}

static void lines_are_cut_to_the_terminal(void **state)
{
    char *text = render(20, false);

    assert_string_equal(text, "web          runnin\xe2\x80\xa6\n"
                              "\xe6\xbc\xa2\xe5\xad\x97         off   \xe2\x80\xa6\n"
                              "a-long-name  -     \xe2\x80\xa6\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_could_steer_a_terminal_is_shown_instead),
        cmocka_unit_test(columns_are_counted_as_the_terminal_does),
        cmocka_unit_test(columns_stand_below_each_other),
        cmocka_unit_test(lines_are_cut_to_the_terminal),
    };

    text_init();
    return cmocka_run_group_tests_name("cli/table", tests, NULL, NULL);
}
