/* Webhooks: events sent to an address, in order, at least once, from a position that survives
 * restarts. The protocol is in docs/webhooks.md, the threads are in deliver.c. */
#pragma once
#include "core/base/str.h"
#include "core/core/core.h"
#include "core/model/query.h"

#define HOOK_MAX         64
#define HOOK_SECRET_MIN  16
#define HOOK_SECRET_MAX  128
#define HOOK_SECRET_TEXT (HOOK_SECRET_MAX + 1)
#define HOOK_TYPES_MAX   16 /* types a webhook may name */

/* What a client may say; texts are borrowed. In an edit NULL leaves a member as it is. */
struct hook_spec {
    const char *name, *url;
    const char *types;  /* separated by commas, "" for all */
    const char *secret; /* NULL on creation: make one */
    bool renew_secret;  /* edit: make a new one */
    bool enabled, keep_enabled;
};

/* INVALID, EXISTS for a name taken, WRONG_STATE when there are HOOK_MAX. 'secret' is shown this one
 * time; "" when the client gave its own. It begins with what happens from now on. */
bool hook_create(struct core *core, const struct hook_spec *spec, const struct origin *origin,
                 struct uuid *id, char secret[HOOK_SECRET_TEXT], struct err *err) MUST_USE;
json_t *hook_show(struct core *core, const char *ref, struct err *err) MUST_USE;
void hook_list(struct core *core, const struct query *query, struct strbuf *out);
/* What is sent from now on goes by the new values; a delivery that waits is tried at once. */
bool hook_edit(struct core *core, const char *ref, const struct hook_spec *spec,
               const struct origin *origin, char secret[HOOK_SECRET_TEXT],
               struct err *err) MUST_USE;
bool hook_delete(struct core *core, const char *ref, const struct origin *origin,
                 struct err *err) MUST_USE;
/* Sends an event "webhook.test" (seq 0) once, now, whether enabled or not; gives its outcome.
 * Blocks for 15 s at most. */
json_t *hook_test(struct core *core, const char *ref, struct err *err) MUST_USE;
/* The last deliveries, the newest first. */
json_t *hook_deliveries(struct core *core, const char *ref, struct err *err) MUST_USE;
