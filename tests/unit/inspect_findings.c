/* What the doctor says about hosts that are made of files. */
#include "tests/lib/harness.h"

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/inspect/findings.h"
#include "tests/lib/fake_root.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct inspect_facts facts;
static struct facts_place places[3];
static char *pool;
static json_t *found;

static char machines[] = "Supported machines are:\nmicrovm  microvm (i386)\npc  Standard PC\n"
                         "pc-i440fx-7.2  Standard PC\nq35  Standard PC\n";
static char accels[] = "Accelerators supported in QEMU binary:\ntcg\nkvm\n";

/* A host on which all is well, but for what its files say. */
static void arrive_at(const char *host)
{
    facts = (struct inspect_facts){.service = true,
                                   .root_user = true,
                                   .userns = true,
                                   .cgroup_v2 = true,
                                   .qemu_path = "/usr/bin/qemu",
                                   .kvm_healthy = true,
                                   .kvm_verdict = "KVM is used",
                                   .kvm_fix = "",
                                   .qemu = {.version = "7.2.22", machines, accels},
                                   .max_vcpus = 255,
                                   .state = &places[0],
                                   .roots = &places[1],
                                   .n_roots = 2,
                                   .landlock_abi = 2,
                                   .clock_synced = 1};
    facts.root = fake_root_make(host);
    places[0] = (struct facts_place){"state", open(pool, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    places[1] = (struct facts_place){"main", places[0].fd};
    places[2] = (struct facts_place){"second", places[0].fd};
}

static int teardown(void **state)
{
    json_decref(TAKE(found));
    if (facts.root > 0)
        close(facts.root);
    close(places[0].fd);
    fake_root_remove();
    return 0;
}

static void look(void)
{
    json_decref(found);
    found = findings_read(&facts);
}

static const json_t *find(const char *id)
{
    const json_t *f;
    size_t i;

    json_array_foreach (found, i, f)
        if (str_eq(json_get_text(f, "id"), id))
            return f;
    return NULL;
}

static void is(const char *id, const char *severity, const char *evidence)
{
    const json_t *f = find(id);

    if (!f)
        fail_msg("%s was not found", id);
    if (!str_eq(json_get_text(f, "severity"), severity) ||
        !strstr(json_get_text(f, "evidence"), evidence))
        fail_msg("%s is %s: %s; expected %s: %s", id, json_get_text(f, "severity"),
                 json_get_text(f, "evidence"), severity, evidence);
}

static void fix_says(const char *id, const char *words)
{
    const char *fix = json_get_text(find(id), "fix");

    if (!fix || !strstr(fix, words))
        fail_msg("%s: the fix is %s, not: %s", id, fix ? fix : "null", words);
}

/* Removing it flushes: once is enough. */
static int make_pool(void **state)
{
    pool = tmp_dir_make();
    return 0;
}

static int remove_pool(void **state)
{
    tmp_dir_remove(TAKE(pool));
    return 0;
}

/* ---- stories ---- */

static void a_desktop_is_ready(void **state)
{
    arrive_at("desktop");
    look();
    is("cpu-64bit", "ok", "i7-6700");
    is("cpu-virtualization", "ok", "VT-x");
    is("cpu-slat", "ok", "ept");
    is("cpu-firmware", "ok", "vmx");
    is("cpu-rival", "ok", "no module");
    is("cpu-physical", "ok", "Dell Inc. OptiPlex 7040");
    is("cpu-count", "ok", "4 threads on 2 cores in 1 socket; KVM permits 255 vCPUs");
    is("kvm-device", "ok", "/dev/kvm has mode");
    is("kvm-nested", "ok", "kvm_intel");
    is("iommu", "ok", "2 units, 2 groups");
    is("userfaultfd", "ok", "/dev/userfaultfd");
    is("memory", "ok", "24000 of 32000 MiB");
    is("cpu-pressure", "ok", "0.8 %");
    is("cgroup-controllers", "ok", "memory");
    is("nics", "ok", "eno1 (ethernet, link), wlp3s0 (wifi, no link)");
    is("clock-source", "ok", "tsc");
    is("pool-roots", "ok", "all 2");
    assert_null(find("wifi"));
    for (size_t i = 0; i < json_array_size(found); i++)
        assert_string_not_equal(json_get_text(json_array_get(found, i), "severity"), "error");
}

static void what_the_firmware_forbids_is_seen_by_cpuid(void **state)
{
    arrive_at("server"); /* AMD: no svm among the flags, no register to read */
    facts.cpuid_virt = true;
    look();
    is("cpu-virtualization", "warning", "neither vmx nor svm");
    is("cpu-firmware", "warning", "the firmware has locked it");
    fix_says("cpu-firmware", "SVM (AMD)");
    facts.cpuid_virt = false;
    look();
    assert_null(find("cpu-firmware"));
}

/* A sparse file can stand for the device that has one register at each offset. */
static void put_msr(off_t number, uint64_t value)
{
    CLEANUP(closep) int dir = openat(facts.root, "dev/cpu/0", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(closep) int fd = openat(dir, "msr", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_int_equal(pwrite(fd, &value, sizeof value, number), sizeof value);
}

static void the_register_of_the_processor_decides(void **state)
{
    arrive_at("desktop");
    fake_root_add("[dev/cpu/0]\n");
    put_msr(0x3a, 5); /* locked, VMX on */
    look();
    is("cpu-firmware", "ok", "IA32_FEAT_CTL of /dev/cpu/0/msr is 0x5");
    put_msr(0x3a, 1); /* locked, VMX off */
    look();
    is("cpu-firmware", "warning", "switched off: register IA32_FEAT_CTL");
}

static void the_register_of_an_amd_processor_is_another(void **state)
{
    arrive_at("server");
    fake_root_add("[dev/cpu/0]\n");
    put_msr(0xc0010114, 0x10);
    look();
    is("cpu-firmware", "warning", "VM_CR of /dev/cpu/0/msr is 0x10");
}

static void a_server_has_its_troubles(void **state)
{
    arrive_at("server");
    look();
    is("cpu-rival", "warning", "vboxdrv (VirtualBox)");
    is("cpu-vulnerabilities", "warning", "retbleed, spec_rstack_overflow");
    is("iommu", "info", "ACPI table IVRS");
    is("kvm-device", "warning", "does not exist");
    is("memory", "warning", "4000 of 128000 MiB");
    is("swap", "info", "none");
    is("overcommit", "warning", "is 2");
    is("memory-pressure", "warning", "31.5 %");
    is("hugepages", "ok", "1024 of 2048 KiB, 512 free");
    is("clock-source", "warning", "hpet");
    is("passt", "warning", "missing");
    is("seccomp", "warning", "missing");
}

static void an_intel_iommu_that_is_off_is_switched_on_by_the_kernel(void **state)
{
    arrive_at("desktop");
    fake_root_delete("sys/kernel/iommu_groups");
    look();
    is("iommu", "info", "ACPI table DMAR");
    fix_says("iommu", "intel_iommu=on");
}

static void a_guest_is_told_to_ask_its_provider(void **state)
{
    arrive_at("guest");
    look();
    is("cpu-virtualization", "warning", "virtual one itself");
    fix_says("cpu-virtualization", "nested virtualization");
    is("cpu-physical", "info", "QEMU Standard PC");
    assert_null(find("cpu-slat"));
    assert_null(find("kvm-nested"));
    assert_null(find("memory-pressure"));
    assert_null(find("cpu-vulnerabilities"));
    is("nics", "ok", "eth0 (virtual, link)");
}

static void kvm_that_fails_brings_its_own_fix(void **state)
{
    arrive_at("desktop");
    facts.kvm_healthy = false;
    facts.kvm_verdict = "KVM is not used: it is broken";
    facts.kvm_fix = "restart the host";
    look();
    is("kvm", "warning", "it is broken");
    fix_says("kvm", "restart the host");
}

static void roots_that_cannot_be_opened_are_errors(void **state)
{
    arrive_at("desktop");
    places[2].fd = -1;
    look();
    is("pool-roots", "error", "the pool root second cannot be opened");
    assert_string_equal(json_get_text(json_array_get(found, 0), "severity"), "error");
    facts.n_roots = 0;
    look();
    is("pool-roots", "warning", "no pool root");
    facts.roots = NULL;
    facts.service = false; /* vmmctl does not know them */
    look();
    assert_null(find("pool-roots"));
}

static void a_configuration_that_is_wrong_comes_first(void **state)
{
    arrive_at("desktop");
    look();
    assert_null(find("configuration")); /* the service has read it */
    facts.service = false;
    facts.config_path = "/etc/vmmd/vmmd.conf";
    look();
    is("configuration", "ok", "/etc/vmmd/vmmd.conf");
    facts.config_wrong = "/etc/vmmd/vmmd.conf:7: unknown key";
    look();
    is("configuration", "error", "conf:7: unknown key");
    assert_string_equal(json_get_text(json_array_get(found, 0), "id"), "configuration");
}

static void each_place_is_tried(void **state)
{
    arrive_at("desktop");
    look();
    assert_non_null(strstr(json_get_text(find("file-systems"), "evidence"), "state: "));
    assert_non_null(strstr(json_get_text(find("disk-space"), "evidence"), "second: "));
    assert_non_null(strstr(json_get_text(find("direct-io"), "evidence"), "main: "));
    facts.state = NULL;
    facts.n_roots = 0;
    look();
    assert_null(find("file-systems"));
}

static void a_ram_disk_keeps_nothing(void **state)
{
    CLEANUP(closep) int shm = open("/dev/shm", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    arrive_at("desktop");
    if (shm < 0) {
        print_message("no /dev/shm here\n");
        skip();
    }
    places[1].fd = shm;
    look();
    is("file-systems", "warning", "main: tmpfs, lost when the host restarts");
}

static void qemu_is_judged_by_what_it_says(void **state)
{
    static char only_tcg[] = "Accelerators supported in QEMU binary:\ntcg\n";
    static char no_q35[] = "Supported machines are:\npc  PC\npc-q35-7.2  old\n";

    arrive_at("desktop");
    facts.qemu = (struct facts_qemu){.version = "6.2.0", no_q35, only_tcg};
    look();
    is("qemu", "warning", "6.2.0");
    fix_says("qemu", "7.2 or later");
    is("qemu-machines", "warning", "q35 no, pc yes");
    is("qemu-accelerators", "warning", "kvm no, tcg yes");
    facts.qemu = (struct facts_qemu){0};
    look();
    is("qemu", "error", "/usr/bin/qemu is missing");
    assert_null(find("qemu-machines"));
}

static void without_root_it_says_what_is_missing(void **state)
{
    arrive_at("desktop");
    facts.root_user = facts.cgroup_v2 = facts.userns = false;
    look();
    is("separate-users", "info", "without bridges and taps");
    is("cgroup", "info", "not delegated");
    is("user-namespaces", "error", "user.max_user_namespaces is 127000");
}

/* Debian's switch: vmmd makes the jail's namespaces as root, passt is nobody and makes none. */
static void user_namespaces_for_root_alone_leave_guests_without_a_network(void **state)
{
    arrive_at("server");
    fake_root_add("[proc/sys/kernel]\nunprivileged_userns_clone = 1\n");
    look();
    is("user-namespaces", "ok", "one was made");
    fake_root_add("[proc/sys/kernel]\nunprivileged_userns_clone = 0\n");
    look();
    is("user-namespaces", "warning", "passt");
    fix_says("user-namespaces", "kernel.unprivileged_userns_clone");
}

static void every_finding_is_complete_and_the_gravest_comes_first(void **state)
{
    static const char *const hosts[] = {"desktop", "server", "guest"};
    static const char order[] = "error warning info ok";
    const char *last;
    const json_t *f;
    size_t i;

    for (size_t h = 0; h < ARRAY_LEN(hosts); h++) {
        arrive_at(hosts[h]);
        facts.userns = false;
        facts.qemu = (struct facts_qemu){0};
        look();
        last = order;
        json_array_foreach (found, i, f) {
            const char *severity = json_get_text(f, "severity");
            const char *at = strstr(order, severity);
            assert_true(at >= last);
            last = at;
            assert_true(strlen(json_get_text(f, "evidence")) > 2);
            if (str_eq(severity, "ok"))
                assert_null(json_get_text(f, "fix"));
            else if (!str_eq(severity, "info") && !json_get_text(f, "fix"))
                fail_msg("%s has no fix", json_get_text(f, "id"));
        }
        if (h + 1 < ARRAY_LEN(hosts))
            teardown(state);
    }
}

static void every_check_is_documented_and_has_a_name_of_its_own(void **state)
{
    CLEANUP(closep) int fd = open("docs/doctor.md", O_RDONLY | O_CLOEXEC);
    CLEANUP(mem_freep) char *text = NULL;
    struct err err = {0};
    size_t len, rows = 0, checks = 0;

    arrive_at("guest");
    assert_true(fs_read_all(fd, 1u << 20, &text, &len, &err));
    for (const char *at = text; (at = strstr(at, "\n| `")); at++)
        rows++;
    for (const struct check_topic *const *t = findings_topics; *t; t++)
        for (const struct check *c = (*t)->checks; c < (*t)->checks + (*t)->n; c++, checks++) {
            char row[64];
            snprintf(row, sizeof row, "\n| `%s` |", c->id);
            if (!strstr(text, row))
                fail_msg("%s is not in docs/doctor.md", c->id);
            for (const struct check *other = (*t)->checks; other < c; other++)
                assert_string_not_equal(c->id, other->id);
        }
    assert_int_equal(rows, checks + 4); /* the severities have rows, too */
}

#define STORY(fn) cmocka_unit_test_teardown(fn, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(a_desktop_is_ready),
        STORY(what_the_firmware_forbids_is_seen_by_cpuid),
        STORY(the_register_of_the_processor_decides),
        STORY(the_register_of_an_amd_processor_is_another),
        STORY(a_server_has_its_troubles),
        STORY(an_intel_iommu_that_is_off_is_switched_on_by_the_kernel),
        STORY(a_guest_is_told_to_ask_its_provider),
        STORY(kvm_that_fails_brings_its_own_fix),
        STORY(roots_that_cannot_be_opened_are_errors),
        STORY(a_configuration_that_is_wrong_comes_first),
        STORY(each_place_is_tried),
        STORY(a_ram_disk_keeps_nothing),
        STORY(qemu_is_judged_by_what_it_says),
        STORY(without_root_it_says_what_is_missing),
        STORY(user_namespaces_for_root_alone_leave_guests_without_a_network),
        STORY(every_finding_is_complete_and_the_gravest_comes_first),
        STORY(every_check_is_documented_and_has_a_name_of_its_own),
    };

    return cmocka_run_group_tests_name("inspect/findings", tests, make_pool, remove_pool);
}
