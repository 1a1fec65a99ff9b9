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
                 {"1G", "key=value"},
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

static void set_makes_a_merge_patch(void **state)
{
    static const char *const sets[] = {
        "memory=2G",     "vcpus=4",     "label.tier=front", "label.old=",
        "cmdline=a=b c", "kernel=tiny", "notes=",           "shutdown_timeout=5m"};
    json_t *patch = json_object();

    for (size_t i = 0; i < ARRAY_LEN(sets); i++)
        assert_true(spec_set(sets[i], patch, &fault));
    check_json(patch, "{\"boot\":{\"cmdline\":\"a=b c\",\"kernel\":\"tiny\"},"
                      "\"labels\":{\"old\":null,\"tier\":\"front\"},\"memory_bytes\":2147483648,"
                      "\"notes\":null,\"shutdown_timeout_s\":300,\"vcpus\":4}");
}

static void a_wrong_set_changes_nothing(void **state)
{
    static const char *const bad[] = {"memory", "memroy=1G", "vcpus=many", "label.=x", "=x", ""};
    json_t *patch = json_object();

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(spec_set(bad[i], patch, &fault));
    json_object_del(patch, "labels");
    check_json(patch, "{}");
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
        cmocka_unit_test(set_makes_a_merge_patch),
        cmocka_unit_test(a_wrong_set_changes_nothing),
        cmocka_unit_test(the_difference_is_a_merge_patch),
        cmocka_unit_test(labels_keep_what_stands_behind_the_first_equals),
    };

    return cmocka_run_group_tests_name("cli/spec", tests, NULL, NULL);
}
