/* For whom a thread works, and what they may see: the one place that answers it.
 *
 * Somebody with grants may see some VMs, pools and templates only (docs/accounts.md, "Grants").
 * What a request names is found in many places, so that is not handed through: the API says for
 * whom the thread works, and whatever finds an object by what a client wrote, or lists objects,
 * asks (sight_inside.h). Nobody, somebody without grants, and core's own threads see everything;
 * for them each question costs one look at a thread's variable. What core finds by its own ids it
 * does not ask for. */
#pragma once
#include "core/event/event.h"
#include "core/user/who.h"

/* From here to sight_end() this thread works for 'who', who stays, with a route of this right. */
void sight_begin(const struct who *who, enum right right);
void sight_end(void);
/* Whether 'who', not this thread's, may have the event. */
bool sight_event(struct core *core, const struct who *who, const struct event_line *line);

/* What this thread's caller, who has grants, may do with what a client calls 'ref'. NOT_FOUND, in
 * the same words, for what is not there and what may not be seen. */
typedef bool sight_find(struct core *core, const char *ref, uint64_t *rights, struct err *err);
sight_find sight_find_vm, sight_find_snapshot, sight_find_disk, sight_find_pool,
    sight_find_template, sight_find_operation;
