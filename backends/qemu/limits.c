/* The limits of a QEMU: see limits.h. A guest that uses all its memory must never reach them;
 * a QEMU that was taken over, or leaks, does. Measured: QEMU alone takes 26 to 40 MiB. */
#include "backends/qemu/limits.h"

#include "backends/qemu/machine.h"
#include "core/base/failpoint.h"
#include "core/model/rules.h"

#define MIB         (1ull << 20)
#define QEMU_BYTES  (128 * MIB) /* itself, its libraries, firmware, tables of pages */
#define PER_HUNDRED 3           /* of the guest's memory: tables of pages, dirty bitmaps */
#define DISK_BYTES  (48 * MIB)  /* a cache of tables for each layer in use, buffers of copies */
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

bool machine_limit(struct machine *m, const struct vm_spec *spec, struct err *err)
{
    struct host_limits limits = limits_of(spec, VM_ACCEL_AUTO);

    limits.memory_bytes = 0;
    return FAILPOINT_AROUND("qemu.limit", host_worker_limit(&m->vm, &limits, err), err);
}
