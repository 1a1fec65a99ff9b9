/* A guest's memory into an image: each step that fails, each moment at which somebody else ends. */
#include "tests/lib/harness.h"

#include "tests/unit/memory_rig.h"

/* ---- what goes wrong ---- */

/* The guest runs again if beats up to 'n' had stopped it; then what is left is cleaned up. */
static void expect_taken_back(size_t n)
{
    if (n > BEAT_STOP)
        expect("cont", "RESUME", OK);
    expect_clean();
}

static void a_step_that_fails_lets_the_guest_run_on(void **unused)
{
    for (size_t i = 0; i < N_BACKGROUND; i++) {
        begin(ASK("background", OVERLAY));
        play(background, i);
        expect(background[i].command, NULL, BAD);
        expect_taken_back(i);
        expect_over("it does not want to", i > BEAT_SWITCH);
        end(ABOUT);
        expect_nobody_noticed();
    }
}

static void it_is_cancelled_at_each_step(void **unused)
{
    for (size_t i = 0; i < N_BACKGROUND; i++) {
        begin(ASK("background", OVERLAY));
        play(background, i);
        end(CANCEL);
        expect(background[i].command, background[i].event, background[i].answer);
        if (i == N_BACKGROUND - 1)
            expect_dropped();
        expect_taken_back(i + 1);
        expect_over("cancelled", i >= BEAT_SWITCH);
        end(ABOUT);
        expect_nobody_noticed();
        closep(&stream);
    }
}

/* QEMU is not told: its guest would hang. */
static void a_stream_that_is_cancelled_is_dropped(void **unused)
{
    begin_background();
    end(CANCEL);
    expect_dropped();
    expect_clean();
    expect_over("cancelled", true);
    expect_nobody_noticed();
}

static void expect_dropped_for(const char *reason)
{
    expect_dropped();
    assert_int_equal(rig.w.split.report, -1);
    expect_clean();
    expect_over(reason, true);
    expect_nobody_noticed();
}

static void a_splitter_without_space_ends_the_stream(void **unused)
{
    begin_background();
    splitter('n');
    expect_dropped_for("the pool is full");
    assert_true(rig.w.memory.no_space);
}

static void a_splitter_that_dies_ends_the_stream(void **unused)
{
    begin_background();
    splitter('x');
    expect_dropped_for("without a word");
}

static void a_splitter_that_stalls_is_ended(void **unused)
{
    begin_background();
    memory_tick(&rig.w, rig.w.memory.moved_ms + MEMORY_STALL_MS);
    expect_dropped_for("nobody took");
}

static void progress_is_no_stall(void **unused)
{
    begin_background();
    rig.w.memory.moved_ms = rig.w.memory.look_ms - MEMORY_STALL_MS + 1;
    memory_tick(&rig.w, rig.w.memory.look_ms);
    expect("query-migrate", NULL,
           "\"return\":{\"status\":\"active\",\"ram\":{\"total\":9000,\"remaining\":1000,"
           "\"transferred\":5}}");
    assert_int_equal(rig.w.memory.done, 8000);
    assert_int_equal(rig.w.memory.total, 9000);
    memory_tick(&rig.w, rig.w.memory.moved_ms + MEMORY_STALL_MS - 1);
    assert_int_equal(rig.w.memory.step, MEMORY_STREAMING);
}

static void a_splitter_that_dies_before_the_switch_changes_nothing(void **unused)
{
    begin(ASK("background", OVERLAY));
    play(background, BEAT_STOP);
    splitter('x');
    expect(background[BEAT_STOP].command, "STOP", OK);
    expect_taken_back(BEAT_STOP + 1);
    expect_over("without a word", false);
    expect_nobody_noticed();
}

static void a_precopy_whose_switch_fails_lets_the_guest_run_on(void **unused)
{
    begin(ASK("precopy", OVERLAY));
    play(precopy, ARRAY_LEN(precopy));
    qemu_says("STOP", NULL);
    migration("completed");
    expect("query-status", NULL, MIGRATED);
    expect("transaction", NULL, BAD);
    expect("cont", "RESUME", OK);
    expect_clean();
    expect_over("the disks do not switch", false);
    expect_nobody_noticed();
}

static void qemu_may_end_at_each_step(void **unused)
{
    for (size_t i = 0; i <= N_BACKGROUND; i++) {
        begin(ASK("background", OVERLAY));
        play(background, i);
        shutdown(rig.qemu, SHUT_RDWR);
        rig_pump(&rig);
        memory_qemu_gone(&rig.w);
        assert_int_equal(rig.w.memory.step, MEMORY_OVER);
        assert_string_not_equal(rig.w.memory.error, "");
        assert_int_equal(rig.w.memory.switched, i > BEAT_SWITCH);
        tear_down(NULL);
        set_up(NULL);
    }
}

#ifdef VMMD_FAILPOINTS
static void each_effect_can_fail(void **unused)
{
    static const struct {
        const char *point;
        size_t beats;
    } rows[] = {{"worker.memory.stop=fail", 3},
                {"worker.memory.switch=fail", 5},
                {"worker.memory.stream=fail", 6}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        failpoint_arm(rows[i].point);
        begin(ASK("background", OVERLAY));
        play(background, rows[i].beats);
        expect_taken_back(rows[i].beats);
        expect_over("failpoint", rows[i].beats > BEAT_SWITCH);
        end(ABOUT);
        expect_nobody_noticed();
    }
}
#endif

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        STORY(a_step_that_fails_lets_the_guest_run_on),
        STORY(it_is_cancelled_at_each_step),
        STORY(a_stream_that_is_cancelled_is_dropped),
        STORY(a_splitter_without_space_ends_the_stream),
        STORY(a_splitter_that_dies_ends_the_stream),
        STORY(a_splitter_that_stalls_is_ended),
        STORY(progress_is_no_stall),
        STORY(a_splitter_that_dies_before_the_switch_changes_nothing),
        STORY(a_precopy_whose_switch_fails_lets_the_guest_run_on),
        STORY(qemu_may_end_at_each_step),
#ifdef VMMD_FAILPOINTS
        STORY(each_effect_can_fail),
#endif
    };

    return memory_main(argc, argv, "worker/memory_fails", tests, ARRAY_LEN(tests));
}
