/* Machines that begin with a memory image, in the real jail: a guest that counts
 * (tests/lib/counter.h) is written down with QEMU's own commands and vmmd-split, ended, and goes on
 * in another QEMU with the next number, whatever was plugged into the first one meanwhile. Needs
 * root, qemu-system-x86_64, and userfaultfd for one of the ways. */
#include "tests/integration/pivot_rig.h"

#include "backends/qemu/machine.h"

#include <sys/mount.h>

#define MIB (1ull << 20)

static struct vm_spec *spec;
static struct uuid extra;  /* of a disk that is plugged in */
static struct uuid second; /* ... the same, on second_bus */
static int second_bus;
static bool with_card; /* the configuration has a network card */

static const struct uuid extra_id = {{0xd2}}, second_id = {{0xd3}};

/* ---- one machine after the other ---- */

static struct vm_spec *spec_with(const char *more)
{
    CLEANUP(mem_freep) char *text = counter_spec("memory");
    CLEANUP(mem_freep) char *patch = str_format("{%s}", more);
    struct err err = {0};
    CLEANUP(json_decrefp) json_t *json = json_read(text, strlen(text), &err);
    CLEANUP(json_decrefp) json_t *other = json_read(patch, strlen(patch), &err);
    struct vm_spec *out = mem_alloc(sizeof *out);

    if (!json || !other)
        fail_msg("%s", err.detail);
    json_merge(json, other);
    if (with_card)
        json_object_set_new(json, "nics", json_pack("[{}]"));
    if (!model_decode(&vm_model, json, MODEL_STORED, out, &err))
        fail_msg("%s", err.detail);
    return out;
}

static void spawn(bool rootless)
{
    told.ended = told.paused = false;
    spawn_worker(&host.s, rootless);
    host.taken = false;
    assert_true(uuid_parse(host.s.vm, &host.vm));
}

/* 'more' belongs to the configuration. */
static void prepare(const char *more)
{
    lock_init(&told.lock);
    cond_init(&told.more);
    dir = tmp_dir_make();
    spec = spec_with(more);
    second_bus = DISK_BUS_USB;
    leaves[0] = make_file(0, DISK_RAW, BOOT_DISK, NULL);
    extra = make_file(2, DISK_RAW, BOOT_DISK, NULL);
    second = make_file(3, DISK_RAW, BOOT_DISK, NULL);
    CLEANUP(closep) int fd = open_file(&leaves[0], O_RDWR);
    assert_int_equal(pwrite(fd, counter_guest, COUNTER_SECTOR, 0), COUNTER_SECTOR);
    spawn(false);
}

static struct plan_disk disk_of(unsigned position, const struct uuid *id, struct uuid *file,
                                int bus, int *fd)
{
    *fd = open_file(file, O_RDWR);
    return (struct plan_disk){.id = *id,
                              .position = position,
                              .format = DISK_RAW,
                              .bus = bus,
                              .size_bytes = BOOT_DISK,
                              .files = file,
                              .fds = fd,
                              .n_fds = 1};
}

static int nvram_open(void)
{
    CLEANUP(mem_freep) char *path = str_format("%s/nvram", dir);

    return open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

static bool make_nvram(struct err *err)
{
    CLEANUP(closep) int fd = nvram_open();
    CLEANUP(mem_freep) char *data = NULL;
    size_t len;

    return backend_nvram_template(true, &data, &len, err) && fs_write_all(fd, data, len, err);
}

/* 'n' of the three disks; with an image the guest stands where it was. */
static bool begin(size_t n, int image, const char *made, struct err *err)
{
    static const struct machine_owner owner = {on_event, NULL};
    struct machine_plan plan = {
        .vm = host.vm, .spec = spec, .accel = VM_ACCEL_TCG, MACHINE_PLAN_NO_FDS};
    int fds[3];
    struct plan_disk disks[3] = {
        disk_of(0, &disk_ids[0], &leaves[0], DISK_BUS_IDE, &fds[0]),
        disk_of(1, &extra_id, &extra, DISK_BUS_VIRTIO, &fds[1]),
        disk_of(2, &second_id, &second, second_bus, &fds[2]),
    };

    for (size_t i = n; i < 3; i++)
        close(fds[i]);
    plan.disks = disks;
    plan.n_disks = n;
    plan.memory_fd = image;
    plan.memory_made = made;
    serial = memfd_create("serial", MFD_CLOEXEC);
    assert_true(ringlog_open(serial, 1 << 20, err));
    plan.serial_log_fds[0] = dup_of(serial);
    if (spec->serial_ports > 1) {
        plan.serial_log_fds[1] = memfd_create("serial", MFD_CLOEXEC);
        assert_true(ringlog_open(plan.serial_log_fds[1], 1 << 20, err));
    }
    if (spec->firmware.type == FIRMWARE_UEFI)
        plan.nvram_fd = nvram_open();
    plan.qemu_log_fd = memfd_create("log", MFD_CLOEXEC);
    return backend_qemu.start(&plan, &owner, &machine, err);
}

static void run(size_t n)
{
    struct err err = {0};

    if (!begin(n, -1, NULL, &err) || !backend_qemu.cont(machine, &err))
        fail_msg("%s", err.detail);
    count_on();
}

static void end(void)
{
    struct err err = {0};

    assert_true(backend_qemu.kill(machine, &err));
    backend_qemu.release(machine);
    machine = NULL;
    closep(&serial);
    spawn_clear(&host.s);
}

static void plug_in(unsigned position, const struct uuid *id, struct uuid *file, int bus)
{
    struct err err = {0};
    int fd;
    struct plan_disk disk = disk_of(position, id, file, bus, &fd);

    if (!backend_qemu.disk_add(machine, &disk, &err))
        fail_msg("%s", err.detail);
}

/* ---- its memory ---- */

static json_t *qmp(const char *command, json_t *arguments, const int *fd)
{
    struct err err = {0};
    json_t *reply = NULL;

    if (!link_qmp(machine->link, command, arguments, fd, fd != NULL, QMP_MS, &reply, &err))
        fail_msg("%s: %s", command, err.detail);
    return reply;
}

static struct machine_memory_state look(const struct uuid *image)
{
    struct machine_memory_state now;
    struct err err = {0};

    if (!backend_qemu.memory_state(machine, image, &now, &err))
        fail_msg("%s", err.detail);
    return now;
}

static void await_image(const struct uuid *image)
{
    int64_t deadline_ms = clock_mono_ms() + SOON_MS;
    struct machine_memory_state now;
    struct err err = {0};

    while ((now = look(image)).state == MEMORY_WRITING) {
        if (clock_mono_ms() > deadline_ms)
            fail_msg("the memory is not written within a minute");
        (void)poll(NULL, 0, 5); /* asked again until it is over */
    }
    if (now.state != MEMORY_ENDED || now.error[0])
        fail_msg("the memory is not written: %s", now.error);
    assert_int_equal(now.ram_bytes, spec->memory_bytes);
    assert_true(backend_qemu.memory_end(machine, image, false, &err));
}

/* The image of the running machine, read-only, and what it takes to go on with it. The guest has
 * said '*at' before that instant. */
static int write_down(enum memory_way way, char **made, uint32_t *at)
{
    CLEANUP(mem_freep) char *path = str_format("%s/memory", dir);
    const struct machine_memory_save save = {
        .image = uuid_new(),
        .fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600),
        .ram_bytes = spec->memory_bytes,
        .way = way};
    struct err err = {0};

    if (!backend_qemu.memory_made(machine, made, &err) || !backend_qemu.pause(machine, &err))
        fail_msg("%s", err.detail);
    *at = said();
    if (!backend_qemu.memory_save(machine, &save, &err))
        fail_msg("%s", err.detail);
    await_image(&save.image);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* The first line that the guest says in its new QEMU. */
static char *first_line(void)
{
    int64_t deadline_ms = clock_mono_ms() + SOON_MS;
    char text[64];

    for (;;) {
        struct err err = {0};
        uint64_t at = 0;
        ssize_t n = ringlog_read(serial, &at, text, sizeof text - 1, NULL, &err);
        assert_true(n >= 0);
        text[n] = 0;
        if (strchr(text, '\n'))
            break;
        if (clock_mono_ms() > deadline_ms)
            fail_msg("the guest says nothing");
        (void)poll(NULL, 0, 5); /* read again until a line is there */
    }
    *strchr(text, '\n') = 0;
    return str_dup(text);
}

/* It stands still until it is told to go on, and goes on with the next number. */
static void expect_it_goes_on(uint32_t at)
{
    CLEANUP(json_decrefp) json_t *status = qmp("query-status", NULL, NULL);
    CLEANUP(mem_freep) char *next = str_format("+%08x", at + 1);
    CLEANUP(mem_freep) char *last = str_format("+%08x", at);
    CLEANUP(mem_freep) char *line = NULL;
    struct err err = {0};

    assert_string_equal(json_get_text(status, "status"), "paused");
    assert_int_equal(said(), 0);
    assert_true(backend_qemu.cont(machine, &err));
    line = first_line();
    /* Written, and not yet said, at that instant. */
    if (!str_eq(line, next) && !str_eq(line, last) && strlen(line) == strlen(next))
        fail_msg("the guest goes on with %s after %s", line, last);
    count_on();
}

static void go_on(size_t n, int image, const char *made, uint32_t at, bool rootless)
{
    struct err err = {0};

    spawn(rootless);
    if (!begin(n, image, made, &err))
        fail_msg("%s (%s)", err.detail, made);
    expect_it_goes_on(at);
}

/* ---- the stories ---- */

static int teardown(void **state)
{
    closep(&serial);
    if (spec)
        vm_spec_clear(spec);
    mem_freep(&spec);
    if (dir)
        tmp_dir_remove(dir);
    dir = NULL;
    with_card = false;
    return 0;
}

static void a_guest_goes_on_where_it_was_written_down(void **state)
{
    for (int rootless = 0; rootless < 2; rootless++) {
        CLEANUP(mem_freep) char *made = NULL;
        uint32_t at;
        int image;

        prepare("");
        run(1);
        image = write_down(MEMORY_STILL, &made, &at);
        end();
        go_on(1, image, made, at, rootless);
        end();
        teardown(state);
    }
}

static void a_guest_that_ran_on_is_two_guests(void **state)
{
    CLEANUP(mem_freep) char *made = NULL;
    struct err err = {0};
    uint32_t at;
    int image;

    if (access("/dev/userfaultfd", R_OK | W_OK) < 0)
        skip();
    prepare("");
    run(1);
    image = write_down(MEMORY_BACKGROUND, &made, &at);
    assert_true(backend_qemu.cont(machine, &err));
    count_on();
    end();
    go_on(1, image, made, at, false);
    end();
}

/* A file in a file system of its own that holds four pages. */
static int file_of_little_room(void)
{
    CLEANUP(closep) int config = fsopen("tmpfs", FSOPEN_CLOEXEC);
    CLEANUP(closep) int mounted = -1;

    assert_true(config >= 0);
    assert_int_equal(fsconfig(config, FSCONFIG_SET_STRING, "size", "16k", 0), 0);
    assert_int_equal(fsconfig(config, FSCONFIG_CMD_CREATE, NULL, NULL, 0), 0);
    mounted = fsmount(config, FSMOUNT_CLOEXEC, 0);
    return openat(mounted, "image", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

static void a_guest_goes_on_when_there_is_no_room_for_its_memory(void **state)
{
    struct machine_memory_state now;
    struct err err = {0};

    if (access("/dev/userfaultfd", R_OK | W_OK) < 0)
        skip();
    prepare("");
    run(1);
    for (int i = 0; i < 3; i++) {
        const struct machine_memory_save save = {.image = uuid_new(),
                                                 .fd = file_of_little_room(),
                                                 .ram_bytes = spec->memory_bytes,
                                                 .way = MEMORY_BACKGROUND};
        int64_t deadline_ms = clock_mono_ms() + SOON_MS;

        if (!backend_qemu.memory_save(machine, &save, &err))
            fail_msg("%s", err.detail);
        while ((now = look(&save.image)).state == MEMORY_WRITING && clock_mono_ms() < deadline_ms)
            (void)poll(NULL, 0, 5); /* asked again until it is over */
        assert_int_equal(now.state, MEMORY_ENDED);
        assert_true(str_eq(now.error, "write the memory image: No space left on device"));
        assert_true(backend_qemu.memory_end(machine, &save.image, false, &err));
        count_on();
    }
    end();
}

/* Two machines of each kind: what was plugged in is where it was, and not where a start puts it. */
static void what_was_plugged_in_is_where_it_was(const char *more, enum vm_machine board)
{
    CLEANUP(mem_freep) char *made = NULL;
    struct err err = {0};
    unsigned now;
    uint32_t at;
    int image;

    prepare(more);
    spec->machine = board;
    run(1);
    plug_in(2, &second_id, &second, second_bus);
    plug_in(1, &extra_id, &extra, DISK_BUS_VIRTIO);
    if (!backend_qemu.set_vcpus(machine, 2, &now, &err))
        fail_msg("%s", err.detail);
    count_on();
    image = write_down(MEMORY_STILL, &made, &at);
    end();
    go_on(3, image, made, at, false);
    if (!backend_qemu.memory_fits(made, spec, VM_ACCEL_TCG, &err))
        fail_msg("%s", err.detail);
    assert_false(backend_qemu.memory_fits(made, spec, VM_ACCEL_KVM, &err));
    end();
}

static void a_pcs_devices_are_where_they_were(void **state)
{
    what_was_plugged_in_is_where_it_was(
        "\"cpu\":{\"max_vcpus\":2},\"video\":{\"model\":\"std\"},\"pointer\":\"tablet\"",
        VM_MACHINE_PC);
}

static void a_q35s_devices_are_where_they_were(void **state)
{
    what_was_plugged_in_is_where_it_was("\"cpu\":{\"max_vcpus\":2},\"rng\":true,"
                                        "\"video\":{\"model\":\"virtio\"}",
                                        VM_MACHINE_Q35);
}

/* All that a configuration can ask for. Nothing runs on it but the firmware: the state of all of it
 * is read. */
static void a_machine_with_everything_goes_on(void **state)
{
    static const char more[] =
        "\"firmware\":{\"type\":\"uefi\",\"secure_boot\":true},\"rng\":true,"
        "\"watchdog\":\"i6300esb\",\"pointer\":\"tablet\",\"clock\":\"localtime\","
        "\"serial_ports\":2,\"cdroms\":[{}],\"video\":{\"model\":\"qxl\"},"
        "\"cpu\":{\"model\":\"qemu64\",\"sockets\":1,\"max_vcpus\":4}";
    CLEANUP(mem_freep) char *made = NULL;
    struct err err = {0};
    uint32_t at;
    int image;

    with_card = true;
    prepare(more);
    spec->machine = VM_MACHINE_Q35;
    spec->memory_bytes = 128 * MIB;
    second_bus = DISK_BUS_SCSI;
    if (!make_nvram(&err))
        skip(); /* the firmware is not installed */
    if (!begin(2, -1, NULL, &err) || !backend_qemu.cont(machine, &err))
        fail_msg("%s", err.detail);
    plug_in(2, &second_id, &second, second_bus);
    image = write_down(MEMORY_STILL, &made, &at);
    end();
    spawn(false);
    if (!begin(3, image, made, &err))
        fail_msg("%s (%s)", err.detail, made);
    assert_true(backend_qemu.cont(machine, &err));
    end();
}

static void expect_refusal(size_t n, int image, const char *made, enum err_code code,
                           const char *words)
{
    struct err err = {0};

    spawn(false);
    assert_false(begin(n, image, made, &err));
    assert_int_equal(err.code, code);
    if (!strstr(err.detail, words))
        fail_msg("%s", err.detail);
    assert_null(machine);
    closep(&serial);
    spawn_clear(&host.s);
}

/* Nothing is left of it, and QEMU's words are passed on. */
static void an_image_that_does_not_fit_is_refused_in_words(void **state)
{
    CLEANUP(mem_freep) char *made = NULL;
    CLEANUP(mem_freep) char *path = NULL;
    uint32_t at;
    int image, fd;

    prepare("");
    run(1);
    image = write_down(MEMORY_STILL, &made, &at);
    end();
    path = str_format("%s/memory", dir);
    expect_refusal(2, dup_of(image), made, ERR_UNSUPPORTED, "diskdev1");
    expect_refusal(2, dup_of(image), "{}", ERR_UNSUPPORTED, "a form that this version knows");
    close(image);
    fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(ftruncate(fd, 16 * MIB), 0);
    expect_refusal(1, open(path, O_RDONLY | O_CLOEXEC), made, ERR_INVALID, "it is not whole");
    assert_int_equal(ftruncate(fd, 17 * MIB), 0); /* the state is zeroes */
    expect_refusal(1, open(path, O_RDONLY | O_CLOEXEC), made, ERR_HYPERVISOR, "Not a migration");
    close(fd);
}

int main(void)
{
#define T(name) cmocka_unit_test_teardown(name, teardown)
    const struct CMUnitTest tests[] = {
        T(a_guest_goes_on_where_it_was_written_down),
        T(a_guest_that_ran_on_is_two_guests),
        T(a_guest_goes_on_when_there_is_no_room_for_its_memory),
        T(a_pcs_devices_are_where_they_were),
        T(a_q35s_devices_are_where_they_were),
        T(a_machine_with_everything_goes_on),
        T(an_image_that_does_not_fit_is_refused_in_words),
    };

    if (geteuid() != 0) {
        print_message("[  SKIPPED ] integration/memory_start: needs root for a jail of its own\n");
        return 0;
    }
    backend_qemu_init(5);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
