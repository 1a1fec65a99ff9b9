/* The core service: everything a person or a script can do, behind plain calls. The API decodes,
 * makes one call here, encodes. Calls block; those that take long submit a job and return its id.
 *
 * Objects are named by 'ref': the id, or the unique name. */
#pragma once
#include "core/base/err.h"
#include "core/base/id.h"
#include "core/base/json.h"
#include "core/model/right.h"
#include "core/port/pam.h"

#include <stdint.h>

struct core;
struct store;

/* Who asks, and how: goes with every call that changes something. All texts are borrowed. */
struct origin {
    const char *principal; /* "token:ci", "unix:0", "vmmd" */
    enum role role;
    const char *request_id;
    const char *route;           /* "POST /api/v1/vms" */
    const char *idempotency_key; /* NULL when none */
    uint8_t body_sha256[32];
    bool dry_run; /* check everything, change nothing */
};

struct core_config {
    const char *state_dir;                  /* /var/lib/vmmd */
    unsigned session_idle_s, session_max_s; /* of browsers' sessions; 0: 12 h, 7 days */
    pam_ask *pam;                           /* NULL: no user's password is the host's */
    /* Told the store's epoch before any machine is attached; may be NULL. */
    void (*on_epoch)(uint32_t epoch);
};

/* Opens the store, loads everything, probes the host, takes up the running machines (all in
 * parallel), settles open jobs. On return the world is consistent and requests may be served. */
struct core *core_open(const struct core_config *config, struct err *err) MUST_USE;
/* Wakes and refuses all who wait, lets running jobs come to a point where they can be taken up
 * again, releases the machines (guests go on). */
void core_close(struct core *core);
/* Makes every wait (long-poll, event stream) return at once; first step of shutting down. */
void core_interrupt(struct core *core);
/* The store could not be written: the daemon must end itself and be started again. */
bool core_is_broken(struct core *core);

/* ---- Idempotency: looks a key up before anything is done. '*found': the earlier request is the
 * same and made 'object' of 'type' ("operation", "pool", "token"); IDEM_MISMATCH: it was another.
 */
bool core_idem_find(struct core *core, const struct origin *origin, bool *found, char type[16],
                    struct uuid *object, struct err *err) MUST_USE;
/* More of what the earlier request with this key made, for a "batch": owned by the caller.
 * NOT_FOUND when its day is over. */
json_t *core_idem_note(struct core *core, const struct origin *origin, struct err *err) MUST_USE;
