/* Strings: UTF-8 by the book, numbers without overflow, buffers that grow. */
#include "tests/lib/harness.h"

#include "core/base/mem.h"
#include "core/base/str.h"

#include <stdlib.h>
#include <string.h>

static void utf8_is_judged_as_rfc_3629_says(void **state)
{
    static const struct {
        const char *bytes;
        bool good;
    } corpus[] = {
        {"", true},
        {"plain", true},
        {"\xc2\x80", true},          /* U+0080, the first of two bytes */
        {"\xdf\xbf", true},          /* U+07FF */
        {"\xe0\xa0\x80", true},      /* U+0800 */
        {"\xed\x9f\xbf", true},      /* U+D7FF, just below the surrogates */
        {"\xee\x80\x80", true},      /* U+E000 */
        {"\xf0\x90\x80\x80", true},  /* U+10000 */
        {"\xf4\x8f\xbf\xbf", true},  /* U+10FFFF */
        {"\x80", false},             /* continuation alone */
        {"\xc3", false},             /* cut */
        {"\xe2\x82", false},         /* cut */
        {"\xf0\x9f\x98", false},     /* cut */
        {"\xc0\xaf", false},         /* '/' made too long */
        {"\xc1\xbf", false},         /* too long */
        {"\xe0\x9f\xbf", false},     /* too long */
        {"\xf0\x8f\xbf\xbf", false}, /* too long */
        {"\xed\xa0\x80", false},     /* surrogate */
        {"\xed\xbf\xbf", false},     /* surrogate */
        {"\xf4\x90\x80\x80", false}, /* beyond U+10FFFF */
        {"\xf8\x88\x80\x80\x80", false},
        {"\xfe", false},
        {"\xff", false},
        {"ok\xc3(", false},
    };

    for (size_t i = 0; i < ARRAY_LEN(corpus); i++)
        if (str_is_utf8(corpus[i].bytes, strlen(corpus[i].bytes)) != corpus[i].good)
            fail_msg("entry %zu judged wrongly", i);
    assert_false(str_is_utf8("a\0b", 3));
}

static void a_scrubbed_text_is_utf8_and_keeps_its_length(void **state)
{
    char cut[] = "na\xc3\xafve \xe2\x82"; /* the last character is cut off */
    char rude[] = "a\x1b[31m\r\n\xc2\x9b"
                  "2J\xff";
    char soft[] = "a\tb\xff";

    str_scrub(cut);
    assert_string_equal(cut, "na\xc3\xafve ??");
    str_scrub(rude);
    assert_string_equal(rude, "a?[31m????2J?");
    str_scrub_utf8(soft);
    assert_string_equal(soft, "a\tb?");
}

static void random_bytes_are_scrubbed_to_utf8(void **state)
{
    srand(7);
    for (int round = 0; round < 2000; round++) {
        char text[33];
        for (unsigned i = 0; i < 32; i++)
            text[i] = (char)(1 + rand() % 255);
        text[32] = 0;
        str_scrub(text);
        assert_true(str_is_utf8(text, 32));
        for (const char *p = text; *p; p++)
            assert_false(str_is_control(p));
    }
}

static void numbers_are_whole_and_do_not_overflow(void **state)
{
    static const char *const bad[] = {"",
                                      " 1",
                                      "1 ",
                                      "+1",
                                      "-1",
                                      "0x1",
                                      "1.0",
                                      "1e3",
                                      "18446744073709551616",
                                      "99999999999999999999999"};
    uint64_t n = 42;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(str_to_u64(bad[i], &n));
    assert_false(str_to_u64(NULL, &n));
    assert_int_equal(n, 42);
    assert_true(str_to_u64("18446744073709551615", &n));
    assert_true(n == UINT64_MAX);
    assert_true(str_to_u64("007", &n));
    assert_int_equal(n, 7);
}

static void hex_goes_there_and_back(void **state)
{
    const uint8_t bytes[] = {0x00, 0x7f, 0xff, 0xa5};
    uint8_t back[4];
    char hex[9];

    str_hex(bytes, sizeof bytes, hex);
    assert_string_equal(hex, "007fffa5");
    assert_true(str_unhex(hex, back, sizeof back));
    assert_memory_equal(bytes, back, sizeof bytes);
    assert_false(str_unhex("007fffa", back, 4));
    assert_false(str_unhex("007fffa55", back, 4));
    assert_false(str_unhex("007FFFA5", back, 4));
    assert_false(str_unhex("007fffag", back, 4));
}

static void a_copy_is_cut_at_the_buffer(void **state)
{
    char out[4] = "zzz";

    assert_int_equal(str_copy(out, sizeof out, "abcdef"), 3);
    assert_string_equal(out, "abc");
    assert_int_equal(str_copy(out, sizeof out, ""), 0);
    assert_string_equal(out, "");
}

static void a_buffer_grows_and_stays_terminated(void **state)
{
    CLEANUP(strbuf_clear) struct strbuf b = {0};
    char *text;

    for (unsigned i = 0; i < 1000; i++)
        strbuf_addf(&b, "%u,", i);
    assert_int_equal(b.len, strlen(b.data));
    assert_memory_equal(b.data, "0,1,2,", 6);
    strbuf_add(&b, "a\0b", 3);
    assert_int_equal(b.data[b.len], 0);
    text = strbuf_take(&b);
    assert_null(b.data);
    free(text);
    text = strbuf_take(&b);
    assert_string_equal(text, "");
    free(text);
}

static void comparing_knows_null(void **state)
{
    CLEANUP(mem_freep) char *copy = str_dup("x"), *made = str_format("%s-%d", "vm", 7);

    assert_null(str_dup(NULL));
    assert_string_equal(made, "vm-7");
    assert_true(str_eq(NULL, NULL) && str_eq(copy, "x"));
    assert_false(str_eq(NULL, "") || str_eq("", NULL) || str_eq("x", "y"));
    assert_true(str_starts("vm-1", "vm-") && str_starts("x", ""));
    assert_false(str_starts("v", "vm"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8_is_judged_as_rfc_3629_says),
        cmocka_unit_test(a_scrubbed_text_is_utf8_and_keeps_its_length),
        cmocka_unit_test(random_bytes_are_scrubbed_to_utf8),
        cmocka_unit_test(numbers_are_whole_and_do_not_overflow),
        cmocka_unit_test(hex_goes_there_and_back),
        cmocka_unit_test(a_copy_is_cut_at_the_buffer),
        cmocka_unit_test(a_buffer_grows_and_stays_terminated),
        cmocka_unit_test(comparing_knows_null),
    };

    return cmocka_run_group_tests_name("base/str", tests, NULL, NULL);
}
