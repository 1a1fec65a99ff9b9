/* The end of a VM: see policy.h.
 *
 * QEMU runs with -action shutdown=pause,panic=pause,reboot=reset: a power-off stops it in the state
 * "shutdown" and somebody has to say quit. That is the worker, at once or when the hold ends. */
#include "vmmd/worker/policy.h"

#include "core/base/json.h"
#include "core/base/str.h"

#include <signal.h>
#include <sys/wait.h>

/* Why the STOP comes that follows. */
static bool explains_stop(const char *name, const json_t *data)
{
    return str_eq(name, "BLOCK_IO_ERROR") && str_eq(json_get_text(data, "action"), "stop");
}

void policy_event(struct policy *p, const char *name, const json_t *data)
{
    if (str_eq(name, "SHUTDOWN") && json_get_bool(data, "guest", false))
        p->guest_off = true;
    else if (str_eq(name, "GUEST_PANICKED"))
        p->panicked = true;
    else if (str_eq(name, "RESET")) /* by main, while it was held: the guest runs again */
        p->guest_off = p->panicked = false;
    if (str_eq(name, "RESUME"))
        p->stop_explained = false;
    else if (explains_stop(name, data))
        p->stop_explained = true;
}

bool policy_wants_quit(const struct policy *p)
{
    return p->guest_off && !p->held;
}

const char *policy_status(const char *name, const char *now)
{
    if (str_eq(name, "RESUME"))
        return "running";
    if (str_eq(name, "SHUTDOWN"))
        return "shutdown";
    if (str_eq(name, "GUEST_PANICKED"))
        return "guest-panicked";
    if (str_eq(name, "WATCHDOG"))
        return "watchdog";
    if (str_eq(name, "STOP") && str_eq(now, "running"))
        return "paused"; /* else the event before it has said why */
    return now;
}

bool policy_is_state(const struct policy *p, const char *name, const json_t *data)
{
    static const char *const names[] = {"STOP", "RESUME", "SHUTDOWN", "GUEST_PANICKED", "WATCHDOG"};

    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(name, names[i]))
            return true;
    return explains_stop(name, data) && !p->stop_explained;
}

bool policy_changes_status(const char *name)
{
    static const char *const names[] = {"STOP",     "RESUME",         "RESET",
                                        "SHUTDOWN", "GUEST_PANICKED", "WATCHDOG",
                                        "SUSPEND",  "WAKEUP",         "MIGRATION"};

    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(name, names[i]))
            return true;
    return false;
}

static bool struck_down(const struct policy *p, int wstatus)
{
    return p->no_memory && WIFSIGNALED(wstatus) && WTERMSIG(wstatus) == SIGKILL;
}

enum worker_cause policy_cause(const struct policy *p, int wstatus)
{
    return p->launch_failed          ? CAUSE_launch_failed
           : p->guest_off            ? CAUSE_guest_shutdown
           : p->killed               ? CAUSE_killed
           : p->distrusted           ? CAUSE_distrusted
           : struck_down(p, wstatus) ? (p->memory_limit ? CAUSE_memory_limit : CAUSE_oom)
           : WIFSIGNALED(wstatus)    ? CAUSE_signal
           : p->panicked             ? CAUSE_guest_panic
           : p->quit && wstatus == 0 ? CAUSE_host_quit
                                     : CAUSE_exit;
}

const char *policy_cause_slug(enum worker_cause cause)
{
    static const char *const slugs[] = {"none",
#define X(name, slug) slug,
                                        WORKER_CAUSES(X)
#undef X
    };

    return slugs[cause];
}
