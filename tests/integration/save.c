/* Saving and going on with the real daemon and a real QEMU. The guest counts on its disk and says
 * each number once it is written (tests/lib/counter.h), and says what it found whenever it boots.
 * So its console tells whether it went on with the next number, and whether its disk agrees. */
#include "tests/lib/counter.h"
#include "tests/lib/rig.h"
#include "tests/lib/rig_shell.h"

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SOON_MS 30000
#define SAVE    "/api/v1/vms/web/actions/save"

static struct rig rig;

/* ---- what the console says ---- */

struct said {
    uint32_t last; /* the newest number that is written */
    unsigned boots;
};

/* Fails unless each number is the next one. */
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
        if (line[0] == 'B')
            said.boots++;
        else if (said.last && now != said.last + 1)
            fail_msg("after %x the guest said %x", said.last, now);
        said.last = now;
    }
    return said;
}

/* The guest says five numbers more than 'than'. */
static void await_more(uint32_t than)
{
    int64_t deadline_ms = clock_mono_ms() + SOON_MS;

    while (listen().last <= than + 5) {
        if (clock_mono_ms() > deadline_ms)
            fail_msg("the guest does not go on: it stands at %x", listen().last);
        (void)poll(NULL, 0, 20); /* asked again until it has counted */
    }
}

static size_t images(void)
{
    return rig_matches(&rig, "main/*/*.mem");
}

/* ---- */

static int setup(void **state)
{
    CLEANUP(mem_freep) char *spec = counter_spec("web");

    rig_make(&rig, 0);
    json_decref(rig_do(&rig, "POST", "/api/v1/vms", spec, 201));
    counter_install(&rig);
    rig_act(&rig, "web", "start");
    await_more(0);
    return 0;
}

static int teardown(void **state)
{
    rig_remove(&rig);
    return 0;
}

static void assert_state(const char *wanted)
{
    CLEANUP(mem_freep) char *state = rig_text(&rig, "web", "run.state");

    assert_string_equal(state, wanted);
}

/* What it said is on its disk, nobody runs, and its memory is in the pool. */
static uint32_t assert_is_saved(void)
{
    uint32_t said = listen().last;

    assert_state("saved");
    assert_int_equal(images(), 1);
    assert_in_range(counter_on_disk(&rig, "web"), said, said + 1); /* written, not said yet */
    return said;
}

static void assert_goes_on(uint32_t said)
{
    unsigned boots = listen().boots;

    rig_act(&rig, "web", "start");
    assert_state("running");
    await_more(said);
    assert_int_equal(listen().boots, boots);
    assert_int_equal(images(), 0);
}

static void a_saved_guest_goes_on_with_the_next_number(void **state)
{
    pid_t qemu = rig_pids(&rig, "web").qemu;

    rig_act(&rig, "web", "save");
    assert_false(rig_lives(qemu));
    assert_goes_on(assert_is_saved());
    rig_act(&rig, "web", "save"); /* and again, from memory that is an image's */
    assert_goes_on(assert_is_saved());
    rig_act(&rig, "web", "stop");
}

static void a_paused_one_and_one_over_restarts_of_the_daemon_do_as_well(void **state)
{
    uint32_t said;

    rig_act(&rig, "web", "pause");
    rig_act(&rig, "web", "save");
    said = assert_is_saved();
    rig_kill(&rig, NULL);
    rig_spawn(&rig);
    assert_state("saved");
    assert_goes_on(said);
}

static void what_is_discarded_boots_anew_from_its_disk(void **state)
{
    uint32_t said;
    unsigned boots = listen().boots;

    rig_act(&rig, "web", "save");
    said = assert_is_saved();
    rig_act(&rig, "web", "discard");
    assert_state("off");
    assert_int_equal(images(), 0);
    rig_act(&rig, "web", "start");
    await_more(said);
    assert_int_equal(listen().boots, boots + 1);
}

static void it_is_saved_with_the_host(void **state)
{
    CLEANUP(json_decrefp) json_t *job = NULL;

    json_decref(
        rig_do(&rig, "PATCH", "/api/v1/vms/web", "{\"host_shutdown\":{\"action\":\"save\"}}", 200));
    job = rig_do(&rig, "POST", "/api/v1/host/actions/shutdown-guests", "{}", 200);
    assert_int_equal(json_get_u64(json_object_get(job, "result"), "saved", 0), 1);
    assert_goes_on(assert_is_saved());
}

/* What it is once nothing holds it and QEMU's end, if it was killed, has been seen; the caller's.
 */
static char *await_rest(bool qemu_is_dead)
{
    int64_t deadline_ms = clock_mono_ms() + SOON_MS;

    for (;;) {
        CLEANUP(mem_freep) char *job = rig_text(&rig, "web", "job.kind");
        CLEANUP(mem_freep) char *run = rig_text(&rig, "web", "run.state");
        if (job[0] == '(' && !(qemu_is_dead && str_eq(run, "running"))) /* none */
            return TAKE(run);
        assert_true(clock_mono_ms() < deadline_ms);
        (void)poll(NULL, 0, 20); /* asked again until it is so */
    }
}

/* Whatever dies, the guest runs, is crashed with nothing of it left, or is saved and goes on. */
static void assert_comes_to_rest(bool qemu_is_dead)
{
    CLEANUP(mem_freep) char *run = await_rest(qemu_is_dead);

    if (str_eq(run, "saved")) {
        assert_goes_on(assert_is_saved());
        return;
    }
    assert_int_equal(images(), 0);
    if (qemu_is_dead)
        assert_string_equal(run, "crashed");
    else
        await_more(listen().last);
}

static void send_save(void)
{
    int status;

    json_decref(rig_send(&rig, "POST", SAVE, "{}", NULL, &status));
    assert_int_equal(status, 202);
}

static void a_daemon_that_is_killed_meanwhile_is_followed_by_one_that_knows(void **state)
{
    send_save();
    rig_kill(&rig, NULL);
    rig_spawn(&rig);
    assert_comes_to_rest(false);
}

static void a_qemu_that_is_killed_meanwhile_is_a_crash_or_was_saved(void **state)
{
    pid_t qemu = rig_pids(&rig, "web").qemu;

    send_save();
    (void)kill(qemu, SIGKILL);
    assert_comes_to_rest(true);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_saved_guest_goes_on_with_the_next_number),
        T(a_paused_one_and_one_over_restarts_of_the_daemon_do_as_well),
        T(what_is_discarded_boots_anew_from_its_disk),
        T(it_is_saved_with_the_host),
        T(a_daemon_that_is_killed_meanwhile_is_followed_by_one_that_knows),
        T(a_qemu_that_is_killed_meanwhile_is_a_crash_or_was_saved),
    };
    const char *why;

    if (!rig_possible_bare(&why)) {
        print_message("[  SKIPPED ] integration/save: %s\n", why);
        return 0;
    }
    return cmocka_run_group_tests_name("integration/save", tests, NULL, NULL);
}
