/* A database in place of another: killed or failing at any point, what is there afterwards is the
 * old one or the new one, whole, and the old one is never lost. */
#include "tests/store/with_store.h"

#include "core/base/failpoint.h"
#include "core/base/fs.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char *dir;

static int set_up(void **state)
{
    dir = tmp_dir_make();
    return 0;
}

static void arm(const char *spec)
{
#ifdef VMMD_FAILPOINTS
    failpoint_arm(spec);
#endif
}

static int tear_down(void **state)
{
    arm(NULL);
    tmp_dir_remove(dir);
    return 0;
}

static bool put_pool(struct store *store, const char *name, struct err *err)
{
    const struct pool_record pool = {.id = uuid_new(), .name = name, .root = "main"};
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(store, err);

    return txn && store_pool_put(txn, &pool, err) && store_commit(&txn, err);
}

static const char *const old_files[] = {"vmmd.db", "vmmd.db-wal"};
static struct {
    char *data;
    size_t len;
} old[2];

static int free_old(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(old); i++)
        mem_freep(&old[i].data);
    return 0;
}

static void copy_old(bool keep)
{
    CLEANUP(closep) int to = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct err err = {0};

    for (size_t i = 0; i < ARRAY_LEN(old); i++) {
        CLEANUP(closep)
        int fd = fs_open(to, old_files[i], keep ? O_RDONLY : O_WRONLY | O_CREAT, 0600, &err);
        if (keep)
            MUST(fs_read_all(fd, 64u << 20, &old[i].data, &old[i].len, &err));
        else
            MUST(fs_write_all(fd, old[i].data, old[i].len, &err));
    }
}

/* As a daemon that was killed leaves it: what it wrote last is in the log alone. Made once. */
static void make_old(void)
{
    struct err err = {0};
    int status;
    pid_t child;

    if (old[0].data) {
        copy_old(false);
        return;
    }
    child = fork();
    if (child == 0) {
        struct store *store = store_open(dir, &err);
        _exit(!store || !put_pool(store, "old", &err));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    copy_old(true);
}

/* 'spec' arms a failpoint once the new one is there, empty. */
static bool rebuild(const char *spec, char kept[64], struct err *err)
{
    struct rebuild *r = store_rebuild_begin(dir, err);
    struct store *store = r ? store_rebuild_open(r, 41, err) : NULL;
    bool ok;

    if (spec)
        arm(spec);
    ok = store && put_pool(store, "new", err) && store_rebuild_commit(r, kept, err);
    store_rebuild_end(r);
    return ok;
}

static bool note_pool(void *ctx, const struct pool_record *pool)
{
    str_copy(ctx, 16, pool->name);
    return true;
}

static const char *what_is_there(void)
{
    static char name[16];
    struct err err = {0};
    struct store *store = open_store(dir);

    str_copy(name, sizeof name, "nothing");
    MUST(store_pool_each(store, note_pool, name, &err));
    store_close(store);
    return name;
}

/* Names of the state directory that begin so. */
static unsigned entries(const char *begin)
{
    DIR *list = opendir(dir);
    unsigned n = 0;

    assert_non_null(list);
    for (struct dirent *e; (e = readdir(list));)
        n += str_starts(e->d_name, begin);
    closedir(list);
    return n;
}

static void a_rebuilt_database_is_in_place_and_the_old_one_kept(void **state)
{
    struct err err = {0};
    struct store *store;
    char kept[64];

    make_old();
    MUST(rebuild(NULL, kept, &err));
    assert_true(str_starts(kept, "vmmd.db.lost-"));
    assert_int_equal(entries(kept), 2); /* with its log */
    assert_string_equal(what_is_there(), "new");
    store = open_store(dir);
    assert_true(store_epoch(store) > 41);
    store_close(store);
    assert_int_equal(entries("rebuild"), 0);
}

static void where_there_was_none_there_is_one(void **state)
{
    struct err err = {0};
    char kept[64];

    assert_false(store_is_there(dir));
    MUST(rebuild(NULL, kept, &err));
    assert_string_equal(kept, "");
    assert_true(store_is_there(dir));
    assert_string_equal(what_is_there(), "new");
}

static void a_daemon_that_runs_keeps_its_database(void **state)
{
    struct store *store = open_store(dir);
    struct err err = {0};
    char kept[64];

    assert_false(rebuild(NULL, kept, &err));
    assert_int_equal(err.code, ERR_BUSY);
    store_close(store);
}

static void what_was_not_committed_is_gone(void **state)
{
    struct err err = {0};
    struct rebuild *r;

    make_old();
    r = store_rebuild_begin(dir, &err);
    assert_non_null(r);
    assert_non_null(store_rebuild_open(r, 0, &err));
    store_rebuild_end(r);
    assert_int_equal(entries("rebuild"), 0);
    assert_string_equal(what_is_there(), "old");
}

#ifdef VMMD_FAILPOINTS
/* True when it came to its end before its n-th point. */
static bool rebuild_in_child(unsigned n, const char *spec)
{
    struct err err = {0};
    pid_t child = fork();
    char kept[64];
    int status;

    if (child == 0) {
        _exit(rebuild(spec, kept, &err) && failpoint_passed() < n ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* At its n-th point, for every n; the store's own points are among them. */
static void walk(const char *how)
{
    unsigned olds = 0, news = 0;
    bool ended = false;

    for (unsigned n = 1; !ended; n++) {
        char spec[32];
        const char *there;
        make_old();
        snprintf(spec, sizeof spec, "#%u=%s", n, how);
        ended = rebuild_in_child(n, spec);
        there = what_is_there();
        if (str_eq(there, "old") ? entries("vmmd.db.lost-") : !str_eq(there, "new"))
            fail_msg("%s: %s is there", spec, there);
        assert_int_equal(entries("rebuild-"), 0);
        olds += str_eq(there, "old");
        news += str_eq(there, "new");
        tmp_dir_remove(dir);
        dir = tmp_dir_make();
    }
    if (olds < 3 || news < 5)
        fail_msg("%u times the old one, %u times the new one", olds, news);
}

static void a_kill_leaves_the_old_one_or_the_new_one(void **state)
{
    walk("kill");
}

static void a_failure_leaves_the_old_one_or_the_new_one(void **state)
{
    walk("fail");
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_rebuilt_database_is_in_place_and_the_old_one_kept, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(where_there_was_none_there_is_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_daemon_that_runs_keeps_its_database, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_not_committed_is_gone, set_up, tear_down),
#ifdef VMMD_FAILPOINTS
        cmocka_unit_test_setup_teardown(a_kill_leaves_the_old_one_or_the_new_one, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_failure_leaves_the_old_one_or_the_new_one, set_up,
                                        tear_down),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, free_old);
}
