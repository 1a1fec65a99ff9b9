/* The parent's loop: see supervisor.h.
 *
 * Theory of operation. One poll() over {signals, main's socket}; everything happens in this thread.
 *
 *   running ──SIGTERM, SIGINT, a child that cannot run──► ending main ──gone──► ending front ──►
 *   ending pam ──► done
 *   └ main or the front dies: started again, at most restart_limit times in 10 s
 *   └ vmmd-pam dies, whatever of: started again after 1 s, then 2, 4, … 60 s, for nothing but the
 *     host's passwords needs it
 *
 * Ending: SIGTERM, and SIGKILL when the time is over (main 15 s, the others 5 s). A child that
 * waits for storage does not even end by that: it is left behind after another 5 s. Requests of
 * main are served as long as it lives. Workers are not our children and are left alone. A broken
 * protocol (HELPER_BROKEN) ends the parent at once: the children see their sockets close and leave.
 */
#include "vmmd/priv/supervisor.h"

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/sock.h"
#include "vmmd/front/proto.h"
#include "vmmd/priv/child.h"
#include "vmmd/priv/helper.h"
#include "vmmd/priv/notify.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAIN_STOP_MS  15000
#define FRONT_STOP_MS 5000
#define PAM_STOP_MS   5000
#define KILL_MS       5000
#define PAM_PAUSE_MS  1000
#define PAM_PAUSE_MAX 60000

enum phase { PHASE_RUNNING, PHASE_ENDING_MAIN, PHASE_ENDING_FRONT, PHASE_ENDING_PAM, PHASE_DONE };

struct supervisor {
    const struct host *h;
    struct child main, front, pam;
    struct helper helper;
    enum phase phase;
    int64_t deadline; /* of the phase, monotonic */
    bool killed;      /* who is to end in it was */
    int exit_code;
    int64_t pam_begun_ms, pam_due_ms; /* its last start; when it is to be started: 0 never */
    int64_t pam_pause_ms;
};

static int signals = -1; /* signalfd */

bool supervisor_init(struct err *err)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return signals >= 0 || err_errno(err, errno, "make a signalfd");
}

static void tell_front(struct supervisor *s)
{
    struct front_state state = {.version = FRONT_VERSION, .main_up = s->helper.ready};
    struct err err = {0};

    if (s->front.sock >= 0)
        err_ignore(sock_send(s->front.sock, &state, sizeof state, NULL, 0, &err), &err);
}

static void enter(struct supervisor *s, enum phase phase, const struct child *child, int64_t ms)
{
    s->phase = phase;
    s->killed = false;
    s->deadline = clock_mono_ms() + ms;
    child_signal(child, SIGTERM);
}

/* Goes on to what is left to be ended. */
static void advance(struct supervisor *s)
{
    if (s->phase == PHASE_ENDING_MAIN && s->main.pid == 0)
        enter(s, PHASE_ENDING_FRONT, &s->front, FRONT_STOP_MS);
    if (s->phase == PHASE_ENDING_FRONT && s->front.pid == 0)
        enter(s, PHASE_ENDING_PAM, &s->pam, PAM_STOP_MS);
    if (s->phase == PHASE_ENDING_PAM && s->pam.pid == 0)
        s->phase = PHASE_DONE;
}

static void stop(struct supervisor *s, int exit_code)
{
    if (s->phase != PHASE_RUNNING)
        return;
    s->exit_code = exit_code;
    notify_systemd("STOPPING=1\nSTATUS=Stopping; virtual machines go on");
    enter(s, PHASE_ENDING_MAIN, &s->main, MAIN_STOP_MS);
    advance(s);
}

static void start(struct supervisor *s, struct child *child)
{
    struct err err = {0};

    if (child == &s->main)
        s->helper = (struct helper){.host = s->h};
    if (!child_start(child, s->h, &err)) {
        log_error("%s: giving up", err.detail);
        stop(s, EXIT_INTERNAL);
        return;
    }
    log_info("%s started as process %d", child->name, child->pid);
    tell_front(s);
}

static void start_pam(struct supervisor *s)
{
    struct err err = {0};

    s->pam_due_ms = 0;
    s->pam_begun_ms = clock_mono_ms();
    if (child_start(&s->pam, s->h, &err)) {
        log_info("%s started as process %d", s->pam.name, s->pam.pid);
        return;
    }
    log_error("%s: users with the host's passwords cannot sign in", err.detail);
    s->pam_due_ms = s->pam_begun_ms + PAM_PAUSE_MAX;
}

static void on_pam_death(struct supervisor *s, int status)
{
    int64_t now = clock_mono_ms();
    char cause[80];

    child_gone(&s->pam);
    if (s->phase == PHASE_RUNNING) {
        if (now - s->pam_begun_ms > PAM_PAUSE_MAX)
            s->pam_pause_ms = 0;
        s->pam_pause_ms = s->pam_pause_ms ? s->pam_pause_ms * 2 : PAM_PAUSE_MS;
        if (s->pam_pause_ms > PAM_PAUSE_MAX)
            s->pam_pause_ms = PAM_PAUSE_MAX;
        s->pam_due_ms = now + s->pam_pause_ms;
        log_error("%s ended by %s: started again in %lld s", s->pam.name,
                  child_cause(status, cause, sizeof cause), (long long)s->pam_pause_ms / 1000);
    }
    advance(s);
}

/* Exit codes that say "it makes no sense to try again". */
static bool is_final(int status)
{
    return WIFEXITED(status) &&
           (WEXITSTATUS(status) == EXIT_TAKEN || WEXITSTATUS(status) == EXIT_CONFIG);
}

static void tell_serving(const struct supervisor *s)
{
    char text[160];

    snprintf(text, sizeof text, "READY=1\nSTATUS=Serving on %s", s->h->config->listen_text);
    notify_systemd(text);
}

static void tell_death(const struct child *child, const char *cause)
{
    char text[160];

    snprintf(text, sizeof text, "STATUS=%s ended by %s and is started again", child->name, cause);
    notify_systemd(text);
}

static void on_death(struct supervisor *s, struct child *child, int status)
{
    char cause[80];

    child_gone(child);
    if (child == &s->main) {
        s->helper.ready = false;
        tell_front(s);
    }
    if (s->phase == PHASE_RUNNING) {
        log_error("%s ended by %s", child->name, child_cause(status, cause, sizeof cause));
        if (is_final(status)) {
            stop(s, WEXITSTATUS(status));
        } else {
            if (child == &s->main) /* until it serves again */
                tell_death(child, cause);
            start(s, child);
        }
    }
    advance(s);
}

/* Children that are not main or the front are workers on a host whose init is this process. */
static void reap(struct supervisor *s)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == s->main.pid)
            on_death(s, &s->main, status);
        else if (pid == s->front.pid)
            on_death(s, &s->front, status);
        else if (pid == s->pam.pid)
            on_pam_death(s, status);
    }
}

static void on_signal(struct supervisor *s)
{
    struct signalfd_siginfo info;

    while (read(signals, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGCHLD) {
            reap(s);
        } else if (info.ssi_signo == SIGHUP) {
            log_info("SIGHUP: the configuration is read at start only; restart vmmd to change it");
        } else {
            log_info("%s: stopping; virtual machines go on", strsignal((int)info.ssi_signo));
            stop(s, 0);
        }
    }
}

/* False when the parent has to leave at once. */
static bool on_request(struct supervisor *s)
{
    switch (helper_serve(&s->helper, s->main.sock)) {
    case HELPER_READY:
        log_info("vmmd-main serves");
        tell_serving(s);
        tell_front(s);
        break;
    case HELPER_CLOSED: /* it is about to die, or has to: nothing works without the helper */
        close(s->main.sock);
        s->main.sock = -1;
        break;
    case HELPER_MUTE:
        child_signal(&s->main, SIGKILL);
        break;
    case HELPER_BROKEN:
        return false;
    case HELPER_SERVED:
        break;
    }
    return true;
}

static void on_deadline(struct supervisor *s)
{
    struct child *late = s->phase == PHASE_ENDING_MAIN    ? &s->main
                         : s->phase == PHASE_ENDING_FRONT ? &s->front
                                                          : &s->pam;

    if (!s->killed) {
        log_warn("%s did not end in time: killed", late->name);
        child_signal(late, SIGKILL);
        s->killed = true;
        s->deadline = clock_mono_ms() + KILL_MS;
        return;
    }
    log_error("%s (process %d) waits for storage that does not answer and ends when that does: "
              "leaving without it",
              late->name, (int)late->pid);
    child_gone(late);
    advance(s);
}

static bool is_late(const struct supervisor *s)
{
    return s->phase != PHASE_RUNNING && s->phase != PHASE_DONE && clock_left_ms(s->deadline) == 0;
}

static bool pam_is_due(const struct supervisor *s)
{
    return s->phase == PHASE_RUNNING && s->pam_due_ms && clock_left_ms(s->pam_due_ms) == 0;
}

/* Until something is due: the deadline, vmmd-pam's start, or a word to systemd's watchdog. */
static int time_left(const struct supervisor *s)
{
    int64_t due = s->phase == PHASE_RUNNING ? s->pam_due_ms : s->deadline;
    int alive = notify_alive();
    int left = due ? (int)clock_left_ms(due) : -1;

    return left < 0 || (alive >= 0 && alive < left) ? alive : left;
}

static int loop(struct supervisor *s)
{
    while (s->phase != PHASE_DONE) {
        struct pollfd p[] = {{.fd = signals, .events = POLLIN},
                             {.fd = s->main.sock, .events = POLLIN}};
        int n = poll(p, ARRAY_LEN(p), time_left(s));

        if (pam_is_due(s))
            start_pam(s);
        if (n > 0 && p[1].revents && !on_request(s))
            return EXIT_INTERNAL;
        if (n > 0 && p[0].revents)
            on_signal(s);
        if (is_late(s)) /* however much main asks; by now the dead are known */
            on_deadline(s);
    }
    return s->exit_code;
}

int supervisor_run(const struct host *h)
{
    struct supervisor s = {
        .h = h,
        .main = {.program = PROGRAM_MAIN, .name = "vmmd-main", .sock = -1},
        .front = {.program = PROGRAM_FRONT, .name = "vmmd-front", .sock = -1},
        .pam = {.program = PROGRAM_PAM, .name = "vmmd-pam", .sock = -1},
        .helper = {.host = h},
    };

    if (h->config->pam_service)
        start_pam(&s);
    start(&s, &s.front);
    if (s.phase == PHASE_RUNNING)
        start(&s, &s.main);
    return loop(&s);
}
