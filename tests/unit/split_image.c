/* The image that vmmd-split writes, and the room that it is locked in. */
#include "tests/lib/harness.h"

#include "core/base/crc.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "vmmd/split/image.h"
#include "vmmd/split/proto.h"
#include "vmmd/split/room.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES 64u
#define RAM   ((uint64_t)PAGES * SPLIT_PAGE)

static struct image image;
static char *dir;
static int fd;

static int set_up(void **state)
{
    CLEANUP(mem_freep) char *path = NULL;

    dir = tmp_dir_make();
    path = str_format("%s/image", dir);
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return fd >= 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    image_clear(&image);
    close(fd);
    tmp_dir_remove(dir);
    return 0;
}

static void page(uint64_t number, char fill)
{
    static char pages[8][SPLIT_PAGE]; /* they must live until they are flushed */
    static unsigned next;
    char *here = pages[next++ % 8];
    struct err err = {0};

    if (next % 8 == 1)
        assert_true(image_flush_pages(&image, &err));
    memset(here, fill, SPLIT_PAGE);
    assert_true(image_sink.page(&image, number * SPLIT_PAGE, (uint8_t *)here, &err));
}

static void zero(uint64_t number)
{
    assert_true(image_sink.zero(&image, number * SPLIT_PAGE, &(struct err){0}));
}

static void expect(uint64_t number, char fill)
{
    char here[SPLIT_PAGE], there[SPLIT_PAGE];

    memset(there, fill, sizeof there);
    assert_int_equal(pread(fd, here, sizeof here, (off_t)number * SPLIT_PAGE), sizeof here);
    assert_memory_equal(here, there, sizeof here);
}

static struct memory_trailer finish(const char *text)
{
    struct memory_trailer trailer;
    struct err err = {0};
    struct stat st;

    assert_true(image_sink.state(&image, text, strlen(text), &err));
    assert_true(image_finish(&image, &err));
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(pread(fd, &trailer, sizeof trailer, st.st_size - (off_t)sizeof trailer),
                     sizeof trailer);
    assert_int_equal((uint64_t)st.st_size,
                     trailer.ram_bytes + trailer.state_bytes + sizeof trailer);
    return trailer;
}

static void pages_lie_where_they_belong_and_the_last_one_counts(void **state)
{
    struct memory_trailer trailer;
    char text[6] = "";

    assert_true(image_init(&image, fd, RAM, &(struct err){0}));
    for (uint64_t i = 0; i < 20; i++)
        page(i, (char)('a' + i));
    page(63, 'z');
    page(40, 'x');
    page(7, 'H');
    page(40, 'y');
    trailer = finish("state");
    for (uint64_t i = 0; i < 20; i++)
        expect(i, i == 7 ? 'H' : (char)('a' + i));
    expect(40, 'y');
    expect(63, 'z');
    expect(50, 0);
    assert_memory_equal(trailer.magic, MEMORY_MAGIC, sizeof trailer.magic);
    assert_int_equal(trailer.version, 1);
    assert_int_equal(trailer.ram_bytes, RAM);
    assert_int_equal(trailer.held_bytes, 22 * SPLIT_PAGE);
    assert_int_equal(trailer.state_bytes, 5);
    assert_int_equal(trailer.state_crc, crc32c(0, "state", 5));
    assert_int_equal(pread(fd, text, 5, (off_t)RAM), 5);
    assert_string_equal(text, "state");
}

static void zeroes_are_holes_unless_something_was_there(void **state)
{
    assert_true(image_init(&image, fd, RAM, &(struct err){0}));
    for (uint64_t i = 0; i < PAGES; i++)
        zero(i);
    page(9, 'a');
    page(10, 'b');
    zero(9);
    zero(30);
    finish("s");
    expect(9, 0);
    expect(10, 'b');
    assert_int_equal(image_held_bytes(&image), 2 * SPLIT_PAGE);
    assert_true(lseek(fd, 11 * SPLIT_PAGE, SEEK_DATA) == (off_t)RAM); /* the state */
}

static void a_large_guest_has_coarse_marks_and_true_zeroes(void **state)
{
    const uint64_t ram = 512ull << 30, last = ram / SPLIT_PAGE - 1;

    if (!image_init(&image, fd, ram, &(struct err){0}))
        skip(); /* a file system of smaller files */
    assert_true((ram >> image.mark_shift) <= IMAGE_MARKS_MAX);
    page(last, 'l');
    zero(last - 1); /* the same mark: written, as zeroes */
    page(last - 100, 'm');
    zero(last - 100);
    zero(5);
    finish("s");
    expect(last, 'l');
    expect(last - 1, 0);
    expect(last - 100, 0);
    assert_int_equal(image_held_bytes(&image), 2ull << image.mark_shift);
    assert_true(lseek(fd, 0, SEEK_DATA) >= (off_t)((last - 200) * SPLIT_PAGE));
}

static void a_state_larger_than_its_buffer_is_written_as_a_whole(void **state)
{
    const size_t len = 3 * IMAGE_STATE_BUF + 17;
    CLEANUP(mem_freep) char *sent = mem_alloc(len);
    CLEANUP(mem_freep) char *held = mem_alloc(len);
    struct err err = {0};
    size_t step = 1;

    for (size_t i = 0; i < len; i++)
        sent[i] = (char)(i * 7 + i / 256);
    assert_true(image_init(&image, fd, RAM, &err));
    for (size_t at = 0; at < len; at += step, step = step * 5 + 1) {
        if (step > len - at)
            step = len - at;
        assert_true(image_sink.state(&image, sent + at, step, &err));
    }
    assert_int_equal(finish("").state_crc, crc32c(0, sent, len));
    assert_int_equal(pread(fd, held, len, (off_t)RAM), (ssize_t)len);
    assert_memory_equal(held, sent, len);
}

static void a_file_that_cannot_be_written_is_an_error(void **state)
{
    CLEANUP(mem_freep) char *path = str_format("%s/image", dir);
    CLEANUP(closep) int read_only = open(path, O_RDONLY | O_CLOEXEC);
    struct err err = {0};

    assert_true(image_init(&image, fd, RAM, &err));
    image.fd = read_only;
    page(1, 'a');
    assert_false(image_flush_pages(&image, &err));
    assert_int_equal(err.code, ERR_INTERNAL);
    assert_string_equal(err.detail, "write the memory image: Bad file descriptor");
}

/* ---- the room ---- */

static long live(void)
{
    char byte = 0;
    bool ok = read(SPLIT_FD_STREAM, &byte, 1) == 1 && pwrite(SPLIT_FD_IMAGE, &byte, 1, 0) == 1 &&
              pwritev(SPLIT_FD_IMAGE, &(struct iovec){&byte, 1}, 1, 1) == 1 &&
              fsync(SPLIT_FD_IMAGE) == 0 && write(SPLIT_FD_REPORT, &byte, 1) == 1;

    return ok;
}

static long open_file(void)
{
    return syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY);
}
static long read_image(void)
{
    return syscall(SYS_read, SPLIT_FD_IMAGE, NULL, 0);
}
static long write_stream(void)
{
    return syscall(SYS_write, SPLIT_FD_STREAM, "x", 1);
}
static long write_image_plainly(void)
{
    return syscall(SYS_write, SPLIT_FD_IMAGE, "x", 1);
}
static long write_elsewhere(void)
{
    return syscall(SYS_pwrite64, SPLIT_FD_REPORT, "x", 1, 0);
}
static long speak(void)
{
    return syscall(SYS_write, 2, "x", 1);
}
static long truncate_image(void)
{
    return syscall(SYS_ftruncate, SPLIT_FD_IMAGE, 0);
}
static long map(void)
{
    return syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}
static long ask(void)
{
    return syscall(SYS_getpid);
}
static long send_on(void)
{
    return syscall(SYS_sendto, SPLIT_FD_STREAM, "x", 1, 0, NULL, 0);
}
static long fork_off(void)
{
    return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

/* The wait status of a process that is locked in and then makes the call. */
static int locked(long (*call)(void))
{
    int pair[2], report[2], status = 0;
    pid_t child;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(pipe2(report, O_CLOEXEC), 0);
    assert_int_equal(send(pair[1], "x", 1, MSG_NOSIGNAL), 1);
    child = fork();
    if (child == 0) {
        int fds[] = {fcntl(pair[0], F_DUPFD, 20), fcntl(fd, F_DUPFD, 20),
                     fcntl(report[1], F_DUPFD, 20)};
        for (int i = 0; i < 3; i++)
            dup2(fds[i], SPLIT_FD_STREAM + i);
        struct err err = {0};
        bool ok = split_lock(&err);
        syscall(SYS_exit_group, ok ? call() == 1 ? 7 : 8 : 9);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    for (int i = 0; i < 2; i++) {
        close(pair[i]);
        close(report[i]);
    }
    return status;
}

static void it_lives_by_five_calls_and_dies_of_any_other(void **state)
{
    static long (*const deadly[])(void) = {open_file,
                                           read_image,
                                           write_stream,
                                           write_image_plainly,
                                           write_elsewhere,
                                           speak,
                                           truncate_image,
                                           map,
                                           ask,
                                           send_on,
                                           fork_off};
    int status = locked(live);

    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
    for (unsigned i = 0; i < ARRAY_LEN(deadly); i++) {
        status = locked(deadly[i]);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
            fail_msg("call %u: status 0x%x", i, status);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        T(pages_lie_where_they_belong_and_the_last_one_counts),
        T(zeroes_are_holes_unless_something_was_there),
        T(a_large_guest_has_coarse_marks_and_true_zeroes),
        T(a_state_larger_than_its_buffer_is_written_as_a_whole),
        T(a_file_that_cannot_be_written_is_an_error),
        T(it_lives_by_five_calls_and_dies_of_any_other),
#undef T
    };

    return cmocka_run_group_tests_name("split/image", tests, NULL, NULL);
}
