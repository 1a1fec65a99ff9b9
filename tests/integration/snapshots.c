/* Snapshots with the real daemon and a real QEMU. The guest counts on its disk and says each number
 * once it is written (tests/lib/counter.h); when it starts it says what it finds there. So its
 * console tells which state of its disk it has, and whether a number that it was told was written
 * is lost. */
#include "tests/lib/counter.h"
#include "tests/lib/rig.h"
#include "tests/lib/rig_shell.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SOON_MS 30000

static struct rig rig;

/* ---- what the console says ---- */

struct said {
    uint32_t first; /* what the guest found on its disk when it started last */
    uint32_t last;  /* the newest number that is written */
    unsigned starts;
};

static struct said listen(void)
{
    struct said said = {0};
    CLEANUP(mem_freep) char *text = NULL;
    char *save = NULL;
    size_t len;

    text = rig_get_bytes(&rig, "/api/v1/vms/web/serial?offset=0", &len);
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        uint32_t now;
        if (line[0] == 'E')
            fail_msg("the guest met a disk error after %x", said.last);
        if ((line[0] != '+' && line[0] != 'B') || strlen(line) != 9)
            continue;
        now = (uint32_t)strtoul(line + 1, NULL, 16);
        if (line[0] == 'B') {
            said.first = now;
            said.starts++;
        } else if (now < said.last) {
            fail_msg("the guest went back from %x to %x", said.last, now);
        }
        said.last = now;
    }
    return said;
}

/* The last number, once it has passed 'than'. */
static uint32_t await_more(uint32_t than)
{
    int64_t deadline_ms = clock_mono_ms() + SOON_MS;
    uint32_t now;

    while ((now = listen().last) <= than) {
        if (clock_mono_ms() > deadline_ms)
            fail_msg("the guest does not go on: it stands at %x", now);
        (void)poll(NULL, 0, 20); /* asked again until it has counted */
    }
    return now;
}

static void count_on(void)
{
    (void)await_more(listen().last + 5);
}

/* Starts the VM; what the guest found on its disk. */
static uint32_t start(void)
{
    const unsigned before = listen().starts;
    int64_t deadline_ms = clock_mono_ms() + SOON_MS;

    rig_act(&rig, "web", "start");
    while (listen().starts == before) {
        if (clock_mono_ms() > deadline_ms)
            fail_msg("the guest does not start");
        (void)poll(NULL, 0, 20); /* asked again until it has */
    }
    count_on();
    return listen().first;
}

/* By the power button, or the plug is pulled: the guest has flushed what it said. */
static void halt(void)
{
    static unsigned times;

    rig_act(&rig, "web", times++ % 2 ? "shutdown" : "stop");
}

/* ---- snapshots ---- */

static void take(const char *name)
{
    CLEANUP(mem_freep) char *body = str_format("{\"name\":\"%s\"}", name);

    json_decref(rig_do(&rig, "POST", "/api/v1/vms/web/snapshots", body, 200));
}

static void revert(const char *name)
{
    CLEANUP(mem_freep) char *body = str_format("{\"snapshot\":\"%s\"}", name);

    json_decref(rig_do(&rig, "POST", "/api/v1/vms/web/actions/revert", body, 200));
}

static char *path_of(const char *name)
{
    CLEANUP(mem_freep) char *query = str_format("/api/v1/vms/web/snapshots?filter=name==%s", name);
    CLEANUP(json_decrefp) json_t *list = rig_do(&rig, "GET", query, NULL, 200);

    return str_format("/api/v1/snapshots/%s",
                      json_get_text(json_array_get(json_object_get(list, "items"), 0), "id"));
}

static void drop(const char *name)
{
    CLEANUP(mem_freep) char *path = path_of(name);

    json_decref(rig_do(&rig, "DELETE", path, NULL, 200));
}

/* ---- */

static int setup(void **state)
{
    CLEANUP(mem_freep) char *spec = counter_spec("web");

    rig_make(&rig, 0);
    json_decref(rig_do(&rig, "POST", "/api/v1/vms", spec, 201));
    counter_install(&rig);
    return 0;
}

static int teardown(void **state)
{
    rig_remove(&rig);
    return 0;
}

static void a_running_guest_is_taken_back_to_where_it_was(void **state)
{
    uint32_t before, after, found;

    (void)start();
    before = listen().last;
    take("one");
    after = await_more(before);
    count_on();
    count_on();
    halt();
    revert("one");
    found = start();
    assert_in_range(found, before, after);
    halt();
}

static void nothing_is_lost_when_snapshots_go(void **state)
{
    uint32_t last;

    (void)start();
    take("one");
    count_on();
    take("two");
    count_on();
    take("three");
    count_on();
    assert_int_equal(rig_files(&rig), 4);
    drop("two"); /* in the middle, while it counts */
    count_on();
    drop("three"); /* below the leaf */
    count_on();
    assert_int_equal(rig_files(&rig), 2);
    last = listen().last;
    halt();
    assert_true(start() >= last);
    last = listen().last;
    halt();
    drop("one"); /* the base, while it is off */
    assert_int_equal(rig_files(&rig), 1);
    assert_true(start() >= last);
    halt();
}

static void a_branch_keeps_its_own_numbers(void **state)
{
    uint32_t far;

    (void)start();
    take("near");
    count_on();
    count_on();
    far = listen().last;
    halt();
    take("far");
    revert("near");
    assert_true(start() < far);
    halt();
    drop("near"); /* two branches lie on it */
    assert_int_equal(rig_files(&rig), 2);
    revert("far");
    assert_true(start() >= far);
    halt();
}

/* The base has more than what lies on it, beyond what the guest counts in. The VM is off. */
static void fatten_base(void)
{
    CLEANUP(mem_freep) char *pattern = str_format("%s/main/*/*.raw", rig.dir);
    CLEANUP(mem_freep) char *bytes = mem_alloc(700 << 10);
    glob_t found;

    assert_int_equal(glob(pattern, GLOB_NOSORT, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    CLEANUP(closep) int fd = open(found.gl_pathv[0], O_RDWR | O_CLOEXEC);
    memset(bytes, 7, 700 << 10);
    assert_int_equal(pwrite(fd, bytes, 700 << 10, 300 << 10), 700 << 10);
    assert_int_equal(fsync(fd), 0);
    globfree(&found);
}

static size_t raw_files(void)
{
    CLEANUP(mem_freep) char *pattern = str_format("%s/main/*/*.raw", rig.dir);
    glob_t found;
    size_t n = glob(pattern, GLOB_NOSORT, NULL, &found) == 0 ? found.gl_pathc : 0;

    globfree(&found);
    return n;
}

/* The VM has no snapshots, and one file: a raw one, as it was made. */
static void a_large_base_takes_over_what_lies_on_it(void **state)
{
    uint32_t at_two, last;

    fatten_base();
    (void)start();
    take("one");
    count_on();
    drop("one"); /* the guest writes to the base again from one moment on */
    assert_int_equal(rig_files(&rig), 1);
    assert_int_equal(raw_files(), 1);
    count_on();
    take("one");
    count_on();
    at_two = listen().last;
    take("two");
    count_on();
    drop("one"); /* two's file goes down, the guest has another one on it */
    assert_int_equal(rig_files(&rig), 2);
    assert_int_equal(raw_files(), 1);
    count_on();
    last = listen().last;
    halt();
    assert_true(start() >= last);
    count_on();
    halt();
    revert("two");
    assert_true(start() >= at_two);
    assert_true(listen().first < last);
    last = listen().last;
    halt();
    drop("two"); /* by a QEMU that runs no guest */
    assert_int_equal(rig_files(&rig), 1);
    assert_int_equal(raw_files(), 1);
    assert_true(start() >= last);
    halt();
}

/* What a guest wrote after the snapshot is in the new file: main dies, the guest goes on, and what
 * the next main makes of it is the same. */
static void a_daemon_that_dies_meanwhile_changes_nothing(void **state)
{
    uint32_t last;

    (void)start();
    take("one");
    count_on();
    rig_kill(&rig, NULL);
    rig_spawn(&rig);
    rig_await(&rig, "web", "running", NULL, SOON_MS);
    count_on();
    take("two");
    drop("one");
    last = listen().last;
    halt();
    assert_true(start() >= last);
    halt();
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_running_guest_is_taken_back_to_where_it_was),
        T(nothing_is_lost_when_snapshots_go),
        T(a_branch_keeps_its_own_numbers),
        T(a_daemon_that_dies_meanwhile_changes_nothing),
        T(a_large_base_takes_over_what_lies_on_it),
    };
    const char *why;

    if (!rig_possible_bare(&why)) {
        print_message("[  SKIPPED ] integration/snapshots: %s\n", why);
        return 0;
    }
    return cmocka_run_group_tests_name("integration/snapshots", tests, NULL, NULL);
}
