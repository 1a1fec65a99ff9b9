/* Field tables: every kind of member is decoded, limited, defaulted, patched and shown by one
 * table; whatever is refused is refused with a pointer to the member. */
#include "tests/lib/harness.h"

#include "core/base/str.h"
#include "core/model/field.h"

#include <string.h>

enum { SMALL, LARGE };
static const char *const sizes[] = {"small", "large", NULL};

struct wheel {
    char *tyre;
    uint32_t inches;
};
struct engine {
    bool diesel;
    uint64_t power;
};
struct car {
    char *name;
    struct uuid id;
    bool sold;
    uint32_t seats;
    uint64_t price;
    int size;
    json_t *labels;
    struct engine engine;
    struct wheel *wheels;
    size_t n_wheels;
    double litres;
    json_t *extras;
};

#define OF(type, member) .offset = offsetof(struct type, member)

/* clang-format off */
static const struct field wheel_fields[] = {
    {.name = "tyre", .type = FIELD_TEXT, OF(wheel, tyre), .max = 10},
    {.name = "inches", .type = FIELD_U32, .flags = FIELD_REQUIRED, OF(wheel, inches), .min = 10, .max = 22},
};
static const struct model wheel_model = {"Wheel", sizeof(struct wheel), wheel_fields, ARRAY_LEN(wheel_fields)};

static const struct field engine_fields[] = {
    {.name = "diesel", .type = FIELD_BOOL, OF(engine, diesel), .fallback = "true"},
    {.name = "power", .type = FIELD_U64, OF(engine, power), .max = INT64_MAX, .fallback = "75"},
};
static const struct model engine_model = {"Engine", sizeof(struct engine), engine_fields, ARRAY_LEN(engine_fields)};

static const struct field car_fields[] = {
    {.name = "name", .type = FIELD_TEXT, .flags = FIELD_REQUIRED, OF(car, name), .min = 1, .max = 8, .check = check_name},
    {.name = "id", .type = FIELD_UUID, .flags = FIELD_READ_ONLY, OF(car, id)},
    {.name = "sold", .type = FIELD_BOOL, OF(car, sold)},
    {.name = "seats", .type = FIELD_U32, .flags = FIELD_NEXT_START, OF(car, seats), .min = 1, .max = 9, .fallback = "5"},
    {.name = "price", .type = FIELD_U64, OF(car, price), .max = 1ull << 40},
    {.name = "size", .type = FIELD_ENUM, .flags = FIELD_CREATE_ONLY, OF(car, size), .names = sizes, .fallback = "\"large\""},
    {.name = "labels", .type = FIELD_LABELS, OF(car, labels), .max = 64},
    {.name = "engine", .type = FIELD_OBJECT, .flags = FIELD_NEXT_START, OF(car, engine), .of = &engine_model},
    {.name = "wheels", .type = FIELD_LIST, .flags = FIELD_NEXT_START, OF(car, wheels), .count_offset = offsetof(struct car, n_wheels),
     .max = 4, .of = &wheel_model, .fallback = "[{\"inches\":15}]"},
    {.name = "litres", .type = FIELD_REAL, OF(car, litres), .low = -1, .max = 8},
    {.name = "extras", .type = FIELD_WORDS, OF(car, extras), .max = 3, .check = check_name},
};
static const struct model car_model = {"Car", sizeof(struct car), car_fields, ARRAY_LEN(car_fields)};
/* clang-format on */

static void car_clear(struct car *car)
{
    model_clear(&car_model, car);
}

static bool decode(const char *text, enum model_source source, struct car *car, struct err *err)
{
    CLEANUP(json_decrefp) json_t *value = json_read(text, strlen(text), err);

    assert_non_null(value);
    return model_decode(&car_model, value, source, car, err);
}

static void assert_shown(const struct car *car, const char *expected)
{
    CLEANUP(json_decrefp) json_t *is = model_encode(&car_model, car);
    CLEANUP(json_decrefp) json_t *want = json_loads(expected, 0, NULL);

    assert_non_null(want);
    if (!json_equal(is, want))
        fail_msg("shown: %s", json_dumps(is, JSON_COMPACT));
}

static void what_is_absent_gets_its_default(void **state)
{
    CLEANUP(car_clear) struct car car;
    struct err err = {0};

    assert_true(decode("{\"name\":\"a\"}", MODEL_CLIENT, &car, &err));
    assert_shown(&car,
                 "{\"name\":\"a\",\"id\":null,\"sold\":false,\"seats\":5,\"price\":0,"
                 "\"size\":\"large\",\"labels\":{},\"engine\":{\"diesel\":true,\"power\":75},"
                 "\"wheels\":[{\"tyre\":null,\"inches\":15}],\"litres\":null,\"extras\":null}");
}

static void null_means_absent(void **state)
{
    CLEANUP(car_clear) struct car car;
    struct err err = {0};

    assert_true(decode("{\"name\":\"a\",\"seats\":null,\"engine\":null,\"wheels\":null}",
                       MODEL_CLIENT, &car, &err));
    assert_int_equal(car.seats, 5);
    assert_int_equal(car.engine.power, 75);
    assert_int_equal(car.n_wheels, 1);
}

static void every_wrong_member_is_refused_with_its_pointer(void **state)
{
    static const struct {
        const char *text, *pointer;
    } bad[] = {
        {"{}", "/name"},
        {"{\"name\":null}", "/name"},
        {"{\"name\":7}", "/name"},
        {"{\"name\":\"\"}", "/name"},
        {"{\"name\":\"123456789\"}", "/name"},
        {"{\"name\":\"../x\"}", "/name"},
        {"{\"name\":\"a\",\"id\":\"3f2504e0-4f89-41d3-9a0c-0305e82c3301\"}", "/id"},
        {"{\"name\":\"a\",\"sold\":1}", "/sold"},
        {"{\"name\":\"a\",\"sold\":\"true\"}", "/sold"},
        {"{\"name\":\"a\",\"seats\":0}", "/seats"},
        {"{\"name\":\"a\",\"seats\":10}", "/seats"},
        {"{\"name\":\"a\",\"seats\":4294967297}", "/seats"},
        {"{\"name\":\"a\",\"seats\":-1}", "/seats"},
        {"{\"name\":\"a\",\"seats\":2.0}", "/seats"},
        {"{\"name\":\"a\",\"seats\":\"2\"}", "/seats"},
        {"{\"name\":\"a\",\"price\":9223372036854775807}", "/price"},
        {"{\"name\":\"a\",\"size\":\"medium\"}", "/size"},
        {"{\"name\":\"a\",\"size\":1}", "/size"},
        {"{\"name\":\"a\",\"labels\":[]}", "/labels"},
        {"{\"name\":\"a\",\"labels\":{\"k\":1}}", "/labels"},
        {"{\"name\":\"a\",\"labels\":{\"../k\":\"v\"}}", "/labels"},
        {"{\"name\":\"a\",\"labels\":{\"k\":\"two\\nlines\"}}", "/labels"},
        {"{\"name\":\"a\",\"engine\":[]}", "/engine"},
        {"{\"name\":\"a\",\"engine\":{\"power\":-5}}", "/engine/power"},
        {"{\"name\":\"a\",\"engine\":{\"colour\":1}}", "/engine/colour"},
        {"{\"name\":\"a\",\"wheels\":{}}", "/wheels"},
        {"{\"name\":\"a\",\"wheels\":[1]}", "/wheels/0"},
        {"{\"name\":\"a\",\"wheels\":[null]}", "/wheels/0"},
        {"{\"name\":\"a\",\"wheels\":[{\"inches\":12},{\"tyre\":\"x\"}]}", "/wheels/1/inches"},
        {"{\"name\":\"a\",\"wheels\":[{\"inches\":12,\"tyre\":\"x\"},{\"inches\":99}]}",
         "/wheels/1/inches"},
        {"{\"name\":\"a\",\"wheels\":[{\"inches\":12},{\"inches\":12},{\"inches\":12},"
         "{\"inches\":12},{\"inches\":12}]}",
         "/wheels"},
        {"{\"name\":\"a\",\"litres\":8.5}", "/litres"},
        {"{\"name\":\"a\",\"litres\":-2}", "/litres"},
        {"{\"name\":\"a\",\"litres\":\"1\"}", "/litres"},
        {"{\"name\":\"a\",\"extras\":\"radio\"}", "/extras"},
        {"{\"name\":\"a\",\"extras\":[\"a\",\"b\",\"c\",\"d\"]}", "/extras"},
        {"{\"name\":\"a\",\"extras\":[\"a\",7]}", "/extras/1"},
        {"{\"name\":\"a\",\"extras\":[\"../a\"]}", "/extras/0"},
        {"{\"name\":\"a\",\"extras\":[\"\"]}", "/extras/0"},
        {"{\"name\":\"a\",\"colour\":\"red\"}", "/colour"},
        {"{\"name\":\"a\",\"a/b~c\":1}", "/a~1b~0c"},
        {"[]", ""},
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err err = {0};
        struct car car;
        if (decode(bad[i].text, MODEL_CLIENT, &car, &err))
            fail_msg("accepted %s", bad[i].text);
        assert_int_equal(err.code, ERR_INVALID);
        assert_string_equal(err.field, bad[i].pointer);
        assert_true(strlen(err.detail) > 10);
    }
}

static void hostile_member_names_are_quoted_as_printable_utf8(void **state)
{
    struct err err = {0};
    struct car car;
    char text[600];

    for (unsigned pad = 0; pad < 4; pad++) {
        size_t at = (size_t)snprintf(text, sizeof text, "{\"\\u001b[2J%.*s", (int)pad, "xxx");
        for (int i = 0; i < 100; i++, at += 3)
            memcpy(text + at, "\xe2\x82\xac", 3);
        memcpy(text + at, "\":1}", 5);
        assert_false(decode(text, MODEL_CLIENT, &car, &err));
        assert_true(str_is_utf8(err.detail, strlen(err.detail)));
        assert_true(str_is_utf8(err.field, strlen(err.field)));
        assert_null(strchr(err.detail, 0x1b));
        assert_true(strlen(err.field) < sizeof err.field);
    }
}

static void our_own_text_may_come_from_a_newer_version(void **state)
{
    CLEANUP(car_clear) struct car car;
    struct car refused;
    struct err err = {0};

    assert_true(
        decode("{\"name\":\"a\",\"id\":\"3f2504e0-4f89-41d3-9a0c-0305e82c3301\",\"wings\":2,"
               "\"engine\":{\"warp\":9}}",
               MODEL_STORED, &car, &err));
    assert_string_equal(UUID_STR(&car.id), "3f2504e0-4f89-41d3-9a0c-0305e82c3301");
    assert_false(decode("{\"name\":\"a\",\"id\":\"nonsense\"}", MODEL_STORED, &refused, &err));
    assert_string_equal(err.field, "/id");
}

static bool patch(const struct car *car, const char *text, struct car *out, struct err *err)
{
    CLEANUP(json_decrefp) json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);

    assert_non_null(value);
    return model_patch(&car_model, car, value, out, err);
}

static void a_patch_changes_what_it_names_and_null_resets(void **state)
{
    CLEANUP(car_clear) struct car car, changed;
    struct err err = {0};

    memset(&changed, 0, sizeof changed);
    assert_true(
        decode("{\"name\":\"a\",\"seats\":2,\"price\":9,\"labels\":{\"x\":\"1\",\"y\":\"2\"},"
               "\"engine\":{\"diesel\":false,\"power\":3},\"litres\":-0.5,\"extras\":[\"radio\"]}",
               MODEL_CLIENT, &car, &err));
    assert_true(
        patch(&car,
              "{\"seats\":null,\"labels\":{\"x\":null,\"z\":\"3\"},\"engine\":{\"power\":4},"
              "\"wheels\":[]}",
              &changed, &err));
    assert_shown(&changed,
                 "{\"name\":\"a\",\"id\":null,\"sold\":false,\"seats\":5,\"price\":9,"
                 "\"size\":\"large\",\"labels\":{\"y\":\"2\",\"z\":\"3\"},"
                 "\"engine\":{\"diesel\":false,\"power\":4},\"wheels\":[],\"litres\":-0.5,"
                 "\"extras\":[\"radio\"]}");
    assert_int_equal(car.seats, 2);
}

static void a_patch_is_refused_where_it_may_not_reach(void **state)
{
    static const struct {
        const char *text, *pointer;
    } bad[] = {
        {"{\"id\":null}", "/id"},
        {"{\"size\":\"small\"}", "/size"},
        {"{\"name\":null}", "/name"},
        {"{\"colour\":null}", "/colour"},
        {"{\"engine\":{\"colour\":1}}", "/engine/colour"},
        {"{\"engine\":{\"colour\":null}}", "/engine/colour"},
        {"{\"engine\":7}", "/engine"},
        {"{\"wheels\":[{\"inches\":12,\"colour\":1}]}", "/wheels/0/colour"},
        {"{\"wheels\":[7]}", "/wheels/0"},
        {"{\"seats\":{\"a\":{\"b\":1}}}", "/seats"},
        {"{\"labels\":{\"bad key\":\"x\"}}", "/labels"},
        {"[]", ""},
        {"7", ""},
    };
    CLEANUP(car_clear) struct car car;
    struct err err = {0};

    assert_true(decode("{\"name\":\"a\"}", MODEL_CLIENT, &car, &err));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct car changed;
        if (patch(&car, bad[i].text, &changed, &err))
            fail_msg("accepted %s", bad[i].text);
        assert_int_equal(err.code, ERR_INVALID);
        assert_string_equal(err.field, bad[i].pointer);
    }
}

static void pending_names_only_what_waits_for_the_next_start(void **state)
{
    CLEANUP(car_clear) struct car active, wanted;
    CLEANUP(json_decrefp) json_t *pending = NULL, *expected = NULL;
    struct err err = {0};

    memset(&wanted, 0, sizeof wanted);
    assert_true(decode("{\"name\":\"a\"}", MODEL_CLIENT, &active, &err));
    assert_null(model_pending(&car_model, &active, &active));
    assert_true(patch(&active,
                      "{\"name\":\"b\",\"seats\":3,\"engine\":{\"power\":1},"
                      "\"wheels\":[{\"inches\":20}]}",
                      &wanted, &err));
    pending = model_pending(&car_model, &active, &wanted);
    expected = json_loads("{\"seats\":3,\"engine\":{\"diesel\":true,\"power\":1},"
                          "\"wheels\":[{\"tyre\":null,\"inches\":20}]}",
                          0, NULL);
    assert_true(json_equal(pending, expected));
}

static void clearing_twice_is_harmless(void **state)
{
    struct err err = {0};
    struct car car;

    assert_true(decode("{\"name\":\"a\",\"labels\":{\"k\":\"v\"}}", MODEL_CLIENT, &car, &err));
    car_clear(&car);
    car_clear(&car);
    assert_null(car.name);
    assert_null(car.wheels);
    assert_int_equal(car.n_wheels, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_absent_gets_its_default),
        cmocka_unit_test(null_means_absent),
        cmocka_unit_test(every_wrong_member_is_refused_with_its_pointer),
        cmocka_unit_test(hostile_member_names_are_quoted_as_printable_utf8),
        cmocka_unit_test(our_own_text_may_come_from_a_newer_version),
        cmocka_unit_test(a_patch_changes_what_it_names_and_null_resets),
        cmocka_unit_test(a_patch_is_refused_where_it_may_not_reach),
        cmocka_unit_test(pending_names_only_what_waits_for_the_next_start),
        cmocka_unit_test(clearing_twice_is_harmless),
    };

    return cmocka_run_group_tests_name("model/field", tests, NULL, NULL);
}
