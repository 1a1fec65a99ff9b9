/* The walk: see walk.h. */
#include "tests/lib/walk.h"

#include "core/base/clock.h"
#include "core/base/id.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "tests/lib/counter.h"
#include "tests/lib/points.h"
#include "tests/lib/proc.h"
#include "tests/lib/settled.h"

#include <curl/curl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define QEMU       "/usr/bin/qemu-system-x86_64"
#define VM_PATH    "/api/v1/vms/" WALK_VM
#define SETTLED_MS 15000
#define STUCK_MS   60000

enum victim { MAIN, PARENT, WORKER, GUEST, VICTIMS };
static const char *const victim_names[VICTIMS] = {"main", "vmmd", "the worker", "QEMU"};

static struct rig rig = {.more = "restart_limit = 64\n"};
static char *points_dir;
static char now[128];          /* the case under way, "" between two */
static unsigned seen[VICTIMS]; /* kills of the present operation */
static unsigned failed;        /* and its failures */
static const char *vm_more;

/* ---- the state an operation begins in ---- */

static bool state_is(const char *word)
{
    CLEANUP(mem_freep) char *state = rig_text(&rig, WALK_VM, "run.state");

    return strcmp(state, word) == 0;
}

static bool is_live(void)
{
    CLEANUP(mem_freep) char *state = rig_text(&rig, WALK_VM, "run.state");

    return strcmp(state, "running") == 0 || strcmp(state, "paused") == 0;
}

static bool exists(void)
{
    int status;

    json_decref(rig_call(&rig, "GET", VM_PATH, NULL, &status));
    return status == 200;
}

static pid_t qemu_pid(void)
{
    pid_t pid = 0;

    return proc_users(QEMU, rig.dir, &pid, 1) ? pid : 0;
}

static void make(void)
{
    CLEANUP(mem_freep) char *spec = counter_spec_with(WALK_VM, vm_more);

    if (!exists())
        json_decref(rig_do(&rig, "POST", "/api/v1/vms", spec, 201));
    counter_install(&rig);
}

static void begin_absent(void)
{
    if (is_live())
        rig_act(&rig, WALK_VM, "stop");
    if (exists())
        json_decref(rig_do(&rig, "DELETE", VM_PATH, NULL, 200));
}

static void begin_off(void)
{
    make();
    if (is_live())
        rig_act(&rig, WALK_VM, "stop");
}

static void begin_running(void)
{
    make();
    if (state_is("paused"))
        rig_act(&rig, WALK_VM, "resume");
    else if (!state_is("running"))
        rig_act(&rig, WALK_VM, "start");
    counter_await_life(&rig, WALK_VM, 20000);
}

static void begin_paused(void)
{
    if (exists() && state_is("paused"))
        return;
    begin_running();
    rig_act(&rig, WALK_VM, "pause");
}

static void begin(const struct walk_operation *op)
{
    static void (*const verbs[])(void) = {begin_absent, begin_off, begin_running, begin_paused};

    if (op->prepare)
        op->prepare(&rig);
    verbs[op->begin]();
    if (op->ready)
        op->ready(&rig);
}

/* ---- the request: sent and followed by a thread, since the daemon may stand still ---- */

struct request {
    const struct walk_operation *op;
    char path[128];
    pthread_t thread;
    int status;         /* of the answer; 0: none came */
    char id[UUID_TEXT]; /* of the operation, or "" */
    bool unheard;       /* a command that QEMU did not get, or whose answer was lost */
    bool was_done;      /* by the time of the answer, and it needs no operation */
    atomic_bool ended;  /* the operation, or there is nothing more to see */
};

/* The service says so as soon as it has, up to 'wait_s' later. */
static bool has_ended(const char *id, int wait_s)
{
    CLEANUP(mem_freep) char *path = str_format("/api/v1/operations/%s?wait=%d", id, wait_s);
    int status;
    CLEANUP(json_decrefp) json_t *op = rig_call(&rig, "GET", path, NULL, &status);
    const char *ended = json_get_text(op, "ended_at");

    if (status == 0 && wait_s) /* main was killed meanwhile: its successor knows, if there is one */
        return has_ended(id, 0);
    return status != 200 || (ended && *ended);
}

/* Of the reply, or of the first VM that a bulk action names: it is there as far as it is. */
static const char *operation_in(const json_t *reply, int status)
{
    const json_t *first = json_array_get(json_object_get(reply, "items"), 0);

    return status == 202 ? json_get_text(reply, "id")
                         : json_get_text(json_object_get(first, "operation"), "id");
}

static void *follow(void *arg)
{
    struct request *q = arg;
    CLEANUP(mem_freep) char *body = q->op->body ? q->op->body() : NULL;
    CLEANUP(json_decrefp)
    json_t *reply = rig_send(&rig, q->op->method, q->path, body, NULL, &q->status);

    if (operation_in(reply, q->status)) {
        str_copy(q->id, sizeof q->id, operation_in(reply, q->status));
        while (!has_ended(q->id, 10))
            (void)poll(NULL, 0, 5); /* asked again until it has */
    }
    q->was_done = q->status == 200 && !json_object_get(reply, "items");
    atomic_store(&q->ended, true);
    return NULL;
}

static void send_request(struct request *q, const struct walk_operation *op)
{
    CLEANUP(mem_freep) char *where = op->where ? op->where(&rig) : NULL;

    memset(q, 0, sizeof *q);
    q->op = op;
    str_copy(q->path, sizeof q->path, where ? where : op->path);
    assert_int_equal(pthread_create(&q->thread, NULL, follow, q), 0);
}

/* ---- what must be true ---- */

static bool may_be(const char *const *words)
{
    for (; *words; words++)
        if (state_is(*words))
            return true;
    return false;
}

static void what_was_promised_is_true(const struct walk_operation *op)
{
    if (!op->ends)
        assert_false(exists());
    else if (!may_be(op->ends)) {
        CLEANUP(mem_freep) char *state = rig_text(&rig, WALK_VM, "run.state");
        fail_msg("%s succeeded, but the VM is %s", op->name, state);
    }
    if (op->after)
        op->after(&rig);
}

/* An acknowledged operation is known, has ended, and says why if it failed. True: it succeeded. */
static bool an_acknowledged_operation_is_known(const struct request *q)
{
    if (!q->id[0])
        return q->was_done;
    CLEANUP(mem_freep) char *path = str_format("/api/v1/operations/%s", q->id);
    CLEANUP(json_decrefp) json_t *op = rig_do(&rig, "GET", path, NULL, 200);
    const json_t *error = json_object_get(op, "error");

    if (strcmp(json_get_text(op, "state"), "succeeded") == 0)
        return true;
    assert_non_null(json_get_text(error, "code"));
    assert_true(strlen(json_get_text(error, "detail")) > 5);
    return false;
}

static void what_the_guest_said_is_on_its_disk(void)
{
    uint32_t said, is;

    if (!exists())
        return;
    said = counter_said(&rig, WALK_VM);
    is = counter_on_disk(&rig, WALK_VM);
    if (is < said)
        fail_msg("the guest said it wrote %x, on the disk is %x", said, is);
}

/* A guest that is "running" writes, one that is "paused" does not. */
static void the_guest_does_as_is_told(void)
{
    uint32_t was;

    if (!exists() || !is_live() || !counter_is_installed(&rig, WALK_VM))
        return;
    if (state_is("running")) {
        counter_await_life(&rig, WALK_VM, 20000);
        return;
    }
    was = counter_on_disk(&rig, WALK_VM);
    (void)poll(NULL, 0, 150); /* time enough for three writes */
    assert_int_equal(counter_on_disk(&rig, WALK_VM), was);
}

/* ---- one case ---- */

static pid_t pid_of(enum victim victim)
{
    pid_t pid = 0;

    switch (victim) {
    case MAIN:
        return rig_child(&rig, "vmmd-main");
    case PARENT:
        return rig.vmmd;
    case WORKER:
        return proc_users("vmmd-worker", rig.dir, &pid, 1) ? pid : 0;
    default:
        return qemu_pid();
    }
}

/* Waits until a process stands at the armed point; false when the request came to its end first. */
static bool await_point(struct request *q)
{
    int64_t deadline = clock_mono_ms() + STUCK_MS;

    for (;;) {
        bool ended = atomic_load(&q->ended);
        if (points_reached(ended ? 50 : 20))
            return true;
        if (ended)
            return false;
        if (clock_mono_ms() > deadline)
            fail_msg("%s does not end (see %s/log)", q->op->name, rig.dir);
    }
}

/* 'pid' was looked up once: what the operation ends by itself may be gone by now. */
static void kill_victim(enum victim victim, pid_t pid)
{
    if (victim == PARENT) {
        rig_kill(&rig, points_release);
        rig_spawn(&rig);
        return;
    }
    kill(pid, SIGKILL);
    rig_await_dead(pid, SETTLED_MS);
    points_release();
}

static void all_is_well(struct request *q, enum victim victim, pid_t guest)
{
    settled_await(&rig, SETTLED_MS);
    if (is_live() && !q->unheard)
        counter_has_its_files(&rig, qemu_pid());
    if (victim == WORKER || victim == GUEST)
        assert_false(is_live());
    else if (an_acknowledged_operation_is_known(q))
        what_was_promised_is_true(q->op);
    if (victim != WORKER && victim != GUEST && q->op->same_guest)
        assert_int_equal(qemu_pid(), guest);
    if (q->op->always && exists() && is_live())
        q->op->always(&rig);
    if (!q->op->goes_back)
        what_the_guest_said_is_on_its_disk();
}

/* Kills the victim at the first point from 'list[i]' on where it exists. Returns the index of the
 * next point to be tried. */
static size_t case_at(const struct walk_operation *op, enum victim victim, const struct point *list,
                      size_t n, size_t i)
{
    struct request q;
    bool hit;
    pid_t guest, pid;

    begin(op);
    guest = qemu_pid();
    points_arm(&list[i], false);
    send_request(&q, op);
    while ((hit = await_point(&q)) && !pid_of(victim) && i + 1 < n)
        points_next(&list[++i]);
    pid = hit ? pid_of(victim) : 0;
    hit = pid > 0;
    snprintf(now, sizeof now, "%s killed at %s, passage %u", victim_names[victim], list[i].name,
             list[i].nth);
    if (hit)
        kill_victim(victim, pid);
    seen[victim] += hit;
    points_release();
    pthread_join(q.thread, NULL);
    settled_service(&rig, SETTLED_MS);
    all_is_well(&q, hit ? victim : VICTIMS, guest);
    now[0] = 0;
    return i + 1;
}

/* The step fails at the point. Where that is a flush of the database, main leaves (R10). */
static void failure_at(const struct walk_operation *op, const struct point *point)
{
    struct request q;
    pid_t guest, main;
    bool hit;

    begin(op);
    guest = qemu_pid();
    snprintf(now, sizeof now, "failed at %s, passage %u", point->name, point->nth);
    main = rig_child(&rig, "vmmd-main");
    points_arm(point, true);
    send_request(&q, op);
    hit = await_point(&q);
    q.unheard =
        str_starts(point->name, "worker.qmp"); /* it cannot let go of what it was not told */
    failed += hit;
    points_release(); /* one that was not reached must not fail what comes next */
    pthread_join(q.thread, NULL);
    if (hit && str_starts(point->name, "store.sync"))
        rig_await_dead(main, SETTLED_MS);
    settled_service(&rig, SETTLED_MS);
    if (op->again)
        op->again(&rig);
    all_is_well(&q, VICTIMS, guest);
    the_guest_does_as_is_told();
    if (q.unheard && is_live())
        rig_act(&rig, WALK_VM, "stop"); /* with what it still holds */
    now[0] = 0;
}

/* ---- the walk ---- */

/* The points a victim is killed at. Those of the database matter to main alone: to another process
 * they are but moments between two other points. While worker or jail stand somewhere, vmmd's end
 * is main's, and QEMU waits for what is relayed. */
static bool is_below(const struct point *p)
{
    return str_starts(p->name, "worker.") || str_starts(p->name, "jail.");
}

static bool is_worth(const struct walk_operation *op, const struct point *p, enum victim victim)
{
    bool below = is_below(p);

    if (op->once && p->nth > 1 && !getenv("VMMD_WALK_ALL"))
        return false;
    if (op->brief && !op->own && (below || str_starts(p->name, "qemu.")))
        return false;
    if (op->own && !str_starts(p->name, op->own))
        return false;
    if (victim == MAIN || victim == VICTIMS)
        return true;
    if (str_starts(p->name, "store.") || (victim == PARENT && below))
        return false;
    return victim != GUEST || !str_starts(p->name, "worker.qmp");
}

/* VICTIMS: where the step shall fail. */
static size_t choose(const struct walk_operation *op, enum victim victim, const struct point *all,
                     size_t n, struct point *out)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++)
        if (is_worth(op, &all[i], victim))
            out[kept++] = all[i];
    return kept;
}

static size_t record(const struct walk_operation *op, struct point **list)
{
    struct request q;

    begin(op);
    points_record();
    send_request(&q, op);
    pthread_join(q.thread, NULL);
    settled_await(&rig, SETTLED_MS);
    assert_true(an_acknowledged_operation_is_known(&q));
    what_was_promised_is_true(op);
    return points_passed(list);
}

static bool can_be_killed(const struct walk_operation *op, enum victim victim)
{
    if (victim == MAIN)
        return true;
    return !op->brief && (op->begin >= WALK_RUNNING || op->starts || victim == PARENT);
}

static void no_kill_and_no_failure_at_any_point_leaves_anything_untrue(void **state)
{
    const struct walk_operation *op = *state;
    CLEANUP(mem_freep) struct point *all = NULL;
    CLEANUP(mem_freep) struct point *some = NULL;
    size_t n = record(op, &all);
    int64_t began = clock_mono_ms();

    memset(seen, 0, sizeof seen);
    failed = 0;
    some = mem_array(n + 1, sizeof *some);
    for (enum victim v = MAIN; v < VICTIMS; v++) {
        size_t chosen = choose(op, v, all, n, some);
        for (size_t i = 0; can_be_killed(op, v) && i < chosen;)
            i = case_at(op, v, some, chosen, i);
    }
    for (size_t i = 0, chosen = choose(op, VICTIMS, all, n, some); i < chosen; i++)
        failure_at(op, &some[i]);
    print_message("%s passes %zu points: failed at %u,", op->name, n, failed);
    for (enum victim v = MAIN; v < VICTIMS; v++)
        print_message(" %s killed at %u,", victim_names[v], seen[v]);
    print_message(" %lld ms\n", (long long)(clock_mono_ms() - began));
    assert_true(seen[MAIN] > 1); /* a walk that meets no failpoint proves nothing */
}

static int setup(void **state)
{
    CLEANUP(mem_freep) char *path = NULL;

    points_dir = tmp_dir_make();
    path = str_format("%s/socket", points_dir);
    assert_int_equal(chmod(points_dir, 0755), 0); /* main and the workers have another uid */
    points_open(path);
    rig_make(&rig, 0);
    return 0;
}

static int teardown(void **state)
{
    rig_remove(&rig);
    points_close();
    tmp_dir_remove(points_dir);
    return 0;
}

/* After a failure: which case it was, and the last words of the daemon. */
static int tell(void **state)
{
    if (now[0]) {
        print_message("[  CASE    ] %s\n", now);
        rig_print_log(&rig, 6000);
    }
    now[0] = 0;
    return 0;
}

int walk_all(const char *group, const struct walk_operation *operations, unsigned n,
             const char *more)
{
    CLEANUP(mem_freep) struct CMUnitTest *tests = mem_array(n, sizeof *tests);
    const char *why = "this build has no failpoints";

#ifdef VMMD_FAILPOINTS
    if (rig_possible_bare(&why))
        why = NULL;
#endif
    if (why) {
        print_message("[  SKIPPED ] %s: %s\n", group, why);
        return 0;
    }
    vm_more = more;
    curl_global_init(CURL_GLOBAL_DEFAULT); /* before there are threads */
    for (unsigned i = 0; i < n; i++)
        tests[i] = (struct CMUnitTest){
            .name = operations[i].name,
            .test_func = no_kill_and_no_failure_at_any_point_leaves_anything_untrue,
            .teardown_func = tell,
            .initial_state = (void *)&operations[i]};
    return _cmocka_run_group_tests(group, tests, n, setup, teardown);
}
