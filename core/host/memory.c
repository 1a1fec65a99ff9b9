/* Admission of memory: see memory.h. */
#include "core/host/memory.h"

#include <inttypes.h>
#include <stdio.h>

#define MIB (1ull << 20)
#define OVERHEAD_BYTES                                                                             \
    (96 * MIB) /* QEMU itself, measured: 26-40 MiB alone, TCG buffers besides                      \
                */

bool memory_read(uint64_t *total_bytes, uint64_t *available_bytes, struct err *err)
{
    FILE *f = fopen("/proc/meminfo", "re");
    uint64_t total = 0, available = 0, kib;
    char line[160];

    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "MemTotal: %" SCNu64, &kib) == 1)
            total = kib * 1024;
        else if (sscanf(line, "MemAvailable: %" SCNu64, &kib) == 1)
            available = kib * 1024;
    }
    if (f)
        fclose(f);
    if (!total)
        return err_set(err, ERR_INTERNAL, "/proc/meminfo cannot be read");
    *total_bytes = total;
    *available_bytes = available;
    return true;
}

/* A host that is told never to promise more than it has (vm.overcommit_memory=2) refuses QEMU's
 * mapping, whatever the VM's configuration says. */
static bool host_overcommits(uint64_t need, struct err *err)
{
    uint64_t limit = 0, committed = 0, kib;
    FILE *f = fopen("/proc/sys/vm/overcommit_memory", "re");
    int mode = 0;
    char line[160];

    if (f && fscanf(f, "%d", &mode) != 1)
        mode = 0;
    if (f)
        fclose(f);
    f = mode == 2 ? fopen("/proc/meminfo", "re") : NULL;
    if (!f)
        return true;
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "CommitLimit: %" SCNu64, &kib) == 1)
            limit = kib * 1024;
        else if (sscanf(line, "Committed_AS: %" SCNu64, &kib) == 1)
            committed = kib * 1024;
    }
    fclose(f);
    return committed + need <= limit ||
           err_field(err, ERR_NO_MEMORY, "/memory_bytes",
                     "the VM needs %llu MiB and this host never promises more memory than it has: "
                     "lower memory_bytes, or set the sysctl vm.overcommit_memory to 0",
                     need / MIB);
}

bool memory_promise(struct core *core, const struct vm_spec *spec, uint64_t *promised,
                    struct err *err)
{
    uint64_t need = spec->memory_bytes + OVERHEAD_BYTES, total, available, others;
    bool fits;

    *promised = 0;
    if (spec->backend != VM_BACKEND_QEMU)
        return true;
    if (spec->memory_overcommit)
        return host_overcommits(need, err);
    if (!memory_read(&total, &available, err))
        return false;
    lock_take(&core->registry.lock);
    others = core->registry.starting_bytes;
    fits = need + others <= available;
    if (fits)
        core->registry.starting_bytes += need;
    lock_drop(&core->registry.lock);
    if (fits)
        *promised = need;
    return fits || err_field(err, ERR_NO_MEMORY, "/memory_bytes",
                             "the VM needs %llu MiB and %llu MiB are available (%llu MiB of them "
                             "promised to VMs that are just starting): lower memory_bytes, stop a "
                             "VM, or set memory_overcommit to start it all the same",
                             need / MIB, available / MIB, others / MIB);
}

void memory_release(struct core *core, uint64_t promised)
{
    lock_take(&core->registry.lock);
    core->registry.starting_bytes -= promised;
    lock_drop(&core->registry.lock);
}
