/* The guest whose memory is written: let run again, or put back as it was when it was paused. */
#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/str.h"
#include "vmmd/worker/worker.h"

static bool is_ok(const json_t *answer)
{
    return json_object_get(answer, "return") != NULL;
}

static void ignore_answer(struct worker *w, const struct request *from, const json_t *answer)
{
}

void memory_runs_again(struct memory *m)
{
    m->hidden = false;
    if (!m->pause_us)
        m->pause_us = (uint64_t)(clock_mono_us() - m->since_us);
}

/* Who had it taken back waits for it. */
static void taken_back(struct worker *w)
{
    struct request from = w->memory.from;

    w->memory.from = (struct request){0};
    daemon_reply(w, &from, "{}");
}

static void resumed(struct worker *w, const struct request *from, const json_t *answer)
{
    struct memory *m = &w->memory;

    m->nudging = false;
    if (m->step != MEMORY_RESUMING) {
        taken_back(w);
        return;
    }
    if (m->hidden && is_ok(answer))
        memory_runs_again(m); /* its event may come yet, or be left out */
    else if (m->hidden)
        log_error("QEMU does not let the guest run");
    memory_guest_is_back(w);
}

static bool nudge(struct worker *w, struct err *err)
{
    w->memory.nudging = qmp_execute(w, "cont", NULL, ignore_answer, err);
    return w->memory.nudging && qmp_execute(w, "stop", NULL, resumed, err);
}

/* A guest that was paused stays so, with its disks taken back from the migration. */
static void take_disks_back(struct worker *w, const struct request *from, const json_t *answer)
{
    const char *status = json_get_text(json_object_get(answer, "return"), "status");
    bool inactive = str_eq(status, "postmigrate");
    struct err err = {0};

    if (inactive && nudge(w, &err))
        return;
    if (inactive)
        log_warn("%s", err.detail);
    if (w->memory.step == MEMORY_RESUMING)
        memory_guest_is_back(w);
    else
        taken_back(w);
}

/* Whatever came out: it is as it was before. */
void memory_resume(struct worker *w)
{
    struct memory *m = &w->memory;
    struct err err = {0};

    m->step = MEMORY_RESUMING;
    if (m->hidden && qmp_execute(w, "cont", NULL, resumed, &err))
        return;
    if (!m->ran && m->still && qmp_execute(w, "query-status", NULL, take_disks_back, &err))
        return;
    memory_guest_is_back(w);
}

bool memory_take_back(struct worker *w, const struct request *from, struct err *err)
{
    struct memory *m = &w->memory;

    m->from = *from;
    return m->ran ? qmp_execute(w, "cont", NULL, resumed, err)
                  : qmp_execute(w, "query-status", NULL, take_disks_back, err);
}
