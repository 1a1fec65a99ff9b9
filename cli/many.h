/* One command for several VMs: which they are, one request for all, each outcome for itself. */
#pragma once
#include "cli/condition.h"

/* The VMs that a command is about: the words of the command line, or what --filter finds. */
struct targets {
    char **name;
    size_t n;
};

/* USAGE: neither, or both. No VM that fits is said, and no fault. */
bool targets_find(struct cli *cli, struct targets *out, struct fault *fault) MUST_USE;
void targets_clear(struct targets *targets); /* for CLEANUP(targets_clear) */

/* What is done to one of them. */
struct errand {
    const char *ref;            /* borrowed from the targets */
    const char *id;             /* asked for by that instead; NULL: by 'ref' */
    json_t *operation;          /* NULL: it was refused, or not asked for */
    struct condition condition; /* of cli->wait_for, if that is set */
};

/* One errand for each target, owned by the caller; NULL with USAGE, before anything is sent, when
 * the condition is none. errands_free() also for NULL. */
struct errand *errands_new(struct cli *cli, const struct targets *targets,
                           struct fault *fault) MUST_USE;
void errands_free(struct errand *errands, size_t n);

/* Several VMs fail one by one: each failure is said at once, the first one's exit code counts. */
void note_fault(struct cli *cli, const char *ref, struct fault *one, struct fault *first,
                bool several);
/* The action 'verb' on all in one request, or a few; what is refused is noted. False: the fault is
 * of them all, and what was submitted is not to be waited for. */
bool errands_ask(struct cli *cli, struct errand *errands, size_t n, const char *verb,
                 const json_t *body, struct fault *first, struct fault *fault) MUST_USE;
/* The action 'verb' with the arguments 'body' (or NULL) on all targets, side by side; waits for
 * each and says that it 'done' ("runs"). The first failure is the fault. */
bool act_on_all(struct cli *cli, const char *verb, const char *done, const json_t *body,
                struct fault *fault) MUST_USE;
