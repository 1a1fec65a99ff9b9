/* YAML and cells: what another reader must not misunderstand. */
#include "tests/lib/harness.h"

#include "cli/cell.h"
#include "cli/text.h"
#include "cli/yaml.h"

#include <stdlib.h>
#include <string.h>

static void check_yaml(const char *json, const char *yaml)
{
    json_t *value = json_loads(json, JSON_DECODE_ANY, NULL);
    struct strbuf b = {0};

    assert_non_null(value);
    yaml_write(value, &b);
    assert_string_equal(b.data, yaml);
    strbuf_clear(&b);
    json_decref(value);
}

static void nested_values_become_blocks(void **state)
{
    check_yaml("{\"name\":\"web\",\"num\":1,\"none\":null,\"on\":true,\"o\":{},\"l\":[]}",
               "name: web\nnum: 1\nnone: null\n\"on\": true\no: {}\nl: []\n");
    check_yaml("{\"disks\":[{\"a\":1,\"b\":{\"c\":2}},[1,2]],\"x\":{\"k\":[\"z\"]}}",
               "disks:\n  - a: 1\n    b:\n      c: 2\n  - - 1\n    - 2\nx:\n  k:\n    - z\n");
}

static void ambiguous_texts_are_quoted(void **state)
{
    static const char *const words[] = {"yes",  "No",   "null", "~",     "1",          "1e3", "-x",
                                        "a: b", "a #b", "",     " lead", "2026-11-21", "*a",  "!t"};

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        json_t *value = json_string(words[i]);
        struct strbuf b = {0};

        yaml_write(value, &b);
        assert_int_equal(b.data[0], '"');
        strbuf_clear(&b);
        json_decref(value);
    }
}

static void hostile_characters_are_escaped(void **state)
{
    check_yaml("\"a\\\"b\\\\c\\n\\u001b[2J\"", "\"a\\\"b\\\\c\\x0a\\x1b[2J\"\n");
    check_yaml("\"\\u202e\\u00e4\\ud83d\\ude00\"", "\"\\u202e\xc3\xa4\xf0\x9f\x98\x80\"\n");
}

static void check_cell(const char *json, enum cell cell, bool human, const char *expected)
{
    json_t *value = json_loads(json, JSON_DECODE_ANY, NULL);
    char *text = cell_text(value, cell, human);

    assert_string_equal(text, expected);
    free(text);
    json_decref(value);
}

static void cells_are_short_for_people_and_exact_for_programs(void **state)
{
    check_cell("536870912", CELL_BYTES, true, "512 MiB");
    check_cell("536870912", CELL_BYTES, false, "536870912");
    check_cell("\"2026-11-21T01:02:03.456Z\"", CELL_TIME, true, "2026-11-21 01:02:03");
    check_cell("\"2026-11-21T01:02:03.456Z\"", CELL_TIME, false, "2026-11-21T01:02:03.456Z");
    check_cell("null", CELL_TEXT, true, "-");
    check_cell("null", CELL_TEXT, false, "");
    check_cell("[\"a\",\"b\"]", CELL_TEXT, true, "a,b");
    check_cell("[1,2,3]", CELL_COUNT, true, "3");
    check_cell("{\"done\":1,\"total\":3}", CELL_PERCENT, true, "33%");
    check_cell("{\"done\":9,\"total\":3}", CELL_PERCENT, true, "100%");
    check_cell("{\"done\":1,\"total\":0}", CELL_PERCENT, true, "-");
    check_cell("{\"a\":1}", CELL_TEXT, true, "{\"a\":1}");
    check_cell("-5", CELL_BYTES, false, "-5");
}

static void members_are_found_by_their_path(void **state)
{
    json_t *object = json_loads("{\"run\":{\"state\":\"off\"},\"n\":null}", 0, NULL);

    CLEANUP(json_decrefp) json_t *state_text = cell_find(object, "run.state");

    assert_string_equal(json_string_value(state_text), "off");
    assert_null(cell_find(object, "run.none"));
    assert_null(cell_find(object, "run.state.deeper"));
    assert_null(cell_find(object, "n.x"));
    assert_true(json_is_null(cell_find(object, "n")));
    json_decref(object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nested_values_become_blocks),
        cmocka_unit_test(ambiguous_texts_are_quoted),
        cmocka_unit_test(hostile_characters_are_escaped),
        cmocka_unit_test(cells_are_short_for_people_and_exact_for_programs),
        cmocka_unit_test(members_are_found_by_their_path),
    };

    text_init();
    return cmocka_run_group_tests_name("cli/yaml", tests, NULL, NULL);
}
