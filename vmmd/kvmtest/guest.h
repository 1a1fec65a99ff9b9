/* A guest of a few instructions on a KVM virtual machine of its own: for the self-test only. */
#pragma once
#include <stddef.h>
#include <stdint.h>

enum guest_end {
    GUEST_HALTED,    /* it reached its HLT */
    GUEST_TIMED_OUT, /* the limit passed first */
    GUEST_EMULATION, /* KVM could not carry an instruction out (KVM_EXIT_INTERNAL_ERROR, emulation)
                      */
    GUEST_BROKEN     /* any other exit */
};

struct guest_result {
    enum guest_end end;
    uint64_t rcx; /* the register at the end: loops that are left, in the timed program */
    uint64_t ran_us;
    uint32_t exit_reason; /* for GUEST_BROKEN */
};

struct guest_program {
    const uint8_t *code; /* 64-bit, ring 0, at 8000h; rdi points to zeroed, aligned memory */
    size_t size;
    uint64_t rcx;
};

/* Runs the program on one virtual processor for at most 'limit_us'. Returns NULL, or the name of
 * the call that failed (errno says why). */
const char *guest_run(int kvm, const struct guest_program *program, uint64_t limit_us,
                      struct guest_result *out);
