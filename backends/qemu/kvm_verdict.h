/* Is KVM of use here? The judgement on what was found out, as pure functions. */
#pragma once
#include "core/base/json.h"
#include "core/port/backend.h"
#include "core/port/host.h"

/* What the self-test (vmmd-kvmtest) came to. */
enum kvm_run {
    KVM_RUN_ANSWERED,   /* it printed its line */
    KVM_RUN_TIMED_OUT,  /* it had to be killed */
    KVM_RUN_DIED,       /* it ended without a line that can be read */
    KVM_RUN_NOT_STARTED /* the program is missing or cannot be executed */
};

/* Fills the kvm_ members when the self-test need not be run; false when it must be. */
bool kvm_judge_facts(const struct host_facts *facts, struct backend_probe *out);
/* Fills them from its outcome; 'line' (for ANSWERED) as vmmd-kvmtest prints it. */
void kvm_judge_run(enum kvm_run run, const json_t *line, struct backend_probe *out);
/* /dev/kvm was there but did not open for this daemon; 'why' is the error's sentence. */
void kvm_judge_closed(const char *why, struct backend_probe *out);
