/* vmmd-kvmtest: is this host's KVM real? Started by backends/qemu/probe.c, which also judges the
 * answer, with /dev/kvm open as descriptor 3. A process of its own, since a broken KVM may never
 * come back from an ioctl: whoever waits for it can kill it.
 *
 * Prints one line,
 *   {"api":12,"cmpxchg16b":"ok","minsn_s":2400,"cpu":{"vmx":true,"svm":false,"ept":true,"npt":false}}
 * or {"error":"…"}. Exit status 0: KVM runs guests at the speed of hardware; 1: it does not; 2: it
 * could not be tried.
 *
 * Two programs run in ring 0 of a 64-bit guest. cmpxchg16b, which stock kernels use and which
 * emulators leave out; and a loop of four instructions, timed: hardware does thousands of millions
 * a second, an emulator one. */
#include "core/base/json.h"
#include "core/base/mem.h"
#include "vmmd/kvmtest/guest.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define KVM_FD    3
#define LOOPS     2000000ull
#define LOOP_INSN 4
#define LIMIT_US  500000 /* for each of the two */
#define FAST      50     /* million instructions a second; see backends/qemu/kvm_verdict.c */

/* xor eax,eax; xor edx,edx; xor ebx,ebx; cmpxchg16b [rdi]; hlt */
static const uint8_t cmpxchg16b[] = {0x31, 0xc0, 0x31, 0xd2, 0x31, 0xdb,
                                     0x48, 0x0f, 0xc7, 0x0f, 0xf4};
/* l: add rax,rcx; xor rax,rdx; dec rcx; jnz l; hlt */
static const uint8_t loop[] = {0x48, 0x01, 0xc8, 0x48, 0x31, 0xd0,
                               0x48, 0xff, 0xc9, 0x75, 0xf5, 0xf4};

static int answer(json_t *line, int status)
{
    CLEANUP(mem_freep) char *text = json_write(line);

    puts(text);
    json_decref(line);
    return fflush(stdout) == 0 ? status : 2;
}

static int give_up(const char *what, int errnum)
{
    char text[200];

    snprintf(text, sizeof text, "%s: %s", what, strerror(errnum));
    return answer(json_pack("{s:s}", "error", text), 2);
}

/* One word of the "flags" line of /proc/cpuinfo. */
static bool cpu_has(const char *flags, const char *word)
{
    size_t len = strlen(word);

    for (const char *at = flags; (at = strstr(at, word)); at += len)
        if (at > flags && at[-1] == ' ' && (at[len] == ' ' || at[len] == '\n' || !at[len]))
            return true;
    return false;
}

static json_t *cpu_features(void)
{
    static const char *const words[] = {"vmx", "svm", "ept", "npt"};
    static char flags[8192];
    FILE *f = fopen("/proc/cpuinfo", "re");
    json_t *out = json_object();

    while (f && fgets(flags, sizeof flags, f) && strncmp(flags, "flags", 5) != 0)
        flags[0] = 0;
    if (f)
        fclose(f);
    for (unsigned i = 0; i < ARRAY_LEN(words); i++)
        json_put_bool(out, words[i], cpu_has(flags, words[i]));
    return out;
}

static const char *end_text(enum guest_end end)
{
    static const char *const texts[] = {"ok", "timeout", "emulation-failure", "failed"};

    return texts[end];
}

static uint64_t speed_of(const struct guest_result *r)
{
    uint64_t done = r->end == GUEST_HALTED ? LOOPS : LOOPS - (r->rcx < LOOPS ? r->rcx : LOOPS);

    /* Rounded up: an emulator's 0.9 is not nothing. */
    return (done * LOOP_INSN + r->ran_us) / (r->ran_us + 1);
}

int main(void)
{
    const struct guest_program wide = {cmpxchg16b, sizeof cmpxchg16b, 0};
    const struct guest_program timed = {loop, sizeof loop, LOOPS};
    struct guest_result first, second;
    int api = ioctl(KVM_FD, KVM_GET_API_VERSION, 0);
    const char *failed = api < 0 ? "KVM_GET_API_VERSION" : NULL;
    bool fast;

    if (!failed)
        failed = guest_run(KVM_FD, &wide, LIMIT_US, &first);
    if (!failed)
        failed = guest_run(KVM_FD, &timed, LIMIT_US, &second);
    if (failed)
        return give_up(failed, errno);
    fast = first.end == GUEST_HALTED && second.end == GUEST_HALTED && speed_of(&second) >= FAST;
    return answer(json_pack("{s:i,s:s,s:I,s:o}", "api", api, "cmpxchg16b", end_text(first.end),
                            "minsn_s", (json_int_t)speed_of(&second), "cpu", cpu_features()),
                  fast ? 0 : 1);
}
