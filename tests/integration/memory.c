/* A guest's memory kept with the real worker, jail, splitter and QEMU, below core: a guest counts
 * on its disks (tests/lib/counter.h) while its memory is written. What the image says the guest was
 * about must be what its disks say at that instant. */
#include "tests/integration/pivot_rig.h"

#include "vmmd/split/proto.h"

#include <sched.h>
#include <sys/mount.h>

#define RAM       (16u << 20)
#define COUNTS_AT 0x8004 /* where the guest has its counter: counter_guest.S */

static const struct uuid image_id = {{0xee}};
static struct uuid overlays[2];
static int image = -1; /* our own copy */

/* ---- one machine a test ---- */

static int setup(void **state)
{
    struct err err = {0};

    lock_init(&told.lock);
    cond_init(&told.more);
    told.ended = told.paused = false;
    spawn_worker(&host.s, false);
    host.taken = false;
    assert_true(uuid_parse(host.s.vm, &host.vm));
    dir = tmp_dir_make();
    for (uint8_t i = 0; i < 2; i++) {
        leaves[i] = make_file(i, DISK_RAW, BOOT_DISK, NULL);
        overlays[i] = make_file(10 + i, DISK_QCOW2, BOOT_DISK, &leaves[i]);
    }
    {
        CLEANUP(closep) int fd = open_file(&leaves[0], O_RDWR);
        CLEANUP(closep) int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(pwrite(fd, counter_guest, COUNTER_SECTOR, 0), COUNTER_SECTOR);
        commit_log = commitlog_open(at, &err);
        assert_true(commit_log >= 0);
    }
    image = open_file(&image_id, O_RDWR | O_CREAT);
    start(NULL, true);
    count_on();
    return 0;
}

static int teardown(void **state)
{
    backend_qemu.release(machine);
    closep(&serial);
    closep(&commit_log);
    closep(&image);
    spawn_clear(&host.s);
    tmp_dir_remove(dir);
    return 0;
}

/* ---- verbs ---- */

static bool can_in_background(void)
{
    struct machine_memory_ways ways;
    struct err err = {0};

    if (!backend_qemu.memory_look(machine, &ways, &err))
        fail_msg("%s", err.detail);
    assert_string_equal(ways.blocker, "");
    assert_true(ways.background || ways.reason[0]);
    return ways.background;
}

/* 'switches': the disks do, and the guest goes on. */
static void save_as(enum memory_way way, bool switches)
{
    const struct machine_overlay both[2] = {
        {.disk = 0, .file = overlays[0], .fd = open_file(&overlays[0], O_RDWR)},
        {.disk = 1, .file = overlays[1], .fd = open_file(&overlays[1], O_RDWR)}};
    const struct machine_memory_save asked = {.image = image_id,
                                              .fd = dup_of(image),
                                              .ram_bytes = RAM,
                                              .way = way,
                                              .goes_on = switches,
                                              .overlays = both,
                                              .n = switches ? 2 : 0};
    struct err err = {0};

    if (!switches) {
        close(both[0].fd);
        close(both[1].fd);
    }
    if (!backend_qemu.memory_save(machine, &asked, &err))
        fail_msg("%s", err.detail);
}

static void save(enum memory_way way)
{
    save_as(way, way != MEMORY_STILL);
}

static struct machine_memory_state look(void)
{
    struct machine_memory_state now;
    struct err err = {0};

    if (!backend_qemu.memory_state(machine, &image_id, &now, &err))
        fail_msg("%s", err.detail);
    return now;
}

static struct machine_memory_state await_memory(void)
{
    int64_t deadline_ms = clock_mono_ms() + SOON_MS;
    struct machine_memory_state now;

    while ((now = look()).state == MEMORY_WRITING) {
        if (clock_mono_ms() > deadline_ms)
            fail_msg("the memory is not written: %llu of %llu bytes", (unsigned long long)now.done,
                     (unsigned long long)now.total);
        (void)poll(NULL, 0, 5); /* asked again until it is over */
    }
    assert_int_equal(now.state, MEMORY_ENDED);
    return now;
}

static struct machine_memory_state await_whole(void)
{
    struct machine_memory_state now = await_memory();

    if (now.error[0])
        fail_msg("%s", now.error);
    assert_int_equal(now.ram_bytes, RAM);
    assert_true(now.held_bytes > 0 && now.held_bytes <= RAM);
    return now;
}

static void forget(bool cancel)
{
    struct err err = {0};

    if (!backend_qemu.memory_end(machine, &image_id, cancel, &err))
        fail_msg("%s", err.detail);
}

static void expect_trailer(void)
{
    struct memory_trailer t;
    struct stat st;

    assert_int_equal(fstat(image, &st), 0);
    assert_int_equal(pread(image, &t, sizeof t, st.st_size - (off_t)sizeof t), sizeof t);
    assert_memory_equal(t.magic, MEMORY_MAGIC, sizeof t.magic);
    assert_int_equal(t.ram_bytes, RAM);
    assert_int_equal(t.ram_bytes + t.state_bytes + sizeof t, st.st_size);
}

static uint32_t counter_in_memory(void)
{
    uint32_t counter;

    assert_int_equal(pread(image, &counter, sizeof counter, COUNTS_AT), sizeof counter);
    return counter;
}

/* The guest was about to write its counter, or had just done so. */
static void expect_one_instant(void)
{
    uint32_t memory = counter_in_memory();

    for (unsigned i = 0; i < 2; i++) {
        uint32_t disk = counter_of(&leaves[i]);
        if (disk != memory && disk + 1 != memory)
            fail_msg("disk %u says %u, the memory %u", i, disk, memory);
    }
    expect_trailer();
}

static void expect_leaf(unsigned disk, const struct uuid *file)
{
    struct err err = {0};
    bool yes = false;

    assert_true(backend_qemu.is_leaf(machine, disk, file, &yes, &err));
    assert_true(yes);
}

static bool is_paused(void)
{
    bool paused;

    lock_take(&told.lock);
    paused = told.paused;
    lock_drop(&told.lock);
    return paused;
}

static void await_pause(bool wanted)
{
    int64_t deadline_ms = clock_mono_ms() + SOON_MS;

    lock_take(&told.lock);
    while (told.paused != wanted && cond_wait_until(&told.more, &told.lock, deadline_ms))
        ;
    assert_int_equal(told.paused, wanted);
    lock_drop(&told.lock);
}

/* ---- beginning with an image ---- */

/* The machine ends, and another one begins where the image has it, on overlays of its own: 'files'
 * of each disk, the new leaf first. It stands still. */
static void begin_again(struct uuid files[2][3], size_t n_files, const char *made)
{
    static const struct machine_owner owner = {on_event, NULL};
    static int formats[2] = {DISK_QCOW2, DISK_RAW};
    struct vm_spec *spec = spec_new();
    struct machine_plan plan = {
        .vm = host.vm, .spec = spec, .accel = VM_ACCEL_TCG, MACHINE_PLAN_NO_FDS};
    struct plan_disk disks[2];
    struct err err = {0};
    int fds[2][3];

    for (unsigned i = 0; i < 2; i++) {
        for (size_t k = 0; k < n_files; k++)
            fds[i][k] = open_file(&files[i][k], k ? O_RDONLY : O_RDWR);
        disks[i] = (struct plan_disk){.id = disk_ids[i],
                                      .position = i,
                                      .format = DISK_QCOW2,
                                      .bus = DISK_BUS_IDE,
                                      .files = files[i],
                                      .fds = fds[i],
                                      .n_fds = n_files,
                                      .base_formats = formats + (n_files == 2)};
    }
    plan.disks = disks;
    plan.n_disks = 2;
    plan.memory_fd = open_file(&image_id, O_RDONLY);
    plan.memory_made = made;
    closep(&serial);
    serial = memfd_create("serial", MFD_CLOEXEC);
    assert_true(ringlog_open(serial, 1 << 20, &err));
    plan.serial_log_fds[0] = dup_of(serial);
    plan.qemu_log_fd = memfd_create("log", MFD_CLOEXEC);
    plan.commit_fd = dup_of(commit_log);
    if (!backend_qemu.start(&plan, &owner, &machine, &err))
        fail_msg("%s", err.detail);
    vm_spec_clear(spec);
    free(spec);
}

static void end_it(void)
{
    struct err err = {0};

    assert_true(backend_qemu.kill(machine, &err));
    backend_qemu.release(machine);
    spawn_clear(&host.s);
    told.ended = told.paused = false;
    spawn_worker(&host.s, false);
    host.taken = false;
    assert_true(uuid_parse(host.s.vm, &host.vm));
}

static uint32_t first_said(void)
{
    int64_t deadline_ms = clock_mono_ms() + SOON_MS;
    unsigned number = 0;
    char text[64] = "";

    while (sscanf(text, "+%8x\n", &number) != 1 || !strchr(text, '\n')) {
        struct err err = {0};
        uint64_t at = 0;
        ssize_t n = ringlog_read(serial, &at, text, sizeof text - 1, NULL, &err);
        assert_true(n >= 0 && clock_mono_ms() < deadline_ms);
        text[n] = 0;
        (void)poll(NULL, 0, 5); /* read again until a line is there */
    }
    return number;
}

/* It counts on from the number that its memory has, and its disks take it. */
static void expect_it_goes_on(uint32_t memory)
{
    struct err err = {0};
    uint32_t first;

    assert_true(backend_qemu.cont(machine, &err));
    first = first_said();
    if (first != memory && first != memory + 1)
        fail_msg("the guest goes on with %u, its memory had %u", first, memory);
    count_on();
}

/* ---- the stories ---- */

static void is_caught(enum memory_way way)
{
    struct machine_memory_state now;

    save_as(way, true);
    now = await_whole();
    assert_true(now.switched);
    print_message("the guest stood still for %llu us\n", (unsigned long long)now.pause_us);
    assert_true(now.pause_us > 0 && now.pause_us < 5000000);
    assert_false(is_paused());
    count_on();
    expect_leaf(0, &overlays[0]);
    expect_leaf(1, &overlays[1]);
    expect_one_instant();
    forget(false);
    assert_int_equal(look().state, MEMORY_NONE);
    assert_true(halt() > counter_in_memory());
}

static void a_guest_that_runs_is_caught_with_its_disks(void **state)
{
    if (can_in_background())
        is_caught(MEMORY_BACKGROUND);
    else
        print_message("not in the background here\n");
}

static void a_precopy_catches_its_end(void **state)
{
    is_caught(MEMORY_PRECOPY);
}

static void one_that_stands_still_for_it_goes_on(void **state)
{
    is_caught(MEMORY_STILL);
}

/* Two generations: what began with an image is caught again, and that begins. */
static void what_was_caught_goes_on_again_and_again(void **state)
{
    CLEANUP(mem_freep) char *made = NULL;
    CLEANUP(mem_freep) char *made_again = NULL;
    struct uuid second[2][3] = {{make_file(20, DISK_QCOW2, BOOT_DISK, &leaves[0]), leaves[0]},
                                {make_file(21, DISK_QCOW2, BOOT_DISK, &leaves[1]), leaves[1]}};
    struct uuid third[2][3];
    struct err err = {0};
    uint32_t memory;

    assert_true(backend_qemu.memory_made(machine, &made, &err));
    save_as(can_in_background() ? MEMORY_BACKGROUND : MEMORY_STILL, true);
    (void)await_whole();
    count_on(); /* what it does now is in its overlays, and not seen by the next one */
    memory = counter_in_memory();
    end_it();
    begin_again(second, 2, made);
    expect_it_goes_on(memory);

    assert_false(can_in_background());
    assert_true(backend_qemu.memory_made(machine, &made_again, &err));
    for (uint8_t i = 0; i < 2; i++) {
        overlays[i] = make_file(30 + i, DISK_QCOW2, BOOT_DISK, NULL);
        third[i][0] = make_file(40 + i, DISK_QCOW2, BOOT_DISK, NULL);
        third[i][1] = second[i][0];
        third[i][2] = second[i][1];
    }
    closep(&image); /* the first one is mapped, and must stay as it is */
    {
        CLEANUP(mem_freep) char *path = path_of(&image_id);
        assert_int_equal(unlink(path), 0);
    }
    image = open_file(&image_id, O_RDWR | O_CREAT | O_EXCL);
    save_as(MEMORY_STILL, true);
    (void)await_whole();
    memory = counter_in_memory();
    count_on();
    end_it();
    begin_again(third, 3, made_again);
    expect_it_goes_on(memory);
    (void)halt();
}

static void a_saved_guest_stands_still_and_may_be_taken_back(void **state)
{
    struct machine_memory_state now;
    uint32_t at;

    save(MEMORY_STILL);
    now = await_whole();
    assert_false(now.switched);
    await_pause(true);
    at = said();
    expect_one_instant();
    assert_true(at <= counter_in_memory());
    forget(true);
    await_pause(false);
    count_on();
    forget(false);
    (void)halt();
}

static void a_paused_guest_stays_paused(void **state)
{
    struct err err = {0};
    uint32_t at;

    assert_true(backend_qemu.pause(machine, &err));
    await_pause(true);
    at = said();
    save(MEMORY_BACKGROUND);
    (void)await_whole();
    assert_true(is_paused());
    expect_one_instant();
    assert_true(said() <= at + 1); /* less than a millisecond */
    expect_leaf(0, &overlays[0]);
    forget(false);
    save(MEMORY_STILL); /* once more: QEMU is as it was */
    (void)await_whole();
    forget(true);
    assert_true(backend_qemu.cont(machine, &err));
    count_on();
    (void)halt();
}

static void an_image_that_finds_no_space_leaves_the_guest_running(void **state)
{
    CLEANUP(mem_freep) char *small = str_format("%s/small", dir);
    CLEANUP(mem_freep) char *path = str_format("%s/image", small);
    struct machine_memory_state now;

    assert_int_equal(mkdir(small, 0700), 0);
    assert_int_equal(mount("small", small, "tmpfs", 0, "size=64k"), 0);
    closep(&image);
    image = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    save(MEMORY_STILL);
    now = await_memory();
    assert_true(now.no_space);
    assert_string_not_equal(now.error, "");
    count_on();
    assert_false(is_paused());
    forget(false);
    save(MEMORY_PRECOPY);
    assert_true(await_memory().no_space);
    count_on();
    (void)halt();
    closep(&image);
    assert_int_equal(umount2(small, MNT_DETACH), 0);
}

static void it_is_cancelled_and_done_again(void **state)
{
    struct machine_memory_state now;

    save(MEMORY_PRECOPY);
    forget(true);
    now = await_memory();
    if (!now.switched) { /* else it was faster */
        assert_string_not_equal(now.error, "");
        count_on();
        expect_leaf(0, &leaves[0]);
        assert_int_equal(ftruncate(image, 0), 0);
        is_caught(MEMORY_PRECOPY);
    }
}

static void qemu_may_die_meanwhile(void **state)
{
    struct err err = {0};

    save(MEMORY_PRECOPY);
    assert_true(backend_qemu.kill(machine, &err));
    await_end();
    assert_false(
        backend_qemu.memory_state(machine, &image_id, &(struct machine_memory_state){0}, &err));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_guest_that_runs_is_caught_with_its_disks),
        T(a_precopy_catches_its_end),
        T(one_that_stands_still_for_it_goes_on),
        T(what_was_caught_goes_on_again_and_again),
        T(a_saved_guest_stands_still_and_may_be_taken_back),
        T(a_paused_guest_stays_paused),
        T(an_image_that_finds_no_space_leaves_the_guest_running),
        T(it_is_cancelled_and_done_again),
        T(qemu_may_die_meanwhile),
    };

    if (geteuid() != 0) {
        print_message("[  SKIPPED ] integration/memory: needs root for a jail of its own\n");
        return 0;
    }
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
        print_message("[  SKIPPED ] integration/memory: no mount namespaces here\n");
        return 0;
    }
    backend_qemu_init(5);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
