/* From a forked child to a program: see exec.h.
 *
 * The order matters: the bounding set needs CAP_SETPCAP and must go before the uid does; a kept
 * capability has to be inheritable before it leaves the bounding set; ambient capabilities can only
 * be raised after the change of uid, which clears them. */
#include "vmmd/priv/exec.h"

#include "core/base/str.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FIRST_FD 3
#define ABOVE    64 /* descriptors are moved up there before they are put in their places */
#define MAX_FDS  40

static char *environment[16];

void exec_init(void)
{
    static const char *const passed[] = {
        "VMMD_LOG=",         "JOURNAL_STREAM=",    "VMMD_FAILPOINT=", "VMMD_FAILPOINT_SOCKET=",
        "ASAN_OPTIONS=",     "UBSAN_OPTIONS=",     "TSAN_OPTIONS=",   "LSAN_OPTIONS=",
#ifdef VMMD_FAILPOINTS
        "VMMD_PAM_CONFDIR=", "VMMD_PAM_ANSWER_MS="
#endif
    };
    unsigned n = 0;

    for (int s = 1; s < NSIG; s++)
        signal(s, SIG_DFL); /* nohup and the like; fails for the few that cannot be changed */
    environment[n++] = str_dup("LANG=C");
    environment[n++] = str_dup("PATH=/usr/sbin:/usr/bin:/sbin:/bin");
    for (char **e = environ; *e; e++)
        for (unsigned i = 0; i < ARRAY_LEN(passed) && n < ARRAY_LEN(environment) - 1; i++)
            if (str_starts(*e, passed[i]))
                environment[n++] = str_dup(*e);
}

/* Moves the descriptors to 3, 4, ...; all others get closed at the exec. */
static bool place_fds(const struct exec_plan *plan, struct err *err)
{
    int high[MAX_FDS];

    if (plan->n_fds > MAX_FDS)
        return err_set(err, ERR_INTERNAL, "too many descriptors for a program");
    for (unsigned i = 0; i < plan->n_fds; i++)
        if ((high[i] = fcntl(plan->fds[i], F_DUPFD_CLOEXEC, ABOVE)) < 0)
            return err_errno(err, errno, "duplicate a descriptor");
    for (unsigned i = 0; i < plan->n_fds; i++)
        if (dup2(high[i], FIRST_FD + (int)i) < 0)
            return err_errno(err, errno, "place a descriptor");
    if (syscall(SYS_close_range, FIRST_FD + plan->n_fds, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
        return err_errno(err, errno, "mark descriptors as close-on-exec");
    return true;
}

/* exec_init() has dealt with what we inherited; these two are our own doing. */
static void reset_signals(void)
{
    sigset_t none;

    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static bool set_caps(uint64_t effective, uint64_t inheritable, struct err *err)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];

    for (unsigned i = 0; i < 2; i++) {
        data[i].effective = (uint32_t)(effective >> 32 * i);
        data[i].permitted = data[i].effective;
        data[i].inheritable = (uint32_t)(inheritable >> 32 * i);
    }
    return syscall(SYS_capset, &head, data) == 0 || err_errno(err, errno, "set capabilities");
}

static bool make_inheritable(int cap, struct err *err)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];

    if (syscall(SYS_capget, &head, data) < 0)
        return err_errno(err, errno, "read capabilities");
    data[cap / 32].inheritable |= 1u << cap % 32;
    return syscall(SYS_capset, &head, data) == 0 ||
           err_errno(err, errno, "make a capability inheritable");
}

static void drop_bounding(void)
{
    for (int cap = 0; prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0; cap++)
        ; /* EINVAL beyond the last one the kernel knows */
}

static bool drop_root(const struct exec_plan *plan, struct err *err)
{
    bool keep = plan->keep_cap >= 0;
    uint64_t kept = keep ? 1ull << plan->keep_cap : 0;

    if (keep && !make_inheritable(plan->keep_cap, err))
        return false;
    drop_bounding();
    if (prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN, 0, 0, 0) != 0)
        return err_set(err, ERR_INTERNAL, "the capability bounding set cannot be emptied");
    if (keep && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
        return err_errno(err, errno, "keep a capability");
    if (setgroups(0, NULL) < 0 || setresgid(plan->gid, plan->gid, plan->gid) < 0 ||
        setresuid(plan->uid, plan->uid, plan->uid) < 0)
        return err_errno(err, errno, "become user %u", plan->uid);
    if (!set_caps(kept, kept, err))
        return false;
    if (keep && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, plan->keep_cap, 0, 0) < 0)
        return err_errno(err, errno, "hand a capability on");
    return true;
}

static bool give_rights(const struct exec_plan *plan, struct err *err)
{
    if (plan->drop && !drop_root(plan, err))
        return false;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 || err_errno(err, errno, "set no_new_privs");
}

void exec_program(const struct exec_plan *plan, struct err *err)
{
    int program = fcntl(plan->program, F_DUPFD_CLOEXEC, ABOVE); /* out of the others' places */

    reset_signals();
    if (program < 0) {
        err_errno(err, errno, "duplicate a descriptor");
        return;
    }
    if (!place_fds(plan, err) || !give_rights(plan, err))
        return;
    syscall(SYS_execveat, program, "", plan->argv, environment, AT_EMPTY_PATH);
    err_errno(err, errno, "execute %s", plan->argv[0]);
}

bool exec_trim_caps(const int *keep, unsigned n, struct err *err)
{
    bool have[64] = {false};

    if (capng_get_caps_process() < 0)
        return err_set(err, ERR_INTERNAL, "the process's capabilities cannot be read");
    for (unsigned i = 0; i < n; i++)
        have[keep[i]] = capng_have_capability(CAPNG_PERMITTED, (unsigned)keep[i]);
    capng_clear(CAPNG_SELECT_BOTH);
    for (unsigned i = 0; i < n; i++)
        if (have[keep[i]])
            capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET,
                         (unsigned)keep[i]);
    if (capng_apply(CAPNG_SELECT_BOTH) < 0)
        return err_set(err, ERR_INTERNAL, "capabilities cannot be dropped");
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 || err_errno(err, errno, "set no_new_privs");
}
