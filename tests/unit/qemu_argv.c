/* QEMU's arguments: golden files, and no text of a user that changes their shape. */
#include "tests/lib/harness.h"

#include "backends/qemu/argv.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOSTILE_ROUNDS 20000

static const struct uuid vm_id = {{0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x47, 0x88, 0x89, 0xaa, 0xbb,
                                   0xcc, 0xdd, 0xee, 0xff, 0x01}};

/* The numbers stand for descriptors; nothing is opened. */
static int chain_fds[] = {105, 106}, raw_fds[] = {107}, scsi_fds[] = {108}, ide_fds[] = {109};
static struct plan_disk disks[] = {
    {.id = {{1}}, .format = DISK_QCOW2, .bus = DISK_BUS_VIRTIO, .fds = chain_fds, .n_fds = 2},
    {.id = {{2}}, .format = DISK_RAW, .bus = DISK_BUS_VIRTIO, .fds = raw_fds, .n_fds = 1},
    {.id = {{3}}, .format = DISK_RAW, .bus = DISK_BUS_SCSI, .fds = scsi_fds, .n_fds = 1},
    {.id = {{4}}, .format = DISK_QCOW2, .bus = DISK_BUS_IDE, .fds = ide_fds, .n_fds = 1},
};
static const bool direct[] = {true, false, true, true};
static struct vm_nic nics[] = {
    {.model = NIC_VIRTIO, .mac = "52:54:00:00:00:01"},
    {.model = NIC_E1000E, .mac = "52:54:00:00:00:02"},
};

static struct vm_spec spec_new(void)
{
    return (struct vm_spec){
        .name = "hello",
        .machine = VM_MACHINE_Q35,
        .vcpus = 2,
        .memory_bytes = 256ull << 20,
        .nics = nics,
        .n_nics = 1,
    };
}

static struct machine_plan plan_new(const struct vm_spec *spec)
{
    struct machine_plan plan = {MACHINE_PLAN_NO_FDS};

    plan.vm = vm_id;
    plan.spec = spec;
    plan.accel = VM_ACCEL_TCG;
    plan.serial_log_fds[0] = 101;
    plan.qemu_log_fd = 102;
    plan.disks = disks;
    plan.n_disks = ARRAY_LEN(disks);
    return plan;
}

static const struct argv_facts facts = {
    .qemu = "/usr/bin/qemu-system-x86_64", .passt = true, .direct = direct};

static struct launch build(const struct machine_plan *plan, const struct argv_facts *with)
{
    struct launch launch;
    struct err err = {0};

    if (!launch_build(plan, with, &launch, &err))
        fail_msg("%s", err.detail);
    return launch;
}

static char *as_text(const struct launch *launch)
{
    struct strbuf b = {0};
    const json_t *value;
    size_t i;

    json_array_foreach (json_object_get(launch->json, "argv"), i, value)
        strbuf_addf(&b, "%s\n", json_string_value(value));
    json_array_foreach (json_object_get(launch->json, "fds"), i, value) {
        CLEANUP(mem_freep) char *text = json_write(value);
        strbuf_addf(&b, "fd %s\n", text);
    }
    for (unsigned k = 0; k < launch->n_fds; k++)
        strbuf_addf(&b, "attached %u: %d\n", k, launch->fds[k]);
    return strbuf_take(&b);
}

/* Compares with the golden file; with VMMD_GOLDEN=write, writes it. */
static void assert_golden(const struct launch *launch, const char *name)
{
    const char *src = getenv("VMMD_SRC") ? getenv("VMMD_SRC") : ".";
    bool writing = str_eq(getenv("VMMD_GOLDEN"), "write");
    CLEANUP(mem_freep) char *path = str_format("%s/tests/unit/golden/%s", src, name);
    CLEANUP(mem_freep) char *text = as_text(launch);
    CLEANUP(mem_freep) char *golden = NULL;
    CLEANUP(closep) int fd = open(path, writing ? O_WRONLY | O_CREAT | O_TRUNC : O_RDONLY, 0644);
    struct err err = {0};

    if (fd < 0)
        fail_msg("%s is missing", path);
    if (writing) {
        assert_true(fs_write_all(fd, text, strlen(text), &err));
        return;
    }
    assert_true(fs_read_all(fd, 1 << 20, &golden, NULL, &err));
    assert_string_equal(text, golden);
}

static void a_q35_with_everything_matches_its_golden_file(void **state)
{
    struct vm_spec spec = spec_new();
    struct machine_plan plan = plan_new(&spec);
    struct launch launch = build(&plan, &facts);

    assert_golden(&launch, "q35_full.txt");
    launch_clear(&launch);
}

static void a_pc_with_kvm_and_a_kernel_matches_its_golden_file(void **state)
{
    struct vm_spec spec = spec_new();
    struct machine_plan plan = plan_new(&spec);
    struct argv_facts without_passt = facts;
    struct launch launch;

    spec.machine = VM_MACHINE_PC;
    spec.n_nics = 2;
    spec.memory_bytes = 2ull << 30;
    spec.boot.cmdline = "console=ttyS0 root=/dev/vda,ro quiet";
    plan.accel = VM_ACCEL_KVM;
    plan.kernel_fd = 103;
    plan.initrd_fd = 104;
    without_passt.passt = false;
    launch = build(&plan, &without_passt);
    assert_golden(&launch, "pc_kernel.txt");
    launch_clear(&launch);
}

static void a_bare_machine_matches_its_golden_file(void **state)
{
    struct vm_spec spec = spec_new();
    struct machine_plan plan = plan_new(&spec);
    struct launch launch;

    spec.n_nics = 0;
    plan.n_disks = 0;
    launch = build(&plan, &facts);
    assert_golden(&launch, "q35_bare.txt");
    launch_clear(&launch);
}

static void a_cmdline_without_a_kernel_is_left_out(void **state)
{
    struct vm_spec spec = spec_new();
    struct machine_plan plan = plan_new(&spec);
    struct launch launch;
    CLEANUP(mem_freep) char *text = NULL;

    spec.boot.cmdline = "init=/bin/sh";
    launch = build(&plan, &facts);
    text = as_text(&launch);
    assert_null(strstr(text, "-append"));
    assert_null(strstr(text, "init=/bin/sh"));
    launch_clear(&launch);
}

static void every_descriptor_has_a_number_of_its_own(void **state)
{
    struct vm_spec spec = spec_new();
    struct machine_plan plan = plan_new(&spec);
    struct launch launch = build(&plan, &facts);
    const json_t *entry;
    uint64_t next = 3;
    size_t i;

    json_array_foreach (json_object_get(launch.json, "fds"), i, entry)
        assert_int_equal(json_get_u64(entry, "fd", 0), next++);
    assert_true(next > 3);
    launch_clear(&launch);
}

static void a_disk_without_a_place_on_its_bus_is_refused(void **state)
{
    struct plan_disk many[7];
    struct vm_spec spec = spec_new();
    struct machine_plan plan = plan_new(&spec);
    const bool many_direct[7] = {0};
    struct argv_facts with = facts;
    struct launch launch;
    struct err err = {0};

    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        many[i] = disks[3];
    plan.disks = many;
    plan.n_disks = ARRAY_LEN(many);
    with.direct = many_direct;
    assert_false(launch_build(&plan, &with, &launch, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_string_equal(err.field, "/disks/6/bus");
    spec.machine = VM_MACHINE_PC;
    err = (struct err){0};
    assert_false(launch_build(&plan, &with, &launch, &err));
    assert_string_equal(err.field, "/disks/4/bus");
}

static void a_second_passt_is_refused(void **state)
{
    struct vm_spec spec = spec_new();
    struct machine_plan plan = plan_new(&spec);
    struct launch launch;
    struct err err = {0};

    spec.n_nics = 2;
    assert_false(launch_build(&plan, &facts, &launch, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_string_equal(err.field, "/nics/1/network");
}

/* ---- hostile text ---- */

static unsigned dice(unsigned sides)
{
    static uint64_t x = 88172645463325252ull; /* the same walk every time */

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return (unsigned)(x % sides);
}

static void hostile(char *out, size_t size)
{
    static const char *const bits[] = {",",
                                       "=",
                                       ":",
                                       ";",
                                       "\n",
                                       "\"",
                                       "'",
                                       "\\",
                                       "-",
                                       "--",
                                       "-S",
                                       ",process=",
                                       "{",
                                       "}",
                                       "$(",
                                       "\t",
                                       "\x7f",
                                       "é",
                                       "\xf0\x9f\x98\x80",
                                       "/",
                                       "../",
                                       "a",
                                       "-chardev",
                                       ",id=pc.ram",
                                       "%s",
                                       "%n"};
    size_t len = 0;

    for (unsigned n = dice(12); n--;) {
        const char *bit = bits[dice(ARRAY_LEN(bits))];
        if (len + strlen(bit) >= size)
            break;
        memcpy(out + len, bit, strlen(bit));
        len += strlen(bit);
    }
    out[len] = 0;
}

/* All arguments are those of 'tame', but for -append's value, which is the command line to the
 * byte. */
static void assert_same_shape(const struct launch *launch, const struct launch *tame,
                              const char *cmdline)
{
    const json_t *argv = json_object_get(launch->json, "argv");
    const json_t *model = json_object_get(tame->json, "argv");

    assert_int_equal(json_array_size(argv), json_array_size(model));
    for (size_t i = 0; i < json_array_size(model); i++) {
        const char *is = json_string_value(json_array_get(argv, i));
        const char *before = i ? json_string_value(json_array_get(model, i - 1)) : "";
        const char *should = json_string_value(json_array_get(model, i));
        if (!is || strcmp(is, str_eq(before, "-append") ? cmdline : should) != 0)
            fail_msg("argument %zu became %s", i, is ? is : "nothing");
    }
}

static void hostile_text_never_changes_the_shape(void **state)
{
    char name[96], notes[96], cmdline[200];
    struct vm_spec spec = spec_new();
    struct machine_plan plan = plan_new(&spec);
    struct launch tame;

    plan.kernel_fd = 103;
    plan.n_disks = 0; /* disks and cards hold no text of a user; without them it is faster */
    spec.machine = VM_MACHINE_PC;
    spec.n_nics = 0;
    spec.boot.cmdline = "quiet";
    tame = build(&plan, &facts);
    spec.name = name;
    spec.notes = notes;
    spec.boot.kernel = name;
    for (unsigned i = 0; i < HOSTILE_ROUNDS; i++) {
        struct launch launch;
        hostile(name, sizeof name);
        hostile(notes, sizeof notes);
        cmdline[0] = 'x';
        hostile(cmdline + 1, sizeof cmdline - 1);
        spec.boot.cmdline = cmdline;
        launch = build(&plan, &facts);
        assert_same_shape(&launch, &tame, cmdline);
        launch_clear(&launch);
    }
    launch_clear(&tame);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_q35_with_everything_matches_its_golden_file),
        cmocka_unit_test(a_pc_with_kvm_and_a_kernel_matches_its_golden_file),
        cmocka_unit_test(a_bare_machine_matches_its_golden_file),
        cmocka_unit_test(a_cmdline_without_a_kernel_is_left_out),
        cmocka_unit_test(every_descriptor_has_a_number_of_its_own),
        cmocka_unit_test(a_disk_without_a_place_on_its_bus_is_refused),
        cmocka_unit_test(a_second_passt_is_refused),
        cmocka_unit_test(hostile_text_never_changes_the_shape),
    };

    return cmocka_run_group_tests_name("qemu/argv", tests, NULL, NULL);
}
