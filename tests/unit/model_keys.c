/* Names of keys, and what a text is on the keyboards of several countries. */
#include "tests/lib/harness.h"

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/keys.h"

#include <string.h>

/* "shift+a, ret" */
static const char *typed(const char *text, enum key_layout layout)
{
    static char out[512];
    CLEANUP(mem_freep) struct key_stroke *strokes = NULL;
    CLEANUP(strbuf_clear) struct strbuf list = {0};
    struct err err = {0};
    size_t n = 0;

    if (!key_strokes(text, layout, &strokes, &n, &err))
        return err.detail[0] ? "refused" : "no reason";
    for (size_t i = 0; i < n; i++)
        strbuf_addf(&list, "%s%s%s%s", i ? " " : "", strokes[i].shift ? "shift+" : "",
                    strokes[i].altgr ? "altgr+" : "", strokes[i].key);
    str_copy(out, sizeof out, list.data ? list.data : "");
    return out;
}

static void keys_have_qemus_names_and_the_usual_ones(void **state)
{
    assert_string_equal(key_find("a"), "a");
    assert_string_equal(key_find("A"), "a");
    assert_string_equal(key_find("Enter"), "ret");
    assert_string_equal(key_find("del"), "delete");
    assert_string_equal(key_find("Windows"), "meta_l");
    assert_string_equal(key_find("F12"), "f12");
    assert_string_equal(key_find(","), "comma");
    assert_null(key_find(""));
    assert_null(key_find("unmapped"));
    assert_null(key_find("a b"));
}

static void a_text_is_typed_as_on_an_american_keyboard(void **state)
{
    assert_string_equal(typed("Ab1!", KEY_LAYOUT_US), "shift+a b 1 shift+1");
    assert_string_equal(typed("yz-@/~", KEY_LAYOUT_US),
                        "y z minus shift+2 slash shift+grave_accent");
    assert_string_equal(typed("a b\tc\n", KEY_LAYOUT_US), "a spc b tab c ret");
}

static void a_text_is_typed_as_on_a_german_keyboard(void **state)
{
    assert_string_equal(typed("Yz", KEY_LAYOUT_DE), "shift+z y");
    assert_string_equal(typed("äÖß", KEY_LAYOUT_DE), "apostrophe shift+semicolon minus");
    assert_string_equal(typed("@{}[]\\|~€", KEY_LAYOUT_DE),
                        "altgr+q altgr+7 altgr+0 altgr+8 altgr+9 altgr+minus altgr+less "
                        "altgr+bracket_right altgr+e");
    assert_string_equal(typed("/-_", KEY_LAYOUT_DE), "shift+7 slash shift+slash");
}

static void a_dead_key_is_followed_by_the_space_bar(void **state)
{
    assert_string_equal(typed("^`", KEY_LAYOUT_DE), "grave_accent spc shift+equal spc");
    assert_string_equal(typed("^`", KEY_LAYOUT_US), "shift+6 grave_accent");
}

static void line_ends_of_both_kinds_are_one_return(void **state)
{
    assert_string_equal(typed("a\r\nb\rc\n", KEY_LAYOUT_US), "a ret b ret c ret");
}

static void what_no_key_types_is_refused_with_its_place(void **state)
{
    CLEANUP(mem_freep) struct key_stroke *strokes = NULL;
    struct err err = {0};
    size_t n;

    assert_false(key_strokes("ab\u00e4", KEY_LAYOUT_US, &strokes, &n, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_string_equal(err.field, "/text");
    assert_non_null(strstr(err.detail, "character 3"));
    assert_string_equal(typed("\x01", KEY_LAYOUT_US), "refused");
    assert_string_equal(typed("\u65e5", KEY_LAYOUT_DE), "refused");
}

/* All of ASCII can be typed everywhere, and only by keys that there are. */
static void every_layout_types_ascii(void **state)
{
    for (unsigned layout = 0; key_layout_names[layout]; layout++) {
        for (char c = ' '; c < 0x7f; c++) {
            CLEANUP(mem_freep) struct key_stroke *strokes = NULL;
            struct err err = {0};
            size_t n = 0;

            if (!key_strokes((char[]){c, 0}, (enum key_layout)layout, &strokes, &n, &err))
                fail_msg("%s: %s", key_layout_names[layout], err.detail);
            assert_in_range(n, 1, 2);
            for (size_t i = 0; i < n; i++)
                assert_string_equal(key_find(strokes[i].key), strokes[i].key);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_have_qemus_names_and_the_usual_ones),
        cmocka_unit_test(a_text_is_typed_as_on_an_american_keyboard),
        cmocka_unit_test(a_text_is_typed_as_on_a_german_keyboard),
        cmocka_unit_test(a_dead_key_is_followed_by_the_space_bar),
        cmocka_unit_test(line_ends_of_both_kinds_are_one_return),
        cmocka_unit_test(what_no_key_types_is_refused_with_its_place),
        cmocka_unit_test(every_layout_types_ascii),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
