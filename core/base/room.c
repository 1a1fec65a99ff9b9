/* The room: see room.h. The filter is made from the table of the caller; the kernel inspects the
 * number and the first argument of each call. */
#include "core/base/room.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* On a machine of another kind the filter fits no call, and the first one ends the process. */
#ifdef __aarch64__
#define ARCH AUDIT_ARCH_AARCH64
#else
#define ARCH AUDIT_ARCH_X86_64
#endif

#define LOAD(member)        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, member))
#define UNLESS(value, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip)
#define VERDICT(action)     BPF_STMT(BPF_RET | BPF_K, action)

/* The lower half of the first argument: descriptors are ints. */
static unsigned write_filter(const struct room_call *allowed, size_t count, struct sock_filter *out)
{
    unsigned n = 0;

    out[n++] = (struct sock_filter)LOAD(arch);
    out[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0);
    out[n++] = (struct sock_filter)VERDICT(SECCOMP_RET_KILL_PROCESS);
    for (size_t i = 0; i < count; i++) {
        bool any = allowed[i].fd == ROOM_ANY_FD;
        out[n++] = (struct sock_filter)LOAD(nr);
        out[n++] = (struct sock_filter)UNLESS(allowed[i].call, any ? 1 : 3);
        if (!any) {
            out[n++] = (struct sock_filter)LOAD(args[0]);
            out[n++] = (struct sock_filter)UNLESS(allowed[i].fd, 1);
        }
        out[n++] = (struct sock_filter)VERDICT(SECCOMP_RET_ALLOW);
    }
    out[n++] = (struct sock_filter)VERDICT(SECCOMP_RET_KILL_PROCESS);
    return n;
}

bool room_lock(const struct room_call *allowed, size_t n, int last_fd, struct err *err)
{
    struct sock_filter filter[4 + 5 * ROOM_CALLS_MAX];
    struct sock_fprog program = {.filter = filter};
    const rlim_t fds = (rlim_t)last_fd + 1;
    const struct rlimit none = {0, 0}, few = {fds, fds};

    if (n > ROOM_CALLS_MAX)
        return err_set(err, ERR_INTERNAL, "more system calls than a room has place for");
    program.len = (unsigned short)write_filter(allowed, n, filter);
    if (close_range((unsigned)last_fd + 1, ~0u, 0) < 0)
        return err_errno(err, errno, "close what is not needed");
    if (setrlimit(RLIMIT_CORE, &none) < 0 || setrlimit(RLIMIT_NOFILE, &few) < 0)
        return err_errno(err, errno, "lower the limits");
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_errno(err, errno, "give up rights");
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0)
        return err_errno(err, errno, "set the filter of system calls");
    return true;
}
