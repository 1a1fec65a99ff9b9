/* Lists of system calls, and the filters made of them: see filter.h. libseccomp knows the calls'
 * numbers and the kernel's other calling conventions, which it closes. */
#include "vmmd/filter/filter.h"

#include "core/base/str.h"

#include <errno.h>
#include <linux/netlink.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/socket.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

#define CALL(name) SCMP_SYS(name)

static const int rare[] = {
    /* code for the kernel, and another one */
    CALL(bpf),
    CALL(init_module),
    CALL(finit_module),
    CALL(delete_module),
    CALL(kexec_load),
    CALL(kexec_file_load),
    CALL(io_uring_setup),
    CALL(io_uring_enter),
    CALL(io_uring_register),
    /* looking into other processes */
    CALL(perf_event_open),
    CALL(process_vm_readv),
    CALL(process_vm_writev),
    CALL(kcmp),
    CALL(pidfd_getfd),
    CALL(process_madvise),
#ifndef SANITIZED /* the leak check looks into itself */
    CALL(ptrace),
#endif
    /* keys, accounting, quotas, the kernel's log */
    CALL(add_key),
    CALL(keyctl),
    CALL(request_key),
    CALL(acct),
    CALL(quotactl),
    CALL(syslog),
    CALL(open_by_handle_at),
    CALL(lookup_dcookie),
    CALL(fanotify_init),
    CALL(quotactl_fd),
    /* file systems that are put together step by step; the jails' are made by mount() */
    CALL(fsopen),
    CALL(fsconfig),
    CALL(fsmount),
    CALL(fspick),
    /* the host as a whole. adjtimex() also reads, for the doctor; setting takes CAP_SYS_TIME */
    CALL(reboot),
    CALL(swapon),
    CALL(swapoff),
    CALL(settimeofday),
    CALL(clock_settime),
    CALL(setdomainname),
    CALL(vhangup),
    /* ports of the PC, and what nobody has used for decades */
    CALL(iopl),
    CALL(ioperm),
    CALL(modify_ldt),
    CALL(uselib),
    CALL(ustat),
    CALL(sysfs),
    CALL(_sysctl),
    CALL(nfsservctl),
};

static const int power[] = {
    /* mounts and roots */
    CALL(mount),
    CALL(umount2),
    CALL(pivot_root),
    CALL(chroot),
    CALL(open_tree),
    CALL(move_mount),
    CALL(mount_setattr),
    /* namespaces and ids */
    CALL(unshare),
    CALL(setns),
    CALL(setuid),
    CALL(setgid),
    CALL(setreuid),
    CALL(setregid),
    CALL(setresuid),
    CALL(setresgid),
    CALL(setgroups),
    CALL(setfsuid),
    CALL(setfsgid),
    CALL(capset),
    CALL(sethostname),
    /* devices, and files of other owners */
    CALL(mknod),
    CALL(mknodat),
    CALL(chown),
    CALL(fchown),
    CALL(lchown),
    CALL(fchownat),
    CALL(userfaultfd),
    CALL(personality),
};

/* What a thread of the front needs from its first connection on: sockets that it was given, memory,
 * threads, time. It opens nothing and connects to nothing. */
static const int bytes[] = {
    CALL(accept4),
    CALL(read),
    CALL(readv),
    CALL(write),
    CALL(writev),
    CALL(recvfrom),
    CALL(recvmsg),
    CALL(sendto),
    CALL(sendmsg),
    CALL(poll),
    CALL(ppoll),
    CALL(shutdown),
    CALL(close),
    CALL(close_range),
    CALL(dup),
    CALL(fcntl),
    CALL(socketpair),
    CALL(setsockopt),
    CALL(getsockopt),
    CALL(getpeername),
    CALL(getsockname),
    CALL(fstat),
    CALL(newfstatat),
    CALL(lseek),
    CALL(eventfd2),
    CALL(ioctl),
    /* memory, threads */
    CALL(brk),
    CALL(mmap),
    CALL(munmap),
    CALL(mprotect),
    CALL(mremap),
    CALL(madvise),
    CALL(futex),
    CALL(clone),
    CALL(clone3),
    CALL(set_robust_list),
    CALL(rseq),
    CALL(set_tid_address),
    CALL(sched_yield),
    CALL(sched_getaffinity),
    CALL(gettid),
    CALL(getpid),
    CALL(tgkill),
    CALL(sigaltstack),
    CALL(rt_sigaction),
    CALL(rt_sigprocmask),
    CALL(rt_sigreturn),
    CALL(restart_syscall),
    CALL(exit),
    CALL(exit_group),
    CALL(prctl),
    CALL(prlimit64),
    CALL(getrlimit),
    CALL(sysinfo),
    /* time, chance */
    CALL(clock_gettime),
    CALL(clock_getres),
    CALL(clock_nanosleep),
    CALL(nanosleep),
    CALL(gettimeofday),
    CALL(time),
    CALL(getrandom),
#ifdef SANITIZED /* it reads its own maps, and writes its report */
    CALL(openat),
    CALL(open),
    CALL(readlink),
    CALL(getdents64),
    CALL(getcwd),
    CALL(wait4),
    CALL(getppid),
    CALL(unlink),
    CALL(pipe2),
    CALL(ftruncate),
#endif
};

struct list {
    const int *calls;
    unsigned n;
};
#define LIST(table) ((struct list){table, ARRAY_LEN(table)})

#define REFUSED SCMP_ACT_ERRNO(EPERM)

/* Each of these returns 0, or a negative errno as libseccomp does. */
static int add_list(scmp_filter_ctx filter, uint32_t action, struct list list)
{
    int e = 0;

    for (unsigned i = 0; i < list.n && e == 0; i++)
        e = seccomp_rule_add(filter, action, list.calls[i], 0);
    return e;
}

/* Sockets are of unix, the internet's two kinds, and netlink (name servers, passt); what other
 * families are in the kernel's modules is seldom looked after. */
static int add_no_families(scmp_filter_ctx filter)
{
    static const int kept[] = {AF_UNSPEC, AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};
    int e = seccomp_rule_add(filter, REFUSED, CALL(socket), 1,
                             SCMP_A0(SCMP_CMP_GT, (scmp_datum_t)AF_NETLINK, 0));

    for (int family = 0; family <= AF_NETLINK && e == 0; family++) {
        bool keep = false;
        for (unsigned i = 0; i < ARRAY_LEN(kept); i++)
            keep |= kept[i] == family;
        if (!keep)
            e = seccomp_rule_add(filter, REFUSED, CALL(socket), 1,
                                 SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)family, 0));
    }
    return e;
}

/* A process in namespaces of its own has all rights in there. What clone3() is asked for a filter
 * cannot see; the C library goes on with clone(). */
static int add_no_namespaces(scmp_filter_ctx filter)
{
    static const scmp_datum_t kinds[] = {CLONE_NEWUSER, CLONE_NEWNS,  CLONE_NEWPID,   CLONE_NEWNET,
                                         CLONE_NEWIPC,  CLONE_NEWUTS, CLONE_NEWCGROUP};
    int e = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), CALL(clone3), 0);

    for (unsigned i = 0; i < ARRAY_LEN(kinds) && e == 0; i++)
        e = seccomp_rule_add(filter, REFUSED, CALL(clone), 1,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, kinds[i], kinds[i]));
    return e;
}

/* Sets the filter unless something before went wrong, and frees it. */
static bool finish(scmp_filter_ctx filter, int e, struct err *err)
{
    if (e == 0)
        e = seccomp_load(filter);
    seccomp_release(filter);
    return e == 0 || err_set(err, ERR_UNSUPPORTED, "the filter of system calls cannot be set: %s",
                             strerror(-e));
}

static bool begin(uint32_t others, scmp_filter_ctx *filter, struct err *err)
{
    *filter = seccomp_init(others);
    if (*filter && seccomp_attr_set(*filter, SCMP_FLTATR_CTL_TSYNC, 1) == 0)
        return true;
    seccomp_release(*filter);
    return err_set(err, ERR_INTERNAL, "no filter of system calls can be made");
}

bool filter_refuse_rare(struct err *err)
{
    scmp_filter_ctx filter;
    int e;

    if (!begin(SCMP_ACT_ALLOW, &filter, err))
        return false;
    e = add_list(filter, REFUSED, LIST(rare));
    if (e == 0)
        e = add_no_families(filter);
    return finish(filter, e, err);
}

bool filter_refuse_power(struct err *err)
{
    scmp_filter_ctx filter;
    int e;

    if (!begin(SCMP_ACT_ALLOW, &filter, err))
        return false;
    e = add_list(filter, REFUSED, LIST(power));
    if (e == 0)
        e = add_no_namespaces(filter);
    return finish(filter, e, err);
}

bool filter_hide_audit(struct err *err)
{
    scmp_filter_ctx filter;

    return begin(SCMP_ACT_ALLOW, &filter, err) &&
           finish(filter,
                  seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPROTONOSUPPORT), CALL(socket), 2,
                                   SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)AF_NETLINK, 0),
                                   SCMP_A2(SCMP_CMP_EQ, (scmp_datum_t)NETLINK_AUDIT, 0)),
                  err);
}

bool filter_only_bytes(struct err *err)
{
    scmp_filter_ctx filter;

    return begin(REFUSED, &filter, err) &&
           finish(filter, add_list(filter, SCMP_ACT_ALLOW, LIST(bytes)), err);
}
