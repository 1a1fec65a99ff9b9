/* The fake backend's memory images: made while it runs or stands still, and begun with. */
#include "tests/lib/harness.h"

#include "tests/unit/fake_rig.h"

static const struct uuid image_id = {{0xd1}};
static struct uuid overlays[2] = {{{0xe1}}, {{0xe2}}};

/* Begins; the image is the caller's as well. 'goes_on': the guest does, in its overlays. */
static int write_memory(enum memory_way way, bool goes_on)
{
    const struct machine_overlay both[] = {{.disk = 0, .file = overlays[0], .fd = -1},
                                           {.disk = 1, .file = overlays[1], .fd = -1}};
    int image = memfd_create("image", MFD_CLOEXEC);
    const struct machine_memory_save save = {.image = image_id,
                                             .fd = fcntl(image, F_DUPFD_CLOEXEC, 3),
                                             .way = way,
                                             .goes_on = goes_on,
                                             .overlays = both,
                                             .n = goes_on ? 2 : 0};
    struct err err = {0};

    assert_true(backend_fake.memory_save(machine, &save, &err));
    return image;
}

static int save_memory(enum memory_way way)
{
    return write_memory(way, way != MEMORY_STILL);
}

static struct machine_memory_state look_at_memory(int state, bool switched)
{
    struct machine_memory_state now;
    struct err err = {0};

    assert_true(backend_fake.memory_state(machine, &image_id, &now, &err));
    assert_int_equal(now.state, state);
    assert_int_equal(now.switched, switched);
    return now;
}

static void forget_memory(void)
{
    struct err err = {0};

    assert_true(backend_fake.memory_end(machine, &image_id, false, &err));
    look_at_memory(MEMORY_NONE, false);
}

static void replace_by_one_that_begins_with(int image)
{
    struct err err = {0};

    tear_down(NULL);
    told.n = told.taken = 0;
    if (!start_with(image, &err))
        fail_msg("%s", err.detail);
}

static void it_is_kept_while_it_runs_and_another_goes_on_there(void **state)
{
    struct machine_memory_ways ways;
    struct machine_memory_state now;
    struct err err = {0};
    int image;

    boot();
    await_words("tick 3");
    image = save_memory(MEMORY_BACKGROUND);
    look_at_memory(MEMORY_WRITING, false);
    expect_leaf(0, &leaves[0]);
    look_at_memory(MEMORY_WRITING, true);
    expect_leaf(1, &overlays[1]);
    now = look_at_memory(MEMORY_ENDED, true);
    assert_string_equal(now.error, "");
    assert_int_equal(now.ram_bytes, 1 << 20);
    assert_true(now.pause_us > 0);
    forget_memory();
    replace_by_one_that_begins_with(image);
    assert_true(backend_fake.cont(machine, &err));
    await_words("fake machine goes on\r\ntick ");
    assert_true(backend_fake.memory_look(machine, &ways, &err));
    assert_string_equal(ways.blocker, "");
    assert_false(ways.background);
    assert_string_not_equal(ways.reason, "");
}

static void a_save_stops_it_and_a_failed_one_does_not(void **state)
{
    struct err err = {0};
    int image;

    boot();
    image = save_memory(MEMORY_STILL);
    fake_full = true;
    look_at_memory(MEMORY_WRITING, false);
    look_at_memory(MEMORY_WRITING, false);
    assert_true(look_at_memory(MEMORY_ENDED, false).no_space);
    fake_full = false;
    forget_memory();
    type("still here\r");
    await_words("you said: still here");
    close(image);
    image = save_memory(MEMORY_STILL);
    look_at_memory(MEMORY_WRITING, false);
    look_at_memory(MEMORY_WRITING, false);
    assert_string_equal(look_at_memory(MEMORY_ENDED, false).error, "");
    assert_told(MACHINE_PAUSED, VM_REASON_MIGRATION);
    assert_false(backend_fake.serial_write(machine, 0, "x", 1, &err));
    assert_true(backend_fake.memory_end(machine, &image_id, true, &err)); /* after all */
    assert_told(MACHINE_RUNNING, VM_REASON_NONE);
    type("back\r");
    await_words("you said: back");
    assert_string_not_equal(look_at_memory(MEMORY_ENDED, false).error, "");
    forget_memory();
    close(image);
}

static void one_that_stands_still_for_it_goes_on_in_its_overlays(void **state)
{
    int image;

    boot();
    image = write_memory(MEMORY_STILL, true);
    look_at_memory(MEMORY_WRITING, false);
    look_at_memory(MEMORY_WRITING, false);
    assert_string_equal(look_at_memory(MEMORY_ENDED, true).error, "");
    expect_leaf(1, &overlays[1]);
    type("still here\r");
    await_words("you said: still here");
    forget_memory();
    close(image);
}

static void a_memory_that_is_cancelled_leaves_the_guest_running(void **state)
{
    struct err err = {0};
    int image;

    boot();
    image = save_memory(MEMORY_PRECOPY);
    look_at_memory(MEMORY_WRITING, false);
    assert_true(backend_fake.memory_end(machine, &image_id, true, &err));
    assert_string_not_equal(look_at_memory(MEMORY_ENDED, false).error, "");
    expect_leaf(0, &leaves[0]);
    forget_memory();
    close(image);
}

static void an_image_that_is_not_whole_is_refused(void **state)
{
    struct machine *kept = machine;
    int image = memfd_create("image", MFD_CLOEXEC), kept_log = log_fd, kept_commit = commit_fd;
    struct err err = {0};

    assert_int_equal(ftruncate(image, 1 << 20), 0);
    assert_false(start_with(image, &err));
    assert_int_equal(err.code, ERR_HYPERVISOR);
    close(log_fd);
    close(commit_fd);
    machine = kept;
    log_fd = kept_log;
    commit_fd = kept_commit;
}

static void memory_fits_a_machine_of_its_size(void **state)
{
    CLEANUP(mem_freep) char *made = NULL;
    struct vm_spec other = spec;
    struct err err = {0};

    assert_true(backend_fake.memory_made(machine, &made, &err));
    assert_true(backend_fake.memory_fits(made, &spec, VM_ACCEL_TCG, &err));
    other.memory_bytes *= 2;
    assert_false(backend_fake.memory_fits(made, &other, VM_ACCEL_TCG, &err));
    assert_int_equal(err.code, ERR_UNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(it_is_kept_while_it_runs_and_another_goes_on_there),
        STORY(a_save_stops_it_and_a_failed_one_does_not),
        STORY(one_that_stands_still_for_it_goes_on_in_its_overlays),
        STORY(a_memory_that_is_cancelled_leaves_the_guest_running),
        STORY(an_image_that_is_not_whole_is_refused),
        STORY(memory_fits_a_machine_of_its_size),
    };

    fake_tick_ms = 20;
    return cmocka_run_group_tests_name("fake/memory", tests, NULL, NULL);
}
