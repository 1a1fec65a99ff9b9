/* Moving storage with the real daemon and a real QEMU, under a guest that counts on both of its
 * disks and says each number once it is flushed (tests/lib/counter.h): what it said must be on the
 * chain of record, wherever that is. */
#include "tests/lib/chain.h"
#include "tests/lib/counter.h"
#include "tests/lib/rig.h"

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

#define SOON_MS 60000
#define DISK(format)                                                                               \
    "{\"size_bytes\":1048576,\"format\":\"" format "\",\"bus\":\"ide\",\"pool\":\"main\"}"

static struct rig rig;

/* ---- the guest ---- */

static void count_on(void)
{
    const uint32_t than = counter_said(&rig, "web") + 5;
    int64_t deadline_ms = clock_mono_ms() + SOON_MS;

    while (counter_said(&rig, "web") <= than) {
        if (clock_mono_ms() > deadline_ms)
            fail_msg("the guest does not go on: it stands at %x", counter_said(&rig, "web"));
        (void)poll(NULL, 0, 20); /* asked again until it has counted */
    }
}

/* Nothing that it was told was written is missing. */
static void nothing_is_lost(void)
{
    const uint32_t said = counter_said(&rig, "web");
    char *strays = chain_find_strays(&rig);

    assert_true(counter_on_disk(&rig, "web") >= said);
    if (strays)
        fail_msg("%s", strays);
}

static void start(void)
{
    rig_act(&rig, "web", "start");
    counter_await_life(&rig, "web", SOON_MS);
}

/* Pulling the plug: what is on the disks is what the next start finds, which counter_said() looks
 * at, too. */
static void starts_again(void)
{
    rig_act(&rig, "web", "stop");
    nothing_is_lost();
    start();
    count_on();
    rig_act(&rig, "web", "stop");
    nothing_is_lost();
}

/* ---- moves ---- */

static json_t *move(const char *pool, const char *more)
{
    CLEANUP(mem_freep) char *body = str_format("{\"pool\":\"%s\"%s}", pool, more);

    return rig_do(&rig, "POST", "/api/v1/vms/web/actions/move-storage", body, 200);
}

/* One that takes until it is let go. */
static char *begin_slowly(const char *pool)
{
    CLEANUP(mem_freep) char *body = str_format("{\"pool\":\"%s\",\"bandwidth\":1000}", pool);
    CLEANUP(json_decrefp) json_t *op = NULL;
    int status;

    op = rig_send(&rig, "POST", "/api/v1/vms/web/actions/move-storage", body, NULL, &status);
    assert_int_equal(status, 202);
    return str_format("/api/v1/operations/%s", json_get_text(op, "id"));
}

static void let_go(const char *op)
{
    json_decref(rig_do(&rig, "PATCH", op, "{\"bandwidth\":0}", 200));
}

static char *state_of(const char *op, const char *wait)
{
    CLEANUP(mem_freep) char *path = str_format("%s%s", op, wait);
    CLEANUP(json_decrefp) json_t *now = rig_do(&rig, "GET", path, NULL, 200);

    return str_dup(json_get_text(now, "state"));
}

static void ends(const char *op, const char *state)
{
    CLEANUP(mem_freep) char *now = state_of(op, "?wait=60");

    assert_string_equal(now, state);
}

static bool at_step(const char *op, const char *step)
{
    CLEANUP(json_decrefp) json_t *now = rig_do(&rig, "GET", op, NULL, 200);

    return str_eq(json_get_text(now, "step"), step);
}

static void await_step(const char *op, const char *step)
{
    int64_t deadline_ms = clock_mono_ms() + SOON_MS;

    while (!at_step(op, step)) {
        if (clock_mono_ms() > deadline_ms)
            fail_msg("the move does not come to its step '%s'", step);
        (void)poll(NULL, 0, 10); /* asked again until it is there */
    }
}

static size_t files_in(const char *root)
{
    CLEANUP(mem_freep) char *pattern = str_format("%s/%s/*-*-*/*.*", rig.dir, root);
    glob_t found;
    size_t n = 0;

    if (glob(pattern, GLOB_NOSORT, NULL, &found) == 0)
        n = found.gl_pathc;
    globfree(&found);
    return n;
}

static void take(const char *name)
{
    CLEANUP(mem_freep) char *body = str_format("{\"name\":\"%s\"}", name);

    json_decref(rig_do(&rig, "POST", "/api/v1/vms/web/snapshots", body, 200));
}

/* ---- */

static int setup(void **state)
{
    static const char spec[] =
        "{\"name\":\"web\",\"machine\":\"pc\",\"accel\":\"tcg\",\"memory_bytes\":16777216,"
        "\"nics\":[],\"disks\":[" DISK("raw") "," DISK("qcow2") "]}";

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

static void a_guest_counts_on_while_its_disks_move_there_and_back(void **state)
{
    CLEANUP(json_decrefp) json_t *there = NULL, *back = NULL;

    start();
    there = move("second", "");
    count_on();
    assert_int_equal(files_in("main"), 0);
    assert_int_equal(files_in("second"), 2);
    assert_true(json_get_u64(json_object_get(there, "result"), "pause_us", 0) > 0);
    nothing_is_lost();
    back = move("main", ",\"bandwidth\":0");
    count_on();
    assert_int_equal(files_in("second"), 0);
    starts_again();
}

static void its_snapshots_move_along_and_can_be_gone_back_to(void **state)
{
    uint32_t at;

    start();
    take("one");
    at = counter_in_snapshot(&rig, "web", "one");
    count_on();
    take("two");
    count_on();
    json_decref(move("second", ""));
    count_on();
    assert_int_equal(files_in("main"), 0);
    assert_int_equal(files_in("second"), 6);
    assert_int_equal(counter_in_snapshot(&rig, "web", "one"), at);
    rig_act(&rig, "web", "stop");
    nothing_is_lost();
    json_decref(
        rig_do(&rig, "POST", "/api/v1/vms/web/actions/revert", "{\"snapshot\":\"one\"}", 200));
    assert_int_equal(counter_on_disk(&rig, "web"), at);
}

static void formats_change_on_the_way(void **state)
{
    start();
    json_decref(move("second", ",\"disks\":[\"0\"],\"format\":\"qcow2\""));
    count_on();
    nothing_is_lost();
    rig_act(&rig, "web", "stop");
    json_decref(move("second", ",\"disks\":[\"1\"],\"format\":\"raw\"")); /* by a QEMU without it */
    nothing_is_lost();
    start();
    count_on();
    starts_again();
}

static void a_daemon_that_dies_meanwhile_goes_on_with_it(void **state)
{
    CLEANUP(mem_freep) char *op = NULL;

    start();
    op = begin_slowly("second");
    await_step(op, "mirror");
    rig_kill(&rig, NULL);
    rig_spawn(&rig);
    rig_await(&rig, "web", "running", NULL, SOON_MS);
    count_on();
    let_go(op);
    ends(op, "succeeded");
    count_on();
    assert_int_equal(files_in("main"), 0);
    starts_again();
}

static void cancelled_or_cut_off_by_a_stop_it_leaves_all_where_it_was(void **state)
{
    CLEANUP(mem_freep) char *first = NULL, *second = NULL, *cancel = NULL;

    start();
    first = begin_slowly("second");
    await_step(first, "mirror");
    cancel = str_format("%s/actions/cancel", first);
    json_decref(rig_do(&rig, "POST", cancel, "{}", 202));
    ends(first, "cancelled");
    count_on();
    assert_int_equal(files_in("second"), 0);
    nothing_is_lost();
    second = begin_slowly("second");
    await_step(second, "mirror");
    rig_act(&rig, "web", "stop");
    ends(second, "cancelled");
    assert_int_equal(files_in("second"), 0);
    nothing_is_lost();
    start();
    count_on();
    starts_again();
}

static void a_vm_that_ends_meanwhile_is_copied_to_the_end(void **state)
{
    CLEANUP(mem_freep) char *op = NULL;
    struct rig_pids pids;

    start();
    op = begin_slowly("second");
    await_step(op, "mirror");
    pids = rig_pids(&rig, "web");
    assert_int_equal(kill(pids.qemu, SIGKILL), 0);
    let_go(op);
    ends(op, "succeeded");
    assert_int_equal(files_in("main"), 0);
    nothing_is_lost();
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_guest_counts_on_while_its_disks_move_there_and_back),
        T(its_snapshots_move_along_and_can_be_gone_back_to),
        T(formats_change_on_the_way),
        T(a_daemon_that_dies_meanwhile_goes_on_with_it),
        T(cancelled_or_cut_off_by_a_stop_it_leaves_all_where_it_was),
        T(a_vm_that_ends_meanwhile_is_copied_to_the_end),
    };
    const char *why;

    if (!rig_possible_bare(&why)) {
        print_message("[  SKIPPED ] integration/moves: %s\n", why);
        return 0;
    }
    return cmocka_run_group_tests_name("integration/moves", tests, NULL, NULL);
}
