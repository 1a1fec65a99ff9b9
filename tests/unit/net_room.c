/* The room that vmmd-net is locked in while passt runs: a passt that was taken over by its guest
 * has the same user. */
#include "tests/lib/harness.h"

#include "vmmd/net/proto.h"
#include "vmmd/net/room.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static bool live(void)
{
    struct pollfd p = {.fd = NET_FD_WORKER, .events = POLLIN | POLLOUT};
    int status;

    return ppoll(&p, 1, NULL, NULL) == 1 && wait4(-1, &status, 0, NULL) < 0 && errno == ECHILD &&
           write(NET_FD_WORKER, "1234", 4) == 4;
}

/* The arguments of calls that nothing in it needs: harmless where they were let through. */
static const struct deadly {
    const char *what;
    long call, a, b, c;
} deadly[] = {
    {"open a file", SYS_openat, AT_FDCWD, 0, O_RDONLY},
    {"read what the worker says", SYS_read, NET_FD_WORKER, 0, 0},
    {"receive", SYS_recvmsg, NET_FD_WORKER, 0, 0},
    {"hand over a descriptor", SYS_sendmsg, NET_FD_WORKER, 0, 0},
    {"speak", SYS_write, 2, 0, 0},
    {"write to what holds passt", SYS_write, NET_FD_PASST, 0, 0},
    {"another descriptor", SYS_dup, NET_FD_WORKER, 0, 0},
    {"take one of passt's", SYS_pidfd_getfd, NET_FD_PASST, 0, 0},
    {"signal passt", SYS_pidfd_send_signal, NET_FD_PASST, 0, 0},
    {"control a file", SYS_ioctl, NET_FD_WORKER, 0, 0},
    {"map memory", SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC},
    {"make memory executable", SYS_mprotect, 0, 0, PROT_EXEC},
    {"more memory", SYS_brk, 0, 0, 0},
    {"ask who it is", SYS_getpid, 0, 0, 0},
    {"a child", SYS_clone, SIGCHLD, 0, 0},
    {"another program", SYS_execve, 0, 0, 0},
    {"a socket", SYS_socket, AF_INET, SOCK_STREAM, 0},
    {"end another process", SYS_kill, 0, 0, 0},
    {"trace another process", SYS_ptrace, 0, 0, 0},
    {"a namespace", SYS_unshare, 0, 0, 0},
};

/* The wait status of a process that is locked in and then makes the call; NULL: lives by its own.
 */
static int locked(const struct deadly *d)
{
    int pair[2], status = 0;
    pid_t child;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    child = fork();
    if (child == 0) {
        int sock = fcntl(pair[1], F_DUPFD, 20), null = fcntl(pair[0], F_DUPFD, 20);
        struct err err = {0};
        dup2(sock, NET_FD_WORKER);
        dup2(null, NET_FD_PASST);
        if (!net_lock(&err))
            syscall(SYS_exit_group, 9);
        if (d)
            syscall(d->call, d->a, d->b, d->c, 0, 0, 0);
        syscall(SYS_exit_group, d || live() ? 7 : 8);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    close(pair[0]);
    close(pair[1]);
    return status;
}

static void it_lives_by_four_calls_and_dies_of_any_other(void **state)
{
    int status = locked(NULL);

    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
    for (size_t i = 0; i < ARRAY_LEN(deadly); i++) {
        status = locked(&deadly[i]);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
            fail_msg("it can %s: status 0x%x", deadly[i].what, (unsigned)status);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_lives_by_four_calls_and_dies_of_any_other),
    };

    return cmocka_run_group_tests_name("unit/net_room", tests, NULL, NULL);
}
