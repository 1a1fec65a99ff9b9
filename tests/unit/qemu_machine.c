/* A machine of the QEMU backend against a scripted worker: starting, events, ends, attaching. */
#include "tests/unit/qemu_peer.h"

#include <sys/un.h>

static const struct uuid vm = {{9, 9, 9}};

/* ---- plans ---- */

static struct vm_spec spec = {
    .name = "hello", .vcpus = 1, .memory_bytes = 64u << 20, .serial_ports = 1};

static int new_file(void)
{
    int fd = memfd_create("file", MFD_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

static struct machine_plan plan_new(struct plan_disk *disk, int *disk_fds)
{
    disk_fds[0] = new_file();
    disk_fds[1] = new_file();
    *disk = (struct plan_disk){.format = DISK_QCOW2, .fds = disk_fds, .n_fds = 2};
    struct machine_plan plan = {MACHINE_PLAN_NO_FDS};

    plan.vm = vm;
    plan.spec = &spec;
    plan.accel = VM_ACCEL_TCG;
    plan.kernel_fd = new_file();
    plan.initrd_fd = new_file();
    plan.serial_log_fds[0] = new_file();
    plan.qemu_log_fd = new_file();
    plan.disks = disk;
    plan.n_disks = 1;
    return plan;
}

static bool start(struct machine **out, struct err *err)
{
    struct plan_disk disk;
    int disk_fds[2];
    struct machine_plan plan = plan_new(&disk, disk_fds);

    return backend_qemu.start(&plan, &owner, out, err);
}

/* A started machine on 'peer'. */
static struct machine *started(struct peer *peer)
{
    struct machine *machine = NULL;
    struct err err = {0};

    helper.peer = peer;
    if (!start(&machine, &err))
        fail_msg("%s", err.detail);
    return machine;
}

static void finish(struct machine *machine, struct peer *peer)
{
    backend_qemu.release(machine);
    peer_stop(peer);
}

/* ---- starting ---- */

static void a_start_hands_all_descriptors_over_and_keeps_none(void **state)
{
    struct peer peer = {0};
    unsigned before = open_fds();
    struct machine *machine = started(&peer);

    assert_int_equal(peer.launch_fds, 6);
    assert_int_equal(helper.kills, 0);
    finish(machine, &peer);
    assert_int_equal(open_fds(), before);
}

/* The limit of memory of one whose disk of 64 GiB has so many layers, on no tmpfs. */
static uint64_t limit_with(size_t layers)
{
    struct peer peer = {0};
    struct plan_disk disk;
    int disk_fds[2], fds[200];
    struct machine_plan plan = plan_new(&disk, disk_fds);
    struct machine *machine = NULL;
    struct err err = {0};

    plan_close_disk(&disk);
    disk = (struct plan_disk){
        .format = DISK_QCOW2, .size_bytes = 64ull << 30, .fds = fds, .n_fds = layers};
    for (size_t i = 0; i < layers; i++)
        fds[i] = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    helper.peer = &peer;
    if (!backend_qemu.start(&plan, &owner, &machine, &err))
        fail_msg("%s", err.detail);
    finish(machine, &peer);
    return helper.limits.memory_bytes;
}

static void a_limit_has_room_for_the_tables_of_every_layer(void **state)
{
    assert_true(limit_with(200) >= limit_with(1) + (199 * 8ull << 20));
}

static void assert_failed_start_leaves_nothing(struct peer *peer, enum err_code code)
{
    unsigned before = open_fds();
    struct machine *machine = NULL;
    struct err err = {0};

    helper.peer = peer;
    assert_false(start(&machine, &err));
    assert_int_equal(err.code, code);
    if (peer && peer->thread)
        peer_stop(peer);
    assert_int_equal(open_fds(), before);
    assert_int_equal(told_left(), 0);
}

static void a_refused_launch_brings_qemus_words_and_leaves_nothing(void **state)
{
    struct peer peer = {.refuse = WORKER_LAUNCH};

    assert_failed_start_leaves_nothing(&peer, ERR_HYPERVISOR);
    assert_int_equal(helper.kills, 1);
}

static void a_worker_that_hangs_up_leaves_nothing(void **state)
{
    struct peer peer = {.hang_up = WORKER_LAUNCH};

    assert_failed_start_leaves_nothing(&peer, ERR_UNAVAILABLE);
    assert_int_equal(helper.kills, 1);
}

static void without_a_helper_nothing_is_started(void **state)
{
    assert_failed_start_leaves_nothing(NULL, ERR_UNSUPPORTED);
    assert_int_equal(helper.kills, 1); /* its answer may have been lost behind a worker it made */
}

#ifdef VMMD_FAILPOINTS
static void a_start_that_fails_at_any_step_leaves_nothing(void **state)
{
    static const char *const steps[] = {"qemu.spawn=fail",  "qemu.spawn.done=fail",
                                        "qemu.hello=fail",  "qemu.hello.done=fail",
                                        "qemu.launch=fail", "qemu.launch.done=fail"};

    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        struct peer peer = {0};
        helper.kills = 0;
        failpoint_arm(steps[i]);
        assert_failed_start_leaves_nothing(&peer, ERR_INTERNAL);
        assert_int_equal(helper.kills, 1);
    }
}
#endif

static int lock_fd = -1;

/* A run directory whose worker lives as long as 'lock_fd' is open. */
static void live_run_dir(void)
{
    CLEANUP(mem_freep) char *dir = str_format("%s/%s", helper.dir, UUID_STR(&vm));
    CLEANUP(mem_freep) char *alive = str_format("%s/%s", dir, WORKER_ALIVE);

    assert_int_equal(mkdir(dir, 0700), 0);
    lock_fd = open(alive, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(flock(lock_fd, LOCK_EX), 0);
}

static void leave_record(const char *text)
{
    CLEANUP(closep) int dir = -1;
    struct err err = {0};

    assert_true(host_run_dir(&vm, &dir, &err));
    assert_true(fs_publish(dir, WORKER_EXIT, text, strlen(text), 0600, &err));
}

static void a_living_worker_is_not_started_over(void **state)
{
    live_run_dir();
    assert_failed_start_leaves_nothing(NULL, ERR_BUSY);
    assert_int_equal(helper.kills, 0);
    closep(&lock_fd);
}

static void the_remains_of_an_earlier_run_are_swept_first(void **state)
{
    struct peer peer = {0};
    struct machine *machine;
    struct err err = {0};
    int dir;

    live_run_dir();
    closep(&lock_fd);
    machine = started(&peer);
    assert_int_equal(helper.kills, 1);
    assert_false(host_run_dir(&vm, &dir, &err));
    finish(machine, &peer);
}

/* ---- events ---- */

static void pause_and_resume_are_told_with_the_user_as_reason(void **state)
{
    struct peer peer = {0};
    struct machine *machine = started(&peer);
    struct err err = {0};

    assert_true(backend_qemu.cont(machine, &err));
    assert_told(MACHINE_RUNNING, VM_REASON_NONE);
    assert_true(backend_qemu.pause(machine, &err));
    assert_told(MACHINE_PAUSED, VM_REASON_USER);
    assert_true(backend_qemu.cont(machine, &err));
    assert_told(MACHINE_RUNNING, VM_REASON_NONE);
    finish(machine, &peer);
}

static void a_stop_carries_the_reason_that_came_before_it(void **state)
{
    static const struct {
        const char *event, *data;
        enum vm_reason reason;
    } cases[] = {
        {"BLOCK_IO_ERROR", "{\"action\":\"stop\",\"nospace\":true}", VM_REASON_NO_SPACE},
        {"BLOCK_IO_ERROR", "{\"action\":\"stop\",\"nospace\":false}", VM_REASON_IO_ERROR},
        {"BLOCK_IO_ERROR", "{\"action\":\"report\",\"nospace\":true}", VM_REASON_NONE},
        {"GUEST_PANICKED", "{\"action\":\"pause\"}", VM_REASON_GUEST_PANIC},
    };
    struct peer peer = {0};
    struct machine *machine = started(&peer);

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        peer_event(&peer, cases[i].event, cases[i].data);
        peer_event(&peer, "STOP", "{}");
        peer_event(&peer, cases[i].event, cases[i].data); /* a second request failed as well */
        peer_event(&peer, "RESUME", "{}");
        assert_told(MACHINE_PAUSED, cases[i].reason);
        assert_told(MACHINE_RUNNING, VM_REASON_NONE);
    }
    finish(machine, &peer);
}

static void a_guests_power_off_is_an_end_and_not_a_pause(void **state)
{
    struct peer peer = {0};
    struct machine *machine = started(&peer);
    struct machine_event event;

    peer_event(&peer, "SHUTDOWN", "{\"guest\":true}");
    peer_event(&peer, "STOP", "{}");
    peer_event(&peer, "WORKER_EXITED", "{\"cause\":\"guest-shutdown\",\"wstatus\":0}");
    event = told_next();
    assert_int_equal(event.kind, MACHINE_EXITED);
    assert_int_equal(event.run, VM_OFF);
    assert_int_equal(event.reason, VM_REASON_GUEST_SHUTDOWN);
    finish(machine, &peer);
    assert_int_equal(told_left(), 0); /* the hang-up after it is no second end */
}

static void a_reset_and_the_log_are_told(void **state)
{
    struct peer peer = {0};
    struct machine *machine = started(&peer);
    const uint64_t end = 77;

    peer_event(&peer, "RESET", "{\"guest\":true}");
    assert_told(MACHINE_RESET, VM_REASON_NONE);
    peer_send(&peer, WORKER_SERIAL, 0, &end, sizeof end);
    assert_int_equal(told_next().serial_end, 77);
    finish(machine, &peer);
}

/* ---- a worker that goes away ---- */

static void a_worker_killed_without_a_record_takes_its_guest_along(void **state)
{
    struct peer peer = {0};
    struct machine *machine = started(&peer);
    struct machine_event event;

    live_run_dir();
    closep(&lock_fd);
    shutdown(peer.sock, SHUT_RDWR);
    event = told_next();
    assert_int_equal(event.kind, MACHINE_EXITED);
    assert_int_equal(event.run, VM_CRASHED);
    assert_int_equal(event.reason, VM_REASON_WORKER_LOST);
    assert_int_equal(helper.kills, 1);
    finish(machine, &peer);
}

static void a_hang_up_after_the_record_tells_what_it_says(void **state)
{
    struct peer peer = {0};
    struct machine *machine = started(&peer);
    struct machine_event event;

    live_run_dir();
    leave_record("{\"cause\":\"signal\",\"wstatus\":31}");
    closep(&lock_fd);
    shutdown(peer.sock, SHUT_RDWR);
    event = told_next();
    assert_int_equal(event.run, VM_CRASHED);
    assert_int_equal(event.reason, VM_REASON_SECCOMP);
    finish(machine, &peer);
}

static void a_forced_end_is_off_even_if_the_worker_left_no_record(void **state)
{
    struct peer peer = {.hang_up = WORKER_KILL};
    struct machine *machine = started(&peer);
    struct machine_event event;
    struct err err = {0};

    assert_true(backend_qemu.kill(machine, &err));
    event = told_next();
    assert_int_equal(event.kind, MACHINE_EXITED);
    assert_int_equal(event.run, VM_OFF);
    assert_int_equal(event.reason, VM_REASON_USER);
    assert_true(helper.kills >= 1);
    finish(machine, &peer);
}

/* ---- attaching ---- */

static struct {
    int listener;
    pthread_t thread;
    struct peer *peer;
} door;

static void *open_door(void *arg)
{
    struct peer *p = door.peer;

    p->sock = accept4(door.listener, NULL, NULL, SOCK_CLOEXEC);
    p->reader = (struct frame_reader){.sock = p->sock};
    return peer_run(p);
}

/* A worker behind worker.sock in the run directory. */
static void listen_in_run_dir(struct peer *peer)
{
    CLEANUP(closep) int dir = -1;
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct err err = {0};

    assert_true(host_run_dir(&vm, &dir, &err));
    snprintf(at.sun_path, sizeof at.sun_path, "/proc/self/fd/%d/%s", dir, WORKER_SOCK);
    door.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(door.listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(door.listener, 4), 0);
    door.peer = peer;
    assert_true(thread_start(&peer->thread, "door", open_door, NULL, &err));
}

static void shut_door(struct peer *peer)
{
    peer_stop(peer);
    close(door.listener);
}

#define READY(status)                                                                              \
    "{\"version\":1,\"phase\":\"ready\",\"vm\":\"09090900-0000-0000-0000-000000000000\","          \
    "\"status\":\"" status "\",\"events\":5}"

static bool attach(struct machine **out, struct machine_report *report, struct err *err)
{
    return backend_qemu.attach(&vm, &owner, out, report, err);
}

static void attaching_reports_how_the_guest_stands(void **state)
{
    static const struct {
        const char *hello;
        enum machine_phase phase;
        enum vm_reason reason;
    } cases[] = {
        {READY("running"), MACHINE_IS_RUNNING, VM_REASON_NONE},
        {READY("prelaunch"), MACHINE_PRELAUNCH, VM_REASON_NONE},
        {READY("postmigrate"), MACHINE_IS_PAUSED, VM_REASON_MIGRATION},
        {READY("paused"), MACHINE_IS_PAUSED, VM_REASON_USER},
        {READY("io-error"), MACHINE_IS_PAUSED, VM_REASON_NO_SPACE}, /* says query-block */
        {READY("guest-panicked"), MACHINE_IS_PAUSED, VM_REASON_GUEST_PANIC},
        {READY("finish-migrate"), MACHINE_IS_PAUSED, VM_REASON_MIGRATION},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct peer peer = {.hello = cases[i].hello};
        struct machine *machine = NULL;
        struct machine_report report;
        struct err err = {0};
        live_run_dir();
        listen_in_run_dir(&peer);
        assert_true(attach(&machine, &report, &err));
        assert_non_null(machine);
        assert_int_equal(report.phase, cases[i].phase);
        assert_int_equal(report.reason, cases[i].reason);
        backend_qemu.release(machine);
        shut_door(&peer);
        closep(&lock_fd);
        assert_true(host_run_dir_remove(&vm, &err));
    }
    assert_int_equal(told_left(), 0);
}

static void a_lost_machine_is_attached_again_without_a_gap_or_a_double(void **state)
{
    struct peer first = {0};
    struct peer second = {.hello = READY("running"), .replay_from = 2, .replay_to = 5};
    struct machine *machine = started(&first);
    struct machine_report report;
    struct err err = {0};

    live_run_dir();
    for (unsigned i = 0; i < 3; i++)
        peer_event(&first, "RESET", "{}");
    for (unsigned i = 0; i < 3; i++)
        assert_told(MACHINE_RESET, VM_REASON_NONE);
    shutdown(first.sock, SHUT_RDWR);
    assert_told(MACHINE_LOST, VM_REASON_WORKER_LOST);
    finish(machine, &first);

    listen_in_run_dir(&second);
    assert_true(attach(&machine, &report, &err));
    assert_told(MACHINE_RESET, VM_REASON_NONE); /* 4 */
    assert_told(MACHINE_RESET, VM_REASON_NONE); /* 5; 2 and 3 were told before */
    peer_event(&second, "STOP", "{}");
    assert_told(MACHINE_PAUSED, VM_REASON_NONE);
    assert_int_equal(json_get_u64(second.heard, "events_after", 0), 3);
    backend_qemu.release(machine);
    shut_door(&second);
    closep(&lock_fd);
}

static void assert_attach_finds_the_end(enum vm_run run, enum vm_reason reason)
{
    struct machine *machine = (struct machine *)1;
    struct machine_report report;
    struct err err = {0};

    assert_true(attach(&machine, &report, &err));
    assert_null(machine);
    assert_int_equal(report.ended.kind, MACHINE_EXITED);
    assert_int_equal(report.ended.run, run);
    assert_int_equal(report.ended.reason, reason);
    assert_true(helper.kills > 0);
}

static void attaching_to_nothing_means_a_lost_worker(void **state)
{
    assert_attach_finds_the_end(VM_CRASHED, VM_REASON_WORKER_LOST);
}

static void attaching_to_the_dead_reads_their_record(void **state)
{
    live_run_dir();
    leave_record("{\"cause\":\"guest-shutdown\"}");
    closep(&lock_fd);
    assert_attach_finds_the_end(VM_OFF, VM_REASON_GUEST_SHUTDOWN);
}

static void assert_cut_off(const char *hello)
{
    struct peer peer = {.hello = hello};

    live_run_dir();
    listen_in_run_dir(&peer);
    assert_attach_finds_the_end(VM_CRASHED, VM_REASON_START_FAILED);
    shut_door(&peer);
    closep(&lock_fd);
}

static void a_start_that_was_cut_off_is_ended(void **state)
{
    assert_cut_off("{\"version\":1,\"phase\":\"launching\",\"events\":0}");
}

/* Nobody is left who would have it read, and a guest without that state never runs. */
static void a_start_that_was_cut_off_before_its_image_was_read_is_ended(void **state)
{
    assert_cut_off(READY("inmigrate"));
}

static void a_newer_daemons_worker_is_left_alone(void **state)
{
    struct peer peer = {.refuse = WORKER_HELLO};
    struct machine *machine = NULL;
    struct machine_report report;
    struct err err = {0};

    live_run_dir();
    listen_in_run_dir(&peer);
    assert_false(attach(&machine, &report, &err));
    assert_int_equal(err.code, ERR_UNAVAILABLE);
    assert_int_equal(helper.kills, 0);
    shut_door(&peer);
    closep(&lock_fd);
}

/* ---- calls ---- */

static void a_screenshot_comes_through_a_memory_file(void **state)
{
    struct peer peer = {0};
    unsigned before = open_fds();
    struct machine *machine = started(&peer);
    CLEANUP(mem_freep) char *png = NULL;
    struct err err = {0};
    size_t len = 0;

    assert_true(backend_qemu.screenshot(machine, 0, &png, &len, &err));
    assert_int_equal(len, sizeof tiny_png - 1);
    assert_memory_equal(png, tiny_png, len);
    finish(machine, &peer);
    assert_int_equal(open_fds(), before);
}

static void what_is_typed_reaches_the_worker_or_its_refusal_us(void **state)
{
    struct peer peer = {0};
    struct machine *machine = started(&peer);
    struct err err = {0};

    assert_true(backend_qemu.serial_write(machine, 0, "ls\r", 3, &err));
    peer.refuse = WORKER_INPUT;
    assert_false(backend_qemu.serial_write(machine, 0, "ls\r", 3, &err));
    assert_int_equal(err.code, ERR_HYPERVISOR);
    finish(machine, &peer);
}

#define STAGED(f) cmocka_unit_test_setup_teardown(f, stage_up, stage_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGED(a_start_hands_all_descriptors_over_and_keeps_none),
        STAGED(a_limit_has_room_for_the_tables_of_every_layer),
        STAGED(a_refused_launch_brings_qemus_words_and_leaves_nothing),
        STAGED(a_worker_that_hangs_up_leaves_nothing),
        STAGED(without_a_helper_nothing_is_started),
#ifdef VMMD_FAILPOINTS
        STAGED(a_start_that_fails_at_any_step_leaves_nothing),
#endif
        STAGED(a_living_worker_is_not_started_over),
        STAGED(the_remains_of_an_earlier_run_are_swept_first),
        STAGED(pause_and_resume_are_told_with_the_user_as_reason),
        STAGED(a_stop_carries_the_reason_that_came_before_it),
        STAGED(a_guests_power_off_is_an_end_and_not_a_pause),
        STAGED(a_reset_and_the_log_are_told),
        STAGED(a_worker_killed_without_a_record_takes_its_guest_along),
        STAGED(a_hang_up_after_the_record_tells_what_it_says),
        STAGED(a_forced_end_is_off_even_if_the_worker_left_no_record),
        STAGED(attaching_reports_how_the_guest_stands),
        STAGED(a_lost_machine_is_attached_again_without_a_gap_or_a_double),
        STAGED(attaching_to_nothing_means_a_lost_worker),
        STAGED(attaching_to_the_dead_reads_their_record),
        STAGED(a_start_that_was_cut_off_is_ended),
        STAGED(a_start_that_was_cut_off_before_its_image_was_read_is_ended),
        STAGED(a_newer_daemons_worker_is_left_alone),
        STAGED(a_screenshot_comes_through_a_memory_file),
        STAGED(what_is_typed_reaches_the_worker_or_its_refusal_us),
    };

    backend_qemu_init(7);
    machine_last_breath_ms = 50;
    return cmocka_run_group_tests_name("qemu/machine", tests, NULL, NULL);
}
