/* Memory that runs out: the n-th allocation fails in the middle of an operation. Our own code ends
 * the daemon then, in one place (core/base/mem.h), and so does jansson; SQLite may also report it
 * as an error. Whatever it is, after a restart nothing is half, and what was acknowledged is there.
 *
 * $VMMD_SEED chooses which allocations. */
#include "tests/lib/world.h"
#include "tests/store/with_store.h"

#include "core/base/clock.h"
#include "core/job/job.h"

#include <jansson.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define DISKS "\"disks\":[{\"size_bytes\":1048576,\"format\":\"raw\"}]"
#define TRIES 14 /* of each allocator */

static unsigned seed = 1;

/* ---- allocators that fail at the n-th time ---- */

static atomic_uint sqlite_count, sqlite_at;
static sqlite3_mem_methods sqlite_real;

static void *sqlite_alloc(int size)
{
    return ++sqlite_count == sqlite_at ? NULL : sqlite_real.xMalloc(size);
}

static void *sqlite_resize(void *old, int size)
{
    return ++sqlite_count == sqlite_at ? NULL : sqlite_real.xRealloc(old, size);
}

/* Before SQLite is used for the first time in this process. */
static void watch_sqlite(void)
{
    sqlite3_mem_methods ours;

    assert_int_equal(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &sqlite_real), SQLITE_OK);
    ours = sqlite_real;
    ours.xMalloc = sqlite_alloc;
    ours.xRealloc = sqlite_resize;
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_MALLOC, &ours), SQLITE_OK);
}

static const struct allocator {
    const char *name;
    void (*arm)(unsigned n); /* 0: count only */
    unsigned (*count)(void);
} allocators[];

static void arm_sqlite(unsigned n)
{
    sqlite_at = 0;
    sqlite_count = 0;
    sqlite_at = n;
}

static unsigned count_sqlite(void)
{
    return sqlite_count;
}

static const struct allocator allocators[] = {
    {"our own and jansson's", mem_fail_at, mem_count},
    {"SQLite's", arm_sqlite, count_sqlite},
};

/* ---- a daemon's life ---- */

struct told {
    unsigned made, edited, dropped; /* what was acknowledged */
    unsigned count;                 /* allocations of the life that came to its end */
};

static void tell(int out, const struct told *told)
{
    if (write(out, told, sizeof *told) != sizeof *told)
        _exit(4);
}

static bool edit(struct world *w)
{
    CLEANUP(json_decrefp) json_t *patch = json_pack("{s:s}", "notes", "new");
    CLEANUP(json_decrefp) json_t *vm = NULL;
    struct err err = {0};
    struct etag etag;

    vm = vm_edit(w->core, "old", patch, NULL, &world_admin, &etag, &err);
    return vm != NULL;
}

/* Asking may fail for want of memory as well; then it is asked again. */
static bool ended_well(struct world *w, const struct uuid *op)
{
    int64_t deadline = clock_mono_ms() + 20000;

    while (clock_mono_ms() < deadline && !core_is_broken(w->core)) {
        struct err err = {0};
        CLEANUP(json_decrefp) json_t *job = job_wait(w->core, op, 200, &err);
        if (job && !json_is_null(json_object_get(job, "ended_at")))
            return str_eq(json_get_text(job, "state"), "succeeded");
    }
    return false;
}

static bool create(struct world *w)
{
    struct err err = {0};
    struct uuid op;

    return world_try_create(w, "new", DISKS, &op, &err) && ended_well(w, &op);
}

static bool drop(struct world *w)
{
    struct err err = {0};
    struct uuid op;

    return vm_delete(w->core, "gone", NULL, &world_admin, &op, &err) && ended_well(w, &op);
}

/* Recovery and jobs: the world is opened with the countdown running. */
static _Noreturn void live(struct world *w, const struct allocator *a, unsigned n, int out)
{
    const struct rlimit none = {0, 0};
    struct told told = {0};

    setrlimit(RLIMIT_CORE, &none);
    signal(SIGABRT, SIG_DFL);
    signal(SIGSEGV, SIG_DFL); /* not the harness's own, which would go on in the parent's place */
    a->arm(n);
    if (world_open(w)) {
        told.made = create(w);
        tell(out, &told);
        told.edited = edit(w);
        tell(out, &told);
        told.dropped = drop(w);
        tell(out, &told);
    }
    told.count = a->count();
    a->arm(0);
    tell(out, &told);
    world_close(w);
    _exit(0);
}

static struct told live_with(struct world *w, const struct allocator *a, unsigned n)
{
    struct told told = {0}, next;
    int out[2], status;
    pid_t child;

    assert_int_equal(pipe(out), 0);
    child = fork();
    if (child == 0) {
        close(out[0]);
        watch_sqlite();
        live(w, a, n, out[1]);
    }
    close(out[1]);
    while (read(out[0], &next, sizeof next) == sizeof next)
        told = next;
    close(out[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status))
        assert_int_equal(WTERMSIG(status), SIGABRT); /* the declared one */
    else
        assert_int_equal(WEXITSTATUS(status), 0);
    return told;
}

/* ---- in a process of its own, so that this one never uses SQLite before a fork ---- */

static void prepare(struct world *w)
{
    assert_true(world_open(w));
    world_create(w, "old", DISKS);
    world_create(w, "gone", DISKS);
    world_close(w);
}

static void check(struct world *w, const struct told *told)
{
    CLEANUP(mem_freep) char *state = str_format("%s/state", w->dir);
    static const char *const names[] = {"old", "new", "gone"};
    unsigned vms = 0;

    assert_true(world_open(w));
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        world_settle(w, names[i]);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        vms += world_has_vm(w, names[i]);
    assert_true(world_has_vm(w, "old"));
    assert_true(world_has_vm(w, "new") || !told->made);
    assert_true(!world_has_vm(w, "gone") || !told->dropped);
    if (told->edited)
        assert_string_equal(world_vm(w, "old", "notes"), "new");
    assert_int_equal(world_files(w), vms);
    world_close(w);
    assert_null(whole(state));
}

static void in_a_child(struct world *w, void (*run)(struct world *, const struct told *),
                       const struct told *told)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        run(w, told);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void prepare_run(struct world *w, const struct told *told)
{
    (void)told;
    prepare(w);
}

static void make_pool_dirs(struct world *w, const struct told *told)
{
    (void)told;
    world_make_in(w, str_dup(w->dir));
    world_close(w);
}

static unsigned try_nth(const struct allocator *a, unsigned n, bool *ended_early)
{
    struct world w = {.dir = tmp_dir_make()};
    char *dir = str_dup(w.dir);
    struct told told;

    world_adopt(&w, TAKE(w.dir));
    in_a_child(&w, make_pool_dirs, NULL);
    in_a_child(&w, prepare_run, NULL);
    told = live_with(&w, a, n);
    *ended_early = told.count == 0;
    in_a_child(&w, check, &told);
    mem_freep(&w.dir);
    tmp_dir_remove(dir);
    return told.count;
}

static void no_failing_allocation_loses_anything(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(allocators); i++) {
        const struct allocator *a = &allocators[i];
        unsigned aborted = 0, all;
        bool early;

        all = try_nth(a, 0, &early);
        assert_false(early);
        assert_true(all > 100);
        for (unsigned k = 0; k < TRIES; k++) {
            try_nth(a, 1 + (all / TRIES) * k + (unsigned)rand_r(&seed) % (all / TRIES), &early);
            aborted += early;
        }
        print_message("%s: %u allocations, %u made to fail, %u ended the daemon\n", a->name, all,
                      TRIES, aborted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_failing_allocation_loses_anything)};

    if (getenv("VMMD_SEED"))
        seed = (unsigned)atoi(getenv("VMMD_SEED"));
    setenv("VMMD_LOG", "error", 0);
    setenv("TMPDIR", "/dev/shm", 0);
    world_without_qemu();
    return cmocka_run_group_tests_name("power/memory", tests, NULL, NULL);
}
