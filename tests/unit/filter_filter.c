/* What a process can no longer ask the kernel for. Each filter is set in a child: it stays. */
#include "tests/lib/harness.h"

#include "vmmd/filter/filter.h"

#include <errno.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <unistd.h>

typedef bool filter_fn(struct err *err);

/* The number of the first check that did not hold, from 1; 0 when all did. */
static int in_child(filter_fn *filter, int (*checks)(void))
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        struct err err = {0};
        _exit(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || !filter(&err) ? 100 : checks());
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static bool is_refused(long result)
{
    return result == -1 && errno == EPERM;
}

static int rare_checks(void)
{
    int fd;

    if (!is_refused(syscall(SYS_bpf, 0, NULL, 0)))
        return 1;
    if (!is_refused(syscall(SYS_io_uring_setup, 1, NULL)))
        return 2;
    if (!is_refused(syscall(SYS_keyctl, 0, 0, 0, 0, 0)))
        return 3;
    if (!is_refused(syscall(SYS_process_vm_readv, getpid(), NULL, 0, NULL, 0, 0)))
        return 4;
    if (!is_refused(syscall(SYS_kexec_file_load, -1, -1, 0, NULL, 0)))
        return 5;
    if ((fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC)) < 0 || close(fd) < 0)
        return 6;
    if (is_refused(syscall(SYS_setns, -1, 0)) || errno != EBADF) /* a jail is made by such */
        return 7;
    for (int family = AF_UNSPEC + 1; family < AF_MAX; family++) {
        bool kept =
            family == AF_UNIX || family == AF_INET || family == AF_INET6 || family == AF_NETLINK;
        if ((fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0)) >= 0)
            close(fd);
        if (kept ? fd < 0 : !is_refused(fd))
            return 100 + family;
    }
    if (!is_refused(syscall(SYS_pidfd_getfd, -1, 0, 0)) ||
        !is_refused(syscall(SYS_fsopen, "tmpfs", 0)))
        return 8;
    if (adjtimex(&(struct timex){0}) < 0) /* reads; setting takes a right that nobody has */
        return 9;
    return 0;
}

static void what_nobody_needs_is_refused_and_the_rest_is_not(void **state)
{
    assert_int_equal(in_child(filter_refuse_rare, rare_checks), 0);
}

static int clone_into(unsigned long flags)
{
    long pid = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);

    if (pid == 0)
        _exit(0);
    if (pid < 0)
        return errno;
    return waitpid((pid_t)pid, NULL, 0) == pid ? 0 : ECHILD;
}

static int power_checks(void)
{
    struct clone_args args = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
    int pair[2];

    if (!is_refused(mount("x", "/", "tmpfs", 0, NULL)))
        return 1;
    if (!is_refused(unshare(CLONE_NEWUSER)))
        return 2;
    if (clone_into(CLONE_NEWUSER) != EPERM || clone_into(CLONE_NEWNS | CLONE_NEWPID) != EPERM)
        return 3;
    if (syscall(SYS_clone3, &args, sizeof args) != -1 || errno != ENOSYS)
        return 4;
    if (!is_refused(mknod("/tmp/never", S_IFCHR | 0600, 0)))
        return 5;
    if (!is_refused(setresuid(0, 0, 0)))
        return 6;
    if (clone_into(0) != 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return 7; /* it starts programs, and talks */
    return 0;
}

static void who_has_no_rights_cannot_make_some_in_a_namespace(void **state)
{
    assert_int_equal(in_child(filter_refuse_power, power_checks), 0);
}

static void *double_it(void *arg)
{
    *(int *)arg *= 2;
    return arg;
}

static int bytes_checks(void)
{
    int n = 21;
    pthread_t thread;

    if (!is_refused(syscall(SYS_execve, "/bin/true", NULL, NULL)))
        return 1;
    if (!is_refused(socket(AF_INET, SOCK_STREAM, 0)))
        return 2;
    if (!is_refused(connect(0, NULL, 0)) || !is_refused(bind(0, NULL, 0)))
        return 3;
    if (!is_refused(kill(getppid(), 0)))
        return 4;
    if (!is_refused(mkdir("/tmp/never", 0700)))
        return 5;
    if (pthread_create(&thread, NULL, double_it, &n) || pthread_join(thread, NULL) || n != 42)
        return 6;
    if (poll(NULL, 0, 1) != 0)
        return 7;
    return 0;
}

static void the_front_moves_bytes_and_does_nothing_else(void **state)
{
    assert_int_equal(in_child(filter_only_bytes, bytes_checks), 0);
}

static int all_checks(void)
{
    int result = rare_checks();

    return result ? result : power_checks();
}

static bool both(struct err *err)
{
    return filter_refuse_rare(err) && filter_refuse_power(err);
}

static void filters_add_up(void **state)
{
    assert_int_equal(in_child(both, power_checks), 0);
    assert_int_not_equal(in_child(both, all_checks), 0); /* setns() is refused by the second */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_nobody_needs_is_refused_and_the_rest_is_not),
        cmocka_unit_test(who_has_no_rights_cannot_make_some_in_a_namespace),
        cmocka_unit_test(the_front_moves_bytes_and_does_nothing_else),
        cmocka_unit_test(filters_add_up),
    };

    return cmocka_run_group_tests_name("unit/filter_filter", tests, NULL, NULL);
}
