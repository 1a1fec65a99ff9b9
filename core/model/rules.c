/* The rules between the members of a VM's configuration: see rules.h. One function a rule. */
#include "core/model/rules.h"

#include <stdio.h>
#include <string.h>

#define MIB           (1ull << 20)
#define QXL_HEADS_MAX 4
#define PIDS_MIN      128
#define USER_NICS_MAX 1               /* a worker keeps one passt */
#define VHD_MAX       (2040ull << 30) /* what its header can say */

unsigned vm_spec_max_vcpus(const struct vm_spec *spec)
{
    return spec->cpu.max_vcpus ? spec->cpu.max_vcpus : spec->vcpus;
}

unsigned vm_spec_ide_room(const struct vm_spec *spec)
{
    return spec->machine == VM_MACHINE_PC ? 4 : 6;
}

static bool memory_is_whole(const struct vm_spec *spec, struct err *err)
{
    return spec->memory_bytes % MIB == 0 ||
           err_field(err, ERR_INVALID, "/memory_bytes",
                     "memory_bytes must be a multiple of 1 MiB (1048576)");
}

static bool max_vcpus_suffice(const struct vm_spec *spec, struct err *err)
{
    return vm_spec_max_vcpus(spec) >= spec->vcpus ||
           err_field(err, ERR_INVALID, "/cpu/max_vcpus",
                     "cpu.max_vcpus is %u and vcpus %u: it must not be less, or 0 for no growth",
                     spec->cpu.max_vcpus, spec->vcpus);
}

/* A part that is 0 is chosen so that the product fits. */
static bool topology_fits(const struct vm_spec *spec, struct err *err)
{
    const struct vm_cpu *cpu = &spec->cpu;
    uint64_t product = 1, max = vm_spec_max_vcpus(spec);
    bool open = !cpu->sockets || !cpu->cores || !cpu->threads;

    product *= cpu->sockets ? cpu->sockets : 1;
    product *= cpu->cores ? cpu->cores : 1;
    product *= cpu->threads ? cpu->threads : 1;
    if (open ? max % product == 0 : max == product)
        return true;
    return err_field(err, ERR_INVALID, "/cpu",
                     "sockets, cores and threads make %llu processors, the VM has room for %llu "
                     "(cpu.max_vcpus or vcpus)",
                     (unsigned long long)product, (unsigned long long)max);
}

static bool firmware_fits(const struct vm_spec *spec, struct err *err)
{
    if (!spec->firmware.secure_boot)
        return true;
    if (spec->firmware.type != FIRMWARE_UEFI)
        return err_field(err, ERR_INVALID, "/firmware/secure_boot",
                         "secure_boot needs firmware.type uefi");
    return spec->machine == VM_MACHINE_Q35 ||
           err_field(err, ERR_INVALID, "/firmware/secure_boot", "secure_boot needs machine q35");
}

static bool boot_fits(const struct vm_spec *spec, struct err *err)
{
    const struct vm_boot *boot = &spec->boot;

    if (boot->cmdline && *boot->cmdline && !boot->kernel)
        return err_field(err, ERR_INVALID, "/boot/cmdline", "cmdline needs boot.kernel");
    return !(boot->kernel && spec->firmware.secure_boot) ||
           err_field(err, ERR_INVALID, "/boot/kernel",
                     "a kernel given directly is not signed: secure_boot would refuse it");
}

static bool ide_fits(const struct vm_spec *spec, struct err *err)
{
    unsigned n = (unsigned)spec->n_cdroms, room = vm_spec_ide_room(spec);

    for (size_t i = 0; i < spec->n_disks; i++)
        n += spec->disks[i].bus == DISK_BUS_IDE;
    return n <= room ||
           err_field(err, ERR_INVALID, spec->n_cdroms ? "/cdroms" : "/disks",
                     "a %s machine has room for %u IDE disks and CD drives, these are %u",
                     vm_machine_names[spec->machine], room, n);
}

/* A burst is what goes beyond a limit that is there; a total excludes its two halves. */
static bool limits_fit_one(const char *name, const uint64_t limit[3], const uint64_t burst[3],
                           struct err *err)
{
    static const char *const halves[] = {"", "read ", "write "};

    if (limit[0] && (limit[1] || limit[2]))
        return err_field(err, ERR_INVALID, "/limits",
                         "the limit of %s in all and those of reading and writing exclude each "
                         "other: give one or the others",
                         name);
    for (unsigned i = 0; i < 3; i++)
        if (burst[i] && (!limit[i] || burst[i] <= limit[i]))
            return err_field(err, ERR_INVALID, "/limits",
                             "a burst of %s%s must be more than the limit it goes beyond, and "
                             "there must be that limit",
                             halves[i], name);
    return true;
}

bool disk_limits_rules(const struct disk_limits *l, struct err *err)
{
    const uint64_t iops[] = {l->iops, l->iops_read, l->iops_write},
                   bytes[] = {l->bytes, l->bytes_read, l->bytes_write},
                   iops_burst[] = {l->iops_burst, l->iops_read_burst, l->iops_write_burst},
                   bytes_burst[] = {l->bytes_burst, l->bytes_read_burst, l->bytes_write_burst};

    return limits_fit_one("requests", iops, iops_burst, err) &&
           limits_fit_one("bytes", bytes, bytes_burst, err);
}

bool disk_limits_eq(const struct disk_limits *a, const struct disk_limits *b)
{
    return memcmp(a, b, offsetof(struct disk_limits, burst_s)) == 0 && a->burst_s == b->burst_s;
}

bool disk_size_rules(int format, uint64_t size_bytes, struct err *err)
{
    if (size_bytes % 512)
        return err_field(err, ERR_INVALID, "/size_bytes", "size_bytes must be a multiple of 512");
    return format != DISK_VHD || size_bytes <= VHD_MAX ||
           err_field(err, ERR_INVALID, "/size_bytes",
                     "a vhd has 2040 GiB at most: choose format vhdx or qcow2");
}

static bool disks_are_whole(const struct vm_spec *spec, struct err *err)
{
    char pointer[48];

    for (size_t i = 0; i < spec->n_disks; i++) {
        const struct vm_disk *d = &spec->disks[i];
        if (disk_size_rules(d->format, d->size_bytes, err) && disk_limits_rules(&d->limits, err))
            continue;
        snprintf(pointer, sizeof pointer, "/disks/%zu", i);
        return err_under(err, pointer);
    }
    return true;
}

static bool nics_fit(const struct vm_spec *spec, struct err *err)
{
    return spec->n_nics <= USER_NICS_MAX ||
           err_field(err, ERR_INVALID, "/nics/1",
                     "a VM has one network card of the kind 'user' at most");
}

bool vm_limits_eq(const struct vm_limits *a, const struct vm_limits *b)
{
    return a->cpu_weight == b->cpu_weight && a->cpu_percent == b->cpu_percent &&
           a->io_weight == b->io_weight && a->pids == b->pids;
}

bool vm_limits_suffice(const struct vm_spec *spec, struct err *err)
{
    unsigned least = PIDS_MIN + 2 * vm_spec_max_vcpus(spec);

    return !spec->limits.pids || spec->limits.pids >= least ||
           err_field(err, ERR_INVALID, "/limits/pids",
                     "QEMU would not find the threads it needs: at least %u, or 0 to leave it to "
                     "vmmd",
                     least);
}

static bool heads_fit(const struct vm_spec *spec, struct err *err)
{
    const struct vm_video *video = &spec->video;
    unsigned most = video->model == VIDEO_VIRTIO ? VM_HEADS_MAX
                    : video->model == VIDEO_QXL  ? QXL_HEADS_MAX
                                                 : 1;

    return video->heads <= most ||
           err_field(err, ERR_INVALID, "/video/heads", "a graphics card %s has %u display%s",
                     vm_video_names[video->model], most, most > 1 ? "s at most" : "");
}

bool vm_spec_rules(const struct vm_spec *spec, struct err *err)
{
    static bool (*const rules[])(const struct vm_spec *, struct err *) = {
        memory_is_whole, max_vcpus_suffice, topology_fits, firmware_fits,   boot_fits,
        ide_fits,        nics_fit,          heads_fit,     disks_are_whole, vm_limits_suffice,
    };

    for (size_t i = 0; i < ARRAY_LEN(rules); i++)
        if (!rules[i](spec, err))
            return false;
    return true;
}
