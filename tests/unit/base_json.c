/* JSON from strangers: refused before it costs anything, and the refusal itself fits into JSON. */
#include "tests/lib/harness.h"

#include "core/base/json_reply.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The text is refused as malformed with a detail that a reply can carry. */
static void assert_refused(const char *text, size_t len)
{
    CLEANUP(json_decrefp) json_t *shown = NULL;
    struct err err = {0};
    json_t *value = json_read(text, len, &err);

    if (value) {
        json_decref(value);
        fail_msg("accepted: %.60s", text);
    }
    assert_int_equal(err.code, ERR_MALFORMED);
    assert_true(strlen(err.detail) > 10);
    shown = json_string(err.detail);
    assert_non_null(shown);
}

static void broken_texts_are_refused_with_a_sentence(void **state)
{
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "}",
        "[1,]",
        "{\"a\":1,}",
        "{\"a\":1,\"a\":2}",
        "{\"o\":{\"b\":1,\"b\":1}}",
        "{'a':1}",
        "{\"a\":01}",
        "{\"a\":+1}",
        "{\"a\":1}x",
        "[NaN]",
        "[Infinity]",
        "[1e999]",
        "[123456789012345678901234567890]",
        "[\"\\ud800\"]",
        "[\"\\u0000\"]",
        "[\"\x01\"]",
        "[\"\xff\"]",
        "[\"\xc0\xaf\"]",
        "[\"\xed\xa0\x80\"]",
        "[\"unfinished",
        "// comment\n{}",
        "\xef\xbb\xbf{}",
        "5",
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_refused(bad[i], strlen(bad[i]));
    assert_refused("{}\0", 3);
}

static void a_refusal_that_quotes_a_cut_character_is_still_utf8(void **state)
{
    CLEANUP(strbuf_clear) struct strbuf text = {0};

    for (unsigned pad = 0; pad < 4; pad++) {
        strbuf_clear(&text);
        strbuf_addf(&text, "[%.*s", (int)pad, "xxxx");
        for (int i = 0; i < 300; i++)
            strbuf_adds(&text, "\xe2\x82\xac");
        assert_refused(text.data, text.len);
    }
}

static void a_number_that_could_not_be_written_again_is_refused(void **state)
{
    CLEANUP(json_decrefp) json_t *large = NULL;
    CLEANUP(mem_freep) char *text = NULL;
    struct err err = {0};

    large = json_read("[1.5e308]", 9, &err);
    assert_non_null(large);
    text = json_write(large);
    assert_string_equal(text, "[1.5e308]");
    assert_null(json_read("[1.7976931348623157e308]", 24, &err));
    assert_int_equal(err.code, ERR_MALFORMED);
    assert_null(json_read("{\"a\":[-1.7976931348623157e308]}", 31, &err));
}

static void nesting_stops_at_the_limit(void **state)
{
    char text[2 * JSON_MAX_DEPTH + 2];
    struct err err = {0};
    json_t *value;

    memset(text, '[', JSON_MAX_DEPTH);
    memset(text + JSON_MAX_DEPTH, ']', JSON_MAX_DEPTH);
    value = json_read(text, 2 * JSON_MAX_DEPTH, &err);
    assert_non_null(value);
    json_decref(value);
    memset(text, '[', JSON_MAX_DEPTH + 1);
    memset(text + JSON_MAX_DEPTH + 1, ']', JSON_MAX_DEPTH + 1);
    assert_refused(text, sizeof text);
}

static void replies_of_long_chains_are_nested_deeper(void **state)
{
    char text[2 * 512 + 2];
    struct err err = {0};

    memset(text, '[', 512);
    memset(text + 512, ']', 512);
    json_t *value = json_read_reply(text, 2 * 512, &err);
    assert_non_null(value);
    json_decref(value);
    memset(text, '[', 513);
    memset(text + 513, ']', 513);
    assert_null(json_read_reply(text, sizeof text, &err));
    assert_int_equal(err.code, ERR_MALFORMED);
}

/* Of this thread's own time: others may be busy besides. */
static int64_t spent_ms(void)
{
    struct timespec t;

    assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t), 0);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void ten_mebibytes_of_brackets_cost_a_glance(void **state)
{
    const size_t len = 10u << 20;
    CLEANUP(mem_freep) char *text = mem_alloc(len);
    int64_t start = spent_ms();

    memset(text, '[', len);
    assert_refused(text, len);
    for (size_t i = 0; i + 1 < len; i += 2)
        memcpy(text + i, "0,", 2);
    text[0] = '[';
    assert_refused(text, len);
    assert_true(spent_ms() - start < 1000);
}

static void brackets_inside_texts_do_not_count(void **state)
{
    static const char text[] = "[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[[[[\"]";
    struct err err = {0};
    json_t *value = json_read(text, sizeof text - 1, &err);

    assert_non_null(value);
    json_decref(value);
}

static void getters_do_not_trust_types(void **state)
{
    CLEANUP(json_decrefp)
    json_t *o = json_pack("{s:s,s:i,s:i,s:b,s:n}", "t", "x", "n", 5, "neg", -1, "b", 1, "z");

    assert_string_equal(json_get_text(o, "t"), "x");
    assert_null(json_get_text(o, "n"));
    assert_null(json_get_text(o, "none"));
    assert_null(json_get_text(NULL, "t"));
    assert_int_equal(json_get_u64(o, "n", 9), 5);
    assert_int_equal(json_get_u64(o, "neg", 9), 9);
    assert_int_equal(json_get_u64(o, "t", 9), 9);
    assert_true(json_get_bool(o, "b", false));
    assert_true(json_get_bool(o, "t", true));
    assert_false(json_get_bool(o, "z", false));
}

static void what_is_put_comes_out_as_json(void **state)
{
    CLEANUP(json_decrefp) json_t *o = json_object();
    CLEANUP(mem_freep) char *text = NULL;

    json_put_text(o, "a", NULL);
    json_put_text(o, "b", "\xff"); /* not UTF-8: null rather than a broken reply */
    json_put_u64(o, "c", 1ull << 62);
    json_put_bool(o, "d", true);
    json_put_time(o, "e", 0);
    json_put_time(o, "f", 1);
    json_put(o, "g", NULL);
    text = json_write(o);
    assert_string_equal(text,
                        "{\"a\":null,\"b\":null,\"c\":4611686018427387904,\"d\":true,\"e\":null,"
                        "\"f\":\"1970-01-01T00:00:00.001Z\",\"g\":null}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broken_texts_are_refused_with_a_sentence),
        cmocka_unit_test(a_refusal_that_quotes_a_cut_character_is_still_utf8),
        cmocka_unit_test(a_number_that_could_not_be_written_again_is_refused),
        cmocka_unit_test(nesting_stops_at_the_limit),
        cmocka_unit_test(replies_of_long_chains_are_nested_deeper),
        cmocka_unit_test(ten_mebibytes_of_brackets_cost_a_glance),
        cmocka_unit_test(brackets_inside_texts_do_not_count),
        cmocka_unit_test(getters_do_not_trust_types),
        cmocka_unit_test(what_is_put_comes_out_as_json),
    };

    return cmocka_run_group_tests_name("base/json", tests, NULL, NULL);
}
