/* A guest's memory into an image as the worker does it: each way, the guest's own end in the
 * middle, and what main may ask. */
#include "tests/lib/harness.h"

#include "tests/unit/memory_rig.h"

/* ---- the three ways, and a fourth ---- */

static void a_running_guest_stands_for_a_moment_and_runs_on(void **unused)
{
    CLEANUP(json_decrefp) json_t *now = NULL;
    char page[4] = "";

    begin_background();
    expect_quiet();
    now = ask_state();
    assert_string_equal(json_get_text(now, "state"), "writing");
    assert_true(json_get_bool(now, "switched", false));
    assert_true(json_get_u64(now, "pause_us", 0) > 0);
    migration("completed");
    assert_int_equal(rig.w.memory.step, MEMORY_FLUSHING);
    splitter('d');
    expect_clean();
    expect_over("", true);
    expect_nobody_noticed();
    assert_int_equal(pread(image, page, 4, 0), 4);
    assert_memory_equal(page, "page", 4);
}

static void the_splitter_may_be_through_first(void **unused)
{
    begin_background();
    splitter('d');
    expect_quiet();
    migration("completed");
    expect_clean();
    expect_over("", true);
}

static void a_precopy_switches_the_disks_at_its_end(void **unused)
{
    begin(ASK("precopy", OVERLAY));
    play(precopy, ARRAY_LEN(precopy));
    qemu_says("STOP", NULL);
    migration("completed");
    expect("query-status", NULL, MIGRATED);
    expect("transaction", NULL, OK);
    expect("cont", "RESUME", OK);
    assert_int_equal(rig.w.memory.step, MEMORY_FLUSHING);
    splitter('d');
    expect_clean();
    expect_over("", true);
    expect_nobody_noticed();
    assert_true(rig.w.memory.pause_us > 0);
}

static void a_guest_that_outruns_a_precopy_is_stopped_for_the_rest(void **unused)
{
    begin(ASK("precopy", OVERLAY));
    play(precopy, ARRAY_LEN(precopy));
    rig.w.memory.converge_ms = clock_mono_ms();
    memory_tick(&rig.w, clock_mono_ms());
    expect("stop", "STOP", OK);
    migration("completed");
    expect("query-status", NULL, MIGRATED);
    expect("transaction", NULL, OK);
    expect("cont", "RESUME", OK);
    splitter('d');
    expect_clean();
    expect_over("", true);
    expect_nobody_noticed();
}

static void begin_still(void)
{
    begin(ASK("still", ""));
    play(still, ARRAY_LEN(still));
    migration("completed");
    expect("query-status", NULL, MIGRATED);
}

static void a_guest_that_is_saved_stands_still_at_the_end(void **unused)
{
    bool failed;
    uint32_t id;

    begin_still();
    assert_false(was_told("STOP"));
    splitter('d');
    expect_clean();
    expect("query-status", NULL, MIGRATED);
    expect_over("", false);
    assert_true(was_told("STOP"));
    id = rig_ask(&rig, WORKER_MEMORY_END, CANCEL); /* taken back after all */
    expect("cont", "RESUME", OK);
    json_decref(rig_answer(&rig, id, &failed));
    assert_false(failed);
    assert_true(was_told("RESUME"));
    expect("query-status", NULL, OK);
    expect_over("cancelled", false); /* the disks go on: nobody is to be saved with it */
    end(CANCEL);
    expect_quiet();
}

static void a_guest_whose_save_fails_runs_on(void **unused)
{
    begin_still();
    splitter('n');
    expect("cont", "RESUME", OK);
    expect_clean();
    expect_over("the pool is full", false);
    assert_true(rig.w.memory.no_space);
    expect_nobody_noticed();
}

static void begin_pause(void)
{
    begin(ASK("pause", OVERLAY));
    play(still, ARRAY_LEN(still));
    expect_refusal(WORKER_QMP, "{\"execute\":\"cont\"}", "busy");
}

static void a_guest_that_stands_still_for_a_snapshot_goes_on_after_it(void **unused)
{
    begin_pause();
    migration("completed");
    expect("query-status", NULL, MIGRATED);
    expect("transaction", NULL, OK);
    expect("cont", "RESUME", OK);
    assert_int_equal(rig.w.memory.step, MEMORY_FLUSHING);
    assert_true(rig.w.memory.pause_us > 0);
    splitter('d');
    expect_clean();
    expect_over("", true);
    expect_nobody_noticed();
}

static void a_snapshot_it_stands_still_for_fails_and_nothing_has_happened(void **unused)
{
    begin_pause();
    splitter('n');
    expect("migrate_cancel", NULL, OK);
    expect("query-migrate", NULL, "\"return\":{\"status\":\"cancelled\"}");
    expect("cont", "RESUME", OK);
    expect_clean();
    expect_over("the pool is full", false);
    assert_true(rig.w.memory.no_space);
    expect_nobody_noticed();
}

static void a_paused_guest_stays_paused_after_standing_still(void **unused)
{
    status_set(&rig.w, "paused");
    begin(ASK("pause", OVERLAY));
    play(background, 3);
    expect("transaction", NULL, OK);
    expect("migrate", NULL, OK);
    migration("completed");
    expect("query-status", NULL, MIGRATED);
    expect("query-status", NULL, MIGRATED);
    expect("cont", "RESUME", OK);
    expect("stop", "STOP", OK);
    splitter('d');
    expect_clean();
    expect_over("", true);
    expect_nobody_noticed();
}

static void a_paused_guest_stays_paused(void **unused)
{
    status_set(&rig.w, "paused");
    begin(ASK("background", OVERLAY));
    play(background, 3);
    expect("transaction", NULL, OK);
    expect("migrate", NULL, OK);
    migration("completed");
    expect("query-status", NULL, "\"return\":{\"status\":\"finish-migrate\"}");
    expect("query-status", NULL, MIGRATED);
    expect("query-status", NULL, MIGRATED);
    expect("cont", "RESUME", OK);
    expect("stop", "STOP", OK);
    splitter('d');
    expect_clean();
    expect_over("", true);
    expect_nobody_noticed();
    assert_string_equal(rig.w.status, "paused");
}

/* ---- the guest's own end ---- */

static void a_power_off_at_the_wrong_moment_changes_nothing(void **unused)
{
    begin(ASK("background", OVERLAY));
    play(background, BEAT_STOP);
    qemu_says("SHUTDOWN", "{\"guest\":true,\"reason\":\"guest-shutdown\"}");
    expect("stop", "STOP", OK);
    expect("query-status", NULL, OK);
    expect("query-status", NULL, OK);
    expect("query-status", NULL, "\"return\":{\"status\":\"shutdown\"}");
    expect_clean();
    expect("quit", NULL, OK);
    expect_over("by itself", false);
    assert_true(was_told("STOP"));
}

static void a_guest_that_powers_off_is_kept_until_its_memory_is_written(void **unused)
{
    begin_background();
    qemu_says("SHUTDOWN", "{\"guest\":true,\"reason\":\"guest-shutdown\"}");
    qemu_says("STOP", NULL);
    expect("query-status", NULL, OK);
    expect("query-status", NULL, OK);
    expect_quiet();
    migration("completed");
    splitter('d');
    expect_clean();
    expect("quit", NULL, OK);
    expect_over("", true);
    assert_true(was_told("STOP"));
}

static void a_guest_that_powers_off_ends_its_precopy(void **unused)
{
    begin(ASK("precopy", OVERLAY));
    play(precopy, ARRAY_LEN(precopy));
    qemu_says("SHUTDOWN", "{\"guest\":true,\"reason\":\"guest-shutdown\"}");
    expect("migrate_cancel", NULL, OK);
    expect("query-migrate", NULL, "\"return\":{\"status\":\"cancelled\"}");
    expect("query-status", NULL, OK);
    expect_clean();
    expect("quit", NULL, OK);
    expect_over("powered off", false);
}

/* ---- main ---- */

static void main_cannot_come_in_between(void **unused)
{
    begin(ASK("background", OVERLAY));
    play(background, BEAT_STOP + 1);
    expect_refusal(WORKER_QMP, "{\"execute\":\"cont\"}", "busy");
    expect_refusal(WORKER_QMP, "{\"execute\":\"job-cancel\",\"arguments\":{\"id\":\"a\"}}", "busy");
    expect_refusal(WORKER_MEMORY_END, ABOUT, "busy");
    expect_refusal(WORKER_MEMORY_LOOK, "{}", "busy");
    expect_refusal(WORKER_QMP, "{\"execute\":\"migrate_cancel\"}", "forbidden");
}

static void its_pause_is_its_own_while_memory_streams(void **unused)
{
    uint32_t id;
    bool failed;

    begin_background();
    id = rig_ask(&rig, WORKER_QMP, "{\"execute\":\"stop\"}");
    expect("stop", "STOP", OK);
    json_decref(rig_answer(&rig, id, &failed));
    assert_false(failed);
    assert_true(was_told("STOP"));
}

static void what_came_out_is_known_to_the_next_daemon(void **unused)
{
    CLEANUP(json_decrefp) json_t *hello = NULL;
    CLEANUP(json_decrefp) json_t *now = NULL;
    bool failed;

    begin_background();
    close(rig.c.sock);
    client_clear(&rig.c);
    rig_pump(&rig);
    migration("completed");
    splitter('d');
    expect_clean();
    daemon_add(&rig.w, rig_pair(&rig.c.sock, O_NONBLOCK));
    client_init(&rig.c, rig.c.sock, 6);
    hello = rig_answer(
        &rig, rig_ask(&rig, WORKER_HELLO, "{\"min\":1,\"max\":1,\"events_after\":0}"), &failed);
    assert_true(json_get_bool(hello, "memory", false));
    assert_string_equal(json_get_text(hello, "memory_image"), IMAGE);
    expect_over("", true);
    end(ABOUT);
    now = ask_state();
    assert_string_equal(json_get_text(now, "state"), "none");
}

static void requests_that_are_not_right_are_refused(void **unused)
{
    static const char *const texts[] = {
        "{}",
        ASK("sideways", ""),
        ASK("still", OVERLAY),
        ASK("background", OVERLAY "," OVERLAY),
        ASK("background", "{\"node\":\"fa\",\"overlay\":\"fa\"}"),
        ASK("background", "{\"node\":\"/etc/passwd\",\"overlay\":\"fb\"}"),
        "{\"image\":\"" IMAGE "\",\"way\":\"still\",\"ram_bytes\":4097,\"overlays\":[]}",
    };

    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        expect_refusal(WORKER_MEMORY, texts[i], "invalid");
    expect_refusal(WORKER_MEMORY, ASK("background", OVERLAY), "invalid"); /* no descriptor */
    expect_quiet();
}

static void a_guest_that_sleeps_or_a_second_image_is_refused(void **unused)
{
    bool failed;
    CLEANUP(json_decrefp) json_t *asleep = NULL;
    CLEANUP(json_decrefp) json_t *second = NULL;
    const char text[] = ASK("background", OVERLAY);

    status_set(&rig.w, "suspended");
    asleep = rig_answer(&rig, client_send(&rig.c, WORKER_MEMORY, text, strlen(text), &image, 1),
                        &failed);
    assert_string_equal(json_get_text(asleep, "code"), "wrong-state");
    status_set(&rig.w, "running");
    begin(text);
    second = rig_answer(&rig, client_send(&rig.c, WORKER_MEMORY, text, strlen(text), &image, 1),
                        &failed);
    assert_string_equal(json_get_text(second, "code"), "busy");
}

static void it_says_beforehand_why_not_in_the_background(void **unused)
{
    CLEANUP(json_decrefp) json_t *well = NULL;
    CLEANUP(json_decrefp) json_t *not_so = NULL;
    CLEANUP(json_decrefp) json_t *private = NULL;
    bool failed;
    uint32_t id = rig_ask(&rig, WORKER_MEMORY_LOOK, "{}");

    expect("migrate-set-capabilities", NULL, OK);
    well = rig_answer(&rig, id, &failed);
    assert_true(json_get_bool(well, "can", false) && json_get_bool(well, "background", false));
    expect("migrate-set-capabilities", NULL, OK);
    id = rig_ask(&rig, WORKER_MEMORY_LOOK, "{}");
    expect("migrate-set-capabilities", NULL,
           "\"error\":{\"desc\":\"Background-snapshot is not supported by host kernel\"}");
    not_so = rig_answer(&rig, id, &failed);
    assert_false(json_get_bool(not_so, "background", true));
    assert_non_null(strstr(json_get_text(not_so, "reason"), "userfaultfd"));
    rig.w.from_image = true;
    private = rig_answer(&rig, rig_ask(&rig, WORKER_MEMORY_LOOK, "{}"), &failed);
    assert_true(json_get_bool(private, "can", false));
    assert_false(json_get_bool(private, "background", true));
    assert_true(json_get_bool(private, "from_image", false));
    assert_false(json_get_bool(well, "from_image", true));
    assert_true(json_get_bool(well, "pause", false));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        STORY(a_running_guest_stands_for_a_moment_and_runs_on),
        STORY(the_splitter_may_be_through_first),
        STORY(a_precopy_switches_the_disks_at_its_end),
        STORY(a_guest_that_outruns_a_precopy_is_stopped_for_the_rest),
        STORY(a_guest_that_is_saved_stands_still_at_the_end),
        STORY(a_guest_whose_save_fails_runs_on),
        STORY(a_guest_that_stands_still_for_a_snapshot_goes_on_after_it),
        STORY(a_snapshot_it_stands_still_for_fails_and_nothing_has_happened),
        STORY(a_paused_guest_stays_paused_after_standing_still),
        STORY(a_paused_guest_stays_paused),
        STORY(a_power_off_at_the_wrong_moment_changes_nothing),
        STORY(a_guest_that_powers_off_is_kept_until_its_memory_is_written),
        STORY(a_guest_that_powers_off_ends_its_precopy),
        STORY(main_cannot_come_in_between),
        STORY(its_pause_is_its_own_while_memory_streams),
        STORY(what_came_out_is_known_to_the_next_daemon),
        STORY(requests_that_are_not_right_are_refused),
        STORY(a_guest_that_sleeps_or_a_second_image_is_refused),
        STORY(it_says_beforehand_why_not_in_the_background),
    };

    return memory_main(argc, argv, "worker/memory", tests, ARRAY_LEN(tests));
}
