/* The restart policy of a VM: whether it is started again after it ended by itself, and when. Pure;
 * core/vm/restart.c does it. docs/autostart.md tells the whole. */
#pragma once
#include "core/model/state.h"
#include "core/model/vm.h"

#define RESTARTS_MAX       100    /* as 'max_in_10_min' may be */
#define RESTARTS_WINDOW_MS 600000 /* ten minutes */
#define RESTART_PAUSE_MS   1000  /* before the first one in the window; doubled for each more … */
#define RESTART_LONGEST_MS 60000 /* … up to this */

/* Of one VM, kept with its row: what was counted survives the daemon. Times since 1970. */
struct restarts {
    int64_t due_ms; /* of the next one; 0: none is due */
    unsigned n;
    int64_t at_ms[RESTARTS_MAX]; /* when the last ones were begun, oldest first */
};

enum restart_verdict { RESTART_NOT, RESTART_DUE, RESTART_GIVEN_UP };

/* The VM ended, or waits for somebody, in 'run' for 'reason', though 'desired' says running. */
bool restart_is_wanted(int policy, enum vm_desired desired, enum vm_run run, enum vm_reason reason);
/* True when a VM in this state can be started again by the policy, given that it is due. */
bool restart_is_possible(enum vm_run run, enum vm_reason reason);
/* Sets r->due_ms, or says that there were as many as the policy allows. Forgets what is older than
 * the window. */
enum restart_verdict restarts_plan(struct restarts *r, unsigned max_in_10_min, int64_t now_ms);
/* One begins now: it is counted, and none is due. */
void restarts_count(struct restarts *r, int64_t now_ms);

json_t *restarts_encode(const struct restarts *r); /* null when there is nothing to say */
char *restarts_text(const struct restarts *r);     /* the same as text, NULL for null */
/* What cannot be read is nothing: a policy forgotten is better than a VM lost. */
void restarts_decode(const json_t *value, struct restarts *out);
