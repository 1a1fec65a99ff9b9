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

#define HOSTILE_ROUNDS 20000 /* with five texts each: 100,000 */

static const struct uuid vm_id = {{0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x47, 0x88, 0x89, 0xaa, 0xbb,
                                   0xcc, 0xdd, 0xee, 0xff, 0x01}};

/* The numbers stand for descriptors; nothing is opened. */
static int chain_fds[] = {105, 106}, raw_fds[] = {107}, scsi_fds[] = {108}, ide_fds[] = {109};
static struct plan_disk disks[] = {
    {.id = {{1}},
     .position = 0,
     .format = DISK_QCOW2,
     .bus = DISK_BUS_VIRTIO,
     .fds = chain_fds,
     .n_fds = 2},
    {.id = {{2}},
     .position = 1,
     .format = DISK_RAW,
     .bus = DISK_BUS_VIRTIO,
     .fds = raw_fds,
     .n_fds = 1},
    {.id = {{3}},
     .position = 2,
     .format = DISK_RAW,
     .bus = DISK_BUS_SCSI,
     .fds = scsi_fds,
     .n_fds = 1},
    {.id = {{4}},
     .position = 3,
     .format = DISK_QCOW2,
     .bus = DISK_BUS_IDE,
     .fds = ide_fds,
     .n_fds = 1},
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
        .serial_ports = 1,
        .rng = true,
        .pointer = POINTER_MOUSE,
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

static const struct argv_facts facts = {.qemu = "/usr/bin/qemu-system-x86_64",
                                        .passt = true,
                                        .direct = direct,
                                        .boot_roms = true,
                                        .local_time = "2026-01-31T23:59:58"};

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
    struct launch launch;

    plan.commit_fd = 103;
    launch = build(&plan, &facts);
    assert_golden(&launch, "q35_full.txt");
    launch_clear(&launch);
}

/* As memory_made() notes a machine whose second disk was plugged in while it ran. */
#define MADE(more)                                                                                 \
    "{\"version\":1,\"qemu\":\"7.2.22\",\"machine\":\"pc-q35-7.2\",\"cpu\":\"max\","               \
    "\"accel\":\"tcg\",\"vcpus\":3,\"root_ports\":9,\"usb_ports\":0,\"devices\":{"                 \
    "\"nic0\":{\"bus\":\"rp1\",\"addr\":0},\"rngdev0\":{\"bus\":\"rp0\",\"addr\":0},"              \
    "\"scsi0\":{\"bus\":\"rp2\",\"addr\":0,\"num_queues\":2},"                                     \
    "\"vga0\":{\"bus\":\"pcie.0\",\"addr\":8}," more                                               \
    "\"diskdev0\":{\"bus\":\"rp3\",\"addr\":0,\"num-queues\":2}}}"
#define DISK_1 "\"diskdev1\":{\"bus\":\"rp6\",\"addr\":0,\"num-queues\":2},"

static void a_machine_with_a_memory_image_has_its_devices_where_they_were(void **state)
{
    struct vm_spec spec = spec_new();
    struct machine_plan plan = plan_new(&spec);
    struct launch launch;

    spec.cpu.max_vcpus = 4;
    plan.memory_fd = 104;
    plan.memory_made = MADE(DISK_1);
    launch = build(&plan, &facts);
    launch_lend(&launch, 250, plan.memory_fd);
    assert_golden(&launch, "q35_memory.txt");
    launch_clear(&launch);
}

static void assert_refused(const char *made, const char *words)
{
    struct vm_spec spec = spec_new();
    struct machine_plan plan = plan_new(&spec);
    struct err err = {0};
    struct launch launch;

    plan.memory_fd = 104;
    plan.memory_made = made;
    assert_false(launch_build(&plan, &facts, &launch, &err));
    if (err.code != ERR_UNSUPPORTED || !strstr(err.detail, words))
        fail_msg("%s", err.detail);
}

static void a_device_more_or_less_than_its_memory_belongs_to_is_refused(void **state)
{
    assert_refused(MADE(""), "(diskdev1)");
    assert_refused(MADE(DISK_1 "\"usb0\":{\"bus\":\"pcie.0\",\"addr\":232},"), "one is missing");
}

static void what_is_noted_of_a_memory_is_not_believed(void **state)
{
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        "{}",
        MADE(DISK_1 "\"x\":{\"bus\":\"rp1,addr=3\",\"addr\":0},"),
        MADE(DISK_1 "\"x\":{\"bus\":\"rp1\",\"addr\":256},"),
        MADE(DISK_1 "\"x\":{\"port\":\"1,x=y\"},"),
        ("{\"version\":1,\"qemu\":\"7.2\",\"machine\":\"pc-q35-7.2,x=y\",\"cpu\":\"max\","
         "\"accel\":\"tcg\",\"vcpus\":3,\"devices\":{}}"),
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_refused(bad[i], "a form that this version knows");
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

static void a_windows_guest_matches_its_golden_file(void **state)
{
    struct vm_spec spec = spec_new();
    struct machine_plan plan = plan_new(&spec);
    struct vm_cdrom cds[] = {{.media = "windows.iso"}, {0}};
    struct launch launch;

    spec.firmware = (struct vm_firmware){FIRMWARE_UEFI, true};
    spec.hyperv = true;
    spec.clock = CLOCK_LOCALTIME;
    spec.pointer = POINTER_TABLET;
    spec.video = (struct vm_video){VIDEO_QXL, 2};
    spec.generation_id = vm_id;
    spec.cdroms = cds;
    spec.n_cdroms = 2;
    spec.serial_ports = 4;
    spec.boot.order = "cdrom,disk";
    spec.boot.menu = true;
    plan.accel = VM_ACCEL_KVM;
    plan.nvram_fd = 120;
    plan.media_fds[0] = 121;
    plan.disks = &disks[3];
    plan.n_disks = 1;
    for (int i = 1; i < VM_SERIAL_PORTS_MAX; i++)
        plan.serial_log_fds[i] = 110 + i;
    launch = build(&plan, &facts);
    assert_golden(&launch, "q35_windows.txt");
    launch_clear(&launch);
}

static void an_old_guest_matches_its_golden_file(void **state)
{
    struct vm_spec spec = spec_new();
    struct machine_plan plan = plan_new(&spec);
    struct vm_nic cards[] = {{.model = NIC_RTL8139, .mac = "52:54:00:00:00:03"}};
    struct vm_cdrom cds[] = {{.media = "dos.iso"}};
    struct launch launch;

    spec.machine = VM_MACHINE_PC;
    spec.cpu.model = "pentium3";
    spec.vcpus = 1;
    spec.video.model = VIDEO_CIRRUS;
    spec.rng = false;
    spec.watchdog = WATCHDOG_I6300ESB;
    spec.nics = cards;
    spec.cdroms = cds;
    spec.n_cdroms = 1;
    spec.boot.order = "network,cdrom";
    plan.media_fds[0] = 121;
    plan.disks = &disks[3];
    plan.n_disks = 1;
    launch = build(&plan, &facts);
    assert_golden(&launch, "pc_old.txt");
    launch_clear(&launch);
}

static void a_giant_matches_its_golden_file(void **state)
{
    struct vm_spec spec = spec_new();
    struct machine_plan plan = plan_new(&spec);
    struct launch launch;

    spec.vcpus = 32;
    spec.cpu = (struct vm_cpu){.sockets = 2, .threads = 2, .max_vcpus = 64};
    spec.memory_bytes = 4ull << 40;
    spec.memory_overcommit = true;
    spec.video = (struct vm_video){VIDEO_NONE, 1};
    spec.serial_ports = 0;
    spec.n_nics = 0;
    plan.n_disks = 0;
    launch = build(&plan, &facts);
    assert_golden(&launch, "q35_giant.txt");
    launch_clear(&launch);
}

/* "cpus=…": what -smp says. */
static void assert_smp(const struct vm_spec *spec, const char *should)
{
    struct machine_plan plan = plan_new(spec);
    struct launch launch;
    CLEANUP(mem_freep) char *text = NULL;

    plan.n_disks = 0;
    launch = build(&plan, &facts);
    text = as_text(&launch);
    if (!strstr(text, should))
        fail_msg("no %s in %s", should, text);
    launch_clear(&launch);
}

static void parts_of_the_topology_that_are_open_are_chosen(void **state)
{
    struct vm_spec spec = spec_new();

    spec.vcpus = 12;
    assert_smp(&spec, "cpus=12,maxcpus=12,sockets=1,cores=12,threads=1");
    spec.cpu.threads = 2;
    assert_smp(&spec, "cpus=12,maxcpus=12,sockets=1,cores=6,threads=2");
    spec.cpu.cores = 3;
    assert_smp(&spec, "cpus=12,maxcpus=12,sockets=2,cores=3,threads=2");
    spec.cpu.sockets = 2;
    assert_smp(&spec, "cpus=12,maxcpus=12,sockets=2,cores=3,threads=2");
    spec.cpu = (struct vm_cpu){.sockets = 4, .cores = 4, .max_vcpus = 32};
    assert_smp(&spec, "cpus=12,maxcpus=32,sockets=4,cores=4,threads=2");
}

static void devices_are_tried_in_the_order_wanted(void **state)
{
    struct vm_spec spec = spec_new();
    struct machine_plan plan = plan_new(&spec);
    struct vm_cdrom cds[] = {{0}, {0}};
    struct launch launch;
    CLEANUP(mem_freep) char *text = NULL;

    spec.cdroms = cds;
    spec.n_cdroms = 2;
    spec.boot.order = "network,disk";
    launch = build(&plan, &facts);
    text = as_text(&launch);
    assert_non_null(strstr(text, "\"mac\":\"52:54:00:00:00:01\",\"bootindex\":1"));
    assert_null(strstr(text, "romfile")); /* it has to boot: the card keeps its ROM */
    assert_non_null(strstr(text, "\"id\":\"diskdev0\",\"drive\":\"disk0\""));
    assert_non_null(strstr(text, "\"bootindex\":2"));
    assert_non_null(strstr(text, "\"bootindex\":5"));
    assert_null(strstr(text, "\"bootindex\":6"));
    assert_non_null(strstr(text, "{\"driver\":\"ide-cd\",\"id\":\"cd1\",\"bus\":\"ide.2\""));
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
                                       "help",
                                       "?",
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

/* A processor's model that the check lets through, or none: the check is what keeps "a,b=c" and
 * "help" from QEMU. */
static bool some_model(char *out, size_t size)
{
    const char *why;

    if (dice(4) == 0)
        snprintf(out, size, "%s%s", dice(2) ? "Skylake-Server" : "qemu", dice(2) ? "-v4" : "64");
    else
        hostile(out, size);
    if (!*out || !check_cpu_model(out, &why))
        return false;
    assert_int_equal(strcspn(out, ",=:; \n\"'{"), strlen(out));
    assert_string_not_equal(out, "help");
    return true;
}

/* All arguments are those of 'tame', but for the values of -append, which is the command line to
 * the byte, and of -cpu, which is the model. */
static void assert_same_shape(const struct launch *launch, const struct launch *tame,
                              const char *cmdline, const char *model)
{
    const json_t *argv = json_object_get(launch->json, "argv");
    const json_t *golden = json_object_get(tame->json, "argv");

    assert_int_equal(json_array_size(argv), json_array_size(golden));
    for (size_t i = 0; i < json_array_size(golden); i++) {
        const char *is = json_string_value(json_array_get(argv, i));
        const char *before = i ? json_string_value(json_array_get(golden, i - 1)) : "";
        const char *should = json_string_value(json_array_get(golden, i));
        if (str_eq(before, "-append"))
            should = cmdline;
        else if (str_eq(before, "-cpu"))
            should = model;
        if (!is || strcmp(is, should) != 0)
            fail_msg("argument %zu became %s", i, is ? is : "nothing");
    }
}

static void hostile_text_never_changes_the_shape(void **state)
{
    char name[96], notes[96], media[96], model[64], cmdline[200];
    struct vm_cdrom cd = {.media = media};
    unsigned models = 0;
    struct vm_spec spec = spec_new();
    struct machine_plan plan = plan_new(&spec);
    struct launch tame;

    plan.kernel_fd = 103;
    plan.n_disks = 0; /* disks and cards hold no text of a user; without them it is faster */
    spec.machine = VM_MACHINE_PC;
    spec.n_nics = 0;
    spec.cdroms = &cd;
    spec.n_cdroms = 1;
    spec.serial_ports = 0;
    spec.video.model = VIDEO_NONE;
    spec.rng = false;
    spec.boot.cmdline = "quiet";
    tame = build(&plan, &facts);
    spec.name = name;
    spec.notes = notes;
    spec.boot.kernel = name;
    spec.labels = json_object();
    for (unsigned i = 0; i < HOSTILE_ROUNDS; i++) {
        struct launch launch;
        hostile(name, sizeof name);
        hostile(notes, sizeof notes);
        hostile(media, sizeof media);
        json_object_clear(spec.labels);
        json_put_text(spec.labels, name, notes);
        spec.cpu.model = some_model(model, sizeof model) ? model : NULL;
        models += spec.cpu.model != NULL;
        cmdline[0] = 'x';
        hostile(cmdline + 1, sizeof cmdline - 1);
        spec.boot.cmdline = cmdline;
        launch = build(&plan, &facts);
        assert_same_shape(&launch, &tame, cmdline, spec.cpu.model ? model : "max");
        launch_clear(&launch);
    }
    assert_in_range(models, HOSTILE_ROUNDS / 100, HOSTILE_ROUNDS - HOSTILE_ROUNDS / 100);
    json_decref(spec.labels);
    launch_clear(&tame);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_q35_with_everything_matches_its_golden_file),
        cmocka_unit_test(a_machine_with_a_memory_image_has_its_devices_where_they_were),
        cmocka_unit_test(a_device_more_or_less_than_its_memory_belongs_to_is_refused),
        cmocka_unit_test(what_is_noted_of_a_memory_is_not_believed),
        cmocka_unit_test(a_pc_with_kvm_and_a_kernel_matches_its_golden_file),
        cmocka_unit_test(a_bare_machine_matches_its_golden_file),
        cmocka_unit_test(a_windows_guest_matches_its_golden_file),
        cmocka_unit_test(an_old_guest_matches_its_golden_file),
        cmocka_unit_test(a_giant_matches_its_golden_file),
        cmocka_unit_test(parts_of_the_topology_that_are_open_are_chosen),
        cmocka_unit_test(devices_are_tried_in_the_order_wanted),
        cmocka_unit_test(a_cmdline_without_a_kernel_is_left_out),
        cmocka_unit_test(every_descriptor_has_a_number_of_its_own),
        cmocka_unit_test(a_disk_without_a_place_on_its_bus_is_refused),
        cmocka_unit_test(a_second_passt_is_refused),
        cmocka_unit_test(hostile_text_never_changes_the_shape),
    };

    return cmocka_run_group_tests_name("qemu/argv", tests, NULL, NULL);
}
