/* Snapshots with memory, save and resume with the real daemon, of a guest that checks every page of
 * its memory and its disk (tests/lib/pattern.h): after each of them memory, counter and disk agree
 * with that instant, and whoever was not taken elsewhere goes on with the next number.
 *
 * With VMMD_SLOW=1 guests are larger and repetitions many. */
#include "tests/lib/pattern.h"
#include "tests/lib/points.h"
#include "tests/lib/proc.h"

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB     (1ull << 20)
#define SOON_MS 60000
#define WEB     "/api/v1/vms/web"
#ifdef __SANITIZE_ADDRESS__
#define FREED_KIB (256u << 10) /* what the address sanitizer keeps of freed memory */
#else
#define FREED_KIB 0u
#endif

static struct rig rig;
static struct pattern_heard heard;

static bool is_slow(void)
{
    return getenv("VMMD_SLOW") != NULL;
}

/* ---- one VM a test ---- */

static int setup(void **state)
{
    rig_make(&rig, 0);
    heard = (struct pattern_heard){0};
    return 0;
}

static int teardown(void **state)
{
    rig_remove(&rig);
    return 0;
}

static void begin(const struct pattern *p)
{
    pattern_make(&rig, p);
    rig_act(&rig, "web", "start");
    pattern_await(&rig, "web", &heard, 3);
}

static void begin_with(unsigned vcpus)
{
    const struct pattern p = {.name = "web",
                              .memory_bytes = (is_slow() ? 512 : 32) * MIB,
                              .vcpus = vcpus,
                              .stride = 1,
                              .hot = is_slow() ? 16384 : 1024,
                              .burst = is_slow() ? 512 : 32};

    begin(&p);
}

static void goes_on(void)
{
    pattern_await(&rig, "web", &heard, 3);
}

static void is_right(void)
{
    goes_on();
    pattern_check(&rig, "web", &heard);
    goes_on();
}

/* ---- verbs ---- */

/* An instant: the guest is between these two numbers. */
struct instant {
    uint32_t from, to;
};

static json_t *ask_for(const char *name, const char *consistency, int status)
{
    CLEANUP(mem_freep)
    char *body = str_format("{\"name\":\"%s\",\"consistency\":\"%s\"}", name, consistency);

    return rig_do(&rig, "POST", WEB "/snapshots", body, status);
}

static char *way_of(const char *name)
{
    CLEANUP(mem_freep) char *path = str_format(WEB "/snapshots?filter=name==%s", name);
    CLEANUP(json_decrefp) json_t *list = rig_do(&rig, "GET", path, NULL, 200);
    const json_t *s = json_array_get(json_object_get(list, "items"), 0);
    const json_t *memory = json_object_get(s, "memory");

    print_message("%s: %s, stood still for %llu us, %llu KiB in %llu ms\n", name,
                  json_get_text(memory, "way"),
                  (unsigned long long)json_get_u64(memory, "pause_us", 0),
                  (unsigned long long)json_get_u64(memory, "held_bytes", 0) / 1024,
                  (unsigned long long)json_get_u64(memory, "took_ms", 0));
    return str_dup(json_get_text(memory, "way"));
}

static struct instant take_by(const char *name, const char *wanted)
{
    struct instant at;
    CLEANUP(mem_freep) char *way = NULL;

    pattern_listen(&rig, "web", &heard);
    at.from = heard.last;
    json_decref(ask_for(name, "running", 200));
    pattern_listen(&rig, "web", &heard);
    at.to = heard.last;
    way = way_of(name);
    if (wanted)
        assert_string_equal(way, wanted);
    return at;
}

static struct instant take(const char *name)
{
    return take_by(name, NULL);
}

static void revert(const char *name, struct instant at)
{
    CLEANUP(mem_freep) char *body = str_format("{\"snapshot\":\"%s\"}", name);
    const unsigned boots = heard.boots;

    pattern_listen(&rig, "web", &heard);
    heard.jumps = true;
    json_decref(rig_do(&rig, "POST", WEB "/actions/revert", body, 200));
    pattern_await(&rig, "web", &heard, 1);
    assert_int_equal(heard.boots, boots);
    assert_in_range(heard.first, at.from, at.to + 2);
}

static void sleep_and_wake(void)
{
    const unsigned boots = heard.boots;

    rig_act(&rig, "web", "save");
    rig_act(&rig, "web", "start");
    goes_on();
    assert_int_equal(heard.boots, boots);
}

static void move_to(const char *pool)
{
    CLEANUP(mem_freep) char *body = str_format("{\"pool\":\"%s\"}", pool);

    json_decref(rig_do(&rig, "POST", WEB "/actions/move-storage", body, 200));
}

static size_t files(void)
{
    CLEANUP(mem_freep) char *pattern = str_format("%s/{main,second}/*/*.{raw,qcow2,mem}", rig.dir);
    glob_t found;
    size_t n = glob(pattern, GLOB_NOSORT | GLOB_BRACE, NULL, &found) == 0 ? found.gl_pathc : 0;

    globfree(&found);
    return n;
}

/* What this VM and its daemon take of the host. */
struct weight {
    size_t files, groups;
    unsigned main_kib, main_fds, worker_kib, worker_fds;
};

static void weigh_process(pid_t pid, unsigned *kib, unsigned *fds)
{
    CLEANUP(mem_freep) char *dir = str_format("/proc/%d/fd", (int)pid);
    char text[32] = "";

    assert_true(proc_status(pid, "VmRSS", text, sizeof text));
    *kib = (unsigned)strtoul(text, NULL, 10);
    *fds = proc_entries(dir);
}

static struct weight weigh(void)
{
    struct weight w = {.files = files(), .groups = proc_entries("/sys/fs/cgroup")};

    weigh_process(rig_child(&rig, "vmmd-main"), &w.main_kib, &w.main_fds);
    weigh_process(rig_pids(&rig, "web").worker, &w.worker_kib, &w.worker_fds);
    return w;
}

/* ---- the stories ---- */

/* Each comes from another way: a cold start, an image, an image of an image, what was saved. */
static void branches_of_branches_are_each_what_they_were(void **state)
{
    struct instant one, two, three;

    begin_with(2);
    one = take("one");
    is_right(); /* the original */
    revert("one", one);
    is_right();
    two = take_by("two", "still"); /* on a branch of its own */
    is_right();
    revert("one", one);
    goes_on();
    sleep_and_wake();
    three = take("three");
    is_right();
    revert("two", two);
    is_right();
    revert("three", three);
    is_right();
    revert("one", one);
    is_right();
}

static void disks_may_move_in_between(void **state)
{
    struct instant one, two;

    begin_with(1);
    one = take("one");
    move_to("second");
    is_right();
    two = take("two");
    revert("one", one);
    is_right();
    sleep_and_wake();
    move_to("main"); /* on, from a memory that is an image */
    is_right();
    revert("two", two);
    is_right();
}

static void four_processors_under_load(void **state)
{
    struct instant one;

    begin_with(4);
    one = take("one");
    sleep_and_wake();
    is_right();
    revert("one", one);
    is_right();
}

/* 3 GiB below the PCI hole, 1 GiB above it: a part of it is used here, all of it where there is
 * time. */
static void a_guest_of_4_gib(void **state)
{
    const struct pattern p = {.name = "web",
                              .memory_bytes = 4096 * MIB,
                              .vcpus = 2,
                              .stride = is_slow() ? 1 : 512,
                              .hot = is_slow() ? 65536 : 512,
                              .burst = is_slow() ? 1024 : 16};
    struct instant one;

    begin(&p);
    one = take("one");
    goes_on();
    revert("one", one);
    is_right();
}

/* Again and again, from a memory that is an image's: each snapshot and each revert leaves as much
 * as the one before. */
static void many_in_a_row_and_nothing_grows(void **state)
{
    const unsigned snapshots = is_slow() ? 50 : 3, reverts = is_slow() ? 100 : 4;
    struct instant first = {0};
    struct weight before = {0}, after;

    begin_with(1);
    for (unsigned i = 0; i < snapshots; i++) {
        CLEANUP(mem_freep) char *name = str_format("s%u", i);
        struct instant at = take(name);
        if (i == 0)
            first = at;
    }
    is_right();
    for (unsigned i = 0; i < reverts; i++) {
        revert("s0", first);
        if (i == 1)
            before = weigh();
    }
    is_right();
    after = weigh();
    print_message("after %u reverts: main has %u KiB and %u descriptors (were %u and %u), the "
                  "worker %u KiB and %u (were %u and %u)\n",
                  reverts, after.main_kib, after.main_fds, before.main_kib, before.main_fds,
                  after.worker_kib, after.worker_fds, before.worker_kib, before.worker_fds);
    assert_int_equal(after.files, before.files);
    assert_int_equal(after.groups, before.groups);
    assert_in_range(after.main_fds, 1, before.main_fds + 2);
    assert_in_range(after.worker_fds, 1, before.worker_fds + 2);
    assert_in_range(after.main_kib, 1,
                    before.main_kib + before.main_kib / 4 + 8192 + (is_slow() ? FREED_KIB : 0));
    assert_in_range(after.worker_kib, 1, before.worker_kib + before.worker_kib / 4 + 4096);
}

#ifdef VMMD_FAILPOINTS
/* ---- what hits the splitter ---- */

static char *points_dir;

static int setup_points(void **state)
{
    CLEANUP(mem_freep) char *path = NULL;

    points_dir = tmp_dir_make();
    path = str_format("%s/socket", points_dir);
    assert_int_equal(chmod(points_dir, 0755), 0); /* the workers have another uid */
    points_open(path);
    return setup(state);
}

static int teardown_points(void **state)
{
    teardown(state);
    points_close();
    tmp_dir_remove(points_dir);
    return 0;
}

/* One of several guests, each in another way when it is hit. */
struct victim {
    const char *name;
    struct pattern_heard heard;
    char *operation; /* its path */
    pid_t splitter;
};

static void victim_begin(struct victim *v)
{
    const struct pattern p = {.name = v->name,
                              .memory_bytes = 32 * MIB,
                              .vcpus = 1,
                              .stride = 1,
                              .hot = 256,
                              .burst = 16};

    pattern_make(&rig, &p);
    rig_act(&rig, v->name, "start");
    pattern_await(&rig, v->name, &v->heard, 3);
}

static void victim_is_right(struct victim *v)
{
    pattern_await(&rig, v->name, &v->heard, 3);
    pattern_check(&rig, v->name, &v->heard);
    pattern_await(&rig, v->name, &v->heard, 3);
    assert_int_equal(v->heard.boots, 1);
}

static json_t *victim_do(struct victim *v, const char *what, const char *body)
{
    CLEANUP(mem_freep) char *path = str_format("/api/v1/vms/%s/%s", v->name, what);

    return rig_do(&rig, "POST", path, body, 200);
}

/* Sent, and the worker stands before QEMU writes the first byte: the splitter, 'sig' sent to it. */
static void hit(struct victim *v, const char *what, const char *body, int sig)
{
    static const struct point stream = {"worker.memory.stream", 1};
    CLEANUP(mem_freep) char *path = str_format("/api/v1/vms/%s/%s", v->name, what);
    CLEANUP(json_decrefp) json_t *op = NULL;
    int status;

    points_arm(&stream, false);
    op = rig_send(&rig, "POST", path, body, NULL, &status);
    assert_int_equal(status, 202);
    v->operation = str_format("/api/v1/operations/%s", json_get_text(op, "id"));
    assert_true(points_reached(SOON_MS));
    v->splitter = proc_child_named(rig_pids(&rig, v->name).worker, "vmmd-split");
    assert_true(v->splitter > 0);
    assert_int_equal(kill(v->splitter, sig), 0);
    points_release();
}

static void await_failure(struct victim *v)
{
    int64_t deadline_ms = clock_mono_ms() + SOON_MS;

    for (;;) {
        CLEANUP(json_decrefp) json_t *now = rig_do(&rig, "GET", v->operation, NULL, 200);
        const char *state = json_get_text(now, "state");
        if (str_eq(state, "failed"))
            break;
        assert_string_not_equal(state, "succeeded");
        assert_true(clock_mono_ms() < deadline_ms);
        (void)poll(NULL, 0, 20); /* asked again until it has ended */
    }
    assert_false(rig_lives(v->splitter));
    mem_freep(&v->operation);
}

static void await_files(size_t n)
{
    int64_t deadline_ms = clock_mono_ms() + SOON_MS;

    while (files() != n) { /* a snapshot is taken back by an operation of its own */
        assert_true(clock_mono_ms() < deadline_ms);
        (void)poll(NULL, 0, 20);
    }
}

#define HALF "{\"name\":\"half\",\"consistency\":\"running\"}"
#define ONE  "{\"name\":\"one\",\"consistency\":\"running\"}"

/* All at once, since a splitter that stands still is waited for for 10 s: in the background, at a
 * save, and from a memory that is an image's. */
static void the_guest_does_not_notice(int sig)
{
    struct victim cold = {.name = "web"}, sleepy = {.name = "two"}, back = {.name = "three"};
    struct victim *all[] = {&cold, &sleepy, &back};
    size_t before;

    for (unsigned i = 0; i < ARRAY_LEN(all); i++)
        victim_begin(all[i]);
    json_decref(victim_do(&back, "snapshots", ONE));
    back.heard.jumps = true;
    json_decref(victim_do(&back, "actions/revert", "{\"snapshot\":\"one\"}"));
    pattern_await(&rig, back.name, &back.heard, 1);
    before = files();
    hit(&cold, "snapshots", HALF, sig);
    hit(&sleepy, "actions/save", "{}", sig);
    hit(&back, "snapshots", HALF, sig);
    for (unsigned i = 0; i < ARRAY_LEN(all); i++)
        await_failure(all[i]);
    await_files(before);
    for (unsigned i = 0; i < ARRAY_LEN(all); i++)
        victim_is_right(all[i]);
    json_decref(victim_do(&cold, "snapshots", ONE)); /* and then it works */
    victim_is_right(&cold);
    cold.heard.jumps = true;
    json_decref(victim_do(&cold, "actions/revert", "{\"snapshot\":\"one\"}"));
    pattern_await(&rig, cold.name, &cold.heard, 1);
    rig_act(&rig, sleepy.name, "save");
    rig_act(&rig, sleepy.name, "start");
    victim_is_right(&sleepy);
}

static void a_splitter_that_is_killed_is_not_noticed_by_the_guest(void **state)
{
    the_guest_does_not_notice(SIGKILL);
}

static void nor_is_one_that_stands_still(void **state)
{
    the_guest_does_not_notice(SIGSTOP);
}
#endif

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define P(name) cmocka_unit_test_setup_teardown(name, setup_points, teardown_points)
    const struct CMUnitTest tests[] = {
        T(branches_of_branches_are_each_what_they_were),
        T(disks_may_move_in_between),
        T(four_processors_under_load),
        T(a_guest_of_4_gib),
        T(many_in_a_row_and_nothing_grows),
#ifdef VMMD_FAILPOINTS
        P(a_splitter_that_is_killed_is_not_noticed_by_the_guest),
        P(nor_is_one_that_stands_still),
#endif
    };
    const char *why;

    if (!rig_possible_bare(&why)) {
        print_message("[  SKIPPED ] integration/memory_pattern: %s\n", why);
        return 0;
    }
    return cmocka_run_group_tests_name("integration/memory_pattern", tests, NULL, NULL);
}
