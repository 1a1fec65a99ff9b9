/* The fake backend: the story of a machine from its start to its end, as core sees it. */
#include "tests/lib/harness.h"

#include "tests/unit/fake_rig.h"

static struct uuid copies[2] = {{{0xb1}}, {{0xb2}}};

/* Fails when anything is told within 'ms'. */
static void await_silence(int64_t ms)
{
    int64_t deadline_ms = clock_mono_ms() + ms;
    uint64_t end;

    lock_take(&told.lock);
    end = told.serial_end;
    while (told.serial_end == end && cond_wait_until(&told.more, &told.lock, deadline_ms))
        ;
    assert_int_equal(told.serial_end, end);
    lock_drop(&told.lock);
}

/* ---- the story ---- */

static void it_boots_when_it_is_let_run_and_answers(void **state)
{
    char text[64];

    log_text(text, sizeof text);
    assert_string_equal(text, "");
    boot();
    type("hello\r");
    await_words("you said: hello\r\n# ");
}

static void a_pause_stops_its_ticks_and_input_until_it_goes_on(void **state)
{
    char before[4096], text[4096];
    struct err err = {0};

    boot();
    await_words("tick 1");
    assert_true(backend_fake.pause(machine, &err));
    assert_told(MACHINE_PAUSED, VM_REASON_USER);
    assert_false(backend_fake.serial_write(machine, 0, "x", 1, &err));
    assert_int_equal(err.code, ERR_BUSY);
    log_text(before, sizeof before);
    await_silence(5 * fake_tick_ms);
    log_text(text, sizeof text);
    assert_string_equal(text, before);
    assert_true(backend_fake.cont(machine, &err));
    assert_told(MACHINE_RUNNING, VM_REASON_NONE);
    await_words("tick 2");
    log_text(text, sizeof text);
    assert_null(
        strstr(strstr(text, "booted") + 1, "booted")); /* it went on, it did not start over */
}

static void a_reset_starts_it_over(void **state)
{
    struct err err = {0};

    boot();
    type("mark\r");
    await_words("you said: mark");
    assert_true(backend_fake.reset(machine, &err));
    assert_told(MACHINE_RESET, VM_REASON_NONE);
    await_words("fake machine booted\r\n# ");
    type("reboot\r");
    assert_told(MACHINE_RESET, VM_REASON_NONE);
}

static void assert_ended(enum vm_reason reason)
{
    struct machine_event event = told_next();
    struct err err = {0};

    assert_int_equal(event.kind, MACHINE_EXITED);
    assert_int_equal(event.run, VM_OFF);
    assert_int_equal(event.reason, reason);
    assert_false(backend_fake.cont(machine, &err));
    assert_int_equal(err.code, ERR_UNAVAILABLE);
}

static void the_power_button_ends_it(void **state)
{
    struct err err = {0};

    boot();
    assert_true(backend_fake.powerdown(machine, &err));
    assert_ended(VM_REASON_GUEST_SHUTDOWN);
    await_words("power button");
}

static void a_power_off_from_inside_is_off(void **state)
{
    boot();
    type("poweroff\rnot heard any more\r");
    assert_ended(VM_REASON_GUEST_SHUTDOWN);
}

static void a_kill_ends_it_once(void **state)
{
    struct err err = {0};

    boot();
    assert_true(backend_fake.kill(machine, &err));
    assert_true(backend_fake.kill(machine, &err));
    assert_ended(VM_REASON_USER);
    assert_int_equal(told.n, told.taken);
}

static uint32_t be32(const char *p)
{
    const uint8_t *b = (const uint8_t *)p;

    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static void its_screen_is_a_picture_that_shows_the_state(void **state)
{
    CLEANUP(mem_freep) char *running = NULL;
    CLEANUP(mem_freep) char *paused = NULL;
    size_t running_len, paused_len;
    struct err err = {0};

    boot();
    assert_true(backend_fake.screenshot(machine, 0, &running, &running_len, &err));
    assert_true(backend_fake.pause(machine, &err));
    assert_true(backend_fake.screenshot(machine, 0, &paused, &paused_len, &err));
    assert_int_equal(png_measure(running, running_len), running_len);
    assert_int_equal(be32(running + 16), 640);
    assert_int_equal(be32(running + 20), 400);
    assert_int_equal(running_len, paused_len);
    assert_memory_not_equal(running, paused, running_len);
}

static void it_tells_which_keys_were_pressed(void **state)
{
    const struct machine_input events[] = {
        {.kind = INPUT_KEY, .name = "ctrl", .down = true},
        {.kind = INPUT_BUTTON, .name = "left"},
        {.kind = INPUT_ABSOLUTE, .axis = 'x', .value = 32767},
    };
    struct err err = {0};

    boot();
    assert_true(backend_fake.input(machine, 0, events, ARRAY_LEN(events), &err));
    await_words("key ctrl down\r\nbutton left up\r\npointer x 32767\r\n");
    assert_false(backend_fake.input(machine, 1, events, ARRAY_LEN(events), &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_true(backend_fake.nmi(machine, &err));
    await_words("nmi");
}

static void processors_are_added_and_never_taken_away(void **state)
{
    struct err err = {0};
    unsigned now;

    boot();
    assert_true(backend_fake.set_vcpus(machine, 3, &now, &err));
    assert_int_equal(now, 3);
    assert_true(backend_fake.set_vcpus(machine, 3, &now, &err));
    assert_false(backend_fake.set_vcpus(machine, 5, &now, &err));
    assert_int_equal(err.code, ERR_UNSUPPORTED);
    err = (struct err){0};
    assert_false(backend_fake.set_vcpus(machine, 2, &now, &err));
    assert_int_equal(err.code, ERR_UNSUPPORTED);
    assert_int_equal(now, 3);
}

static void a_medium_goes_in_and_out(void **state)
{
    struct err err = {0};

    boot();
    assert_true(backend_fake.media(machine, 0, memfd_create("iso", MFD_CLOEXEC), &err));
    await_words("CD drive 0: medium");
    assert_true(backend_fake.media(machine, 0, -1, &err));
    await_words("CD drive 0: empty");
    assert_false(backend_fake.media(machine, 1, memfd_create("iso", MFD_CLOEXEC), &err));
    assert_int_equal(err.code, ERR_INVALID);
}

static void a_long_line_is_cut_not_overrun(void **state)
{
    char line[2000];

    memset(line, 'y', sizeof line - 1);
    line[sizeof line - 1] = 0;
    boot();
    type(line);
    type("\rok\r");
    await_words("you said: ok");
}

/* ---- files of disks ---- */

static void expect_job(const struct uuid *name, int state)
{
    struct machine_block_job now;
    struct err err = {0};

    assert_true(backend_fake.block_job(machine, name, &now, &err));
    assert_int_equal(now.state, state);
}

static void begin_mirror(unsigned disk)
{
    struct plan_disk chain = {.files = &copies[disk]};
    struct machine_mirror mirror = {.disk = disk, .chain = &chain};
    struct err err = {0};

    assert_true(backend_fake.mirror(machine, &mirror, &err));
    expect_job(&copies[disk], BLOCK_JOB_RUNNING);
    assert_true(backend_fake.block_job_limit(machine, &copies[disk], 1 << 30, &err));
    expect_job(&copies[disk], BLOCK_JOB_READY);
}

static void pivot_both(struct machine_pivoted *out)
{
    const struct machine_new_leaf new_leaves[] = {{disk_ids[0], copies[0], copies[0]},
                                                  {disk_ids[1], copies[1], copies[1]}};
    const struct machine_pivot pivot = {.job = {{7}}, .leaves = new_leaves, .n = 2};
    struct err err = {0};

    assert_true(backend_fake.pivot(machine, &pivot, out, &err));
}

static void all_disks_go_on_in_their_copies_and_the_log_says_so(void **state)
{
    CLEANUP(json_decrefp) json_t *record = NULL;
    const json_t *one;
    struct machine_pivoted out;
    struct err err = {0};
    uint64_t sequence;

    begin_mirror(0);
    begin_mirror(1);
    expect_leaf(0, &leaves[0]);
    pivot_both(&out);
    assert_int_equal(out.outcome, PIVOT_COMMITTED);
    expect_leaf(0, &copies[0]);
    expect_leaf(1, &copies[1]);
    expect_job(&copies[0], BLOCK_JOB_NONE);
    assert_true(commitlog_last(commit_fd, &sequence, &record, &err));
    assert_int_equal(sequence, 1);
    assert_string_equal(json_get_text(record, "job"), UUID_STR(&(struct uuid){{7}}));
    assert_int_equal(json_array_size(json_object_get(record, "leaves")), 2);
    one = json_array_get(json_object_get(record, "leaves"), 1);
    assert_string_equal(json_get_text(one, "disk"), UUID_STR(&disk_ids[1]));
    assert_string_equal(json_get_text(one, "file"), UUID_STR(&copies[1]));
}

static void a_pivot_before_all_are_ready_is_called_off(void **state)
{
    struct machine_pivoted out;

    begin_mirror(0);
    pivot_both(&out);
    assert_int_equal(out.outcome, PIVOT_CANCELLED);
    assert_string_not_equal(out.detail, "");
    expect_leaf(0, &leaves[0]);
    expect_job(&copies[0], BLOCK_JOB_NONE);
}

static void a_copy_waits_for_space_and_goes_on(void **state)
{
    struct machine_block_job now;
    struct err err = {0};

    begin_mirror(0);
    fake_full = true;
    assert_true(backend_fake.block_job(machine, &copies[0], &now, &err));
    assert_int_equal(now.state, BLOCK_JOB_RUNNING);
    assert_true(now.no_space);
    fake_full = false;
    assert_true(backend_fake.block_job_resume(machine, &copies[0], &err));
    expect_job(&copies[0], BLOCK_JOB_RUNNING);
    expect_job(&copies[0], BLOCK_JOB_READY);
    assert_true(backend_fake.block_job_end(machine, &copies[0], true, &err));
    expect_job(&copies[0], BLOCK_JOB_ENDED);
    assert_true(backend_fake.block_job_end(machine, &copies[0], false, &err));
    expect_job(&copies[0], BLOCK_JOB_NONE);
    assert_false(backend_fake.block_job_resume(machine, &copies[0], &err));
}

static void a_leaf_is_committed_into_the_file_it_lies_on(void **state)
{
    const struct uuid base = {{0xc1}}, job = {{8}};
    const struct machine_commit commit = {
        .top = leaves[1], .base = base, .is_leaf = true, .base_fd = -1, .top_fd = -1};
    const struct machine_new_leaf leaf = {disk_ids[1], base, leaves[1]};
    const struct machine_pivot pivot = {.job = job, .leaves = &leaf, .n = 1};
    struct machine_pivoted out;
    struct err err = {0};

    assert_true(backend_fake.commit(machine, &commit, &err));
    expect_job(&leaves[1], BLOCK_JOB_RUNNING);
    expect_job(&leaves[1], BLOCK_JOB_READY);
    assert_true(backend_fake.pivot(machine, &pivot, &out, &err));
    assert_int_equal(out.outcome, PIVOT_COMMITTED);
    expect_leaf(1, &base);
    expect_leaf(0, &leaves[0]);
}

#ifdef VMMD_FAILPOINTS
static void a_record_that_cannot_be_written_calls_the_pivot_off(void **state)
{
    CLEANUP(json_decrefp) json_t *record = NULL;
    struct machine_pivoted out;
    struct err err = {0};
    uint64_t sequence;

    begin_mirror(0);
    begin_mirror(1);
    failpoint_arm("commitlog.flush=fail");
    pivot_both(&out);
    failpoint_arm(NULL);
    assert_int_equal(out.outcome, PIVOT_CANCELLED);
    expect_leaf(0, &leaves[0]);
    assert_true(commitlog_last(commit_fd, &sequence, &record, &err));
    assert_true(json_get_bool(record, "undone", false));
}
#endif

static void it_does_not_outlive_its_daemon(void **state)
{
    struct machine *other = machine;
    struct machine_report report;
    struct err err = {0};

    assert_true(backend_fake.attach(&vm, &owner, &other, &report, &err));
    assert_null(other);
    assert_int_equal(report.ended.kind, MACHINE_EXITED);
    assert_int_equal(report.ended.run, VM_CRASHED);
    assert_int_equal(report.ended.reason, VM_REASON_WORKER_LOST);
}

#ifdef VMMD_FAILPOINTS
static void every_call_can_be_made_to_fail(void **state)
{
    struct machine *kept = machine;
    int kept_log = log_fd, kept_commit = commit_fd;
    struct err err = {0};

    failpoint_arm("fake.start=fail");
    assert_false(start(&err));
    close(log_fd);
    machine = kept;
    log_fd = kept_log;
    close(commit_fd);
    commit_fd = kept_commit;
    failpoint_arm("fake.cont=fail");
    assert_false(backend_fake.cont(machine, &err));
    assert_int_equal(err.code, ERR_INTERNAL);
    failpoint_arm(NULL);
    boot();
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(it_boots_when_it_is_let_run_and_answers),
        STORY(a_pause_stops_its_ticks_and_input_until_it_goes_on),
        STORY(a_reset_starts_it_over),
        STORY(the_power_button_ends_it),
        STORY(a_power_off_from_inside_is_off),
        STORY(a_kill_ends_it_once),
        STORY(its_screen_is_a_picture_that_shows_the_state),
        STORY(it_tells_which_keys_were_pressed),
        STORY(processors_are_added_and_never_taken_away),
        STORY(a_medium_goes_in_and_out),
        STORY(a_long_line_is_cut_not_overrun),
        STORY(all_disks_go_on_in_their_copies_and_the_log_says_so),
        STORY(a_pivot_before_all_are_ready_is_called_off),
        STORY(a_copy_waits_for_space_and_goes_on),
        STORY(a_leaf_is_committed_into_the_file_it_lies_on),
        STORY(it_does_not_outlive_its_daemon),
#ifdef VMMD_FAILPOINTS
        STORY(a_record_that_cannot_be_written_calls_the_pivot_off),
        STORY(every_call_can_be_made_to_fail),
#endif
    };

    fake_tick_ms = 20;
    return cmocka_run_group_tests_name("fake/machine", tests, NULL, NULL);
}
