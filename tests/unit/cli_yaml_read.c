/* YAML that people wrote: what it means, and what is refused with its place. */
#include "tests/lib/harness.h"

#include "cli/text.h"
#include "cli/yaml.h"
#include "cli/yaml_read.h"
#include "core/base/mem.h"

#include <stdlib.h>
#include <string.h>

static void check_read(const char *yaml, const char *json)
{
    struct err err = {0};
    json_t *value = yaml_read(yaml, strlen(yaml), &err);
    CLEANUP(mem_freep) char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;

    if (!value)
        fail_msg("%s: %s", yaml, err.detail);
    assert_string_equal(text, json);
    json_decref(value);
}

static void documents_are_read_as_json(void **state)
{
    check_read("name: web # the shop\nvcpus: 2\nlabels: {a: b}\nnics:\n- network: user\n- {}\n",
               "[{\"name\":\"web\",\"vcpus\":2,\"labels\":{\"a\":\"b\"},\"nics\":[{\"network\":"
               "\"user\"},{}]}]");
    check_read("a: 1\n---\n# nothing\n---\nb: 2\n...\n", "[{\"a\":1},{\"b\":2}]");
    check_read("", "[]");
    check_read("{\"a\": [true, null]}", "[{\"a\":[true,null]}]");
}

static void scalars_are_what_yaml_1_2_says(void **state)
{
    check_read("[yes, no, on, 012, 0x10, 0o17, -5, +3, 1e3, 1.5, ~, true, 'true', 1G, 52:54:00]",
               "[[\"yes\",\"no\",\"on\",12,16,15,-5,3,1000.0,1.5,null,true,\"true\",\"1G\",\"52:54:"
               "00\"]]");
    check_read("[99999999999999999999, -, ., e, 2026-11-21, 0x, '']",
               "[[1e20,\"-\",\".\",\"e\",\"2026-11-21\",\"0x\",\"\"]]");
    check_read("a: |\n  x\n  y\n", "[{\"a\":\"x\\ny\\n\"}]");
}

static void surprises_are_refused_with_their_place(void **state)
{
    static const struct {
        const char *yaml, *says;
    } cases[] = {{"a: &x 1\nb: *x\n", "line 1, column 4: tags and anchors"},
                 {"b: *x\n", "aliases"},
                 {"a: !!str 1", "tags"},
                 {"a: !!python/object {}", "tags"},
                 {"a: &x {}", "anchors"},
                 {"a: &x []", "anchors"},
                 {"a: 1\na: 2\n", "line 2, column 1: this key stands there twice"},
                 {"<<: {}\n", "merge keys"},
                 {"[a]: 1\n", "a key must be a text"},
                 {"a: [1\n", "line 2"},
                 {"a:\tb: c", "line 1"},
                 {"a: \"\\0\"", "UTF-8 without NUL"},
                 {"a: \xff", "wrong"}};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = {0};

        assert_null(yaml_read(cases[i].yaml, strlen(cases[i].yaml), &err));
        assert_int_equal(err.code, ERR_MALFORMED);
        if (!strstr(err.detail, cases[i].says))
            fail_msg("'%s': %s", cases[i].yaml, err.detail);
    }
}

static void deep_and_large_texts_end_early(void **state)
{
    CLEANUP(mem_freep) char *deep = mem_alloc(200001), *wide = mem_alloc(60001);
    struct err err = {0};

    memset(deep, '[', 200000);
    for (size_t i = 0; i < 60000; i += 2)
        memcpy(wide + i, i ? "x," : "[ ", 2);
    assert_null(yaml_read(deep, 200000, &err));
    assert_non_null(strstr(err.detail, "nested too deeply"));
    assert_null(yaml_read(wide, 60000, &err));
    assert_non_null(strstr(err.detail, "too many values"));
}

static void what_is_written_is_read_back(void **state)
{
    json_t *value = json_loads("[{\"a\":[1,-2,0.5,true,null,\"\",\"yes\",\"1\","
                               "\"x\\u0001\\n\\u202e\\u00e4\",{},[],"
                               "[[1],{\"b\":[{\"c\":\"- d\"}]}]],\"null\":\"~\"}]",
                               0, NULL);
    struct strbuf b = {0};
    struct err err = {0};
    json_t *again;

    yaml_write(json_array_get(value, 0), &b);
    again = yaml_read(b.data, b.len, &err);
    if (!again || !json_equal(value, again))
        fail_msg("%s\n%s", err.detail, b.data);
    json_decref(value);
    json_decref(again);
    strbuf_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_are_read_as_json),
        cmocka_unit_test(scalars_are_what_yaml_1_2_says),
        cmocka_unit_test(surprises_are_refused_with_their_place),
        cmocka_unit_test(deep_and_large_texts_end_early),
        cmocka_unit_test(what_is_written_is_read_back),
    };

    text_init();
    return cmocka_run_group_tests_name("cli/yaml_read", tests, NULL, NULL);
}
