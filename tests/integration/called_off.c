/* Operations that were asked to end just before the daemon died, at moments when they had begun and
 * said so nowhere: the next daemon is told "cancelled" and has to look what is true by then. What
 * it leaves on disks is walked in process (tests/lib/steps.c); here are the machines.
 *
 * The VM has no system to boot: its firmware runs, which is enough to be alive. */
#include "tests/lib/points.h"
#include "tests/lib/rig.h"
#include "tests/lib/unfinished.h"

#include "core/base/mem.h"
#include "core/base/str.h"

#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#define SOON_MS 20000

static struct rig rig;
static char *points_dir;
static pid_t main_pid;

static const char vm[] = "{\"name\":\"web\",\"memory_bytes\":33554432,\"nics\":[],"
                         "\"disks\":[{\"size_bytes\":1048576}]}";

static void begin(const char *path, const char *body)
{
    int status;

    json_decref(rig_send(&rig, "POST", path, body, NULL, &status));
    assert_int_equal(status, 202);
}

/* It would go on and come to its end. */
static void main_dies(void)
{
    kill(main_pid, SIGKILL);
    points_release();
}

/* The daemon dies at the point, and was to end what is open. */
static struct uuid dies_at(const char *point, const char *path, const char *body)
{
    CLEANUP(mem_freep) char *state = str_format("%s/state", rig.dir);
    struct point at = {.nth = 1};
    struct uuid op;

    str_copy(at.name, sizeof at.name, point);
    points_arm(&at, false);
    begin(path, body);
    assert_true(points_reached(SOON_MS));
    main_pid = rig_child(&rig, "vmmd-main");
    rig_kill(&rig, main_dies);
    assert_int_equal(unfinished_cancel(state, &op), 1);
    rig_spawn(&rig);
    return op;
}

static json_t *end_of(const struct uuid *op)
{
    CLEANUP(mem_freep) char *path = str_format("/api/v1/operations/%s?wait=20", UUID_STR(op));

    return rig_do(&rig, "GET", path, NULL, 200);
}

static void assert_ends(const struct uuid *op, const char *state)
{
    CLEANUP(json_decrefp) json_t *end = end_of(op);

    assert_string_equal(json_get_text(end, "state"), state);
}

/* ---- */

static void a_guest_that_was_let_run_runs_on(void **state)
{
    struct uuid op = dies_at("vm.start.running", "/api/v1/vms/web/actions/start", "{}");
    pid_t qemu = rig_pids(&rig, "web").qemu;

    assert_true(qemu > 0);
    assert_ends(&op, "succeeded");
    rig_await(&rig, "web", "running", NULL, SOON_MS);
    assert_int_equal(rig_pids(&rig, "web").qemu, qemu);
}

static void one_that_was_not_is_taken_back(void **state)
{
    struct uuid op = dies_at("vm.start.launched", "/api/v1/vms/web/actions/start", "{}");

    assert_ends(&op, "cancelled");
    rig_await(&rig, "web", "off", NULL, SOON_MS);
    assert_int_equal(rig_pids(&rig, "web").worker, 0);
    rig_act(&rig, "web", "start");
}

static void one_that_was_forced_off_for_its_snapshot_is_reverted(void **state)
{
    CLEANUP(json_decrefp) json_t *end = NULL;
    struct uuid op;

    rig_act(&rig, "web", "start");
    json_decref(rig_do(&rig, "POST", "/api/v1/vms/web/snapshots",
                       "{\"name\":\"one\",\"consistency\":\"disk\"}", 200));
    op = dies_at("vm.revert.commit", "/api/v1/vms/web/actions/revert", "{\"snapshot\":\"one\"}");
    end = end_of(&op);
    assert_string_equal(json_get_text(end, "state"), "cancelled"); /* of its start */
    assert_non_null(strstr(json_get_text(json_object_get(end, "error"), "detail"), "was reverted"));
    rig_await(&rig, "web", "off", NULL, SOON_MS);
    rig_act(&rig, "web", "start");
}

static int setup(void **state)
{
    CLEANUP(mem_freep) char *socket = NULL;

    points_dir = tmp_dir_make();
    socket = str_format("%s/socket", points_dir);
    assert_int_equal(chmod(points_dir, 0755), 0); /* main has another uid */
    points_open(socket);
    rig_make(&rig, 0);
    json_decref(rig_do(&rig, "POST", "/api/v1/vms", vm, 201));
    return 0;
}

static int teardown(void **state)
{
    rig_remove(&rig);
    points_close();
    tmp_dir_remove(points_dir);
    return 0;
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_guest_that_was_let_run_runs_on),
        T(one_that_was_not_is_taken_back),
        T(one_that_was_forced_off_for_its_snapshot_is_reverted),
    };
    const char *why;

    if (!rig_possible_bare(&why)) {
        print_message("[  SKIPPED ] integration/called_off: %s\n", why);
        return 0;
    }
    return cmocka_run_group_tests_name("integration/called_off", tests, NULL, NULL);
}
