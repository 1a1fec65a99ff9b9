/* Is KVM of use here? See kvm_verdict.h; called by probe.c.
 *
 * That /dev/kvm opens proves nothing: a kernel that emulates the processor's virtualization in
 * software opens it, creates VMs and runs boot sectors, at a millionth of a second an instruction,
 * and hangs every stock kernel. The self-test's two measures tell it apart: real KVM runs
 * cmpxchg16b and is a thousand times faster. */
#include "backends/qemu/kvm_verdict.h"

#include "core/base/str.h"

#include <stdio.h>

#define SLOW_MINSN_S 50 /* hardware does more than 1000, software about 1 */

static void judge(struct backend_probe *out, const char *state, const char *verdict,
                  const char *fix)
{
    out->kvm_healthy = str_eq(state, "ok");
    str_copy(out->kvm_state, sizeof out->kvm_state, state);
    str_copy(out->kvm_verdict, sizeof out->kvm_verdict, verdict);
    str_copy(out->kvm_fix, sizeof out->kvm_fix, fix);
}

bool kvm_judge_facts(const struct host_facts *facts, struct backend_probe *out)
{
    if (!facts->kvm_node)
        judge(
            out, "missing", "KVM is not used: /dev/kvm does not exist",
            "Enable VT-x or AMD-V in the firmware (in a VM: nested virtualization on its host) and "
            "load the module kvm_intel or kvm_amd");
    else if (!facts->kvm_opens)
        judge(out, "no-access", "KVM is not used: /dev/kvm cannot be opened",
              "Add the user that runs vmmd to the group kvm, or install vmmd as root");
    return !facts->kvm_node || !facts->kvm_opens;
}

void kvm_judge_closed(const char *why, struct backend_probe *out)
{
    char verdict[sizeof out->kvm_verdict];

    snprintf(verdict, sizeof verdict, "KVM is not used: /dev/kvm cannot be opened (%.120s)", why);
    judge(out, "no-access", verdict, "Look into vmmd's log; check the permissions of /dev/kvm");
}

static bool has_hardware(const json_t *line)
{
    const json_t *cpu = json_object_get(line, "cpu");

    return json_get_bool(cpu, "vmx", false) || json_get_bool(cpu, "svm", false);
}

static void judge_failed(const json_t *line, struct backend_probe *out)
{
    const char *cmpxchg = json_get_text(line, "cmpxchg16b");
    char verdict[sizeof out->kvm_verdict];

    if (str_eq(cmpxchg, "ok") && has_hardware(line)) {
        snprintf(verdict, sizeof verdict,
                 "KVM is not used: its self-test ran at %llu million instructions a second",
                 (unsigned long long)out->kvm_minsn_s);
        judge(out, "broken", verdict,
              "Start vmmd again when the host is less busy; look for kvm messages in the kernel's "
              "log");
        return;
    }
    snprintf(verdict, sizeof verdict,
             "KVM is not used: it is emulated in software (%llu million instructions a second, "
             "cmpxchg16b: %.24s) and would hang guests",
             (unsigned long long)out->kvm_minsn_s, cmpxchg ? cmpxchg : "?");
    judge(out, "software", verdict,
          "Use a host whose processor has VT-x or AMD-V (in a VM: turn nested virtualization on)");
}

static void judge_line(const json_t *line, struct backend_probe *out)
{
    const char *cmpxchg = json_get_text(line, "cmpxchg16b");
    const char *error = json_get_text(line, "error");
    char verdict[sizeof out->kvm_verdict];

    out->kvm_minsn_s = json_get_u64(line, "minsn_s", 0);
    if (error) {
        snprintf(verdict, sizeof verdict, "KVM is not used: its self-test failed (%.120s)", error);
        judge(out, "broken", verdict, "Look for kvm messages in the kernel's log");
    } else if (json_get_u64(line, "api", 0) != 12) {
        judge(out, "broken", "KVM is not used: the kernel's interface has another version",
              "Use a kernel with KVM API 12");
    } else if (str_eq(cmpxchg, "ok") && out->kvm_minsn_s >= SLOW_MINSN_S) {
        snprintf(verdict, sizeof verdict,
                 "KVM is used: its self-test ran at %llu million instructions a second",
                 (unsigned long long)out->kvm_minsn_s);
        judge(out, "ok", verdict, "");
    } else {
        judge_failed(line, out);
    }
}

void kvm_judge_run(enum kvm_run run, const json_t *line, struct backend_probe *out)
{
    static const char reload[] = "Load the kvm modules again or restart the host, then vmmd";

    out->kvm_minsn_s = 0;
    switch (run) {
    case KVM_RUN_ANSWERED:
        judge_line(line, out);
        break;
    case KVM_RUN_TIMED_OUT:
        judge(out, "broken", "KVM is not used: its self-test did not end", reload);
        break;
    case KVM_RUN_DIED:
        judge(out, "broken", "KVM is not used: its self-test died", reload);
        break;
    case KVM_RUN_NOT_STARTED:
        judge(out, "broken", "KVM is not used: its self-test vmmd-kvmtest could not be started",
              "Install vmmd-kvmtest beside vmmd, in a directory that vmmd's user can enter");
        break;
    }
}
