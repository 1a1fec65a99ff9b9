/* What no file tells about a host: see facts.h. */
#include "core/inspect/facts.h"

#include "core/base/capture.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <cpuid.h>
#include <linux/kvm.h>
#include <linux/landlock.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <unistd.h>

#define QEMU_MS       5000
#define VERSION_WORDS "QEMU emulator version "

/* Intel SDM vol. 2, CPUID leaf 1: ECX bit 5 is VMX. AMD APM vol. 3, leaf 80000001h: ECX bit 2 is
 * SVM. The kernel clears its own flag when the firmware has locked the feature, CPUID does not. */
static bool cpuid_claims_virt(void)
{
    unsigned a, b, c, d;

    if (__get_cpuid(1, &a, &b, &c, &d) && (c & 1u << 5))
        return true;
    return __get_cpuid(0x80000001, &a, &b, &c, &d) && (c & 1u << 2);
}

void facts_of_kernel(struct inspect_facts *facts)
{
    struct timex t = {0};
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    int clock = adjtimex(&t);

    facts->cpuid_virt = cpuid_claims_virt();
    facts->landlock_abi = abi > 0 ? (int)abi : 0;
    facts->clock_synced = clock < 0 ? -1 : clock != TIME_ERROR && !(t.status & STA_UNSYNC);
}

unsigned facts_max_vcpus(int kvm)
{
    int n = kvm < 0 ? 0 : ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);

    return n > 0 ? (unsigned)n : 0;
}

/* What "qemu OPTION [VALUE]" prints; NULL when it fails. */
static char *qemu_says(const char *path, const char *option, const char *value)
{
    char *const argv[] = {(char *)path, (char *)option, (char *)value, NULL};
    CLEANUP(mem_freep) struct capture *run = mem_alloc(sizeof *run);
    struct err err = {0};

    if (!capture_run(argv, -1, QEMU_MS, run, &err) || run->timed_out || run->wstatus != 0)
        return NULL;
    str_scrub_utf8(run->text);
    return str_dup(run->text);
}

void facts_of_qemu(const char *path, struct facts_qemu *out)
{
    CLEANUP(mem_freep) char *version = qemu_says(path, "--version", NULL);

    *out = (struct facts_qemu){0};
    if (!version || !str_starts(version, VERSION_WORDS))
        return;
    version[strcspn(version, "\r\n")] = 0;
    str_copy(out->version, sizeof out->version, version + strlen(VERSION_WORDS));
    str_scrub(out->version);
    out->machines = qemu_says(path, "-machine", "help");
    out->accels = qemu_says(path, "-accel", "help");
}

void facts_qemu_clear(struct facts_qemu *qemu)
{
    mem_freep(&qemu->machines);
    mem_freep(&qemu->accels);
}
