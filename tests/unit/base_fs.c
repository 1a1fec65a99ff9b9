/* Files: nothing leaves its directory, and a publisher that dies at any system call leaves the old
 * content or the new one. */
#include "tests/lib/harness.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct place {
    char *path;
    int dir;
};

static int make_place(void **state)
{
    struct place *place = mem_alloc(sizeof *place);

    place->path = tmp_dir_make();
    place->dir = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = place;
    return place->dir < 0;
}

static int remove_place(void **state)
{
    struct place *place = *state;

    close(place->dir);
    tmp_dir_remove(place->path);
    free(place);
    return 0;
}

static void must(bool ok, const struct err *err)
{
    if (!ok)
        fail_msg("%s: %s", err_slug(err->code), err->detail);
}

static char *content(int dir, const char *name)
{
    struct err err = {0};
    CLEANUP(closep) int fd = fs_open(dir, name, O_RDONLY, 0, &err);
    char *text = NULL;

    if (fd < 0)
        return NULL;
    must(fs_read_all(fd, 1 << 20, &text, NULL, &err), &err);
    return text;
}

static void nothing_outside_the_directory_is_opened(void **state)
{
    static const char *const bad[] = {"../x",           "/etc/passwd", "sub/../../x",    "link",
                                      "linkdir/passwd", "sub/up/etc",  "/proc/self/fd/0"};
    struct place *place = *state;
    struct err err = {0};

    assert_int_equal(symlinkat("/etc/passwd", place->dir, "link"), 0);
    assert_int_equal(symlinkat("/etc", place->dir, "linkdir"), 0);
    close(fs_dir(place->dir, "sub", 0700, &err));
    assert_int_equal(symlinkat("../..", place->dir, "sub/up"), 0);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        memset(&err, 0, sizeof err);
        if (fs_open(place->dir, bad[i], O_RDONLY, 0, &err) >= 0)
            fail_msg("opened %s", bad[i]);
        assert_true(err.code != ERR_NONE);
    }
}

static void opening_tells_missing_from_taken(void **state)
{
    struct place *place = *state;
    struct err err = {0};
    int fd = fs_open(place->dir, "new", O_RDWR | O_CREAT | O_EXCL, 0600, &err);

    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    close(fd);
    assert_int_equal(fs_open(place->dir, "none", O_RDONLY, 0, &err), -1);
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_int_equal(fs_open(place->dir, "new", O_RDWR | O_CREAT | O_EXCL, 0600, &err), -1);
    assert_int_equal(err.code, ERR_EXISTS);
}

static void a_published_file_replaces_the_old_one_with_its_own_mode(void **state)
{
    struct place *place = *state;
    struct err err = {0};
    struct stat st;

    must(fs_publish(place->dir, "f", "old", 3, 0644, &err), &err);
    close(openat(place->dir, "f.tmp", O_WRONLY | O_CREAT, 0666)); /* of a crash */
    must(fs_publish(place->dir, "f", "secret", 6, 0600, &err), &err);
    CLEANUP(mem_freep) char *text = content(place->dir, "f");
    assert_string_equal(text, "secret");
    assert_int_equal(fstatat(place->dir, "f", &st, 0), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(faccessat(place->dir, "f.tmp", F_OK, 0), -1);
}

static void publishing_does_not_write_through_a_planted_link(void **state)
{
    struct place *place = *state;
    struct err err = {0};

    must(fs_publish(place->dir, "victim", "safe", 4, 0600, &err), &err);
    assert_int_equal(symlinkat("victim", place->dir, "f.tmp"), 0);
    must(fs_publish(place->dir, "f", "new", 3, 0600, &err), &err);
    CLEANUP(mem_freep) char *text = content(place->dir, "victim");
    assert_string_equal(text, "safe");
}

#define CALLS 64

/* Publishes "new" over "old" in a child that is killed on entering its system call number 'kill_at'
 * (never when 0). Returns how many it entered; their numbers go to 'calls'. */
static int publish_and_die(int dir, int kill_at, long calls[CALLS])
{
    pid_t child = fork();
    bool entering = true;
    int n = 0, status;

    if (child == 0) {
        struct err err = {0};
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
        _exit(fs_publish(dir, "f", "new", 3, 0600, &err) ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_TRACESYSGOOD);
    while (!WIFEXITED(status) && !WIFSIGNALED(status)) {
        struct __ptrace_syscall_info info = {0};
        ptrace(PTRACE_SYSCALL, child, NULL, NULL);
        assert_int_equal(waitpid(child, &status, 0), child);
        if (!WIFSTOPPED(status))
            break;
        if (entering) {
            ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof info, &info);
            if (n < CALLS)
                calls[n] = (long)info.entry.nr;
            if (++n == kill_at)
                kill(child, SIGKILL);
        }
        entering = !entering;
    }
    return n;
}

static void a_publisher_killed_at_any_system_call_leaves_old_or_new(void **state)
{
    struct place *place = *state;
    struct err err = {0};
    long calls[CALLS];
    unsigned kept = 0, replaced = 0;

    must(fs_publish(place->dir, "f", "old", 3, 0600, &err), &err);
    for (int at = 1, n; at < CALLS; at++) {
        CLEANUP(mem_freep) char *text = NULL;
        n = publish_and_die(place->dir, at, calls);
        text = content(place->dir, "f");
        assert_non_null(text);
        if (strcmp(text, "old") == 0)
            kept++;
        else if (strcmp(text, "new") == 0)
            replaced++;
        else
            fail_msg("killed at call %d: '%s'", at, text);
        if (n < at)
            break; /* it came to its end */
        must(fs_publish(place->dir, "f", "old", 3, 0600, &err), &err);
    }
    assert_true(kept >= 5 && replaced >= 1);
}

static void publishing_flushes_the_file_before_and_the_directory_after_the_rename(void **state)
{
    struct place *place = *state;
    long calls[CALLS];
    int n = publish_and_die(place->dir, 0, calls), step = 0;
    static const long order[] = {SYS_write, SYS_fsync, SYS_renameat, SYS_fsync};

    for (int i = 0; i < n && i < CALLS && step < 4; i++)
        step += calls[i] == order[step];
    assert_int_equal(step, 4);
}

static void a_tree_is_removed_without_following_links(void **state)
{
    struct place *place = *state;
    struct err err = {0};
    int sub = fs_dir(place->dir, "tree", 0700, &err), keep = fs_dir(place->dir, "keep", 0700, &err);

    must(fs_publish(keep, "file", "x", 1, 0600, &err), &err);
    must(fs_publish(sub, "file", "x", 1, 0600, &err), &err);
    close(fs_dir(sub, "deeper", 0700, &err));
    assert_int_equal(symlinkat("../keep", sub, "link"), 0);
    must(fs_remove_tree(place->dir, "tree", &err), &err);
    must(fs_remove_tree(place->dir, "tree", &err), &err);
    assert_int_equal(faccessat(place->dir, "tree", F_OK, 0), -1);
    assert_int_equal(faccessat(place->dir, "keep/file", F_OK, 0), 0);
    must(fs_remove(place->dir, "nothing-here", &err), &err);
    close(sub);
    close(keep);
}

static void directories_are_made_on_the_way(void **state)
{
    struct place *place = *state;
    struct err err = {0};
    CLEANUP(mem_freep) char *deep = str_format("%s/a/b/c", place->path);
    CLEANUP(mem_freep) char *file = str_format("%s/file", place->path);
    struct stat st;

    must(fs_mkdirs(deep, 0700, &err), &err);
    must(fs_mkdirs(deep, 0700, &err), &err);
    assert_int_equal(stat(deep, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    must(fs_publish(place->dir, "file", "x", 1, 0600, &err), &err);
    assert_false(fs_mkdirs(file, 0700, &err));
    assert_false(fs_mkdirs("", 0700, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_false(fs_mkdirs("relative", 0700, &err));
}

static void a_file_is_read_up_to_the_limit(void **state)
{
    struct place *place = *state;
    struct err err = {0};
    CLEANUP(mem_freep) char *big = mem_alloc(40000), *text = NULL;
    CLEANUP(closep) int fd = -1;
    size_t len = 0;

    memset(big, 'x', 40000);
    must(fs_publish(place->dir, "big", big, 40000, 0600, &err), &err);
    fd = fs_open(place->dir, "big", O_RDONLY, 0, &err);
    must(fs_read_all(fd, 40000, &text, &len, &err), &err);
    assert_int_equal(len, 40000);
    assert_int_equal(text[len], 0);
    lseek(fd, 0, SEEK_SET);
    assert_false(fs_read_all(fd, 39999, &big, &len, &err));
    assert_int_equal(err.code, ERR_TOO_LARGE);
}

static void a_full_disk_is_named_no_space(void **state)
{
    struct err err = {0};
    CLEANUP(closep) int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        skip(); /* a container without /dev/full */
    assert_false(fs_write_all(fd, "x", 1, &err));
    assert_int_equal(err.code, ERR_NO_SPACE);
}

static void a_lock_belongs_to_one_opening(void **state)
{
    struct place *place = *state;
    struct err err = {0};
    uint64_t total = 0, left = 0;
    int first = fs_open(place->dir, "lock", O_RDWR | O_CREAT, 0600, &err);
    CLEANUP(closep) int second = fs_open(place->dir, "lock", O_RDWR, 0, &err);

    must(fs_lock(first, &err), &err);
    assert_false(fs_lock(second, &err));
    assert_int_equal(err.code, ERR_BUSY);
    close(first);
    must(fs_lock(second, &err), &err);
    must(fs_space(second, &total, &left, &err), &err);
    assert_true(total >= left && total > 0);
}

static bool some_file_is_held_without_a_name(const char *dir)
{
    CLEANUP(closep) int fds = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char entry[16], target[256];
    bool found = false;

    for (int fd = 0; fd < 256 && !found; fd++) {
        ssize_t n;
        snprintf(entry, sizeof entry, "%d", fd);
        n = readlinkat(fds, entry, target, sizeof target - 1);
        if (n < 0)
            continue;
        target[n] = '\0';
        found = strncmp(target, dir, strlen(dir)) == 0 && strstr(target, " (deleted)");
    }
    return found;
}

static void a_large_file_loses_its_name_at_once_and_its_space_soon(void **state)
{
    const struct place *place = *state;
    const int64_t deadline_ms = clock_mono_ms() + 30000;
    struct err err = {0};
    struct stat st;
    int fd = openat(place->dir, "disk", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    assert_int_equal(posix_fallocate(fd, 0, 8 << 20), 0);
    close(fd);
    must(fs_remove_large(place->dir, "disk", &err), &err);
    assert_int_equal(fstatat(place->dir, "disk", &st, 0), -1);
    while (some_file_is_held_without_a_name(place->path)) {
        assert_true(clock_left_ms(deadline_ms));
        sched_yield();
    }
    must(fs_remove_large(place->dir, "disk", &err), &err); /* missing is success */
}

/* A guest goes on with memory that is mapped from a file without a name. */
static void a_large_file_that_somebody_has_mapped_keeps_what_it_holds(void **state)
{
    const size_t bytes = 8 << 20;
    const struct place *place = *state;
    const int64_t deadline_ms = clock_mono_ms() + 30000;
    struct err err = {0};
    int fd = openat(place->dir, "memory", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    unsigned char *mapped;

    for (size_t at = 0; at < bytes; at += 4096)
        assert_int_equal(pwrite(fd, "guest", 5, (off_t)at), 5);
    close(fd);
    fd = openat(place->dir, "memory", O_RDONLY | O_CLOEXEC);
    mapped = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    assert_ptr_not_equal(mapped, MAP_FAILED);
    close(fd);
    must(fs_remove_large(place->dir, "memory", &err), &err);
    while (some_file_is_held_without_a_name(place->path)) {
        assert_true(clock_left_ms(deadline_ms));
        sched_yield();
    }
    for (size_t at = 0; at < bytes; at += 4096)
        assert_memory_equal(mapped + at, "guest", 5);
    munmap(mapped, bytes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_place, remove_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_outside_the_directory_is_opened),
        TEST(opening_tells_missing_from_taken),
        TEST(a_published_file_replaces_the_old_one_with_its_own_mode),
        TEST(publishing_does_not_write_through_a_planted_link),
        TEST(a_publisher_killed_at_any_system_call_leaves_old_or_new),
        TEST(publishing_flushes_the_file_before_and_the_directory_after_the_rename),
        TEST(a_tree_is_removed_without_following_links),
        TEST(directories_are_made_on_the_way),
        TEST(a_file_is_read_up_to_the_limit),
        TEST(a_full_disk_is_named_no_space),
        TEST(a_lock_belongs_to_one_opening),
        TEST(a_large_file_loses_its_name_at_once_and_its_space_soon),
        TEST(a_large_file_that_somebody_has_mapped_keeps_what_it_holds),
    };

    return cmocka_run_group_tests_name("base/fs", tests, NULL, NULL);
}
