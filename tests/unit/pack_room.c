/* The room that vmmd-pack is locked in: what it reads a guest has made, so whoever takes it over
 * has these calls and no others, each on its own file. */
#include "tests/lib/harness.h"

#include "backends/qemu/pack_wire.h"
#include "vmmd/pack/room.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static bool live(void)
{
    char byte = 0;

    return pread(PACK_FD_FROM, &byte, 1, 0) == 1 && lseek(PACK_FD_FROM, 0, SEEK_DATA) == 0 &&
           pwrite(PACK_FD_TO, &byte, 1, 0) == 1 && pread(PACK_FD_TO, &byte, 1, 0) == 1 &&
           ftruncate(PACK_FD_TO, 1) == 0 && fsync(PACK_FD_TO) == 0 &&
           posix_fadvise(PACK_FD_TO, 0, 0, POSIX_FADV_DONTNEED) == 0 &&
           write(PACK_FD_REPORT, &byte, 1) == 1;
}

/* The arguments of calls that nothing in it needs: harmless where they were let through. */
static const struct deadly {
    const char *what;
    long call, a, b, c;
} deadly[] = {
    {"open a file", SYS_openat, AT_FDCWD, 0, O_RDONLY},
    {"read on", SYS_read, PACK_FD_FROM, 0, 0},
    {"write what it reads from", SYS_pwrite64, PACK_FD_FROM, 0, 0},
    {"cut what it reads from", SYS_ftruncate, PACK_FD_FROM, 0, 0},
    {"flush what it reads from", SYS_fsync, PACK_FD_FROM, 0, 0},
    {"write on", SYS_write, PACK_FD_TO, 0, 0},
    {"seek in what it writes", SYS_lseek, PACK_FD_TO, 0, SEEK_SET},
    {"punch holes", SYS_fallocate, PACK_FD_TO, 3, 0},
    {"read what it reports", SYS_read, PACK_FD_REPORT, 0, 0},
    {"report at a place", SYS_pwrite64, PACK_FD_REPORT, 0, 0},
    {"speak", SYS_write, 2, 0, 0},
    {"another descriptor", SYS_dup, PACK_FD_FROM, 0, 0},
    {"control a file", SYS_ioctl, PACK_FD_FROM, 0, 0},
    {"look at a file", SYS_fstat, PACK_FD_FROM, 0, 0},
    {"map memory", SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC},
    {"make memory executable", SYS_mprotect, 0, 0, PROT_EXEC},
    {"more memory", SYS_brk, 0, 0, 0},
    {"ask who it is", SYS_getpid, 0, 0, 0},
    {"a child", SYS_clone, SIGCHLD, 0, 0},
    {"another program", SYS_execve, 0, 0, 0},
    {"a socket", SYS_socket, 1, 1, 0},
    {"end another process", SYS_kill, 0, 0, 0},
    {"trace another process", SYS_ptrace, 0, 0, 0},
};

/* The wait status of a process that is locked in and then makes the call; NULL: lives by its own.
 */
static int locked(const struct deadly *d)
{
    const int from = memfd_create("from", 0), to = memfd_create("to", 0);
    int report[2], status = 0;
    pid_t child;

    assert_int_equal(pwrite(from, "x", 1, 0), 1);
    assert_int_equal(pipe2(report, O_CLOEXEC), 0);
    child = fork();
    if (child == 0) {
        int fds[] = {fcntl(from, F_DUPFD, 20), fcntl(to, F_DUPFD, 20),
                     fcntl(report[1], F_DUPFD, 20)};
        struct err err = {0};
        for (int i = 0; i < 3; i++)
            dup2(fds[i], PACK_FD_FROM + i);
        if (!pack_lock(&err))
            syscall(SYS_exit_group, 9);
        if (d)
            syscall(d->call, d->a, d->b, d->c, 0, 0, 0);
        syscall(SYS_exit_group, d || live() ? 7 : 8);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    close(from);
    close(to);
    close(report[0]);
    close(report[1]);
    return status;
}

static void it_lives_by_nine_calls_and_dies_of_any_other(void **state)
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
        cmocka_unit_test(it_lives_by_nine_calls_and_dies_of_any_other),
    };

    return cmocka_run_group_tests_name("unit/pack_room", tests, NULL, NULL);
}
