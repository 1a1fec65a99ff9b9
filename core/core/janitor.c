/* Work that nobody waits for: see janitor.h. */
#include "core/core/janitor.h"

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/core/parts.h"
#include "core/disk/space.h"
#include "core/disk/upload.h"
#include "core/event/audit.h"
#include "core/snap/schedule.h"
#include "core/snap/unfinished.h"
#include "core/vm/refill.h"
#include "core/vm/registry.h"

#include <stdlib.h>

#define EVERY_MS    60000
#define SPACE_MS    5000
#define HEAD_MS     (3600 * 1000ll)
#define KEEP_EVENTS 100000
#define KEEP_AUDIT  1000000
#define KEEP_JOBS   10000
#define IDEM_MS     (24 * 3600 * 1000ll)

struct janitor {
    struct core *core;
    pthread_t thread;
    struct lock lock;
    struct cond woken;
    bool stopping GUARDED_BY(lock);
};

/* Some of what is too old: nobody's change shall wait long for it. */
static bool trim_some(struct core *core, bool *more, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(core->store, err);

    return txn && store_event_trim(txn, KEEP_EVENTS, more, err) &&
           store_audit_trim(txn, KEEP_AUDIT, more, err) &&
           store_job_trim(txn, KEEP_JOBS, more, err) &&
           store_idem_trim(txn, clock_wall_ms() - IDEM_MS, more, err) && store_commit(&txn, err);
}

static void trim(struct core *core)
{
    struct err err = {0};
    bool more = true;

    while (more && !atomic_load(&core->closing)) {
        more = false;
        if (!trim_some(core, &more, &err)) {
            log_warn("old rows were not trimmed: %s", err.detail);
            return;
        }
    }
}

static void *janitor_main(void *arg)
{
    struct janitor *j = arg;
    int64_t due = 0, head_due = 0;
    uint64_t head = 0;
    bool stop = false;

    while (!stop) {
        int64_t now = clock_mono_ms();

        if (now >= due) {
            trim(j->core);
            due = now + EVERY_MS;
        }
        if (now >= head_due) {
            audit_log_head(j->core, &head);
            uploads_sweep(j->core);
            head_due = now + HEAD_MS;
        }
        space_watch(j->core);
        refill_look(j->core);
        schedules_tick(j->core);
        unfinished_look(j->core);
        lock_take(&j->lock);
        while (!j->stopping && cond_wait_until(&j->woken, &j->lock, now + SPACE_MS))
            ;
        stop = j->stopping;
        lock_drop(&j->lock);
    }
    return NULL;
}

struct janitor *janitor_start(struct core *core, struct err *err)
{
    struct janitor *j = mem_alloc(sizeof *j);

    j->core = core;
    lock_init(&j->lock);
    cond_init(&j->woken);
    if (thread_start(&j->thread, "janitor", janitor_main, j, err))
        return j;
    cond_clear(&j->woken);
    lock_clear(&j->lock);
    free(j);
    return NULL;
}

void janitor_stop(struct janitor *j)
{
    if (!j)
        return;
    lock_take(&j->lock);
    j->stopping = true;
    cond_wake_all(&j->woken);
    lock_drop(&j->lock);
    pthread_join(j->thread, NULL);
    cond_clear(&j->woken);
    lock_clear(&j->lock);
    free(j);
}
