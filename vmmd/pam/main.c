/* vmmd-pam: asks the host, by PAM, whether a password is right. Runs only where vmmd.conf has
 * pam_service; started by vmmd, never by hand. It is root, since /etc/shadow is root's, and has
 * nothing else: no capability, a read-only view of the host's files, a pid namespace, a filter of
 * system calls.
 *
 *   main.c      confinement, the loop       question.c  libpam
 *   desk.c      a process for each question proto.h     what main sends
 *
 * Theory of operation. One poll() over {vmmd's control socket, signals, the link to main}. A
 * question comes with the socket that its answer goes to. A process is forked for it, which talks
 * to libpam, sends the answer and ends; this one never loads a module, and only keeps the time. The
 * password is in the message, wiped here as soon as that process has it. A message that main does
 * not send ends the program; vmmd starts it again.
 *
 * Usage: vmmd-pam SERVICE */
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/sock.h"
#include "core/base/str.h"
#include "vmmd/config/config.h"
#include "vmmd/filter/filter.h"
#include "vmmd/pam/desk.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

static struct pam_question question;

static bool confine(struct err *err)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_errno(err, errno, "set no_new_privs");
#ifndef VMMD_FAILPOINTS
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
    return filter_refuse_power(err) && filter_hide_audit(err);
}

/* Whoever asked may have gone while we were not there. */
static bool still_waits(int reply)
{
    struct pollfd p = {.fd = reply, .events = POLLRDHUP};

    return poll(&p, 1, 0) == 0;
}

/* False when the link is not to be trusted any more. */
static bool on_question(struct desk *desk)
{
    CLEANUP(closep) int reply = -1;
    struct err err = {0};
    unsigned n_fds = 0;
    ssize_t n = sock_recv(PAM_FD_MAIN, &question, sizeof question, &reply, 1, &n_fds, &err);
    bool ok;

    if (n < 0 && err.code == ERR_TIMEOUT)
        return true;
    ok = n > 0 && question_check(&question, (size_t)n, &err);
    if (ok && n_fds != 1)
        ok = err_set(&err, ERR_INVALID, "vmmd-main sent a question without a socket");
    if (!ok)
        log_error("%s: leaving", n ? err.detail : "the link to vmmd-main is closed");
    else if (still_waits(reply))
        desk_ask(desk, &question, reply);
    explicit_bzero(&question, sizeof question);
    return ok;
}

static int open_signals(void)
{
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* False when it was SIGTERM. */
static bool on_signals(int signals, struct desk *desk)
{
    struct signalfd_siginfo info;
    bool goes_on = true;

    while (read(signals, &info, sizeof info) == sizeof info)
        goes_on = goes_on && info.ssi_signo != SIGTERM;
    desk_reap(desk);
    return goes_on;
}

static int loop(struct desk *desk, int signals)
{
    for (;;) {
        struct pollfd p[] = {{.fd = PAM_FD_PARENT, .events = POLLIN},
                             {.fd = signals, .events = POLLIN},
                             {.fd = PAM_FD_MAIN, .events = POLLIN}};

        if (poll(p, ARRAY_LEN(p), desk_left_ms(desk)) < 0 && errno != EINTR)
            return EXIT_INTERNAL;
        if (p[0].revents || (p[1].revents && !on_signals(signals, desk)))
            return 0;
        desk_kill_late(desk);
        if (p[2].revents && !on_question(desk))
            return EXIT_INTERNAL;
    }
}

/* A test cannot wait for the real one. */
static int64_t answer_ms(void)
{
#ifdef VMMD_FAILPOINTS
    const char *text = getenv("VMMD_PAM_ANSWER_MS");
    uint64_t ms;

    if (text && str_to_u64(text, &ms))
        return (int64_t)ms;
#endif
    return PAM_ANSWER_MS;
}

int main(int argc, char **argv)
{
    struct desk desk = {.answer_ms = answer_ms()};
    struct err err = {0};
    int signals;

    log_init("vmmd-pam");
    prctl(PR_SET_NAME, "vmmd-pam", 0, 0, 0); /* executed by descriptor, it would be a number */
    if (argc != 2 || fcntl(PAM_FD_MAIN, F_SETFD, FD_CLOEXEC) < 0 ||
        fcntl(PAM_FD_PARENT, F_SETFD, FD_CLOEXEC) < 0) {
        log_error("vmmd-pam is started by vmmd, not by hand");
        return EXIT_USAGE;
    }
    desk.service = argv[1];
    signals = open_signals();
    if (signals < 0 || !confine(&err)) {
        log_error("%s", signals < 0 ? "no signalfd can be made" : err.detail);
        return EXIT_INTERNAL;
    }
    return loop(&desk, signals);
}
