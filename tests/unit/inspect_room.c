/* The room that vmmd-inspect is locked in: what it reads a stranger has made, so whoever takes it
 * over can read that file, say something false of it, and leave. */
#include "tests/lib/harness.h"

#include "backends/qemu/inspect_wire.h"
#include "vmmd/inspect/room.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static bool live(void)
{
    char byte = 0;

    return pread(INSPECT_FD_IMAGE, &byte, 1, 0) == 1 && write(INSPECT_FD_REPORT, &byte, 1) == 1;
}

/* The arguments of calls that nothing in it needs: harmless where they were let through. */
static const struct deadly {
    const char *what;
    long call, a, b, c;
} deadly[] = {
    {"open a file", SYS_openat, AT_FDCWD, 0, O_RDONLY},
    {"read on", SYS_read, INSPECT_FD_IMAGE, 0, 0},
    {"write the image", SYS_pwrite64, INSPECT_FD_IMAGE, 0, 0},
    {"write on in the image", SYS_write, INSPECT_FD_IMAGE, 0, 0},
    {"cut the image", SYS_ftruncate, INSPECT_FD_IMAGE, 0, 0},
    {"seek in the image", SYS_lseek, INSPECT_FD_IMAGE, 0, SEEK_SET},
    {"read what it reports", SYS_pread64, INSPECT_FD_REPORT, 0, 0},
    {"speak", SYS_write, 2, 0, 0},
    {"another descriptor", SYS_dup, INSPECT_FD_IMAGE, 0, 0},
    {"control a file", SYS_ioctl, INSPECT_FD_IMAGE, 0, 0},
    {"look at a file", SYS_fstat, INSPECT_FD_IMAGE, 0, 0},
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
    const int image = memfd_create("image", 0);
    int report[2], status = 0;
    pid_t child;

    assert_int_equal(pwrite(image, "x", 1, 0), 1);
    assert_int_equal(pipe2(report, O_CLOEXEC), 0);
    child = fork();
    if (child == 0) {
        int from = fcntl(image, F_DUPFD, 20), to = fcntl(report[1], F_DUPFD, 20);
        struct err err = {0};
        dup2(from, INSPECT_FD_IMAGE);
        dup2(to, INSPECT_FD_REPORT);
        if (!inspect_lock(&err))
            syscall(SYS_exit_group, 9);
        if (d)
            syscall(d->call, d->a, d->b, d->c, 0, 0, 0);
        syscall(SYS_exit_group, d || live() ? 7 : 8);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    close(image);
    close(report[0]);
    close(report[1]);
    return status;
}

static void it_lives_by_three_calls_and_dies_of_any_other(void **state)
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
        cmocka_unit_test(it_lives_by_three_calls_and_dies_of_any_other),
    };

    return cmocka_run_group_tests_name("unit/inspect_room", tests, NULL, NULL);
}
