/* The limits of a QEMU: see limits.h. A guest that uses all its memory must never reach them;
 * a QEMU that was taken over, or leaks, does. Measured: QEMU alone takes 26 to 40 MiB. */
#include "backends/qemu/limits.h"

#include "backends/qemu/machine.h"
#include "core/base/failpoint.h"
#include "core/model/rules.h"

#define MIB         (1ull << 20)
#define QEMU_BYTES  (128 * MIB) /* itself, its libraries, firmware, tables of pages */
#define PER_HUNDRED 3           /* of the guest's memory: tables of pages, dirty bitmaps */
#define DISK_BYTES  (16 * MIB)  /* buffers, of copies too; tables are counted below */
#define PLUG_BYTES  (8 * MIB)   /* the same of one that may be plugged in */
#define LATER_BYTES (200 * MIB) /* tables of layers and disks that come while it runs */
#define NIC_BYTES   (8 * MIB)
#define TCG_BYTES   (256 * MIB) /* argv_cpu.c gives translated code as much at most */
#define VCPU_BYTES  (4 * MIB)
#define THREADS     512 /* for disks (64 at a time each), display, migration */

static uint64_t video_bytes(const struct vm_video *video)
{
    static const uint64_t most[] = {[VIDEO_STD] = 32 * MIB,
                                    [VIDEO_VIRTIO] = 256 * MIB,
                                    [VIDEO_QXL] = 160 * MIB,
                                    [VIDEO_CIRRUS] = 16 * MIB,
                                    [VIDEO_NONE] = 0};

    return most[video->model] * (video->heads ? video->heads : 1);
}

static uint64_t memory_bytes(const struct vm_spec *spec, enum vm_accel accel)
{
    uint64_t bytes = spec->memory_bytes + spec->memory_bytes / 100 * PER_HUNDRED + QEMU_BYTES;

    bytes += (spec->n_disks + spec->n_cdroms) * DISK_BYTES + spec->n_nics * NIC_BYTES;
    bytes += (VM_DISKS_MAX - spec->n_disks) * PLUG_BYTES + LATER_BYTES;
    bytes += vm_spec_max_vcpus(spec) * VCPU_BYTES + video_bytes(&spec->video);
    return bytes + (accel == VM_ACCEL_KVM ? 0 : TCG_BYTES);
}

struct host_limits limits_of(const struct vm_spec *spec, enum vm_accel accel)
{
    const struct vm_limits *l = &spec->limits;

    return (struct host_limits){.cpu_weight = l->cpu_weight,
                                .cpu_percent = l->cpu_percent,
                                .io_weight = l->io_weight,
                                .pids = l->pids ? l->pids : THREADS + 2 * vm_spec_max_vcpus(spec),
                                .memory_bytes = memory_bytes(spec, accel) + l->memory_extra_bytes};
}

/* ---- tables of images ---- */

/* QEMU keeps what it has read of a layer's tables for a while, up to TABLES_MOST of each, so that a
 * guest that reads all over its disk fills the caches of all layers. Smaller ones would be cheaper
 * and, with many layers, make it more than ten times slower. */
#define TABLES_MOST  (32 * MIB)
#define TABLES_SHARE 8192         /* an entry of 8 bytes for each cluster of 64 KiB */
#define LAYER_BYTES  (512 * 1024) /* what a layer takes besides */
#define LATER_LAYERS 8            /* that a disk gets while the VM runs */

static uint64_t tables_of(const struct plan_disk *disk)
{
    uint64_t bytes = disk->size_bytes / TABLES_SHARE + 65536;

    /* A stranger's image has clusters of any size. */
    return disk->leaf_stays_empty || bytes > TABLES_MOST ? TABLES_MOST : bytes;
}

uint64_t limits_of_tables(const struct machine_plan *plan)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < plan->n_disks; i++)
        bytes += (plan->disks[i].n_fds + LATER_LAYERS) * (tables_of(&plan->disks[i]) + LAYER_BYTES);
    return bytes;
}

bool machine_limit(struct machine *m, const struct vm_spec *spec, struct err *err)
{
    struct host_limits limits = limits_of(spec, VM_ACCEL_AUTO);

    limits.memory_bytes = 0;
    return FAILPOINT_AROUND("qemu.limit", host_worker_limit(&m->vm, &limits, err), err);
}
