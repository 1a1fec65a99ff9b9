/* Whether a machine can go on with a memory image here: what is compared, and what is said. */
#include "tests/lib/harness.h"

#include "backends/qemu/memory_fit.h"
#include "backends/qemu/places.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/port/host.h"

#include <stdlib.h>
#include <string.h>

static const char cpuinfo[] = "processor\t: 0\n"
                              "vendor_id\t: GenuineIntel\n"
                              "cpu family\t: 6\n"
                              "model\t\t: 85\n"
                              "model name\t: Intel(R) Xeon(R) Gold 6130\n"
                              "stepping\t: 4\n"
                              "flags\t\t: fpu vme sse2\n"
                              "\n"
                              "processor\t: 1\n"
                              "vendor_id\t: GenuineIntel\n";

static json_t *cpu; /* of this host */

/* ---- core/port/host.h: linked along, not called ---- */

const char *host_qemu_path(void)
{
    return "/nonexistent";
}

static int setup(void **state)
{
    cpu = fit_host_cpu(cpuinfo);
    return 0;
}

static int teardown(void **state)
{
    json_decref(cpu);
    return 0;
}

static bool knows_old(void *ctx, const char *machine)
{
    return str_eq(machine, "pc-q35-7.2");
}

/* NULL: it fits; else the reason, the caller's. */
static char *verdict(const char *qemu_then, const char *cpu_then, const char *accel_then,
                     const char *host_cpu_then, const char *qemu_now, const char *model,
                     enum vm_accel accel)
{
    CLEANUP(mem_freep)
    char *text =
        str_format("{\"version\":1,\"qemu\":\"%s\",\"machine\":\"pc-q35-7.2\",\"cpu\":\"%s\","
                   "\"accel\":\"%s\",\"host_cpu\":%s,\"vcpus\":1,\"devices\":{}}",
                   qemu_then, cpu_then, accel_then, host_cpu_then);
    struct err err = {0};
    CLEANUP(json_decrefp) json_t *made = places_read(text, &err);
    const struct fit_host host = {.qemu = qemu_now, .cpu = cpu, .knows = knows_old};
    const struct vm_spec spec = {.machine = VM_MACHINE_Q35, .cpu.model = (char *)(uintptr_t)model};

    if (!made)
        fail_msg("%s", err.detail);
    if (fit_check(made, &host, &spec, accel, &err))
        return NULL;
    assert_int_equal(err.code, ERR_UNSUPPORTED);
    return str_dup(err.detail);
}

static void expect(char *said, const char *words)
{
    if (!words)
        assert_null(said);
    else if (!said || !strstr(said, words))
        fail_msg("'%s' instead of '%s'", said ? said : "it fits", words);
    free(said);
}

static void the_same_qemu_fits(void **state)
{
    expect(verdict("7.2.22", "max", "tcg", "null", "7.2.22 (Debian)", NULL, VM_ACCEL_TCG), NULL);
    expect(verdict("7.2.9", "qemu64", "tcg", "null", "7.2.22", "qemu64", VM_ACCEL_TCG), NULL);
}

static void a_newer_qemu_reads_what_an_older_one_wrote(void **state)
{
    expect(verdict("7.2.22", "qemu64", "tcg", "null", "8.0.1", "qemu64", VM_ACCEL_TCG), NULL);
    expect(verdict("8.0.1", "qemu64", "tcg", "null", "7.2.22", "qemu64", VM_ACCEL_TCG),
           "written by QEMU 8.0.1, and this host's is older (7.2.22): install 8.0 or newer");
    expect(verdict("7.2.22", "qemu64", "tcg", "null", "", "qemu64", VM_ACCEL_TCG), "older (none)");
    expect(verdict("7.2.22", "max", "tcg", "null", "8.0.1", NULL, VM_ACCEL_TCG),
           "all that QEMU 7.2.22 emulates");
}

static bool knows_none(void *ctx, const char *machine)
{
    return false;
}

static void a_machine_that_a_newer_qemu_has_dropped_is_named(void **state)
{
    struct err err = {0};
    CLEANUP(json_decrefp)
    json_t *made = places_read("{\"version\":1,\"qemu\":\"7.2.22\",\"machine\":\"pc-q35-7.2\","
                               "\"cpu\":\"qemu64\",\"accel\":\"tcg\",\"vcpus\":1,\"devices\":{}}",
                               &err);
    const struct fit_host host = {.qemu = "19.0.0", .cpu = cpu, .knows = knows_none};
    const struct vm_spec spec = {.machine = VM_MACHINE_Q35, .cpu.model = (char *)"qemu64"};

    assert_non_null(made);
    assert_false(fit_check(made, &host, &spec, VM_ACCEL_TCG, &err));
    assert_non_null(strstr(err.detail, "no machine 'pc-q35-7.2' any more"));
}

static void another_machine_does_not_fit(void **state)
{
    expect(verdict("7.2.22", "max", "tcg", "null", "7.2.22", "qemu64", VM_ACCEL_TCG),
           "belongs to a processor 'max', and the VM would start with 'qemu64'");
    expect(verdict("7.2.22", "host", "kvm", "null", "7.2.22", NULL, VM_ACCEL_TCG),
           "with the acceleration 'kvm', and the VM would start with 'tcg'");
}

static void kvm_needs_the_processor_it_had(void **state)
{
    CLEANUP(mem_freep) char *same = json_write(cpu);
    CLEANUP(json_decrefp) json_t *more = json_deep_copy(cpu);
    CLEANUP(mem_freep) char *other = NULL;

    json_put_text(more, "features", "0");
    other = json_write(more);
    expect(verdict("7.2.22", "host", "kvm", same, "7.2.22", NULL, VM_ACCEL_KVM), NULL);
    expect(
        verdict("7.2.22", "host", "kvm", other, "7.2.22", NULL, VM_ACCEL_KVM),
        "another processor ('Intel(R) Xeon(R) Gold 6130' instead of 'Intel(R) Xeon(R) Gold 6130', "
        "or other features");
    expect(verdict("7.2.22", "host", "kvm", "null", "7.2.22", NULL, VM_ACCEL_KVM), "'unknown'");
}

static void a_processor_is_read_from_the_kernels_words(void **state)
{
    CLEANUP(json_decrefp) json_t *nothing = fit_host_cpu("");

    assert_string_equal(json_get_text(cpu, "name"), "Intel(R) Xeon(R) Gold 6130");
    assert_string_equal(json_get_text(cpu, "id"), "GenuineIntel-6-85-4");
    assert_int_equal(strlen(json_get_text(cpu, "features")), 16);
    assert_string_equal(json_get_text(nothing, "id"), "?-?-?-?");
}

static void usb_ports_are_read_from_qemus_list(void **state)
{
    CLEANUP(json_decrefp) json_t *devices = json_object();

    places_read_usb("  Device 0.1, Port 2, Speed 480 Mb/s, Product QEMU USB Tablet, ID: tablet0\r\n"
                    "  Device 0.2, Port 1.4, Speed 5000 Mb/s, Product USB, BOT, ID: diskusb1\n"
                    "  Device 0.0, Port 3, Speed 12 Mb/s, Product without an id\n"
                    ", ID: , Port \n",
                    devices);
    assert_int_equal(json_object_size(devices), 2);
    assert_string_equal(json_get_text(json_object_get(devices, "tablet0"), "port"), "2");
    assert_string_equal(json_get_text(json_object_get(devices, "diskusb1"), "port"), "1.4");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_qemu_fits),
        cmocka_unit_test(a_newer_qemu_reads_what_an_older_one_wrote),
        cmocka_unit_test(a_machine_that_a_newer_qemu_has_dropped_is_named),
        cmocka_unit_test(another_machine_does_not_fit),
        cmocka_unit_test(kvm_needs_the_processor_it_had),
        cmocka_unit_test(a_processor_is_read_from_the_kernels_words),
        cmocka_unit_test(usb_ports_are_read_from_qemus_list),
    };

    return cmocka_run_group_tests_name("qemu/memory_fit", tests, setup, teardown);
}
