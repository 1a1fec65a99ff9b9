/* A guest's memory where the host sets limits: a pool that becomes full in the middle of it, and a
 * user without rights. The guest checks all of its memory and its blocks (tests/lib/pattern.h). */
#include "tests/lib/pattern.h"
#include "tests/lib/points.h"
#include "tests/lib/small_fs.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB       (1ull << 20)
#define SOON_MS   60000
#define PLAIN_UID 64055
#define WEB       "/api/v1/vms/web"
#define SYSCTL    "/proc/sys/vm/unprivileged_userfaultfd"
#define SNAPSHOT  "{\"name\":\"one\",\"consistency\":\"running\"}"

static struct rig rig;
static struct pattern_heard heard;

/* ---- the guest ---- */

static void make_guest(void)
{
    static const struct pattern p = {
        .name = "web", .memory_bytes = 32 * MIB, .vcpus = 1, .stride = 1, .hot = 256, .burst = 16};

    heard = (struct pattern_heard){0};
    pattern_make(&rig, &p);
}

static void start(void)
{
    rig_act(&rig, "web", "start");
    pattern_await(&rig, "web", &heard, 3);
}

static void is_right(void)
{
    pattern_check(&rig, "web", &heard);
    pattern_await(&rig, "web", &heard, 2);
}

static size_t files(void)
{
    CLEANUP(mem_freep) char *pattern = str_format("%s/{main,second}/*/*.{raw,qcow2,mem}", rig.dir);
    glob_t found;
    size_t n = glob(pattern, GLOB_NOSORT | GLOB_BRACE, NULL, &found) == 0 ? found.gl_pathc : 0;

    globfree(&found);
    return n;
}

static void await_files(size_t n)
{
    int64_t deadline_ms = clock_mono_ms() + SOON_MS;

    while (files() != n) { /* a snapshot is taken back by an operation of its own */
        if (clock_mono_ms() > deadline_ms)
            fail_msg("%zu files are there, not %zu", files(), n);
        (void)poll(NULL, 0, 20);
    }
}

/* The operation's error once it has failed; the caller's. */
static json_t *await_failure(const json_t *op)
{
    CLEANUP(mem_freep)
    char *where = str_format("/api/v1/operations/%s", json_get_text(op, "id"));
    int64_t deadline_ms = clock_mono_ms() + SOON_MS;

    for (;;) {
        CLEANUP(json_decrefp) json_t *now = rig_do(&rig, "GET", where, NULL, 200);
        if (str_eq(json_get_text(now, "state"), "failed"))
            return json_incref(json_object_get(now, "error"));
        assert_string_not_equal(json_get_text(now, "state"), "succeeded");
        assert_true(clock_mono_ms() < deadline_ms);
        (void)poll(NULL, 0, 20); /* asked again until it has ended */
    }
}

#ifdef VMMD_FAILPOINTS
/* ---- a pool that becomes full ---- */

static char *points_dir;

static int setup_small(void **state)
{
    CLEANUP(mem_freep) char *path = NULL;

    points_dir = tmp_dir_make();
    path = str_format("%s/socket", points_dir);
    assert_int_equal(chmod(points_dir, 0755), 0); /* the workers have another uid */
    points_open(path);
    rig = (struct rig){.before = small_fs_mount, .after = small_fs_unmount};
    rig_make(&rig, 0);
    make_guest();
    json_decref(rig_do(&rig, "POST", WEB "/actions/move-storage", "{\"pool\":\"second\"}", 200));
    start();
    return 0;
}

static int teardown_small(void **state)
{
    rig_remove(&rig);
    points_close();
    tmp_dir_remove(points_dir);
    return 0;
}

/* What the guest writes meanwhile has its room, so that it does not stop for lack of it. */
static void keep_room_for_overlays(void)
{
    CLEANUP(mem_freep) char *pattern = str_format("%s/second/*/*.qcow2", rig.dir);
    glob_t found;

    if (glob(pattern, GLOB_NOSORT, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc; i++) {
            CLEANUP(closep) int fd = open(found.gl_pathv[i], O_WRONLY | O_CLOEXEC);
            assert_int_equal(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 3 << 20), 0);
            assert_int_equal(fsync(fd), 0);
        }
    globfree(&found);
}

/* There was room when it began; as QEMU is about to write its first byte somebody else takes all
 * but a few MiB of it. */
static void finds_no_room(const char *path, const char *body)
{
    static const struct point stream = {"worker.memory.stream", 1};
    CLEANUP(json_decrefp) json_t *op = NULL;
    CLEANUP(json_decrefp) json_t *error = NULL;
    int status;

    points_arm(&stream, false);
    op = rig_send(&rig, "POST", path, body, NULL, &status);
    assert_int_equal(status, 202);
    assert_true(points_reached(SOON_MS));
    keep_room_for_overlays();
    small_fs_leave(&rig, 6 * MIB);
    points_release();
    error = await_failure(op);
    assert_string_equal(json_get_text(error, "code"), "no-space");
    print_message("%s\n", json_get_text(error, "detail"));
    assert_non_null(strstr(json_get_text(error, "detail"), "pool"));
}

/* And is refused beforehand while it stays so, with what to do. */
static void is_refused(const char *path, const char *body)
{
    CLEANUP(json_decrefp) json_t *refusal = rig_do(&rig, "POST", path, body, 507);

    print_message("%s\n", json_get_text(refusal, "detail"));
    assert_non_null(strstr(json_get_text(refusal, "detail"), "memory"));
}

static void a_save_that_finds_no_room_lets_the_guest_go_on(void **state)
{
    finds_no_room(WEB "/actions/save", "{}");
    await_files(1);
    is_right();
    is_refused(WEB "/actions/save", "{}");
    small_fs_free_again(&rig);
    rig_act(&rig, "web", "save");
    start();
    is_right();
    assert_int_equal(heard.boots, 1);
}

static void a_snapshot_that_finds_no_room_is_taken_back_while_the_guest_runs(void **state)
{
    finds_no_room(WEB "/snapshots", SNAPSHOT);
    await_files(1);
    is_right();
    is_refused(WEB "/snapshots", SNAPSHOT);
    small_fs_free_again(&rig);
    json_decref(rig_do(&rig, "POST", WEB "/snapshots", SNAPSHOT, 200));
    is_right();
    assert_int_equal(heard.boots, 1);
}
#endif

/* ---- a user without rights ---- */

static bool allow(char digit, char *before)
{
    CLEANUP(closep) int fd = open(SYSCTL, O_RDWR | O_CLOEXEC);

    return fd >= 0 && (!before || pread(fd, before, 1, 0) == 1) && pwrite(fd, &digit, 1, 0) == 1;
}

static char allowed_before;

static int setup_plain(void **state)
{
    rig = (struct rig){0};
    rig_make(&rig, PLAIN_UID);
    make_guest();
    return 0;
}

static int teardown_plain(void **state)
{
    rig_remove(&rig);
    return 0;
}

/* What a dry run says of the way, and of the reason that it is not the usual one. */
static json_t *plan(const char *consistency)
{
    CLEANUP(mem_freep)
    char *body = str_format("{\"name\":\"next\",\"consistency\":\"%s\"}", consistency);
    CLEANUP(json_decrefp)
    json_t *dry = rig_do(&rig, "POST", WEB "/snapshots?dry_run=true", body, 200);

    return json_incref(json_object_get(dry, "plan"));
}

static void sleeps_wakes_and_goes_back(void)
{
    rig_act(&rig, "web", "save");
    start();
    is_right();
    heard.jumps = true;
    json_decref(rig_do(&rig, "POST", WEB "/actions/revert", "{\"snapshot\":\"one\"}", 200));
    pattern_await(&rig, "web", &heard, 1);
    is_right();
    assert_int_equal(heard.boots, 1);
}

static void a_plain_user_has_all_of_it_where_the_host_allows_it(void **state)
{
    CLEANUP(json_decrefp) json_t *before = NULL;

    assert_true(allow('1', NULL));
    start();
    before = plan("running");
    assert_string_equal(json_get_text(before, "way"), "background");
    json_decref(rig_do(&rig, "POST", WEB "/snapshots", SNAPSHOT, 200));
    is_right();
    sleeps_wakes_and_goes_back();
}

static void and_is_told_why_the_guest_stands_still_where_it_does_not(void **state)
{
    CLEANUP(json_decrefp) json_t *before = NULL;
    CLEANUP(json_decrefp) json_t *automatic = NULL;

    assert_true(allow('0', NULL));
    start();
    before = plan("running");
    assert_string_equal(json_get_text(before, "way"), "still");
    assert_non_null(strstr(json_get_text(before, "reason"), "vm.unprivileged_userfaultfd"));
    automatic = plan("auto");
    assert_string_equal(json_get_text(automatic, "consistency"), "disk");
    json_decref(rig_do(&rig, "POST", WEB "/snapshots", SNAPSHOT, 200));
    is_right();
    sleeps_wakes_and_goes_back();
}

static int give_back(void **state)
{
    return allow(allowed_before, NULL) ? 0 : 1;
}

static int run_plain(void)
{
    const struct CMUnitTest tests[] = {
#define U(name) cmocka_unit_test_setup_teardown(name, setup_plain, teardown_plain)
        U(a_plain_user_has_all_of_it_where_the_host_allows_it),
        U(and_is_told_why_the_guest_stands_still_where_it_does_not),
    };

    if (!allow('0', &allowed_before) || !allow(allowed_before, NULL)) {
        print_message("[  SKIPPED ] " SYSCTL " cannot be written here\n");
        return 0;
    }
    return cmocka_run_group_tests_name("integration/memory_limits, a plain user", tests, NULL,
                                       give_back);
}

static int run_small(void)
{
#ifdef VMMD_FAILPOINTS
    const struct CMUnitTest tests[] = {
#define S(name) cmocka_unit_test_setup_teardown(name, setup_small, teardown_small)
        S(a_save_that_finds_no_room_lets_the_guest_go_on),
        S(a_snapshot_that_finds_no_room_is_taken_back_while_the_guest_runs),
    };
    const char *why;

    if (small_fs_possible(&why))
        return cmocka_run_group_tests_name("integration/memory_limits, a full pool", tests, NULL,
                                           NULL);
    print_message("[  SKIPPED ] integration/memory_limits, a full pool: %s\n", why);
#endif
    return 0;
}

int main(void)
{
    const char *why;
    int failed;

    if (!rig_possible_bare(&why)) {
        print_message("[  SKIPPED ] integration/memory_limits: %s\n", why);
        return 0;
    }
    failed = run_plain(); /* before the mounts of the other are hidden from a user */
    return failed + run_small();
}
