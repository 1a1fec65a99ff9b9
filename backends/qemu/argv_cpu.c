/* QEMU's arguments for memory, board and processors. Part of argv.c's work and called by it only.
 */
#include "backends/qemu/builder.h"
#include "backends/qemu/places.h"
#include "backends/qemu/preload.h"

#include "core/model/rules.h"

#include <stdio.h>

#define SMALL_GUEST (512ull << 20)
#define PLAIN_REACH (512ull << 30) /* memory that the 40 address bits of a plain model reach */
#define WIDE_BITS   46

/* What Windows looks for on a hypervisor of its maker. QEMU 7.2 under TCG refuses to start with
 * them (they are the kernel's work), so they are left out there. */
#define HYPERV                                                                                     \
    ",hv-relaxed,hv-vapic,hv-spinlocks=0x1fff,hv-vpindex,hv-runtime,hv-synic,hv-time,hv-stimer,"   \
    "hv-frequencies,hv-reset"

static void add_memory(struct builder *b)
{
    const struct vm_spec *spec = b->plan->spec;
    bool image = b->plan->memory_fd >= 0;
    json_t *memory;

    /* The id is part of every saved state: it stays "pc.ram". Without a reservation the kernel does
     * not compare the size with what the host has: that is what memory_overcommit asks for. */
    memory =
        json_pack("{s:s,s:s,s:I,s:b,s:b}", "qom-type",
                  image ? "memory-backend-file" : "memory-backend-ram", "id", "pc.ram", "size",
                  (json_int_t)spec->memory_bytes, "share", 0, "reserve", !spec->memory_overcommit);
    if (image) /* mapped privately: what the guest writes is its own */
        json_put_text(memory, "mem-path", PRELOAD_MEMORY_PATH);
    arg_json(b, "-object", memory);
    arg(b, "-m", "size=%lluB", (unsigned long long)spec->memory_bytes);
}

void board_add(struct builder *b)
{
    const struct vm_spec *spec = b->plan->spec;
    bool uefi = spec->firmware.type == FIRMWARE_UEFI;
    const char *type = b->made ? places_machine(b->made) : is_q35(b) ? "q35" : "pc";

    add_memory(b);
    arg(b, "-machine", "%s,usb=off,vmport=off,dump-guest-core=off,memory-backend=pc.ram%s%s", type,
        uefi ? ",pflash0=fw-code,pflash1=fw-vars" : "",
        spec->firmware.secure_boot ? ",smm=on" : "");
    /* The jail knows no time zone: a local clock is started at the host's time of day instead. */
    if (spec->clock == CLOCK_LOCALTIME && b->facts->local_time)
        arg(b, "-rtc", "base=%s", b->facts->local_time);
    else
        arg(b, "-rtc", "base=utc");
    arg(b, "-display", "none");
    arg(b, "-vga", "none");
}

/* The parts that the user left open: cores take what sockets and threads leave; cores given,
 * sockets do. core/model/rules.c has seen to it that the division has no rest. */
static void topology(const struct vm_spec *spec, unsigned *sockets, unsigned *cores,
                     unsigned *threads)
{
    const struct vm_cpu *cpu = &spec->cpu;
    unsigned given = 1, rest;

    *sockets = cpu->sockets ? cpu->sockets : 1;
    *cores = cpu->cores ? cpu->cores : 1;
    *threads = cpu->threads ? cpu->threads : 1;
    given = *sockets * *cores * *threads;
    rest = vm_spec_max_vcpus(spec) / given;
    if (!cpu->cores)
        *cores = rest;
    else if (!cpu->sockets)
        *sockets = rest;
    else if (!cpu->threads)
        *threads = rest;
}

static void add_model(struct builder *b, bool kvm)
{
    const struct vm_spec *spec = b->plan->spec;
    const char *model = spec->cpu.model ? spec->cpu.model : kvm ? "host" : "max";
    char bits[32] = "";

    /* KVM's host model brings the host's width with it. */
    if (spec->memory_bytes > PLAIN_REACH && kvm && spec->cpu.model)
        snprintf(bits, sizeof bits, ",host-phys-bits=on");
    else if (spec->memory_bytes > PLAIN_REACH && !kvm)
        snprintf(bits, sizeof bits, ",phys-bits=%d", WIDE_BITS);
    arg(b, "-cpu", "%s%s%s", model, bits, spec->hyperv && kvm ? HYPERV : "");
}

/* With a thread each, emulated processors share out the buffer of translated code; one that is
 * plugged in when all of it is given away ends QEMU 7.2 (an assertion in tcg/region.c). Where there
 * is room for more processors all of them take turns in one thread, which has the whole buffer. */
static void add_accelerator(struct builder *b, bool kvm)
{
    const struct vm_spec *spec = b->plan->spec;
    bool room = vm_spec_max_vcpus(spec) > spec->vcpus;

    if (kvm)
        arg(b, "-accel", "kvm");
    else /* the buffer counts as the guest's overhead: keep it in proportion */
        arg(b, "-accel", "tcg,tb-size=%d%s", spec->memory_bytes <= SMALL_GUEST ? 64 : 256,
            room ? ",thread=single" : "");
}

void processor_add(struct builder *b)
{
    const struct vm_spec *spec = b->plan->spec;
    bool kvm = b->plan->accel == VM_ACCEL_KVM;
    unsigned sockets, cores, threads;

    add_accelerator(b, kvm);
    add_model(b, kvm);
    topology(spec, &sockets, &cores, &threads);
    /* Processors that were plugged in are where the same number of them is at a start. */
    arg(b, "-smp", "cpus=%u,maxcpus=%u,sockets=%u,cores=%u,threads=%u",
        b->made ? places_vcpus(b->made) : spec->vcpus, vm_spec_max_vcpus(spec), sockets, cores,
        threads);
}
