/* VMs on the command line: disks, cards, labels, changes. */
#include "tests/lib/harness.h"

#include "cli/spec.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <string.h>

static struct fault fault;

static void check_json(json_t *value, const char *expected)
{
    CLEANUP(mem_freep) char *text = NULL;

    assert_non_null(value);
    text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(text, expected);
    json_decref(value);
}

static void disks_and_cards_become_members(void **state)
{
    check_json(spec_disk("size=1G", &fault), "{\"size_bytes\":1073741824}");
    check_json(spec_disk("1G", &fault), "{\"size_bytes\":1073741824}");
    check_json(spec_disk("1G,format=raw", &fault),
               "{\"format\":\"raw\",\"size_bytes\":1073741824}");
    check_json(spec_disk("pool=fast,size=8G,format=raw,bus=scsi", &fault),
               "{\"bus\":\"scsi\",\"format\":\"raw\",\"pool\":\"fast\",\"size_bytes\":8589934592}");
    check_json(spec_nic("user", &fault), "{\"network\":\"user\"}");
    check_json(spec_nic("network=user,mac=52:54:00:12:34:56", &fault),
               "{\"mac\":\"52:54:00:12:34:56\",\"network\":\"user\"}");
}

static void a_wrong_disk_says_what_is_wrong(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {{"", "key=value"},
                 {"big", "expected a size"},
                 {"size=", "key=value"},
                 {"size=1G,", "key=value"},
                 {"pool=x", "has no size"},
                 {"size=big", "expected a size"},
                 {"sise=1G", "did you mean 'size'?"},
                 {"size=1G,size=2G", "given twice"},
                 {"size=9999999999999T", "expected a size"},
                 {"size=1G,pool=\xff", "UTF-8"}};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_null(spec_disk(cases[i].text, &fault));
        assert_int_equal(fault.exit, CLI_USAGE);
        if (!strstr(fault.detail, cases[i].says))
            fail_msg("'%s': %s", cases[i].text, fault.detail);
    }
}

static void set_writes_members_by_their_path(void **state)
{
    static const char *const sets[] = {"memory=2G",
                                       "vcpus=4",
                                       "label.tier=front",
                                       "label.old=",
                                       "cmdline=a=b c",
                                       "kernel=tiny",
                                       "notes=",
                                       "shutdown_timeout=5m",
                                       "firmware=uefi",
                                       "cpu.max-vcpus=8",
                                       "rng=off",
                                       "autostart=yes",
                                       "cdroms.0.media=a.iso",
                                       "cdroms.1.media=b.iso",
                                       "nics=[{\"model\":\"e1000\"}]",
                                       "nics.0.mac=52:54:00:00:00:01",
                                       "label.a.b=c"};
    json_t *patch = json_object();

    for (size_t i = 0; i < ARRAY_LEN(sets); i++)
        assert_true(spec_set(sets[i], NULL, patch, &fault));
    check_json(
        patch,
        "{\"autostart\":{\"enabled\":true},\"boot\":{\"cmdline\":\"a=b c\",\"kernel\":\"tiny\"},"
        "\"cdroms\":[{\"media\":\"a.iso\"},{\"media\":\"b.iso\"}],\"cpu\":{\"max_vcpus\":8},"
        "\"firmware\":{\"type\":\"uefi\"},"
        "\"labels\":{\"a.b\":\"c\",\"old\":null,\"tier\":\"front\"},\"memory_bytes\":2147483648,"
        "\"nics\":[{\"mac\":\"52:54:00:00:00:01\",\"model\":\"e1000\"}],"
        "\"notes\":null,\"rng\":false,\"shutdown_timeout_s\":300,\"vcpus\":4}");
}

static void a_wrong_set_says_what_is_expected(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {{"memory", "key=value"},
                 {"memroy=1G", "did you mean 'memory'?"},
                 {"vcpus=many", "a number"},
                 {"label.=x", "label.KEY"},
                 {"=x", "no ''"},
                 {"", "key=value"},
                 {"rng=maybe", "true or false"},
                 {"shutdown_timeout=soon", "a time"},
                 {"cpu.max_vcpu=4", "did you mean 'max_vcpus'?"},
                 {"cpu.cores.x=4", "no members"},
                 {"disks={}", "a JSON list"},
                 {"nics.1.model=virtio", "0 elements"},
                 {"nics.0=virtio", "name its member"},
                 {"generation_id=x", "no 'generation_id'"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        json_t *spec = json_object();

        assert_false(spec_set(cases[i].text, NULL, spec, &fault));
        assert_int_equal(fault.exit, CLI_USAGE);
        if (!strstr(fault.detail, cases[i].says))
            fail_msg("'%s': %s", cases[i].text, fault.detail);
        json_decref(spec);
    }
}

static void what_only_the_service_knows_is_typed_by_its_answer(void **state)
{
    json_t *known = json_loads("{\"new\":{\"depth\":3,\"on\":false},\"word\":\"x\"}", 0, NULL);
    json_t *spec = json_object();

    assert_true(spec_set("new.depth=4", known, spec, &fault));
    assert_true(spec_set("new.on=true", known, spec, &fault));
    assert_true(spec_set("word=5", known, spec, &fault));
    assert_false(spec_set("new.depth=deep", known, spec, &fault));
    assert_false(spec_set("newer=1", known, spec, &fault));
    check_json(spec, "{\"new\":{\"depth\":4,\"on\":true},\"word\":\"5\"}");
    json_decref(known);
}

static void a_list_that_is_changed_leaves_the_old_one_alone(void **state)
{
    json_t *before =
        json_loads("{\"nics\":[{\"model\":\"virtio\"},{\"model\":\"e1000\"}]}", 0, NULL);
    json_t *after = json_copy(before);

    assert_true(spec_set("nics.1.model=rtl8139", NULL, after, &fault));
    assert_true(spec_set("nics.0=", NULL, after, &fault));
    check_json(spec_diff(before, after), "{\"nics\":[{\"model\":\"rtl8139\"}]}");
    json_decref(before);
    json_decref(after);
}

static json_t *parsed(const char *text)
{
    json_t *value = json_loads(text, 0, NULL);

    assert_non_null(value);
    return value;
}

static void the_difference_is_a_merge_patch(void **state)
{
    static const struct {
        const char *from, *to, *patch;
    } cases[] = {
        {"{\"a\":1}", "{\"a\":1}", "{}"},
        {"{\"a\":1,\"b\":2}", "{\"a\":3}", "{\"a\":3,\"b\":null}"},
        {"{\"l\":{\"x\":\"1\",\"y\":\"2\"}}", "{\"l\":{\"x\":\"1\",\"z\":\"3\"}}",
         "{\"l\":{\"y\":null,\"z\":\"3\"}}"},
        {"{\"n\":[1]}", "{\"n\":[1,2]}", "{\"n\":[1,2]}"},
        {"{}", "{\"n\":{}}", "{\"n\":{}}"},
        {"{\"a\":null}", "{\"b\":null}", "{}"},
        {"{\"a\":1}", "{\"a\":null}", "{\"a\":null}"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        json_t *from = parsed(cases[i].from), *to = parsed(cases[i].to);

        check_json(spec_diff(from, to), cases[i].patch);
        json_decref(from);
        json_decref(to);
    }
}

static void labels_keep_what_stands_behind_the_first_equals(void **state)
{
    json_t *labels = json_object();

    assert_true(spec_label("a=b=c", labels, &fault));
    assert_true(spec_label("empty=", labels, &fault));
    assert_false(spec_label("none", labels, &fault));
    assert_false(spec_label("=x", labels, &fault));
    check_json(labels, "{\"a\":\"b=c\",\"empty\":\"\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(disks_and_cards_become_members),
        cmocka_unit_test(a_wrong_disk_says_what_is_wrong),
        cmocka_unit_test(set_writes_members_by_their_path),
        cmocka_unit_test(a_wrong_set_says_what_is_expected),
        cmocka_unit_test(what_only_the_service_knows_is_typed_by_its_answer),
        cmocka_unit_test(a_list_that_is_changed_leaves_the_old_one_alone),
        cmocka_unit_test(the_difference_is_a_merge_patch),
        cmocka_unit_test(labels_keep_what_stands_behind_the_first_equals),
    };

    return cmocka_run_group_tests_name("cli/spec", tests, NULL, NULL);
}
