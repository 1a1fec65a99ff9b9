/* Guest profiles fill in what a client left open, and nothing else. */
#include "tests/lib/harness.h"

#include "core/base/str.h"
#include "core/model/profile.h"
#include "core/model/rules.h"

#include <string.h>

static void make(const char *text, struct vm_spec *spec)
{
    CLEANUP(json_decrefp) json_t *value = json_loads(text, 0, NULL);
    struct err err = {0};

    assert_non_null(value);
    if (!vm_spec_decode(value, spec, &err))
        fail_msg("%s: %s %s", text, err.field, err.detail);
}

static void every_profile_gives_a_sound_configuration_with_disk_and_card(void **state)
{
    for (unsigned i = 0; vm_profile_names[i]; i++) {
        CLEANUP(vm_spec_clear) struct vm_spec spec = {0};
        CLEANUP(strbuf_clear) struct strbuf text = {0};
        struct err err = {0};
        strbuf_addf(&text,
                    "{\"name\":\"x\",\"profile\":\"%s\",\"disks\":[{\"size_bytes\":1048576}],"
                    "\"cdroms\":[{}]}",
                    vm_profile_names[i]);
        make(text.data, &spec);
        assert_int_equal(spec.profile, i);
        assert_int_equal(spec.n_nics, 1);
        if (!vm_spec_rules(&spec, &err))
            fail_msg("%s: %s", vm_profile_names[i], err.detail);
        assert_true(strlen(profiles[i].help) > 10);
    }
}

static void windows_11_gets_what_its_installer_asks_for(void **state)
{
    CLEANUP(vm_spec_clear) struct vm_spec spec = {0};

    make("{\"name\":\"w\",\"profile\":\"windows-11\",\"disks\":[{\"size_bytes\":1048576}]}", &spec);
    assert_int_equal(spec.firmware.type, FIRMWARE_UEFI);
    assert_true(spec.firmware.secure_boot && spec.hyperv);
    assert_int_equal(spec.clock, CLOCK_LOCALTIME);
    assert_int_equal(spec.disks[0].bus, DISK_BUS_IDE);
    assert_int_equal(spec.nics[0].model, NIC_E1000E);
    assert_true(spec.memory_bytes == 4ull << 30);
}

static void what_the_client_says_wins_even_inside_an_object(void **state)
{
    CLEANUP(vm_spec_clear) struct vm_spec spec = {0};

    make("{\"name\":\"w\",\"profile\":\"windows-11\",\"vcpus\":7,\"firmware\":{\"secure_boot\":"
         "false},"
         "\"disks\":[{\"size_bytes\":1048576,\"bus\":\"scsi\"}],\"nics\":[]}",
         &spec);
    assert_int_equal(spec.vcpus, 7);
    assert_int_equal(spec.firmware.type, FIRMWARE_UEFI);
    assert_false(spec.firmware.secure_boot);
    assert_int_equal(spec.disks[0].bus, DISK_BUS_SCSI);
    assert_int_equal(spec.n_nics, 0);
}

static void a_null_in_a_patch_gives_the_profiles_default_back(void **state)
{
    CLEANUP(vm_spec_clear) struct vm_spec spec = {0}, later = {0};
    CLEANUP(json_decrefp)
    json_t *patch =
        json_pack("{s:n,s:{s:n},s:[{}]}", "memory_bytes", "firmware", "secure_boot", "nics");
    struct err err = {0};

    make("{\"name\":\"w\",\"profile\":\"windows-11\",\"memory_bytes\":1048576000,"
         "\"firmware\":{\"secure_boot\":false}}",
         &spec);
    assert_true(vm_spec_patch(&spec, patch, &later, &err));
    assert_true(later.memory_bytes == 4ull << 30);
    assert_true(later.firmware.secure_boot);
    assert_int_equal(later.nics[0].model, NIC_E1000E);
}

static void a_wrong_profile_is_refused_with_the_list(void **state)
{
    CLEANUP(json_decrefp) json_t *value = json_pack("{s:s,s:s}", "name", "x", "profile", "mac");
    struct vm_spec spec;
    struct err err = {0};

    assert_false(vm_spec_decode(value, &spec, &err));
    assert_string_equal(err.field, "/profile");
    assert_non_null(strstr(err.detail, "windows-legacy"));
    json_decref(value);
    value = json_array();
    assert_false(vm_spec_decode(value, &spec, &err));
}

static void what_does_not_go_together_is_refused_at_its_member(void **state)
{
    static const struct {
        const char *members, *field;
    } bad[] = {
        {"\"memory_bytes\":16777217", "/memory_bytes"},
        {"\"vcpus\":4,\"cpu\":{\"max_vcpus\":2}", "/cpu/max_vcpus"},
        {"\"vcpus\":4,\"cpu\":{\"sockets\":3}", "/cpu"},
        {"\"vcpus\":4,\"cpu\":{\"sockets\":1,\"cores\":2,\"threads\":1}", "/cpu"},
        {"\"firmware\":{\"secure_boot\":true}", "/firmware/secure_boot"},
        {"\"machine\":\"pc\",\"firmware\":{\"type\":\"uefi\",\"secure_boot\":true}",
         "/firmware/secure_boot"},
        {"\"boot\":{\"cmdline\":\"quiet\"}", "/boot/cmdline"},
        {"\"boot\":{\"kernel\":\"k\"},\"firmware\":{\"type\":\"uefi\",\"secure_boot\":true}",
         "/boot/kernel"},
        {"\"machine\":\"pc\",\"cdroms\":[{}],\"disks\":["
         "{\"size_bytes\":1048576,\"bus\":\"ide\"},{\"size_bytes\":1048576,\"bus\":\"ide\"},"
         "{\"size_bytes\":1048576,\"bus\":\"ide\"},{\"size_bytes\":1048576,\"bus\":\"ide\"}]",
         "/cdroms"},
        {"\"disks\":[{\"size_bytes\":1048576},{\"size_bytes\":1048577}]", "/disks/1/size_bytes"},
        {"\"nics\":[{},{}]", "/nics/1"},
        {"\"video\":{\"heads\":2}", "/video/heads"},
        {"\"video\":{\"model\":\"qxl\",\"heads\":5}", "/video/heads"},
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        CLEANUP(vm_spec_clear) struct vm_spec spec = {0};
        CLEANUP(strbuf_clear) struct strbuf text = {0};
        struct err err = {0};
        strbuf_addf(&text, "{\"name\":\"x\",%s}", bad[i].members);
        make(text.data, &spec);
        if (vm_spec_rules(&spec, &err))
            fail_msg("accepted %s", bad[i].members);
        assert_string_equal(err.field, bad[i].field);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_profile_gives_a_sound_configuration_with_disk_and_card),
        cmocka_unit_test(windows_11_gets_what_its_installer_asks_for),
        cmocka_unit_test(what_the_client_says_wins_even_inside_an_object),
        cmocka_unit_test(a_null_in_a_patch_gives_the_profiles_default_back),
        cmocka_unit_test(a_wrong_profile_is_refused_with_the_list),
        cmocka_unit_test(what_does_not_go_together_is_refused_at_its_member),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
