/* The field tables of a VM's configuration: see vm.h. */
#include "core/model/vm.h"

#include "core/base/mem.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define GIB (1ull << 30)
#define MIB (1ull << 20)

const char *const vm_profile_names[] = {"linux",      "linux-legacy",   "windows-11",
                                        "windows-10", "windows-legacy", "bsd",
                                        "dos",        "other",          NULL};
const char *const vm_backend_names[] = {"qemu", "fake", NULL};
const char *const vm_machine_names[] = {"q35", "pc", NULL};
const char *const vm_accel_names[] = {"auto", "kvm", "tcg", NULL};
const char *const disk_format_names[] = {"qcow2", "raw", "vhd", "vhdx", NULL};
const char *const disk_bus_names[] = {"virtio", "scsi", "ide", "usb", "nvme", NULL};
const char *const nic_network_names[] = {"user", NULL};
const char *const nic_model_names[] = {"virtio", "e1000e", "e1000", "rtl8139", NULL};
const char *const vm_firmware_names[] = {"bios", "uefi", NULL};
const char *const vm_video_names[] = {"std", "virtio", "qxl", "cirrus", "none", NULL};
const char *const vm_clock_names[] = {"utc", "localtime", NULL};
const char *const vm_pointer_names[] = {"tablet", "mouse", NULL};
const char *const vm_watchdog_names[] = {"none", "i6300esb", NULL};
const char *const vm_restart_names[] = {"never", "on-crash", "always", NULL};
const char *const vm_host_action_names[] = {"shutdown", "stop", "save", NULL};

#define OF(type, member) .offset = offsetof(struct type, member)

/* A field is a paragraph. */
/* clang-format off */
static const struct field boot_fields[] = {
    {.name = "kernel", .type = FIELD_TEXT, OF(vm_boot, kernel), .min = 1, .max = NAME_MAX_BYTES,
     .check = check_name,
     .help = "boot entry of the host (GET /host lists them); absent: boot from the disks"},
    {.name = "cmdline", .type = FIELD_TEXT, OF(vm_boot, cmdline), .max = 1024, .check = check_line,
     .help = "command line for that kernel"},
    {.name = "order", .type = FIELD_TEXT, OF(vm_boot, order), .min = 4, .max = 32,
     .check = check_boot_order, .fallback = "\"disk,cdrom,network\"",
     .help = "what the firmware tries, in this order: disk, cdrom, network"},
    {.name = "menu", .type = FIELD_BOOL, OF(vm_boot, menu), .fallback = "false",
     .help = "the firmware offers its boot menu for some seconds"},
};
static const struct model boot_model = {"VmBoot", sizeof(struct vm_boot), boot_fields,
                                        ARRAY_LEN(boot_fields)};

/* QEMU counts in units that must hold a burst times its length. */
#define IOPS_MAX  1000000000ull
#define BYTES_MAX 100000000000ull
static const struct field limits_fields[] = {
    {.name = "iops", .type = FIELD_U64, OF(disk_limits, iops), .max = IOPS_MAX,
     .fallback = "0", .help = "requests a second, reading and writing together"},
    {.name = "iops_read", .type = FIELD_U64, OF(disk_limits, iops_read), .max = IOPS_MAX,
     .fallback = "0", .help = "reading requests a second; not together with iops"},
    {.name = "iops_write", .type = FIELD_U64, OF(disk_limits, iops_write), .max = IOPS_MAX,
     .fallback = "0", .help = "writing requests a second; not together with iops"},
    {.name = "bytes_per_s", .type = FIELD_U64, OF(disk_limits, bytes), .max = BYTES_MAX,
     .fallback = "0", .help = "bytes a second, reading and writing together"},
    {.name = "read_bytes_per_s", .type = FIELD_U64, OF(disk_limits, bytes_read), .max = BYTES_MAX,
     .fallback = "0", .help = "bytes read a second; not together with bytes_per_s"},
    {.name = "write_bytes_per_s", .type = FIELD_U64, OF(disk_limits, bytes_write), .max = BYTES_MAX,
     .fallback = "0", .help = "bytes written a second; not together with bytes_per_s"},
    {.name = "iops_burst", .type = FIELD_U64, OF(disk_limits, iops_burst), .max = IOPS_MAX,
     .fallback = "0", .help = "as many as this for burst_s seconds; needs iops"},
    {.name = "iops_read_burst", .type = FIELD_U64, OF(disk_limits, iops_read_burst), .max = IOPS_MAX,
     .fallback = "0", .help = "as many as this for burst_s seconds; needs iops_read"},
    {.name = "iops_write_burst", .type = FIELD_U64, OF(disk_limits, iops_write_burst), .max = IOPS_MAX,
     .fallback = "0", .help = "as many as this for burst_s seconds; needs iops_write"},
    {.name = "bytes_per_s_burst", .type = FIELD_U64, OF(disk_limits, bytes_burst), .max = BYTES_MAX,
     .fallback = "0", .help = "as much as this for burst_s seconds; needs bytes_per_s"},
    {.name = "read_bytes_per_s_burst", .type = FIELD_U64, OF(disk_limits, bytes_read_burst), .max = BYTES_MAX,
     .fallback = "0", .help = "as much as this for burst_s seconds; needs read_bytes_per_s"},
    {.name = "write_bytes_per_s_burst", .type = FIELD_U64, OF(disk_limits, bytes_write_burst), .max = BYTES_MAX,
     .fallback = "0", .help = "as much as this for burst_s seconds; needs write_bytes_per_s"},
    {.name = "burst_s", .type = FIELD_U32, OF(disk_limits, burst_s), .min = 1, .max = 3600,
     .fallback = "1", .help = "how long a burst may last, in seconds"},
};
const struct model disk_limits_model = {"DiskLimits", sizeof(struct disk_limits), limits_fields,
                                        ARRAY_LEN(limits_fields)};

static const struct field disk_fields[] = {
    {.name = "id", .type = FIELD_UUID, .flags = FIELD_READ_ONLY, OF(vm_disk, id),
     .help = "given by vmmd"},
    {.name = "pool", .type = FIELD_TEXT, OF(vm_disk, pool), .min = 1, .max = NAME_MAX_BYTES,
     .help = "name or id of the storage pool; absent: the oldest pool"},
    {.name = "size_bytes", .type = FIELD_U64, .flags = FIELD_REQUIRED, OF(vm_disk, size_bytes),
     .min = MIB, .max = 64ull << 40, .help = "size the guest sees, a multiple of 512"},
    {.name = "format", .type = FIELD_ENUM, OF(vm_disk, format), .names = disk_format_names,
     .fallback = "\"qcow2\"",
     .help = "format of the image file; absent: the pool's default_format"},
    {.name = "bus", .type = FIELD_ENUM, .flags = FIELD_BY_PROFILE, OF(vm_disk, bus),
     .names = disk_bus_names, .fallback = "\"virtio\"", .help = "controller the guest sees"},
    {.name = "limits", .type = FIELD_OBJECT, OF(vm_disk, limits), .of = &disk_limits_model,
     .help = "what the guest may do to it in a second; 0: as much as it can"},
};
const struct model vm_disk_model = {"VmDisk", sizeof(struct vm_disk), disk_fields,
                                    ARRAY_LEN(disk_fields)};

static const struct field nic_fields[] = {
    {.name = "network", .type = FIELD_ENUM, OF(vm_nic, network), .names = nic_network_names,
     .fallback = "\"user\"", .help = "user: outgoing connections through the host, by passt"},
    {.name = "model", .type = FIELD_ENUM, .flags = FIELD_BY_PROFILE, OF(vm_nic, model),
     .names = nic_model_names, .fallback = "\"virtio\"", .help = "device the guest sees"},
    {.name = "mac", .type = FIELD_TEXT, OF(vm_nic, mac), .min = 17, .max = 17, .check = check_mac,
     .help = "absent: vmmd chooses one"},
};
const struct model vm_nic_model = {"VmNic", sizeof(struct vm_nic), nic_fields,
                                   ARRAY_LEN(nic_fields)};

static const struct field cpu_fields[] = {
    {.name = "model", .type = FIELD_TEXT, OF(vm_cpu, model), .min = 1, .max = 63,
     .check = check_cpu_model,
     .help = "processor model of QEMU such as Skylake-Server or qemu32; absent: the host's with KVM, all that TCG has without"},
    {.name = "sockets", .type = FIELD_U32, OF(vm_cpu, sockets), .max = 255, .fallback = "0",
     .help = "0: chosen by vmmd; else sockets * cores * threads must be max_vcpus, or vcpus without that"},
    {.name = "cores", .type = FIELD_U32, OF(vm_cpu, cores), .max = 255, .fallback = "0",
     .help = "cores a socket; 0: chosen by vmmd"},
    {.name = "threads", .type = FIELD_U32, OF(vm_cpu, threads), .max = 255, .fallback = "0",
     .help = "threads a core; 0: chosen by vmmd"},
    {.name = "max_vcpus", .type = FIELD_U32, OF(vm_cpu, max_vcpus), .max = 255, .fallback = "0",
     .help = "up to which vcpus can grow while the VM runs; 0: not"},
};
static const struct model cpu_model = {"VmCpu", sizeof(struct vm_cpu), cpu_fields,
                                       ARRAY_LEN(cpu_fields)};

static const struct field guest_limits_fields[] = {
    {.name = "cpu_weight", .type = FIELD_U32, OF(vm_limits, cpu_weight), .max = 10000,
     .fallback = "0",
     .help = "share of the processors when they are short, against the 100 of a VM without; 0: 100"},
    {.name = "cpu_percent", .type = FIELD_U32, OF(vm_limits, cpu_percent), .max = 100000,
     .fallback = "0",
     .help = "at most so much of a processor: 150 is one and a half, of all vcpus and QEMU together; 0: no limit"},
    {.name = "io_weight", .type = FIELD_U32, OF(vm_limits, io_weight), .max = 10000,
     .fallback = "0",
     .help = "share of the disks when they are busy, against the 100 of a VM without; 0: 100"},
    {.name = "pids", .type = FIELD_U32, OF(vm_limits, pids), .max = 32768, .fallback = "0",
     .help = "threads that QEMU may have, at least 128 and two for each of cpu.max_vcpus; 0: chosen by vmmd"},
    {.name = "memory_extra_bytes", .type = FIELD_U64, OF(vm_limits, memory_extra_bytes),
     .max = 1024 * GIB, .fallback = "0",
     .help = "QEMU may take so much more than its memory_bytes and what vmmd adds for itself; beyond that the kernel ends it; applies at the next start"},
};
static const struct model guest_limits_model = {"VmLimits", sizeof(struct vm_limits),
                                                guest_limits_fields,
                                                ARRAY_LEN(guest_limits_fields)};

static const struct field firmware_fields[] = {
    {.name = "type", .type = FIELD_ENUM, .flags = FIELD_BY_PROFILE, OF(vm_firmware, type),
     .names = vm_firmware_names, .fallback = "\"bios\"",
     .help = "uefi keeps its variables with the VM"},
    {.name = "secure_boot", .type = FIELD_BOOL, .flags = FIELD_BY_PROFILE,
     OF(vm_firmware, secure_boot), .fallback = "false",
     .help = "only signed boot loaders start; needs uefi and a q35 machine"},
};
static const struct model firmware_model = {"VmFirmware", sizeof(struct vm_firmware),
                                            firmware_fields, ARRAY_LEN(firmware_fields)};

static const struct field video_fields[] = {
    {.name = "model", .type = FIELD_ENUM, .flags = FIELD_BY_PROFILE, OF(vm_video, model),
     .names = vm_video_names, .fallback = "\"std\"", .help = "graphics card the guest sees"},
    {.name = "heads", .type = FIELD_U32, OF(vm_video, heads), .min = 1, .max = VM_HEADS_MAX,
     .fallback = "1", .help = "displays; more than one needs model virtio or qxl"},
};
static const struct model video_model = {"VmVideo", sizeof(struct vm_video), video_fields,
                                         ARRAY_LEN(video_fields)};

static const struct field cdrom_fields[] = {
    {.name = "media", .type = FIELD_TEXT, OF(vm_cdrom, media), .min = 1,
     .max = MEDIA_NAME_MAX, .check = check_media,
     .help = "file in the folder media of a pool root (GET /media lists them); absent: empty"},
};
static const struct model cdrom_model = {"VmCdrom", sizeof(struct vm_cdrom), cdrom_fields,
                                         ARRAY_LEN(cdrom_fields)};

static const struct field autostart_fields[] = {
    {.name = "enabled", .type = FIELD_BOOL, OF(vm_autostart, enabled), .fallback = "false",
     .help = "start with the host"},
    {.name = "order", .type = FIELD_U32, OF(vm_autostart, order), .max = 1000, .fallback = "100",
     .help = "lower ones first, equal ones together"},
    {.name = "delay_s", .type = FIELD_U32, OF(vm_autostart, delay_s), .max = 3600,
     .fallback = "0", .help = "wait after this VM before those of the next order"},
};
static const struct model autostart_model = {"VmAutostart", sizeof(struct vm_autostart),
                                             autostart_fields, ARRAY_LEN(autostart_fields)};

static const struct field schedule_fields[] = {
    {.name = "every_min", .type = FIELD_U32, OF(vm_schedule, every_min), .max = 44640,
     .fallback = "0", .help = "minutes between two snapshots: 60 is hourly, 1440 daily; 0: none"},
    {.name = "offset_min", .type = FIELD_U32, OF(vm_schedule, offset_min), .max = 44640,
     .fallback = "0", .help = "so many minutes after the full interval: 150 with 1440 is 02:30 UTC"},
    {.name = "keep_last", .type = FIELD_U32, OF(vm_schedule, keep_last), .min = 1, .max = 100,
     .fallback = "7", .help = "the newest ones stay"},
    {.name = "keep_hourly", .type = FIELD_U32, OF(vm_schedule, keep_hourly), .max = 100,
     .fallback = "0", .help = "and one for each of so many hours"},
    {.name = "keep_daily", .type = FIELD_U32, OF(vm_schedule, keep_daily), .max = 100,
     .fallback = "0", .help = "and one for each of so many days"},
    {.name = "keep_weekly", .type = FIELD_U32, OF(vm_schedule, keep_weekly), .max = 100,
     .fallback = "0", .help = "and one for each of so many weeks"},
};
static const struct model schedule_model = {"VmSnapshotSchedule", sizeof(struct vm_schedule),
                                            schedule_fields, ARRAY_LEN(schedule_fields)};

static const struct field restart_fields[] = {
    {.name = "policy", .type = FIELD_ENUM, OF(vm_restart, policy), .names = vm_restart_names,
     .fallback = "\"never\"",
     .help = "on-crash: when it crashed or its kernel panicked; always: also when the guest powered itself off"},
    {.name = "max_in_10_min", .type = FIELD_U32, OF(vm_restart, max_in_10_min), .min = 1,
     .max = 100, .fallback = "5", .help = "so many times in ten minutes, with growing pauses"},
};
static const struct model restart_model = {"VmRestart", sizeof(struct vm_restart), restart_fields,
                                           ARRAY_LEN(restart_fields)};

static const struct field host_shutdown_fields[] = {
    {.name = "action", .type = FIELD_ENUM, OF(vm_host_shutdown, action),
     .names = vm_host_action_names, .fallback = "\"shutdown\"",
     .help = "shutdown: asks the guest and forces it off after timeout_s; stop: off at once; save: "
             "its memory goes to a file, and it goes on from there after the boot; what cannot be "
             "saved within timeout_s is shut down"},
    {.name = "timeout_s", .type = FIELD_U32, OF(vm_host_shutdown, timeout_s), .min = 1,
     .max = 3600, .fallback = "60", .help = "grace for the guest, or what a save may take"},
};
static const struct model host_shutdown_model = {"VmHostShutdown", sizeof(struct vm_host_shutdown),
                                                 host_shutdown_fields,
                                                 ARRAY_LEN(host_shutdown_fields)};

static const struct field vm_fields[] = {
    {.name = "name", .type = FIELD_TEXT, .flags = FIELD_REQUIRED, OF(vm_spec, name), .min = 1,
     .max = NAME_MAX_BYTES, .check = check_name, .help = "unique; usable instead of the id"},
    {.name = "notes", .type = FIELD_TEXT, OF(vm_spec, notes), .max = 4096,
     .help = "free text"},
    {.name = "labels", .type = FIELD_LABELS, OF(vm_spec, labels), .max = 64,
     .help = "your own key-value pairs"},
    {.name = "profile", .type = FIELD_ENUM, OF(vm_spec, profile), .names = vm_profile_names,
     .fallback = "\"linux\"",
     .help = "kind of guest: chooses the defaults of the members marked so, when they are absent on create or null in a patch"},
    {.name = "backend", .type = FIELD_ENUM, .flags = FIELD_CREATE_ONLY, OF(vm_spec, backend),
     .names = vm_backend_names, .fallback = "\"qemu\"",
     .help = "fake (only when the daemon allows it) has no guest: for UI work"},
    {.name = "machine", .type = FIELD_ENUM, .flags = FIELD_NEXT_START | FIELD_BY_PROFILE, OF(vm_spec, machine),
     .names = vm_machine_names, .fallback = "\"q35\"", .help = "board the guest sees"},
    {.name = "accel", .type = FIELD_ENUM, .flags = FIELD_NEXT_START, OF(vm_spec, accel),
     .names = vm_accel_names, .fallback = "\"auto\"",
     .help = "auto: KVM when the host's self-test passed, else TCG"},
    {.name = "vcpus", .type = FIELD_U32, .flags = FIELD_NEXT_START | FIELD_BY_PROFILE, OF(vm_spec, vcpus), .min = 1,
     .max = 255, .fallback = "1",
     .help = "virtual processors; a running VM gets more at once, up to cpu.max_vcpus"},
    {.name = "cpu", .type = FIELD_OBJECT, .flags = FIELD_NEXT_START, OF(vm_spec, cpu),
     .of = &cpu_model, .help = "model and topology of the processors"},
    {.name = "memory_bytes", .type = FIELD_U64, .flags = FIELD_NEXT_START | FIELD_BY_PROFILE,
     OF(vm_spec, memory_bytes), .min = 16 * MIB, .max = 4096 * GIB, .fallback = "536870912",
     .help = "memory, a multiple of 1 MiB"},
    {.name = "memory_overcommit", .type = FIELD_BOOL, OF(vm_spec, memory_overcommit),
     .fallback = "false",
     .help = "start it even when the host has not that much memory free; a guest that uses it all may be ended by the host"},
    {.name = "limits", .type = FIELD_OBJECT, .flags = FIELD_NEXT_START, OF(vm_spec, limits),
     .of = &guest_limits_model,
     .help = "what the guest may take of its host's processors, disks and memory; a running VM has it at once"},
    {.name = "require_limits", .type = FIELD_BOOL, OF(vm_spec, require_limits),
     .fallback = "false",
     .help = "do not start it on a host that cannot enforce its memory or one of limits (GET /host, limits)"},
    {.name = "firmware", .type = FIELD_OBJECT, .flags = FIELD_NEXT_START | FIELD_BY_PROFILE,
     OF(vm_spec, firmware), .of = &firmware_model, .help = "BIOS or UEFI"},
    {.name = "boot", .type = FIELD_OBJECT, .flags = FIELD_NEXT_START, OF(vm_spec, boot),
     .of = &boot_model, .help = "boot order, or direct kernel boot"},
    {.name = "disks", .type = FIELD_LIST, .flags = FIELD_CREATE_ONLY, OF(vm_spec, disks),
     .count_offset = offsetof(struct vm_spec, n_disks), .max = VM_DISKS_MAX, .of = &vm_disk_model,
     .help = "created with the VM, deleted with it"},
    {.name = "nics", .type = FIELD_LIST, .flags = FIELD_NEXT_START, OF(vm_spec, nics),
     .count_offset = offsetof(struct vm_spec, n_nics), .max = 8, .of = &vm_nic_model,
     .fallback = "[{\"network\":\"user\"}]", .help = "network cards; [] for none"},
    {.name = "cdroms", .type = FIELD_LIST, .flags = FIELD_NEXT_START, OF(vm_spec, cdroms),
     .count_offset = offsetof(struct vm_spec, n_cdroms), .max = VM_CDROMS_MAX, .of = &cdrom_model,
     .help = "CD drives"},
    {.name = "video", .type = FIELD_OBJECT, .flags = FIELD_NEXT_START | FIELD_BY_PROFILE,
     OF(vm_spec, video), .of = &video_model, .help = "graphics card"},
    {.name = "serial_ports", .type = FIELD_U32, .flags = FIELD_NEXT_START,
     OF(vm_spec, serial_ports), .max = VM_SERIAL_PORTS_MAX, .fallback = "1",
     .help = "serial ports; the first one is the text console"},
    {.name = "rng", .type = FIELD_BOOL, .flags = FIELD_NEXT_START | FIELD_BY_PROFILE,
     OF(vm_spec, rng), .fallback = "true", .help = "a virtio source of random numbers"},
    {.name = "pointer", .type = FIELD_ENUM, .flags = FIELD_NEXT_START | FIELD_BY_PROFILE,
     OF(vm_spec, pointer), .names = vm_pointer_names, .fallback = "\"tablet\"",
     .help = "tablet (USB) knows where it points, mouse (PS/2) only how it moved"},
    {.name = "watchdog", .type = FIELD_ENUM, .flags = FIELD_NEXT_START, OF(vm_spec, watchdog),
     .names = vm_watchdog_names, .fallback = "\"none\"",
     .help = "a device that says when the guest hangs; counts as a crash"},
    {.name = "clock", .type = FIELD_ENUM, .flags = FIELD_NEXT_START | FIELD_BY_PROFILE,
     OF(vm_spec, clock), .names = vm_clock_names, .fallback = "\"utc\"",
     .help = "what the guest's hardware clock shows"},
    {.name = "hyperv", .type = FIELD_BOOL, .flags = FIELD_NEXT_START | FIELD_BY_PROFILE,
     OF(vm_spec, hyperv), .fallback = "false",
     .help = "Hyper-V enlightenments, which make Windows faster (with KVM)"},
    {.name = "generation_id", .type = FIELD_UUID, .flags = FIELD_READ_ONLY,
     OF(vm_spec, generation_id),
     .help = "the guest sees it and knows by a change that it was cloned or set back"},
    {.name = "snapshot_schedule", .type = FIELD_OBJECT, OF(vm_spec, snapshot_schedule),
     .of = &schedule_model, .help = "snapshots that are taken and deleted by themselves"},
    {.name = "autostart", .type = FIELD_OBJECT, OF(vm_spec, autostart), .of = &autostart_model,
     .help = "start with the host"},
    {.name = "restart", .type = FIELD_OBJECT, OF(vm_spec, restart), .of = &restart_model,
     .help = "what happens when it ended by itself"},
    {.name = "host_shutdown", .type = FIELD_OBJECT, OF(vm_spec, host_shutdown),
     .of = &host_shutdown_model, .help = "what happens when the host goes down"},
    {.name = "shutdown_timeout_s", .type = FIELD_U32, OF(vm_spec, shutdown_timeout_s), .min = 1,
     .max = 3600, .fallback = "60", .help = "grace for 'shutdown' before it gives up"},
};
/* clang-format on */
const struct model vm_model = {"VmSpec", sizeof(struct vm_spec), vm_fields, ARRAY_LEN(vm_fields)};

bool check_boot_order(const char *text, const char **why)
{
    static const char *const kinds[] = {"disk", "cdrom", "network"};
    unsigned seen = 0;

    *why = "must name disk, cdrom and network in the order wanted, each once at most, "
           "with commas between";
    for (const char *p = text;; p++) {
        size_t n = strcspn(p, ","), k = 0;
        while (k < ARRAY_LEN(kinds) && (strlen(kinds[k]) != n || strncmp(kinds[k], p, n) != 0))
            k++;
        if (k == ARRAY_LEN(kinds) || seen >> k & 1)
            return false;
        seen |= 1u << k;
        p += n;
        if (!*p)
            return true;
    }
}

bool check_cpu_model(const char *text, const char **why)
{
    if (strcmp(text, "help") == 0) { /* QEMU would print its list and leave */
        *why = "must be the name of a processor model";
        return false;
    }
    return check_name(text, why);
}

bool check_media(const char *text, const char **why)
{
    *why = "must be the name of a file, without a folder and not beginning with '.'";
    if (text[0] == '.' || strchr(text, '/'))
        return false;
    return check_line(text, why);
}

struct vm_spec *vm_spec_copy(const struct vm_spec *spec)
{
    CLEANUP(json_decrefp) json_t *json = model_encode(&vm_model, spec);
    struct vm_spec *copy = mem_alloc(sizeof *copy);
    struct err err = {0};
    bool ok = model_decode(&vm_model, json, MODEL_STORED, copy, &err);

    assert(ok); /* it was decoded from the same before */
    return copy;
}

void vm_spec_freep(struct vm_spec **spec)
{
    if (*spec)
        vm_spec_clear(*spec);
    free(*spec);
    *spec = NULL;
}

void vm_spec_clear(struct vm_spec *spec)
{
    model_clear(&vm_model, spec);
}
