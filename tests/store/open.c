/* Opening: the lock, the checks, the migrations, the epoch; and what a failing flush does. */
#include "tests/store/with_store.h"

#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/proc.h"
#include "core/port/store_rebuild.h"
#include "store/db.h"
#include "store/migrate.h"
#include "store/vfs.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char *dir;

static int set_up(void **state)
{
    dir = tmp_dir_make();
    return 0;
}

static int tear_down(void **state)
{
    tmp_dir_remove(dir);
    return 0;
}

static struct stat stat_of(const char *name)
{
    CLEANUP(mem_freep) char *path = str_format("%s/%s", dir, name);
    struct stat st;

    if (stat(path, &st) < 0)
        fail_msg("%s is not there", name);
    return st;
}

static bool exists(const char *name)
{
    CLEANUP(mem_freep) char *path = str_format("%s/%s", dir, name);

    return access(path, F_OK) == 0;
}

static void an_empty_directory_becomes_a_store(void **state)
{
    struct store *store = open_store(dir);
    char newest[16];

    snprintf(newest, sizeof newest, "%u", n_migrations);
    assert_raw(dir, "PRAGMA user_version", newest);
    assert_raw(dir, "PRAGMA journal_mode", "wal");
    assert_raw(dir, "PRAGMA integrity_check", "ok");
    assert_int_equal(stat_of("vmmd.db").st_mode & 0777, 0600);
    assert_int_equal(stat_of("vmmd.db-wal").st_mode & 0777, 0600);
    assert_int_equal(stat_of("reserve").st_size, RESERVE_BYTES);
    assert_true(stat_of("reserve").st_blocks * 512 >= RESERVE_BYTES);
    store_close(store);
    assert_false(exists("vmmd.db-wal")); /* a clean end leaves one file */
    assert_false(exists("vmmd.db.v0"));
}

static void a_second_daemon_is_turned_away(void **state)
{
    struct store *store = open_store(dir);
    struct err err;

    MUST_FAIL(store_open(dir, &err), ERR_BUSY);
    assert_non_null(strstr(err.detail, "another vmmd uses this state directory"));
    assert_int_equal(store_waits_for(dir), 0);            /* it serves */
    assert_int_equal(commit_event(store, "{}", &err), 1); /* and did no harm */
    store_close(store);
    store_close(open_store(dir));
}

/* A lock that outlives its holder, as the kernel keeps it while a thread waits for storage. */
static void leave_the_lock_to(pid_t pid, uint64_t began, int *fd)
{
    CLEANUP(mem_freep) char *path = str_format("%s/lock", dir);
    struct err err = {0};

    *fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(*fd >= 0 && fs_lock(*fd, &err));
    assert_true(dprintf(*fd, "%010d %020llu\n", (int)pid, (unsigned long long)began) > 0);
}

static void one_that_has_ended_but_for_its_storage_is_named(void **state)
{
    CLEANUP(closep) int fd = -1;
    struct proc_facts facts;
    siginfo_t info;
    struct err err;
    pid_t pid;

    store_close(open_store(dir));
    pid = fork();
    if (pid == 0)
        _exit(0);
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    assert_true(proc_read(pid, &facts));
    assert_int_equal(store_waits_for(dir), 0); /* nobody has it */
    leave_the_lock_to(pid, facts.start_ticks, &fd);
    assert_int_equal(store_waits_for(dir), pid);
    MUST_FAIL(store_open(dir, &err), ERR_BUSY);
    assert_non_null(strstr(err.detail, "waits for storage"));
    close(TAKE_FD(fd));
    leave_the_lock_to(pid, facts.start_ticks + 1, &fd); /* the number is another process's now */
    assert_int_equal(store_waits_for(dir), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* A fork of one that was killed, before it has executed anything, holds what that one held. */
static void a_lock_that_a_dead_daemon_left_is_waited_for(void **state)
{
    CLEANUP(closep) int fd = -1;
    char byte;
    int go[2];
    pid_t pid;

    store_close(open_store(dir));
    leave_the_lock_to(INT_MAX, 1, &fd); /* nobody has that number */
    assert_int_equal(pipe(go), 0);
    pid = fork();
    if (pid == 0)
        _exit(read(go[0], &byte, 1) == 1 && poll(NULL, 0, 50) == 0 ? 0 : 1);
    close(TAKE_FD(fd)); /* the child has it still */
    assert_int_equal(write(go[1], "g", 1), 1);
    store_close(open_store(dir));
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    close(go[0]);
    close(go[1]);
}

/* As the main of a parent that was killed does, which ends a moment after it. */
static void a_daemon_that_is_about_to_end_is_waited_for(void **state)
{
    CLEANUP(closep) int fd = -1;
    char byte;
    int go[2];
    pid_t pid;

    store_close(open_store(dir));
    assert_int_equal(pipe(go), 0);
    fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    pid = fork();
    if (pid == 0) {
        struct err err = {0};
        _exit(store_dir_lock(fd, &err) >= 0 && write(go[1], "l", 1) == 1 && poll(NULL, 0, 100) == 0
                  ? 0
                  : 1);
    }
    assert_int_equal(read(go[0], &byte, 1), 1);
    store_close(open_store(dir));
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    close(go[0]);
    close(go[1]);
}

static void a_missing_directory_is_a_failure_not_a_crash(void **state)
{
    CLEANUP(mem_freep) char *path = str_format("%s/none", dir);
    struct err err;

    MUST_FAIL(store_open(path, &err), ERR_INTERNAL);
}

static void the_epoch_grows_with_every_opening(void **state)
{
    uint32_t last = 0;

    for (int i = 0; i < 5; i++) {
        struct store *store = open_store(dir);
        assert_int_equal(store_epoch(store), last + 1);
        last = store_epoch(store);
        store_close(store);
    }
}

static void content_survives_a_reopening(void **state)
{
    struct store *store = open_store(dir);
    uint64_t oldest, newest;
    struct err err = {0};

    assert_int_equal(commit_event(store, "{}", &err), 1);
    store_close(store);
    store = open_store(dir);
    MUST(store_event_bounds(store, &oldest, &newest, &err));
    assert_int_equal(newest, 1);
    assert_int_equal(commit_event(store, "{}", &err), 2);
    store_close(store);
}

/* ---- files that must be refused, and stay as they are ---- */

static void a_newer_database_is_refused_untouched(void **state)
{
    struct err err;

    store_close(open_store(dir));
    free(raw_sql(dir, "PRAGMA user_version = 99"));
    MUST_FAIL(store_open(dir, &err), ERR_UNSUPPORTED);
    assert_non_null(strstr(err.detail, "version 99"));
    assert_raw(dir, "PRAGMA user_version", "99");
    assert_raw(dir, "SELECT epoch FROM daemon", "1");
}

static void another_programs_database_is_refused_untouched(void **state)
{
    struct err err;

    free(raw_sql(dir, "CREATE TABLE t (x)"));
    MUST_FAIL(store_open(dir, &err), ERR_INTERNAL);
    assert_raw(dir, "PRAGMA journal_mode", "delete");
    assert_raw(dir, "SELECT count(*) FROM sqlite_schema", "1");
}

static void write_at(const char *name, off_t at, const void *data, size_t len)
{
    CLEANUP(mem_freep) char *path = str_format("%s/%s", dir, name);
    CLEANUP(closep) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, len, at), len);
}

static void a_file_that_is_no_database_is_refused_untouched(void **state)
{
    CLEANUP(mem_freep) char *path = str_format("%s/vmmd.db", dir);
    char junk[8192], after[8192];
    CLEANUP(closep) int fd = -1;
    struct err err;

    memset(junk, 'x', sizeof junk);
    write_at("vmmd.db", 0, junk, sizeof junk);
    MUST_FAIL(store_open(dir, &err), ERR_INTERNAL);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, after, sizeof after), sizeof after);
    assert_memory_equal(junk, after, sizeof junk);
}

static void a_damaged_database_is_refused(void **state)
{
    struct store *store = open_store(dir);
    char junk[4096];
    struct err err = {0};
    off_t end;

    for (int i = 0; i < 200; i++)
        assert_true(commit_event(store, "{\"text\":\"some text to fill pages with\"}", &err));
    store_close(store);
    end = stat_of("vmmd.db").st_size;
    memset(junk, 0xee, sizeof junk);
    write_at("vmmd.db", end - 4096, junk, sizeof junk);
    MUST_FAIL(store_open(dir, &err), ERR_INTERNAL);
}

/* ---- migrations, with steps of our own ---- */

struct opened {
    struct reserve reserve;
    struct vfs *vfs;
    struct conn *conn;
    char *path;
    atomic_bool poisoned;
};

static void open_bare(struct opened *o)
{
    struct err err = {0};
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    o->path = str_format("%s/vmmd.db", dir);
    write_at("vmmd.db", 0, "", 0);
    reserve_init(&o->reserve, fd);
    MUST(o->vfs = vfs_new(&o->reserve, &err));
    MUST(o->conn = conn_open(o->path, o->vfs, &o->poisoned, &err));
}

static void close_bare(struct opened *o)
{
    conn_close(o->conn);
    vfs_free(o->vfs);
    close(o->reserve.dir);
    free(o->path);
}

static const char *const steps[] = {
    "CREATE TABLE parent (id INTEGER PRIMARY KEY); INSERT INTO parent VALUES (7);"
    "CREATE TABLE child (parent INTEGER REFERENCES parent (id)); INSERT INTO child VALUES (7);",
    /* rebuilds a table that others refer to */
    "CREATE TABLE p2 (id INTEGER PRIMARY KEY, note TEXT); INSERT INTO p2 (id) SELECT id FROM "
    "parent;"
    "DROP TABLE parent; ALTER TABLE p2 RENAME TO parent;",
};

static void an_old_database_is_copied_then_migrated(void **state)
{
    CLEANUP(mem_freep) char *copy = NULL;
    struct opened o = {0};
    struct err err = {0};
    sqlite3 *db;

    open_bare(&o);
    MUST(migrate(o.conn, o.reserve.dir, o.path, steps, 1, &err));
    assert_false(exists("vmmd.db.v0")); /* nothing to lose yet */
    MUST(migrate_check(o.conn, 2, &err));
    MUST(migrate(o.conn, o.reserve.dir, o.path, steps, 2, &err));
    MUST(migrate(o.conn, o.reserve.dir, o.path, steps, 2, &err)); /* nothing to do */
    close_bare(&o);
    assert_raw(dir, "PRAGMA user_version", "2");
    assert_raw(dir, "SELECT count(*) FROM parent JOIN child ON child.parent = parent.id", "1");
    assert_int_equal(stat_of("vmmd.db.v1").st_mode & 0777, 0600);
    assert_false(exists("vmmd.db.v1.part"));
    copy = str_format("%s/vmmd.db.v1", dir);
    assert_int_equal(sqlite3_open(copy, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "SELECT note FROM parent", 0, 0, 0), SQLITE_ERROR);
    assert_int_equal(sqlite3_exec(db, "SELECT id FROM parent", 0, 0, 0), SQLITE_OK);
    sqlite3_close(db);
}

static void a_migration_that_fails_leaves_the_old_version(void **state)
{
    static const char *const broken[] = {
        "CREATE TABLE parent (id INTEGER PRIMARY KEY);"
        "CREATE TABLE child (parent INTEGER REFERENCES parent (id));",
        "CREATE TABLE half (x); CREATE TABLE half (x);",
    };
    static const char *const dangling[] = {NULL, "INSERT INTO child VALUES (9);"};
    struct opened o = {0};
    struct err err = {0};

    open_bare(&o);
    MUST(migrate(o.conn, o.reserve.dir, o.path, broken, 1, &err));
    MUST_FAIL(migrate(o.conn, o.reserve.dir, o.path, broken, 2, &err), ERR_INTERNAL);
    assert_non_null(strstr(err.detail, "migration 2"));
    MUST_FAIL(migrate(o.conn, o.reserve.dir, o.path, dangling, 2, &err), ERR_INTERNAL);
    assert_non_null(strstr(err.detail, "child"));
    close_bare(&o);
    assert_raw(dir, "PRAGMA user_version", "1");
    assert_raw(dir, "SELECT count(*) FROM sqlite_schema WHERE name = 'half'", "0");
    assert_raw(dir, "SELECT count(*) FROM child", "0");
}

/* ---- a disk that does not flush ---- */

#ifdef VMMD_FAILPOINTS
static bool count_event(void *ctx, const struct event_record *event)
{
    ++*(unsigned *)ctx;
    return true;
}

static void a_failing_flush_poisons_the_store_for_good(void **state)
{
    struct store *store = open_store(dir);
    uint64_t oldest, newest;
    unsigned n = 0;
    struct err err = {0};

    for (int i = 0; i < 10; i++)
        assert_true(commit_event(store, "{}", &err));
    failpoint_arm("store.sync=fail");
    MUST_FAIL(commit_event(store, "{}", &err), ERR_INTERNAL);
    failpoint_arm(NULL);
    assert_true(store_is_poisoned(store));
    MUST_FAIL(commit_event(store, "{}", &err), ERR_UNAVAILABLE);
    MUST_FAIL(store_event_each(store, 0, 100, count_event, &n, &err), ERR_UNAVAILABLE);
    store_close(store);
    assert_true(exists("vmmd.db-wal")); /* nothing more was written, not even on closing */

    store = open_store(dir);
    assert_false(store_is_poisoned(store));
    MUST(store_event_bounds(store, &oldest, &newest, &err));
    assert_int_equal(oldest, 1);
    assert_in_range(newest, 10, 11); /* the outcome of the failed one was unknown */
    store_close(store);
}
#endif

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(an_empty_directory_becomes_a_store),
        T(a_second_daemon_is_turned_away),
        T(one_that_has_ended_but_for_its_storage_is_named),
        T(a_daemon_that_is_about_to_end_is_waited_for),
        T(a_lock_that_a_dead_daemon_left_is_waited_for),
        T(a_missing_directory_is_a_failure_not_a_crash),
        T(the_epoch_grows_with_every_opening),
        T(content_survives_a_reopening),
        T(a_newer_database_is_refused_untouched),
        T(another_programs_database_is_refused_untouched),
        T(a_file_that_is_no_database_is_refused_untouched),
        T(a_damaged_database_is_refused),
        T(an_old_database_is_copied_then_migrated),
        T(a_migration_that_fails_leaves_the_old_version),
#ifdef VMMD_FAILPOINTS
        T(a_failing_flush_poisons_the_store_for_good),
#endif
    };

    return cmocka_run_group_tests_name("store/open", tests, NULL, NULL);
}
