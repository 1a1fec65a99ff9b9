/* The pivot as the worker does it: each row of the table in docs/storage.md, each way it can fail,
 * with a QEMU that is played by the test. */
#include "tests/lib/harness.h"

#include "core/base/commitlog.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/str.h"
#include "tests/unit/worker_rig.h"

#define JOB    "11111111-0000-4000-8000-000000000001"
#define DISK_A "22222222-0000-4000-8000-00000000000a"
#define DISK_B "22222222-0000-4000-8000-00000000000b"
#define FILE_A "33333333-0000-4000-8000-00000000000a"
#define FILE_B "33333333-0000-4000-8000-00000000000b"
#define LEAF_A "{\"disk\":\"" DISK_A "\",\"file\":\"" FILE_A "\"}"
#define LEAF_B "{\"disk\":\"" DISK_B "\",\"file\":\"" FILE_B "\"}"
#define TWO                                                                                        \
    "{\"jobs\":[\"fa\",\"fb\"],\"record\":{\"job\":\"" JOB "\",\"leaves\":[" LEAF_A "," LEAF_B "]" \
    "}}"

static struct rig rig;
static uint32_t asked; /* the WORKER_PIVOT */

static int set_up(void **state)
{
    struct err err = {0};
    rig_start(&rig);
    status_set(&rig.w, "running");
    return recorder_open(&rig.w, commitlog_open(rig.w.dir, &err), &err) ? 0 : -1;
}

static int tear_down(void **state)
{
#ifdef VMMD_FAILPOINTS
    failpoint_arm(NULL);
#endif
    rig_clear(&rig);
    return 0;
}

/* ---- verbs ---- */

static void qemu_says_job(const char *job, const char *status)
{
    char text[200];

    snprintf(text, sizeof text, "{\"event\":\"%s\",\"data\":{\"id\":\"%s\",\"status\":\"%s\"}}\r\n",
             "JOB_STATUS_CHANGE", job, status);
    rig_qemu_says(&rig, text);
}

static void time_runs_out(void) /* for the switch alone: the next look is not due by it */
{
    pivot_tick(&rig.w, rig.w.pivot.deadline_ms = clock_mono_ms());
}

/* QEMU is told 'command' about 'job', and answers 'rest'. */
static void expect_told(const char *command, const char *job, const char *rest)
{
    CLEANUP(json_decrefp) json_t *heard = rig_qemu_hears(&rig);

    if (!heard)
        fail_msg("QEMU was not told to %s", command);
    assert_string_equal(json_get_text(heard, "execute"), command);
    if (job)
        assert_string_equal(json_get_text(json_object_get(heard, "arguments"), "id"), job);
    rig_qemu_answers(&rig, json_get_text(heard, "id"), rest);
}

static void expect_both_told(const char *command)
{
    expect_told(command, "fa", "\"return\":{}");
    expect_told(command, "fb", "\"return\":{}");
}

static void expect_quiet(void)
{
    CLEANUP(json_decrefp) json_t *heard = rig_qemu_hears(&rig);

    if (heard)
        fail_msg("QEMU was told to %s", json_get_text(heard, "execute"));
}

static void expect_refusal(uint16_t type, const char *text, const char *code)
{
    bool failed;
    CLEANUP(json_decrefp) json_t *body = rig_answer(&rig, rig_ask(&rig, type, text), &failed);

    assert_true(failed);
    assert_string_equal(json_get_text(body, "code"), code);
}

/* main goes, and its successor says HELLO: the answer, owned by the caller. */
static json_t *dial_again(void)
{
    bool failed;
    json_t *hello;

    close(rig.c.sock);
    client_clear(&rig.c);
    daemon_add(&rig.w, rig_pair(&rig.c.sock, O_NONBLOCK));
    client_init(&rig.c, rig.c.sock, 6);
    hello = rig_answer(
        &rig, rig_ask(&rig, WORKER_HELLO, "{\"min\":1,\"max\":1,\"events_after\":0}"), &failed);
    assert_false(failed);
    return hello;
}

static void qemu_says(const char *event)
{
    CLEANUP(mem_freep) char *text = str_format("{\"event\":\"%s\"}\r\n", event);

    rig_qemu_says(&rig, text);
}

static void ask_and_stop(void)
{
    asked = rig_ask(&rig, WORKER_PIVOT, TWO);
    qemu_says("STOP");
    expect_told("stop", NULL, "\"return\":{}");
}

static void begin(void)
{
    ask_and_stop();
    expect_both_told("job-complete");
}

/* The guest runs again, and nobody heard of its pause. */
static void expect_resumed(void)
{
    qemu_says("RESUME");
    expect_told("cont", NULL, "\"return\":{}");
}

static bool was_told(const char *event)
{
    for (size_t i = 0; i < json_array_size(rig.c.events); i++)
        if (str_eq(json_get_text(json_array_get(rig.c.events, i), "event"), event))
            return true;
    return false;
}

static void reach_record(void)
{
    begin();
    qemu_says_job("fa", "waiting");
    qemu_says_job("fa", "pending");
    expect_quiet();
    assert_int_equal(rig.w.pivot.step, PIVOT_COMPLETING);
    qemu_says_job("fb", "pending");
    assert_int_equal(rig.w.pivot.step, PIVOT_RECORDING);
}

/* Waits until the thread is through with its record. */
static void await_record(void)
{
    struct pollfd p = {.fd = rig.w.recorder.wake, .events = POLLIN};

    assert_int_equal(poll(&p, 1, WORKER_TEST_MS), 1);
    recorder_ready(&rig.w);
    rig_pump(&rig);
}

static void reach_finalizing(void)
{
    reach_record();
    await_record();
    assert_int_equal(rig.w.pivot.step, PIVOT_FINALIZING);
    expect_both_told("job-finalize");
}

#define CONCLUDED(id) "{\"id\":\"" id "\",\"type\":\"mirror\",\"status\":\"concluded\"}"
#define CANCELLED(id)                                                                              \
    "{\"id\":\"" id "\",\"status\":\"concluded\",\"error\":\"Operation canceled\"}"

/* All jobs are cancelled, concluded and dismissed. */
static void expect_called_off(void)
{
    expect_both_told("job-cancel");
    expect_told("query-jobs", NULL, "\"return\":[" CANCELLED("fa") "," CANCELLED("fb") "]");
    expect_both_told("job-dismiss");
}

static void expect_outcome(const char *outcome, const char *detail)
{
    bool failed;
    CLEANUP(json_decrefp) json_t *body = rig_answer(&rig, asked, &failed);
    const json_t *event = json_array_get(rig.c.events, json_array_size(rig.c.events) - 1);

    assert_false(failed);
    assert_string_equal(json_get_text(event, "event"), "WORKER_PIVOTED");
    assert_string_equal(json_get_text(body, "outcome"), outcome);
    assert_non_null(strstr(json_get_text(body, "detail"), detail));
    assert_true(json_equal(json_object_get(event, "data"), body));
    assert_int_equal(rig.w.pivot.step, PIVOT_IDLE);
    if (!str_eq(outcome, "unknown"))
        assert_false(was_told("STOP") || was_told("RESUME"));
}

/* The newest record; owned by the caller. */
static json_t *last_record(uint64_t sequence)
{
    struct err err = {0};
    json_t *record;
    uint64_t found;

    assert_true(commitlog_last(rig.w.recorder.log, &found, &record, &err));
    assert_int_equal(found, sequence);
    return record;
}

static void expect_no_record(void)
{
    assert_null(last_record(0));
}

/* ---- the table ---- */

static void all_disks_switch_together_and_the_log_says_so(void **state)
{
    CLEANUP(json_decrefp) json_t *record = NULL;
    CLEANUP(json_decrefp)
    json_t *wanted =
        json_loads("{\"job\":\"" JOB "\",\"leaves\":[" LEAF_A "," LEAF_B "]}", 0, NULL);

    reach_finalizing();
    record = last_record(1); /* before anything is finalized */
    assert_true(json_equal(record, wanted));
    qemu_says_job("fa", "concluded");
    expect_quiet();
    qemu_says_job("fb", "concluded");
    expect_told("query-jobs", NULL, "\"return\":[" CONCLUDED("fb") "," CONCLUDED("fa") "]");
    expect_both_told("job-dismiss");
    expect_resumed();
    expect_outcome("committed", "");
    expect_quiet();
}

static void the_pause_lasts_from_stop_to_cont(void **state)
{
    bool failed;
    CLEANUP(json_decrefp) json_t *body = NULL;

    reach_finalizing();
    rig.w.pivot.since_us -= 5000000;
    qemu_says_job("fa", "concluded");
    qemu_says_job("fb", "concluded");
    expect_told("query-jobs", NULL, "\"return\":[]");
    expect_resumed();
    body = rig_answer(&rig, asked, &failed);
    assert_in_range(json_get_u64(body, "pause_us", 0), 5000000, 9999999);
}

static void a_paused_guest_stays_paused(void **state)
{
    status_set(&rig.w, "paused");
    asked = rig_ask(&rig, WORKER_PIVOT, TWO);
    expect_both_told("job-complete");
    qemu_says_job("fa", "pending");
    qemu_says_job("fb", "pending");
    await_record();
    expect_both_told("job-finalize");
    qemu_says_job("fa", "concluded");
    qemu_says_job("fb", "concluded");
    expect_told("query-jobs", NULL, "\"return\":[]");
    expect_outcome("committed", "");
    expect_quiet();
}

/* What everybody has to know then is that it stands still. */
static void a_guest_that_does_not_run_again_is_told_as_paused(void **state)
{
    bool failed;

    reach_finalizing();
    qemu_says_job("fa", "concluded");
    qemu_says_job("fb", "concluded");
    expect_told("query-jobs", NULL, "\"return\":[]");
    expect_told("cont", NULL, "\"error\":{\"desc\":\"no\"}");
    json_decref(rig_answer(&rig, asked, &failed));
    assert_true(was_told("STOP"));
}

static void a_guest_that_does_not_stop_goes_on(void **state)
{
    asked = rig_ask(&rig, WORKER_PIVOT, TWO);
    expect_told("stop", NULL, "\"error\":{\"desc\":\"no\"}");
    expect_called_off();
    expect_told("cont", NULL, "\"return\":{}");
    expect_outcome("cancelled", "does not stop");
    expect_no_record();
}

static void a_second_pivot_gets_the_next_slot(void **state)
{
    json_t *record;

    for (uint64_t n = 1; n <= 2; n++) {
        reach_finalizing();
        qemu_says_job("fb", "concluded");
        qemu_says_job("fa", "concluded");
        expect_told("query-jobs", NULL, "\"return\":[]");
        expect_resumed();
        expect_outcome("committed", "");
        record = last_record(n);
        json_decref(record);
    }
}

static void a_disk_that_does_not_stand_still_calls_it_off(void **state)
{
    begin();
    qemu_says_job("fa", "pending");
    assert_in_range(pivot_tick(&rig.w, clock_mono_ms()), clock_mono_ms() + 1,
                    clock_mono_ms() + PIVOT_PENDING_MS);
    time_runs_out();
    expect_called_off();
    expect_resumed();
    expect_outcome("cancelled", "did not stand still");
    expect_no_record();
}

static void a_refusal_of_qemu_calls_it_off(void **state)
{
    ask_and_stop();
    expect_told("job-complete", "fa", "\"return\":{}");
    expect_told("job-complete", "fb", "\"error\":{\"desc\":\"no such job\"}");
    qemu_says_job("fa", "pending");
    expect_called_off();
    expect_resumed();
    expect_outcome("cancelled", "no such job");
    expect_no_record();
}

static void a_copy_that_ends_before_the_switch_calls_it_off(void **state)
{
    begin();
    qemu_says_job("fa", "pending");
    qemu_says_job("fb", "concluded");
    qemu_says_job("fb", "pending"); /* whatever it means by that */
    expect_called_off();
    expect_resumed();
    expect_outcome("cancelled", "ended before");
    expect_no_record();
}

static void cancelling_waits_until_no_job_is_left(void **state)
{
    begin();
    time_runs_out();
    expect_both_told("job-cancel");
    expect_told("query-jobs", NULL, "\"return\":[{\"id\":\"fa\",\"status\":\"aborting\"}]");
    assert_int_equal(rig.w.pivot.step, PIVOT_CANCELLING);
    pivot_tick(&rig.w, clock_mono_ms() + 600); /* no event came: it is asked again */
    expect_told("job-cancel", "fa", "\"error\":{\"desc\":\"it is aborting\"}");
    expect_told("query-jobs", NULL, "\"error\":{\"desc\":\"later\"}");
    qemu_says_job("fa", "concluded");
    expect_told("query-jobs", NULL, "\"return\":[" CANCELLED("fa") "]");
    expect_told("job-dismiss", "fa", "\"return\":{}");
    expect_resumed();
    expect_outcome("cancelled", "stand still");
}

static void what_qemu_does_not_tell_is_asked(void **state)
{
    reach_finalizing();
    pivot_tick(&rig.w, clock_mono_ms() + 600);
    expect_both_told("job-finalize");
    expect_told("query-jobs", NULL,
                "\"return\":[" CONCLUDED("fa") ",{\"id\":\"fb\",\"status\":\"pending\"}]");
    expect_told("job-dismiss", "fa", "\"return\":{}");
    pivot_tick(&rig.w, clock_mono_ms() + 600);
    expect_told("job-finalize", "fb", "\"return\":{}");
    expect_told("query-jobs", NULL, "\"return\":[]");
    expect_resumed();
    expect_outcome("committed", "");
}

static void a_job_that_fails_after_the_record_ends_qemu(void **state)
{
    reach_finalizing();
    qemu_says_job("fa", "concluded");
    qemu_says_job("fb", "concluded");
    rig.w.jail.init_pidfd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    expect_told("query-jobs", NULL, "\"return\":[" CONCLUDED("fa") "," CANCELLED("fb") "]");
    assert_int_equal(rig_jail_hears(&rig), JAIL_KILL);
    close(rig.w.jail.init_pidfd);
    rig.w.jail.init_pidfd = -1;
}

/* ---- the commit log fails ---- */

#ifdef VMMD_FAILPOINTS
static void reach_failed_record(void)
{
    failpoint_arm("commitlog.flush=fail");
    reach_record();
    await_record();
    failpoint_arm(NULL);
    assert_int_equal(rig.w.pivot.step, PIVOT_CANCELLING);
}

static void a_record_that_cannot_be_flushed_is_taken_back(void **state)
{
    CLEANUP(json_decrefp) json_t *record = NULL;

    reach_failed_record();
    expect_refusal(WORKER_QMP, "{\"execute\":\"cont\"}", "busy");
    expect_called_off();
    assert_int_equal(rig.w.pivot.step, PIVOT_UNDOING);
    expect_quiet(); /* the guest stands until it is durable */
    await_record();
    expect_resumed();
    expect_outcome("cancelled", "commit log");
    record = last_record(2);
    assert_true(json_get_bool(record, "undone", false));
    assert_string_equal(json_get_text(record, "job"), JOB);
}

static void a_log_that_fails_for_good_keeps_the_guest_stopped(void **state)
{
    bool failed;
    uint32_t id;
    json_t *hello;

    reach_failed_record();
    failpoint_arm("commitlog.write=fail");
    expect_called_off();
    await_record();
    expect_told("query-status", NULL, "\"return\":{\"status\":\"paused\"}");
    expect_outcome("unknown", "commit log");
    assert_true(was_told("WORKER_LOG_FAILED") && was_told("STOP"));
    expect_refusal(WORKER_QMP, "{\"execute\":\"cont\"}", "wrong-state");
    expect_refusal(WORKER_PIVOT, TWO, "wrong-state");
    id = rig_ask(&rig, WORKER_QMP, "{\"execute\":\"stop\"}");
    rig_grant(&rig, "stop");
    json_decref(rig_answer(&rig, id, &failed));
    assert_false(failed);
    hello = dial_again();
    assert_string_equal(json_get_text(hello, "status"), "io-error");
    json_decref(hello);
}

static void every_point_before_the_record_can_fail(void **state)
{
    failpoint_arm("worker.pivot=fail");
    expect_refusal(WORKER_PIVOT, TWO, "internal");
    failpoint_arm("worker.pivot.record=fail");
    begin();
    qemu_says_job("fa", "pending");
    qemu_says_job("fb", "pending");
    expect_called_off();
    expect_resumed();
    expect_outcome("cancelled", "worker.pivot.record");
    expect_no_record();
}
#endif

/* ---- QEMU or main goes ---- */

static void lose_qemu(void)
{
    close(rig.qemu);
    rig.qemu = -1;
    rig_pump(&rig);
    pivot_qemu_gone(&rig.w);
    rig_pump(&rig);
}

static void qemu_gone_before_the_record_is_cancelled(void **state)
{
    begin();
    qemu_says_job("fa", "pending");
    lose_qemu();
    expect_outcome("cancelled", "QEMU ended");
    expect_no_record();
}

static void qemu_gone_during_the_record_leaves_it_to_the_log(void **state)
{
    CLEANUP(json_decrefp) json_t *body = NULL;
    bool failed;

    reach_record();
    lose_qemu();
    body = rig_answer(&rig, asked, &failed);
    assert_true(failed);
    assert_string_equal(json_get_text(body, "code"), "unavailable");
    await_record();
    assert_int_equal(rig.w.pivot.step, PIVOT_IDLE);
    json_decref(last_record(1));
}

static void qemu_gone_after_the_record_is_committed(void **state)
{
    reach_finalizing();
    qemu_says_job("fa", "concluded");
    lose_qemu();
    expect_outcome("committed", "QEMU ended");
}

static void qemu_gone_while_it_is_called_off_is_cancelled(void **state)
{
    begin();
    time_runs_out();
    lose_qemu();
    expect_outcome("cancelled", "stand still");
}

static void a_kill_is_heard_while_the_record_hangs(void **state)
{
    reach_record(); /* its end is not looked at: as if the disk did not answer */
    rig.w.jail.init_pidfd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    rig_ask(&rig, WORKER_KILL, "{}");
    assert_int_equal(rig_jail_hears(&rig), JAIL_KILL);
    close(rig.w.jail.init_pidfd);
    rig.w.jail.init_pidfd = -1;
    await_record();
}

static void without_main_the_answer_waits_in_the_ring(void **state)
{
    const json_t *event;
    json_t *hello;

    reach_record();
    hello = dial_again();
    assert_true(json_get_bool(hello, "pivoting", false));
    assert_true(json_get_bool(hello, "commit_log", false));
    json_decref(hello);
    await_record();
    expect_both_told("job-finalize");
    qemu_says_job("fa", "concluded");
    qemu_says_job("fb", "concluded");
    expect_told("query-jobs", NULL, "\"return\":[]");
    expect_resumed();
    event = client_await_event(&rig.c, "WORKER_PIVOTED");
    assert_string_equal(json_get_text(json_object_get(event, "data"), "outcome"), "committed");
    assert_string_equal(json_get_text(json_object_get(event, "data"), "job"), JOB);
}

/* ---- what is refused ---- */

static void nothing_comes_in_between(void **state)
{
    begin();
    expect_refusal(WORKER_PIVOT, TWO, "busy");
    expect_refusal(WORKER_QMP, "{\"execute\":\"job-cancel\",\"arguments\":{}}", "busy");
    expect_refusal(WORKER_QMP, "{\"execute\":\"block-job-set-speed\"}", "busy");
    expect_refusal(WORKER_QMP, "{\"execute\":\"stop\"}", "busy");
    expect_refusal(WORKER_QMP, "{\"execute\":\"cont\"}", "busy");
    time_runs_out();
    expect_called_off();
    expect_resumed();
    expect_outcome("cancelled", "");
    rig_ask(&rig, WORKER_QMP, "{\"execute\":\"job-cancel\",\"arguments\":{}}");
    rig_grant(&rig, "job-cancel");
}

static void a_vm_without_a_log_cannot_pivot(void **state)
{
    recorder_close(&rig.w);
    expect_refusal(WORKER_PIVOT, TWO, "unsupported");
    expect_quiet();
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(all_disks_switch_together_and_the_log_says_so),
        T(the_pause_lasts_from_stop_to_cont),
        T(a_paused_guest_stays_paused),
        T(a_guest_that_does_not_run_again_is_told_as_paused),
        T(a_guest_that_does_not_stop_goes_on),
        T(a_second_pivot_gets_the_next_slot),
        T(a_disk_that_does_not_stand_still_calls_it_off),
        T(a_refusal_of_qemu_calls_it_off),
        T(a_copy_that_ends_before_the_switch_calls_it_off),
        T(cancelling_waits_until_no_job_is_left),
        T(what_qemu_does_not_tell_is_asked),
        T(a_job_that_fails_after_the_record_ends_qemu),
#ifdef VMMD_FAILPOINTS
        T(a_record_that_cannot_be_flushed_is_taken_back),
        T(a_log_that_fails_for_good_keeps_the_guest_stopped),
        T(every_point_before_the_record_can_fail),
#endif
        T(qemu_gone_before_the_record_is_cancelled),
        T(qemu_gone_during_the_record_leaves_it_to_the_log),
        T(qemu_gone_after_the_record_is_committed),
        T(qemu_gone_while_it_is_called_off_is_cancelled),
        T(a_kill_is_heard_while_the_record_hangs),
        T(without_main_the_answer_waits_in_the_ring),
        T(nothing_comes_in_between),
        T(a_vm_without_a_log_cannot_pivot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
