/* What a VM is waited for beyond the end of an operation: --wait=CONDITION and vm wait --for. */
#pragma once
#include "cli/cli.h"
#include "cli/until.h"

enum condition_kind {
    CONDITION_STATE,   /* run.state is 'value' */
    CONDITION_MEMBER,  /* the member at 'path' is 'value' */
    CONDITION_DELETED, /* there is no such VM any more */
    CONDITION_SERIAL,  /* the serial console's output matches 'value' */
};

/* A VM and what it is waited for. */
struct condition {
    enum condition_kind kind;
    const char *text; /* as it was written */
    char *path;       /* CONDITION_MEMBER */
    const char *value;
    struct until until;  /* CONDITION_SERIAL */
    uint64_t offset;     /* CONDITION_SERIAL: the next byte to look at */
    int64_t deadline_ms; /* monotonic */
    char seen[64];       /* what was there instead, when it was looked at last */
};

/* "running", "off", "deleted", "serial:REGEX", "MEMBER==VALUE". USAGE. Clear it in all cases;
 * 'text' must outlive it. */
bool condition_init(struct condition *c, const char *text, struct fault *fault) MUST_USE;
void condition_clear(struct condition *c); /* for CLEANUP(condition_clear) */
/* From here on the time runs, and what the guest writes counts, with up to 'history' bytes that it
 * wrote before: call it before what is to bring the condition about. */
bool condition_begin(struct cli *cli, struct condition *c, const char *ref, uint64_t history,
                     struct fault *fault) MUST_USE;
/* Blocks until it holds. A restart of the service is waited out. TIMED_OUT, INTERRUPTED. */
bool condition_wait(struct cli *cli, struct condition *c, const char *ref,
                    struct fault *fault) MUST_USE;
