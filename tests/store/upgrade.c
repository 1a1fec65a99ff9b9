/* Upgrades: state directories that earlier versions of vmmd wrote are opened by this one, and all
 * that was in them is there and can be used.
 *
 * tests/store/upgrade/<name>.sql are such states, as text. tools/dump-state makes one at each
 * release: it runs this program with $VMMD_WRITE_STATE naming an empty directory, where it then
 * leaves the state that the test knows. */
#include "tests/lib/world.h"
#include "tests/store/with_store.h"

#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/core/parts.h"
#include "core/job/job.h"
#include "core/user/token.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define DISKS "\"disks\":[{\"size_bytes\":1048576,\"format\":\"raw\"},{\"size_bytes\":2097152}]"

static const struct origin with_key = {.principal = "test",
                                       .role = ROLE_ADMIN,
                                       .request_id = "r-1",
                                       .route = "POST /api/v1/tokens",
                                       .idempotency_key = "the-key-of-ci"};

/* ---- writing a state ---- */

#ifdef VMMD_FAILPOINTS
static void start_deleting(struct world *w, const char *name)
{
    struct err err = {0};
    struct uuid op;

    failpoint_arm("vm.delete.files=kill");
    if (vm_delete(w->core, name, NULL, &world_admin, &op, &err))
        json_decref(world_end_of(w, &op));
    _exit(1); /* the job should have killed us */
}

static void write_state(const char *dir)
{
    struct world w = {0};
    char text[TOKEN_TEXT];
    struct err err = {0};
    struct uuid id;
    int status;
    pid_t child = fork();

    if (child == 0) {
        world_make_in(&w, str_dup(dir));
        MUST(token_create(w.core, "ci", ROLE_OPERATOR, 0, &with_key, &id, text, &err));
        world_create(&w, "plain", "\"notes\":\"an old one\",\"labels\":{\"team\":\"x\"}");
        world_create(&w, "disks", DISKS ",\"vcpus\":2,\"memory_bytes\":268435456");
        assert_string_equal(world_act(&w, "disks", VM_VERB_START), "succeeded");
        world_create(&w, "going", DISKS);
        start_deleting(&w, "going");
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
}
#else
static void write_state(const char *dir)
{
    fail_msg("a state is written by a build with failpoints: build/dev");
}
#endif

/* ---- putting one back ---- */

static char *read_file(const char *path)
{
    CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct err err = {0};
    char *text = NULL;

    if (fd < 0 || !fs_read_all(fd, 16 << 20, &text, NULL, &err))
        fail_msg("%s: %s", path, err.detail);
    return text;
}

static int touch_file(void *dir, int n, char **values, char **names)
{
    CLEANUP(mem_freep) char *pool = str_format("%s/root-%s/%s", (char *)dir, values[0], values[1]);
    CLEANUP(mem_freep) char *path = str_format("%s/%s", pool, values[2] ? values[2] : ".");
    struct err err = {0};
    int fd;

    if (!fs_mkdirs(pool, 0700, &err))
        return 1;
    fd = values[2] ? open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd >= 0)
        close(fd);
    return values[2] && fd < 0;
}

/* The database, and files as its rows have them; empty, since nothing here reads them. */
static void put_back(const char *dir, const char *sql_path)
{
    static const char files[] = "SELECT pool.root, lower(substr(hex(pool.id), 1, 8) || '-' || "
                                "substr(hex(pool.id), 9, 4) || '-' || substr(hex(pool.id), 13, 4) "
                                "|| '-' || substr(hex(pool.id), 17, 4) || '-' || "
                                "substr(hex(pool.id), 21)), file.name "
                                "FROM pool LEFT JOIN file ON file.pool = pool.id";
    CLEANUP(mem_freep) char *path = str_format("%s/state/vmmd.db", dir);
    CLEANUP(mem_freep) char *sql = read_file(sql_path);
    /* The state is of today: keys are forgotten after a day. */
    CLEANUP(mem_freep)
    char *today = str_format("UPDATE idem SET created_ms = %lld", (long long)clock_wall_ms());
    char *why = NULL;
    sqlite3 *db;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK ||
        sqlite3_exec(db, today, NULL, NULL, &why) != SQLITE_OK ||
        sqlite3_exec(db, files, touch_file, (void *)dir, &why) != SQLITE_OK)
        fail_msg("%s: %s", sql_path, why);
    sqlite3_close(db);
}

/* ---- what must be there ---- */

static bool follows(void *ctx, const struct event_record *event)
{
    uint64_t *last = ctx;

    assert_int_equal(event->seq, *last + 1);
    *last = event->seq;
    return true;
}

static void all_is_there(struct world *w)
{
    struct err err = {0};
    CLEANUP(json_decrefp) json_t *token = NULL;
    CLEANUP(json_decrefp) json_t *jobs = NULL;
    struct uuid object;
    uint64_t last = 0;
    bool found;
    char type[16];

    assert_string_equal(world_vm(w, "plain", "notes"), "an old one");
    assert_string_equal(world_vm(w, "plain", "labels.team"), "x");
    assert_string_equal(world_vm(w, "disks", "vcpus"), "2");
    assert_string_equal(world_vm(w, "disks", "memory_bytes"), "268435456");
    MUST(token = token_show(w->core, "ci", &err));
    assert_string_equal(json_get_text(token, "role"), "operator");
    MUST(core_idem_find(w->core, &with_key, &found, type, &object, &err));
    assert_true(found);
    assert_string_equal(type, "token");
    MUST(jobs = world_list(w, &schema_operation, (struct query_ask){.filter = "state==succeeded"},
                           &err));
    assert_true(json_array_size(json_object_get(jobs, "items")) >= 4);
    MUST(store_event_each(w->core->store, 0, UINT32_MAX, follows, &last, &err));
    assert_true(last > 10);
}

static void what_was_under_way_is_finished(struct world *w)
{
    struct err err = {0};
    CLEANUP(json_decrefp)
    json_t *list = world_list(w, &schema_operation, (struct query_ask){0}, &err);
    json_t *job;
    size_t i;

    json_array_foreach (json_object_get(list, "items"), i, job) {
        struct uuid id;
        assert_true(uuid_parse(json_get_text(job, "id"), &id));
        json_decref(world_end_of(w, &id));
    }
    assert_false(world_has_vm(w, "going"));
    assert_int_equal(world_files(w), 2);
}

static void it_can_be_used(struct world *w)
{
    CLEANUP(json_decrefp) json_t *patch = json_pack("{s:s}", "notes", "changed");
    CLEANUP(json_decrefp) json_t *vm = NULL;
    struct err err = {0};
    struct etag etag;

    MUST(vm = vm_edit(w->core, "plain", patch, NULL, &world_admin, &etag, &err));
    assert_string_equal(world_act(w, "plain", VM_VERB_START), "succeeded");
    assert_string_equal(world_act(w, "plain", VM_VERB_STOP), "succeeded");
    world_create(w, "going", DISKS); /* its name is free */
    if (strcmp(world_vm(w, "disks", "run.state"), "running") == 0)
        assert_string_equal(world_act(w, "disks", VM_VERB_STOP), "succeeded");
    assert_string_equal(world_delete(w, "disks"), "succeeded");
    assert_int_equal(world_files(w), 2);
}

static void open_state(const char *sql_path)
{
    CLEANUP(mem_freep) char *state = NULL;
    CLEANUP(mem_freep) char *before = NULL;
    CLEANUP(mem_freep) char *after = NULL;
    struct world w = {0};

    world_adopt(&w, tmp_dir_make());
    state = str_format("%s/state", w.dir);
    put_back(w.dir, sql_path);
    before = raw_sql(state, "PRAGMA user_version");
    assert_true(world_open(&w));
    what_was_under_way_is_finished(&w);
    all_is_there(&w);
    it_can_be_used(&w);
    world_close(&w);
    after = raw_sql(state, "PRAGMA user_version");
    print_message("%s: version %s is %s now\n", sql_path, before, after);
    if (!str_eq(before, after)) { /* the way back */
        CLEANUP(mem_freep) char *copy = str_format("%s/vmmd.db.v%s", state, before);
        assert_int_equal(access(copy, F_OK), 0);
    }
    assert_null(whole(state));
    assert_true(world_open(&w)); /* and once more */
    world_remove(&w);
}

static void every_earlier_state_opens_and_works(void **state)
{
    const char *source = getenv("VMMD_SRC") ? getenv("VMMD_SRC") : ".";
    CLEANUP(mem_freep) char *folder = str_format("%s/tests/store/upgrade", source);
    DIR *dir = opendir(folder);
    unsigned n = 0;

    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        CLEANUP(mem_freep) char *path = str_format("%s/%s", folder, e->d_name);
        if (e->d_name[0] == '.')
            continue;
        open_state(path);
        n++;
    }
    closedir(dir);
    assert_true(n >= 1);
}

int main(void)
{
    const char *dir = getenv("VMMD_WRITE_STATE");
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_earlier_state_opens_and_works)};

    if (dir) {
        write_state(dir);
        return 0;
    }
    return cmocka_run_group_tests_name("store/upgrade", tests, NULL, NULL);
}
