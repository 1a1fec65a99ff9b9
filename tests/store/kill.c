/* kill -9 in the middle of many commits: whatever was acknowledged is there after the next opening,
 * and the log of events has no gap. The child writes a number to a pipe after its store_commit()
 * has returned; what the parent reads there must be in the file. */
#include "tests/store/with_store.h"

#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/thread.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define KILLS     32
#define WRITERS   16
#define ACKS_MIN  200 /* before a child is killed */
#define ACKS_MORE 50  /* and up to so many more */
#define ACKS_MAX  100000

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

/* ---- the child ---- */

struct writer {
    struct store *store;
    int pipe;
};

static void *write_for_ever(void *arg)
{
    const struct writer *w = arg;
    struct err err = {0};

    for (;;) {
        uint64_t seq = commit_event(w->store, "{\"text\":\"something to lose\"}", &err);
        if (!seq || write(w->pipe, &seq, sizeof seq) != sizeof seq)
            _exit(3);
    }
    return NULL;
}

static _Noreturn void be_the_child(int pipe)
{
    struct err err = {0};
    struct writer w = {.store = store_open(dir, &err), .pipe = pipe};
    pthread_t thread;

    if (!w.store)
        _exit(2);
    for (int i = 1; i < WRITERS; i++)
        if (!thread_start(&thread, "writer", write_for_ever, &w, &err))
            _exit(4);
    write_for_ever(&w);
    _exit(5);
}

/* ---- the parent ---- */

struct acks {
    uint64_t seq[ACKS_MAX];
    unsigned n;
};

static bool read_ack(int pipe, struct acks *acks)
{
    uint64_t seq;

    if (read(pipe, &seq, sizeof seq) != sizeof seq)
        return false;
    assert_in_range(acks->n, 0, ACKS_MAX - 1);
    acks->seq[acks->n++] = seq;
    return true;
}

static void run_and_kill(struct acks *acks, unsigned after)
{
    int pipe[2], status;
    pid_t child;

    assert_int_equal(pipe2(pipe, O_CLOEXEC), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0)
        be_the_child(pipe[1]);
    close(pipe[1]);
    for (unsigned i = 0; i < after; i++)
        if (!read_ack(pipe[0], acks))
            break;
    assert_int_equal(kill(child, SIGKILL), 0);
    while (read_ack(pipe[0], acks))
        continue;
    close(pipe[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

struct present {
    uint64_t newest;
    unsigned n;
};

static bool see_event(void *ctx, const struct event_record *event)
{
    struct present *p = ctx;

    assert_int_equal(event->seq, p->newest + 1);
    p->newest = event->seq;
    p->n++;
    return true;
}

static void assert_all_there(const struct acks *acks)
{
    struct store *store = open_store(dir);
    struct present present = {0};
    struct err err = {0};

    MUST(store_event_each(store, 0, UINT32_MAX, see_event, &present, &err));
    for (unsigned i = 0; i < acks->n; i++) /* 1..newest are there, so this is being there */
        assert_in_range(acks->seq[i], 1, present.newest);
    assert_true(present.n >= acks->n);
    store_close(store);
}

static void no_acknowledged_commit_is_lost_by_a_kill(void **state)
{
    struct acks *acks = mem_alloc(sizeof *acks);
    unsigned more = 12345;

    for (int i = 0; i < KILLS; i++) {
        more = more * 1103515245 + 12345;
        run_and_kill(acks, ACKS_MIN + (more >> 16) % ACKS_MORE);
        if (i % 2) /* every other time the next child itself recovers from two kills in a row */
            assert_all_there(acks);
    }
    assert_all_there(acks);
    assert_true(acks->n >= KILLS * ACKS_MIN);
    assert_raw(dir, "PRAGMA integrity_check", "ok");
    print_message("%d kills, %u acknowledged commits\n", KILLS, acks->n);
    free(acks);
}

/* ---- kills at chosen places ---- */

#ifdef VMMD_FAILPOINTS
static _Noreturn void commit_and_die(const char *where)
{
    struct err err = {0};
    struct store *store = store_open(dir, &err);

    failpoint_arm(where);
    if (store)
        (void)commit_event(store, "{}", &err);
    _exit(1);
}

static uint64_t newest_after_dying_at(const char *where)
{
    uint64_t oldest, newest;
    struct store *store;
    struct err err = {0};
    pid_t child = fork();
    int status;

    if (child == 0)
        commit_and_die(where);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    store = open_store(dir);
    MUST(store_event_bounds(store, &oldest, &newest, &err));
    store_close(store);
    return newest;
}

static void a_commit_is_there_or_not_never_half(void **state)
{
    uint64_t newest;

    assert_int_equal(newest_after_dying_at("store.commit.before=kill"), 0);
    newest = newest_after_dying_at("store.sync=kill");
    assert_in_range(newest, 0, 1); /* written, not flushed: both are right */
    assert_int_equal(newest_after_dying_at("store.commit.after=kill"), newest + 1);
}
#endif

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(no_acknowledged_commit_is_lost_by_a_kill),
#ifdef VMMD_FAILPOINTS
        T(a_commit_is_there_or_not_never_half),
#endif
    };

    return cmocka_run_group_tests_name("store/kill", tests, NULL, NULL);
}
