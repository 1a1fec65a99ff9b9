/* A guest on KVM: see guest.h.
 *
 * Memory, 2 MiB, mapped one to one by a single large page:
 *   1000h GDT   2000h PML4   3000h PDPT   4000h PD   7000h stack   8000h code   9000h data
 * The processor starts in 64-bit mode, so a program is nothing but its own instructions. A timer
 * ends a run that takes too long: its handler sets 'immediate_exit', so that a signal which comes
 * just before KVM_RUN is not lost. */
#include "vmmd/kvmtest/guest.h"

#include <errno.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define MEMORY (2u << 20)
#define GDT    0x1000
#define PML4   0x2000
#define PDPT   0x3000
#define PD     0x4000
#define STACK  0x7000
#define CODE   0x8000
#define DATA   0x9000
#define CPUIDS 256

struct guest {
    int vm, cpu;
    char *memory;
    struct kvm_run *run;
    size_t run_size;
};

static struct kvm_run *volatile running; /* for the signal's handler */

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void time_is_up(int signal)
{
    if (running)
        running->immediate_exit = 1;
}

static void put64(struct guest *g, size_t at, uint64_t value)
{
    memcpy(g->memory + at, &value, sizeof value);
}

static const char *make_memory(struct guest *g, const struct guest_program *program)
{
    struct kvm_userspace_memory_region region = {.memory_size = MEMORY};

    g->memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (g->memory == MAP_FAILED) {
        g->memory = NULL;
        return "mmap";
    }
    put64(g, GDT + 8, 0x00af9b000000ffffull);  /* 64-bit code */
    put64(g, GDT + 16, 0x00cf93000000ffffull); /* data */
    put64(g, PML4, PDPT | 3);
    put64(g, PDPT, PD | 3);
    put64(g, PD, 0x83); /* present, writable, 2 MiB */
    memcpy(g->memory + CODE, program->code, program->size);
    region.userspace_addr = (uintptr_t)g->memory;
    if (ioctl(g->vm, KVM_SET_TSS_ADDR, 0xfffbd000ul) < 0)
        return "KVM_SET_TSS_ADDR";
    return ioctl(g->vm, KVM_SET_USER_MEMORY_REGION, &region) < 0 ? "KVM_SET_USER_MEMORY_REGION"
                                                                 : NULL;
}

static const char *copy_cpuid(struct guest *g, int kvm)
{
    static union {
        struct kvm_cpuid2 head;
        char room[sizeof(struct kvm_cpuid2) + CPUIDS * sizeof(struct kvm_cpuid_entry2)];
    } ids;

    ids.head.nent = CPUIDS;
    if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &ids) < 0)
        return "KVM_GET_SUPPORTED_CPUID";
    return ioctl(g->cpu, KVM_SET_CPUID2, &ids) < 0 ? "KVM_SET_CPUID2" : NULL;
}

static const char *make_cpu(struct guest *g, int kvm)
{
    int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);

    g->cpu = ioctl(g->vm, KVM_CREATE_VCPU, 0);
    if (g->cpu < 0)
        return "KVM_CREATE_VCPU";
    if (size < (int)sizeof *g->run)
        return "KVM_GET_VCPU_MMAP_SIZE";
    g->run_size = (size_t)size;
    g->run = mmap(NULL, g->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, g->cpu, 0);
    if (g->run == MAP_FAILED) {
        g->run = NULL;
        return "mmap of the processor";
    }
    return copy_cpuid(g, kvm);
}

static const char *set_registers(struct guest *g, const struct guest_program *program)
{
    struct kvm_segment code = {
        .limit = ~0u, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1};
    struct kvm_segment data = {
        .limit = ~0u, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1};
    struct kvm_regs regs = {
        .rip = CODE, .rflags = 2, .rsp = STACK, .rcx = program->rcx, .rdi = DATA};
    struct kvm_sregs sregs;

    if (ioctl(g->cpu, KVM_GET_SREGS, &sregs) < 0)
        return "KVM_GET_SREGS";
    sregs.cr3 = PML4;
    sregs.cr4 = 0x20;       /* PAE */
    sregs.cr0 = 0x80050033; /* paging, write protection, protected mode */
    sregs.efer = 0x500;     /* long mode, enabled and active */
    sregs.cs = code;
    sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
    sregs.gdt.base = GDT;
    sregs.gdt.limit = 3 * 8 - 1;
    if (ioctl(g->cpu, KVM_SET_SREGS, &sregs) < 0)
        return "KVM_SET_SREGS";
    return ioctl(g->cpu, KVM_SET_REGS, &regs) < 0 ? "KVM_SET_REGS" : NULL;
}

static enum guest_end end_of(const struct kvm_run *run)
{
    if (run->exit_reason == KVM_EXIT_HLT)
        return GUEST_HALTED;
    if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR &&
        run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION)
        return GUEST_EMULATION;
    return GUEST_BROKEN;
}

static void set_timer(uint64_t us)
{
    struct itimerval t = {.it_value = {(time_t)(us / 1000000), (suseconds_t)(us % 1000000)}};

    setitimer(ITIMER_REAL, &t, NULL);
}

static const char *run_cpu(struct guest *g, uint64_t limit_us, struct guest_result *out)
{
    struct sigaction action = {.sa_handler = time_is_up};
    struct kvm_regs regs;
    uint64_t start_us;
    int rc, e;

    running = g->run;
    sigaction(SIGALRM, &action, NULL);
    start_us = now_us();
    set_timer(limit_us);
    rc = ioctl(g->cpu, KVM_RUN, 0);
    e = errno;
    out->ran_us = now_us() - start_us;
    set_timer(0);
    running = NULL;
    errno = e;
    if (rc < 0 && e != EINTR)
        return "KVM_RUN";
    out->end = rc < 0 ? GUEST_TIMED_OUT : end_of(g->run);
    out->exit_reason = g->run->exit_reason;
    if (ioctl(g->cpu, KVM_GET_REGS, &regs) < 0)
        return "KVM_GET_REGS";
    out->rcx = regs.rcx;
    return NULL;
}

static void guest_clear(struct guest *g)
{
    int e = errno;

    if (g->run)
        munmap(g->run, g->run_size);
    if (g->memory)
        munmap(g->memory, MEMORY);
    if (g->cpu >= 0)
        close(g->cpu);
    if (g->vm >= 0)
        close(g->vm);
    errno = e;
}

const char *guest_run(int kvm, const struct guest_program *program, uint64_t limit_us,
                      struct guest_result *out)
{
    struct guest g = {.vm = ioctl(kvm, KVM_CREATE_VM, 0), .cpu = -1};
    const char *failed = g.vm < 0 ? "KVM_CREATE_VM" : make_memory(&g, program);

    *out = (struct guest_result){.end = GUEST_BROKEN};
    if (!failed)
        failed = make_cpu(&g, kvm);
    if (!failed)
        failed = set_registers(&g, program);
    if (!failed)
        failed = run_cpu(&g, limit_us, out);
    guest_clear(&g);
    return failed;
}
