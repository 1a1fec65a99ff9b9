/* The room: see room.h. The filter is made from the table below; the kernel inspects the number and
 * the first argument of each call. */
#include "vmmd/split/room.h"

#include "vmmd/split/proto.h"

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

#define ANY_FD UINT32_MAX
static const struct {
    uint32_t call, fd;
} allowed[] = {
    {SYS_read, SPLIT_FD_STREAM}, {SYS_pwritev, SPLIT_FD_IMAGE}, {SYS_pwrite64, SPLIT_FD_IMAGE},
    {SYS_fsync, SPLIT_FD_IMAGE}, {SYS_write, SPLIT_FD_REPORT},  {SYS_exit_group, ANY_FD},
};

#define LOAD(member)        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, member))
#define UNLESS(value, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip)
#define VERDICT(action)     BPF_STMT(BPF_RET | BPF_K, action)

/* The lower half of the first argument: descriptors are ints. */
static unsigned write_filter(struct sock_filter *out)
{
    unsigned n = 0;

    out[n++] = (struct sock_filter)LOAD(arch);
    out[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0);
    out[n++] = (struct sock_filter)VERDICT(SECCOMP_RET_KILL_PROCESS);
    for (unsigned i = 0; i < ARRAY_LEN(allowed); i++) {
        bool any = allowed[i].fd == ANY_FD;
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

bool room_lock(struct err *err)
{
    struct sock_filter filter[4 + 5 * ARRAY_LEN(allowed)];
    struct sock_fprog program = {.len = (unsigned short)write_filter(filter), .filter = filter};
    const struct rlimit none = {0, 0}, few = {SPLIT_FD_REPORT + 1, SPLIT_FD_REPORT + 1};

    if (close_range(SPLIT_FD_REPORT + 1, ~0u, 0) < 0)
        return err_errno(err, errno, "close what is not needed");
    if (setrlimit(RLIMIT_CORE, &none) < 0 || setrlimit(RLIMIT_NOFILE, &few) < 0)
        return err_errno(err, errno, "lower the limits");
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_errno(err, errno, "give up rights");
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0)
        return err_errno(err, errno, "set the filter of system calls");
    return true;
}
