/* One process a question: see desk.h. A module that crashes, hangs or leaks takes its process along
 * and nothing else; what it leaves behind (helper programs) goes with vmmd-pam, which is the init
 * of its pid namespace. */
#include "vmmd/pam/desk.h"

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/sock.h"
#include "core/base/str.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define CPU_S 10

static void limit(void)
{
    const struct rlimit cpu = {CPU_S, CPU_S}, files = {128, 128};
#ifndef VMMD_FAILPOINTS /* sanitizers map more than there is */
    const struct rlimit memory = {512u << 20, 512u << 20};

    setrlimit(RLIMIT_AS, &memory);
#endif
    setrlimit(RLIMIT_CPU, &cpu);
    setrlimit(RLIMIT_NOFILE, &files);
}

/* The rest of the process that asks. Modules that start programs get a group to end with it. */
_Noreturn static void answer(struct pam_question *q, const char *service, int reply)
{
    struct pam_reply out = {.version = PAM_WIRE_VERSION};
    enum pam_answer got = PAM_SAYS_WRONG;
    struct err err = {0};
    sigset_t none;
    bool ok;

    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    close(PAM_FD_PARENT);
    close(PAM_FD_MAIN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    limit();
    ok = question_ask(q, service, &got, &err);
    explicit_bzero(q, sizeof *q);
    out.answer = got;
    if (ok)
        ok = sock_send(reply, &out, sizeof out, NULL, 0, &err);
    if (!ok)
        log_error("%s", err.detail);
    _exit(ok ? 0 : 1);
}

void desk_ask(struct desk *desk, const struct pam_question *q, int reply)
{
    unsigned i = 0;
    pid_t pid;

    while (i < PAM_AT_ONCE && desk->asked[i].pid)
        i++;
    if (i == PAM_AT_ONCE) {
        log_warn("%d questions are being asked: there is no room for more", PAM_AT_ONCE);
        return;
    }
    pid = fork();
    if (pid == 0) {
        struct pam_question own = *q;
        explicit_bzero((void *)q, sizeof *q);
        answer(&own, desk->service, reply);
    }
    if (pid < 0) {
        log_error("no process can be made for a question: %s", strerror(errno));
        return;
    }
    setpgid(pid, pid); /* whoever of the two comes first */
    desk->asked[i].pid = pid;
    desk->asked[i].until_ms = clock_mono_ms() + desk->answer_ms;
}

void desk_reap(struct desk *desk)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (unsigned i = 0; i < PAM_AT_ONCE; i++) {
            if (desk->asked[i].pid != pid)
                continue;
            desk->asked[i].pid = 0;
            kill(-pid, SIGKILL); /* what it started */
            if (WIFSIGNALED(status))
                log_error("a PAM module was ended by signal %d", WTERMSIG(status));
        }
}

void desk_kill_late(struct desk *desk)
{
    for (unsigned i = 0; i < PAM_AT_ONCE; i++)
        if (desk->asked[i].pid && clock_left_ms(desk->asked[i].until_ms) == 0) {
            log_error("a PAM module did not answer within %lld s: killed",
                      (long long)desk->answer_ms / 1000);
            kill(-desk->asked[i].pid, SIGKILL);
            kill(desk->asked[i].pid, SIGKILL);
            desk->asked[i].until_ms += desk->answer_ms;
        }
}

int desk_left_ms(const struct desk *desk)
{
    int left = -1;

    for (unsigned i = 0; i < PAM_AT_ONCE; i++) {
        int each = (int)clock_left_ms(desk->asked[i].until_ms);
        if (desk->asked[i].pid && (left < 0 || each < left))
            left = each;
    }
    return left;
}
