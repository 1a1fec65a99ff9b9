/* What the checks of a host look at: a root directory to read beneath, and what no file tells. Who
 * asks fills it: the service from what it found out at start, vmmctl by trying for itself. */
#pragma once
#include "core/base/cleanup.h"

#include <stdbool.h>
#include <stdint.h>

/* A directory that vmmd keeps things in. */
struct facts_place {
    const char *id; /* "state", or that of a pool root; borrowed */
    int fd;         /* -1: it cannot be opened; borrowed */
};

struct facts_qemu {
    char version[64];        /* "7.2.22 (Debian …)"; "": not found */
    char *machines, *accels; /* what "-machine help" and "-accel help" print; NULL: not asked */
};

struct inspect_facts {
    int root; /* see sysfs.h */

    bool service; /* the service asks: what it may do counts, not what the caller may */
    bool root_user;
    bool userns;    /* user namespaces can be made */
    bool cgroup_v2; /* each VM gets a cgroup of its own */
    /* In words, for the service: what guests can be limited in and what not; borrowed. */
    const char *limits, *no_limits;

    const char *qemu_path; /* borrowed */
    struct facts_qemu qemu;
    bool kvm_healthy;
    const char *kvm_verdict, *kvm_fix; /* borrowed; one sentence each */
    unsigned max_vcpus;                /* of a VM with KVM; 0: not known */

    const struct facts_place *state; /* the state directory, NULL: there is none (yet) */
    const struct facts_place *roots; /* NULL: not known */
    unsigned n_roots;

    /* Of vmmctl, which reads vmmd.conf as the service would; borrowed, NULL: not looked at. */
    const char *config_path;  /* what was read */
    const char *config_wrong; /* why the service would not start with it; NULL: nothing */

    /* facts_of_kernel() */
    bool cpuid_virt;  /* the processor itself claims VT-x or AMD-V, whatever the kernel says */
    int landlock_abi; /* 0: none */
    int clock_synced; /* 1, 0; -1: not known */
};

/* Asks the processor and the kernel; blocks on nothing. */
void facts_of_kernel(struct inspect_facts *facts);
/* KVM_CAP_MAX_VCPUS of an open /dev/kvm; 0 when it does not tell. */
unsigned facts_max_vcpus(int kvm);
/* Runs QEMU three times, some 50 ms each. '*out' is to be cleared. */
void facts_of_qemu(const char *path, struct facts_qemu *out);
void facts_qemu_clear(struct facts_qemu *qemu); /* for CLEANUP(facts_qemu_clear) */
