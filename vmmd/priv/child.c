/* Starting main, the front and vmmd-pam: see child.h. */
#include "vmmd/priv/child.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/sock.h"
#include "vmmd/priv/exec.h"
#include "vmmd/priv/oom.h"
#include "vmmd/priv/view.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

_Noreturn static void leave(const struct err *err)
{
    log_error("%s", err->detail);
    _exit(EXIT_INTERNAL);
}

_Noreturn static void become_main(const struct host *h, int sock)
{
    static const char *const argv[] = {"vmmd-main", NULL};
    int fds[] = {sock,
                 h->link[0],
                 h->config_text,
                 h->api,
                 h->program[PROGRAM_KVMTEST],
                 h->program[PROGRAM_PACK],
                 h->cert,
                 h->program[PROGRAM_INSPECT],
                 h->pam_link[0]};
    struct exec_plan plan = {.program = h->program[PROGRAM_MAIN],
                             .argv = argv,
                             .fds = fds,
                             .n_fds = ARRAY_LEN(fds) - (h->pam_link[0] < 0),
                             .drop = h->root,
                             .uid = h->config->uid,
                             .gid = h->config->gid,
                             .keep_cap = -1};
    struct err err = {0};

    oom_rank_set(0, OOM_MAIN);
    if (!h->root || view_enter(h, &err))
        exec_program(&plan, &err);
    leave(&err);
}

/* As root the front gets no network but its open sockets, and one capability: with it the program
 * makes the empty directory it stands in its root, once it is loaded. */
_Noreturn static void become_front(const struct host *h, int sock)
{
    char total[16], each[16];
    const char *argv[] = {"vmmd-front", "--connections", total, "--per-address", each, NULL, NULL};
    int fds[] = {sock, h->link[1], h->listener, h->cert, h->key};
    uid_t uid = h->config->uid_base + CONFIG_UID_FRONT;
    struct exec_plan plan = {.program = h->program[PROGRAM_FRONT],
                             .argv = argv,
                             .fds = fds,
                             .n_fds = ARRAY_LEN(fds),
                             .drop = h->root,
                             .uid = uid,
                             .gid = uid,
                             .keep_cap = CAP_SYS_CHROOT};
    struct err err = {0};

    snprintf(total, sizeof total, "%u", h->config->max_connections);
    snprintf(each, sizeof each, "%u", h->config->max_connections_per_address);
    oom_rank_set(0, OOM_FRONT);
    if (h->config->client_certificates)
        argv[5] = "--certificates";
    if (fchdir(h->empty_dir) < 0)
        err_errno(&err, errno, "enter the front's empty directory");
    else if (h->root && unshare(CLONE_NEWNET | CLONE_NEWIPC) < 0)
        err_errno(&err, errno, "give the front namespaces of its own");
    else
        exec_program(&plan, &err);
    leave(&err);
}

/* Root, since /etc/shadow is; with no capability, and files to read that are few. */
_Noreturn static void become_pam(const struct host *h, int sock)
{
    const char *argv[] = {"vmmd-pam", h->config->pam_service, NULL};
    int fds[] = {sock, h->pam_link[1]};
    struct exec_plan plan = {.program = h->program[PROGRAM_PAM],
                             .argv = argv,
                             .fds = fds,
                             .n_fds = ARRAY_LEN(fds),
                             .drop = true,
                             .keep_cap = -1};
    struct err err = {0};

    oom_rank_set(0, OOM_FRONT);
    if (unshare(CLONE_NEWIPC) < 0)
        err_errno(&err, errno, "give vmmd-pam namespaces of its own");
    else if (view_enter_pam(h, &err))
        exec_program(&plan, &err);
    leave(&err);
}

/* vmmd-pam is the init of a pid namespace: root may signal root's processes, and what it starts
 * goes with it. */
static pid_t fork_for(enum program program)
{
    return program == PROGRAM_PAM ? (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0)
                                  : fork();
}

static bool may_start(struct child *child, uint32_t limit, struct err *err)
{
    int64_t *oldest = &child->starts[child->n_starts % limit];
    int64_t now = clock_mono_ms();

    if (child->n_starts >= limit && now - *oldest < CHILD_WINDOW_MS)
        return err_set(err, ERR_UNAVAILABLE, "%s was started %u times in %d s", child->name, limit,
                       CHILD_WINDOW_MS / 1000);
    *oldest = now;
    child->n_starts++;
    return true;
}

bool child_start(struct child *child, const struct host *h, struct err *err)
{
    int pair[2];
    CLEANUP(closep) int theirs = -1;

    if ((child->program != PROGRAM_PAM && !may_start(child, h->config->restart_limit, err)) ||
        !sock_pair(SOCK_SEQPACKET, pair, err))
        return false;
    child->sock = pair[0];
    theirs = pair[1];
    if (fcntl(child->sock, F_SETFL, O_NONBLOCK) < 0) {
        err_errno(err, errno, "set up a socket");
        child_gone(child);
        return false;
    }
    child->pid = fork_for(child->program);
    if (child->pid < 0) {
        err_errno(err, errno, "fork");
        child_gone(child);
        return false;
    }
    if (child->pid == 0) {
        setsid(); /* a terminal's ^C goes to the parent only, which ends its children in order */
        if (child->program == PROGRAM_MAIN)
            become_main(h, theirs);
        if (child->program == PROGRAM_PAM)
            become_pam(h, theirs);
        become_front(h, theirs);
    }
    return true;
}

void child_gone(struct child *child)
{
    closep(&child->sock);
    child->pid = 0;
}

void child_signal(const struct child *child, int signal_number)
{
    if (child->pid > 0)
        kill(child->pid, signal_number);
}

const char *child_cause(int wait_status, char *out, size_t size)
{
    if (WIFSIGNALED(wait_status))
        snprintf(out, size, "signal %d (%s)", WTERMSIG(wait_status),
                 strsignal(WTERMSIG(wait_status)));
    else
        snprintf(out, size, "exit code %d", WEXITSTATUS(wait_status));
    return out;
}
