/* A full disk: the reserve lets what is under way come to an end, then writes fail with NO_SPACE,
 * the file stays whole, and all goes on when there is space again. On a small file system of our
 * own, in a private mount namespace, so root is needed: on tmpfs, and on ext4, which allocates
 * late. */
#include "tests/store/with_store.h"

#include "core/base/fs.h"
#include "core/base/thread.h"
#include "store/db.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define FS_MIB "26"

static char *top, *dir, *image;
static bool mounted;

static bool namespace_is_ours(void)
{
    static bool done;

    if (!done && geteuid() == 0)
        done =
            unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
    return done;
}

static int set_up(void **state)
{
    top = tmp_dir_make();
    dir = str_format("%s/state", top);
    image = str_format("%s/image", top);
    assert_int_equal(mkdir(dir, 0700), 0);
    mounted = false;
    return 0;
}

static int tear_down(void **state)
{
    if (mounted)
        assert_int_equal(umount2(dir, MNT_DETACH), 0); /* a failed test may still use it */
    free(dir);
    free(image);
    tmp_dir_remove(top);
    return 0;
}

static void mount_tmpfs(void)
{
    if (!namespace_is_ours()) {
        print_message("skipped: no right to mount (needs root)\n");
        skip();
    }
    if (mount("none", dir, "tmpfs", 0, "size=" FS_MIB "m") < 0)
        fail_msg("mount tmpfs: %s", strerror(errno));
    mounted = true;
}

/* mkfs.ext4 and a loop device; false where the machine does not have them. */
static bool try_ext4(void)
{
    CLEANUP(mem_freep)
    char *command = str_format("truncate -s " FS_MIB "M %s && "
                               "mkfs.ext4 -q -m 0 -O ^has_journal %s && "
                               "mount -o loop %s %s 2>/dev/null",
                               image, image, image, dir);

    return namespace_is_ours() && system(command) == 0;
}

static void mount_ext4(void)
{
    mounted = try_ext4();
    if (mounted)
        return;
    print_message("skipped: no right to mount, or no loop device or mkfs.ext4\n");
    skip();
}

static bool exists(const char *name)
{
    CLEANUP(mem_freep) char *path = str_format("%s/%s", dir, name);

    return access(path, F_OK) == 0;
}

/* Somebody else fills the file system, to the last byte. */
static void fill_disk(void)
{
    CLEANUP(mem_freep) char *path = str_format("%s/filler", dir);
    CLEANUP(mem_freep) char *block = mem_alloc(65536);
    CLEANUP(closep) int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    for (size_t len = 65536; len; len /= 2)
        while (write(fd, block, len) > 0)
            continue;
    assert_int_equal(errno, ENOSPC);
}

static void free_disk(void)
{
    CLEANUP(mem_freep) char *path = str_format("%s/filler", dir);

    assert_int_equal(unlink(path), 0);
}

static char *big_data(void)
{
    char *data = mem_alloc(64 * 1024);

    memset(data, 'x', 64 * 1024 - 1);
    memcpy(data, "{\"x\":\"", 6);
    memcpy(data + 64 * 1024 - 3, "\"}", 2);
    return data;
}

/* Commits until the store says NO_SPACE; the number of the last event that is durable. */
static uint64_t write_until_full(struct store *store)
{
    CLEANUP(mem_freep) char *data = big_data();
    uint64_t last = 0, seq;
    struct err err = {0};

    while ((seq = commit_event(store, data, &err)) != 0)
        last = seq;
    assert_int_equal(err.code, ERR_NO_SPACE);
    assert_false(store_is_poisoned(store));
    return last;
}

static uint64_t newest_event(struct store *store)
{
    uint64_t oldest, newest;
    struct err err = {0};

    MUST(store_event_bounds(store, &oldest, &newest, &err));
    return newest;
}

static void live_through_a_full_disk(void)
{
    struct store *store = open_store(dir);
    struct err err = {0};
    uint64_t last;

    assert_int_equal(commit_event(store, "{}", &err), 1);
    assert_true(exists("reserve"));
    fill_disk();
    last = write_until_full(store);
    assert_false(exists("reserve"));
    assert_true(last > 50);                      /* the reserve carried it on for a good while */
    assert_int_equal(newest_event(store), last); /* reading goes on */
    assert_raw(dir, "PRAGMA integrity_check", "ok");
    MUST_FAIL(commit_event(store, "{}", &err), ERR_NO_SPACE);

    free_disk();
    assert_int_equal(commit_event(store, "{}", &err), last + 1);
    store_close(store);
    store = open_store(dir);
    assert_int_equal(newest_event(store), last + 1);
    assert_raw(dir, "PRAGMA integrity_check", "ok");
    store_close(store);
}

static void a_full_tmpfs_is_survived(void **state)
{
    mount_tmpfs();
    live_through_a_full_disk();
}

static void a_full_ext4_is_survived(void **state)
{
    mount_ext4();
    live_through_a_full_disk();
}

static void a_full_disk_does_not_keep_the_daemon_from_starting(void **state)
{
    struct store *store;
    struct err err = {0};

    mount_tmpfs();
    store_close(open_store(dir));
    fill_disk();
    store = open_store(dir); /* on the reserve that the one before left */
    assert_int_equal(store_epoch(store), 2);
    assert_true(commit_event(store, "{}", &err));
    store_close(store);
}

static void without_a_reserve_a_full_disk_is_said_plainly(void **state)
{
    struct err err = {0};

    mount_tmpfs();
    fill_disk();
    MUST_FAIL(store_open(dir, &err), ERR_NO_SPACE);
    free_disk();
    store_close(open_store(dir));
}

static void the_reserve_comes_back_with_the_space(void **state)
{
    CLEANUP(mem_freep) char *data = big_data();
    struct err err = {0};
    struct store *store;

    mount_tmpfs();
    if (mount(NULL, dir, NULL, MS_REMOUNT, "size=80m") < 0)
        fail_msg("remount: %s", strerror(errno));
    store = open_store(dir);
    fill_disk();
    while (exists("reserve"))
        assert_true(commit_event(store, data, &err));
    free_disk();
    for (int i = 0; i < 200 && !exists("reserve"); i++)
        assert_true(commit_event(store, data, &err));
    assert_true(exists("reserve"));
    store_close(store);
}

/* ---- a full disk in the middle of a group ---- */

struct member {
    pthread_t thread;
    struct store *store;
    uint64_t acknowledged;
    unsigned refused;
    bool strange;
};

static void *write_many(void *arg)
{
    CLEANUP(mem_freep) char *data = big_data();
    struct member *m = arg;

    for (int i = 0; i < 60; i++) {
        struct err err = {0};
        if (commit_event(m->store, data, &err))
            m->acknowledged++;
        else if (err.code == ERR_NO_SPACE)
            m->refused++;
        else
            m->strange = true;
    }
    return NULL;
}

static void a_group_that_finds_the_disk_full_fails_as_one(void **state)
{
    struct member m[8] = {0};
    uint64_t acknowledged = 0, refused = 0;
    struct store *store;
    struct err err = {0};

    mount_tmpfs();
    store = open_store(dir);
    fill_disk();
    for (unsigned i = 0; i < ARRAY_LEN(m); i++) {
        m[i].store = store;
        MUST(thread_start(&m[i].thread, "member", write_many, &m[i], &err));
    }
    for (unsigned i = 0; i < ARRAY_LEN(m); i++) {
        assert_int_equal(pthread_join(m[i].thread, NULL), 0);
        assert_false(m[i].strange);
        acknowledged += m[i].acknowledged;
        refused += m[i].refused;
    }
    assert_true(acknowledged > 0 && refused > 0);
    assert_false(store_is_poisoned(store));
    assert_int_equal(newest_event(store), acknowledged); /* no more, no less, no gap */
    assert_raw(dir, "PRAGMA integrity_check", "ok");
    store_close(store);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(a_full_tmpfs_is_survived),
        T(a_full_ext4_is_survived),
        T(a_full_disk_does_not_keep_the_daemon_from_starting),
        T(without_a_reserve_a_full_disk_is_said_plainly),
        T(the_reserve_comes_back_with_the_space),
        T(a_group_that_finds_the_disk_full_fails_as_one),
    };

    return cmocka_run_group_tests_name("store/full", tests, NULL, NULL);
}
