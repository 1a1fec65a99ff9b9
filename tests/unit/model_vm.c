/* The tables of a VM's configuration: defaults, limits, and what is written comes back unchanged.
 */
#include "tests/lib/harness.h"

#include "core/base/str.h"
#include "core/model/vm.h"

#include <stdlib.h>
#include <string.h>

static bool decode(const char *text, struct vm_spec *spec, struct err *err)
{
    CLEANUP(json_decrefp) json_t *value = json_read(text, strlen(text), err);

    assert_non_null(value);
    return model_decode(&vm_model, value, MODEL_CLIENT, spec, err);
}

static void a_name_is_enough(void **state)
{
    CLEANUP(vm_spec_clear) struct vm_spec spec;
    struct err err = {0};

    if (!decode("{\"name\":\"hello\"}", &spec, &err))
        fail_msg("%s", err.detail);
    assert_int_equal(spec.backend, VM_BACKEND_QEMU);
    assert_int_equal(spec.machine, VM_MACHINE_Q35);
    assert_int_equal(spec.accel, VM_ACCEL_AUTO);
    assert_int_equal(spec.vcpus, 1);
    assert_int_equal(spec.memory_bytes, 512u << 20);
    assert_null(spec.boot.kernel);
    assert_int_equal(spec.n_disks, 0);
    assert_int_equal(spec.n_nics, 1);
    assert_null(spec.nics[0].mac);
    assert_int_equal(spec.shutdown_timeout_s, 60);
}

static void hostile_configurations_are_refused_with_the_member(void **state)
{
    static const struct {
        const char *members, *pointer;
    } bad[] = {
        {"\"vcpus\":0", "/vcpus"},
        {"\"vcpus\":256", "/vcpus"},
        {"\"memory_bytes\":1", "/memory_bytes"},
        {"\"memory_bytes\":9223372036854775807", "/memory_bytes"},
        {"\"boot\":{\"kernel\":\"/etc/shadow\"}", "/boot/kernel"},
        {"\"boot\":{\"cmdline\":\"a\\nb\"}", "/boot/cmdline"},
        {"\"disks\":[{}]", "/disks/0/size_bytes"},
        {"\"disks\":[{\"size_bytes\":1024}]", "/disks/0/size_bytes"},
        {"\"disks\":[{\"size_bytes\":1048576,\"id\":null,\"path\":\"/dev/sda\"}]", "/disks/0"},
        {"\"disks\":[{\"size_bytes\":1048576,\"format\":\"vmdk\"}]", "/disks/0/format"},
        {"\"nics\":[{\"mac\":\"01:00:5e:00:00:01\"}]", "/nics/0/mac"},
        {"\"nics\":[{\"network\":\"tap,ifname=eth0\"}]", "/nics/0/network"},
        {"\"machine\":\"q35,accel=kvm\"", "/machine"},
        {"\"qemu_args\":[\"-drive\"]", "/qemu_args"},
        {"\"shutdown_timeout_s\":0", "/shutdown_timeout_s"},
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        CLEANUP(strbuf_clear) struct strbuf text = {0};
        struct vm_spec spec;
        struct err err = {0};
        strbuf_addf(&text, "{\"name\":\"x\",%s}", bad[i].members);
        if (decode(text.data, &spec, &err))
            fail_msg("accepted %s", bad[i].members);
        assert_int_equal(err.code, ERR_INVALID);
        assert_true(str_starts(err.field, bad[i].pointer));
    }
}

/* ---- random configurations ---- */
static uint64_t pick(uint64_t min, uint64_t max)
{
    uint64_t r = (uint64_t)rand() << 31 ^ (uint64_t)rand();

    return rand() % 4 == 0 ? min : rand() % 4 == 0 ? max : min + r % (max - min + 1);
}

static bool is_ascii(const struct field *f)
{
    return f->check == check_name || f->check == check_cpu_model;
}

static json_t *random_text(const struct field *f)
{
    static const char *const pieces[] = {"a", "Z9", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x90\xa7",
                                         " "};
    size_t len = pick(f->min, f->max > 64 ? 64 : f->max);
    CLEANUP(strbuf_clear) struct strbuf text = {0};

    if (f->check == check_mac)
        return json_sprintf("52:54:00:%02x:%02x:%02x", rand() & 255, rand() & 255, rand() & 255);
    if (f->check == check_boot_order)
        return json_string(rand() % 2 ? "disk,network" : "cdrom,network,disk");
    strbuf_adds(&text, "");
    while (text.len < len) {
        const char *piece = pieces[is_ascii(f) ? 0 : (size_t)rand() % 6];
        if (text.len + strlen(piece) > len)
            piece = "x";
        strbuf_adds(&text, piece);
    }
    return json_string(text.data);
}

static json_t *random_object(const struct model *model);

static json_t *random_value(const struct field *f)
{
    json_t *value;

    switch (f->type) {
    case FIELD_BOOL:
        return json_boolean(rand() % 2);
    case FIELD_U32:
    case FIELD_U64:
        return json_integer((json_int_t)pick(f->min, f->max));
    case FIELD_TEXT:
        return random_text(f);
    case FIELD_ENUM:
        for (int i = 0;; i++)
            if (!f->names[i + 1] || rand() % 2)
                return json_string(f->names[i]);
    case FIELD_UUID: {
        struct uuid id = uuid_new();
        return json_string(UUID_STR(&id));
    }
    case FIELD_LABELS:
        value = json_object();
        for (uint64_t i = pick(0, 5); i; i--)
            json_object_set_new(value, (char[3]){(char)('a' + i % 26), (char)('a' + i / 26), 0},
                                json_string("\xc3\xbc"));
        return value;
    case FIELD_OBJECT:
        return random_object(f->of);
    case FIELD_LIST:
        value = json_array();
        for (uint64_t i = pick(f->min, f->max); i; i--)
            json_array_append_new(value, random_object(f->of));
        return value;
    case FIELD_REAL: /* no VM has one */
    case FIELD_WORDS:
    case FIELD_JSON:
        break;
    }
    return NULL;
}

static json_t *random_object(const struct model *model)
{
    json_t *object = json_object();

    for (size_t i = 0; i < model->n_fields; i++) {
        const struct field *f = &model->fields[i];
        if (!(f->flags & FIELD_READ_ONLY) && (f->flags & FIELD_REQUIRED || rand() % 3))
            json_object_set_new(object, f->name, random_value(f));
    }
    return object;
}

static void decoding_what_was_encoded_gives_the_same_for_2000_configurations(void **state)
{
    srand(20261121);
    for (int i = 0; i < 2000; i++) {
        CLEANUP(json_decrefp) json_t *value = random_object(&vm_model);
        CLEANUP(json_decrefp) json_t *once = NULL, *twice = NULL;
        CLEANUP(vm_spec_clear) struct vm_spec spec = {0}, again = {0};
        struct err err = {0};
        const char *key;
        json_t *member;

        if (!model_decode(&vm_model, value, MODEL_CLIENT, &spec, &err))
            fail_msg("round %d: %s %s", i, err.field, err.detail);
        once = model_encode(&vm_model, &spec);
        if (!model_decode(&vm_model, once, MODEL_STORED, &again, &err))
            fail_msg("round %d: %s %s", i, err.field, err.detail);
        twice = model_encode(&vm_model, &again);
        assert_true(json_equal(once, twice));
        assert_null(model_pending(&vm_model, &spec, &again));
        json_object_foreach (value, key, member)
            if (!json_is_object(member) && !json_is_array(member))
                assert_true(json_equal(member, json_object_get(once, key)));
    }
}

static void an_empty_patch_changes_nothing(void **state)
{
    CLEANUP(json_decrefp) json_t *none = json_object();

    srand(7);
    for (int i = 0; i < 300; i++) {
        CLEANUP(json_decrefp) json_t *value = random_object(&vm_model);
        CLEANUP(json_decrefp) json_t *before = NULL, *after = NULL;
        CLEANUP(vm_spec_clear) struct vm_spec spec = {0}, patched = {0};
        struct err err = {0};

        assert_true(model_decode(&vm_model, value, MODEL_CLIENT, &spec, &err));
        if (!model_patch(&vm_model, &spec, none, &patched, &err))
            fail_msg("round %d: %s %s", i, err.field, err.detail);
        before = model_encode(&vm_model, &spec);
        after = model_encode(&vm_model, &patched);
        assert_true(json_equal(before, after));
    }
}

/* Every default lies within its own limits and every member has a help line. */
static void walk(const struct model *model)
{
    for (size_t i = 0; i < model->n_fields; i++) {
        const struct field *f = &model->fields[i];
        if (!f->help || strlen(f->help) < 5)
            fail_msg("%s.%s has no help", model->name, f->name);
        if (f->type == FIELD_U32 && f->max > UINT32_MAX)
            fail_msg("%s.%s: the limit is beyond its type", model->name, f->name);
        if (f->type == FIELD_U64 && f->max > INT64_MAX)
            fail_msg("%s.%s: the limit is beyond JSON integers", model->name, f->name);
        if (f->of)
            walk(f->of);
    }
}

static void the_tables_are_sound(void **state)
{
    walk(&vm_model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_enough),
        cmocka_unit_test(hostile_configurations_are_refused_with_the_member),
        cmocka_unit_test(decoding_what_was_encoded_gives_the_same_for_2000_configurations),
        cmocka_unit_test(an_empty_patch_changes_nothing),
        cmocka_unit_test(the_tables_are_sound),
    };

    return cmocka_run_group_tests_name("model/vm", tests, NULL, NULL);
}
