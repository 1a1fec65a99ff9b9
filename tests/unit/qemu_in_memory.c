/* What a machine writes to files in memory counts as its own: one whose memory is limited is given
 * no such file, unless its limit has room for it. */
#include "tests/unit/qemu_peer.h"

#include "backends/qemu/argv.h"

#define LIMITED "{\"memory_limited\":true}"

static const struct uuid vm = {{9, 9, 9}};
static struct vm_spec spec = {.name = "hello", .vcpus = 1, .memory_bytes = 64u << 20};

static int in_memory(void)
{
    int fd = memfd_create("disk", MFD_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

/* On no tmpfs, wherever the tests lie. */
static int on_a_disk(void)
{
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

static atomic_uint n_lent;

/* Has the file that is streamed into open, and takes others. */
static const char *takes_files(const char *command)
{
    const struct uuid file = {{1}};
    static char nodes[128];
    char name[NODE_BYTES];

    file_node_name(&file, name);
    snprintf(nodes, sizeof nodes, "[{\"node-name\":\"%s-f\",\"file\":\"/dev/fdset/3\"}]", name);
    if (str_eq(command, "query-named-block-nodes"))
        return nodes;
    if (!str_eq(command, "add-fd"))
        return NULL;
    n_lent++;
    return "{\"fdset-id\":7,\"fd\":9}";
}

/* Without a disk, so that nothing of it lies in memory when it starts. */
static struct machine *started(struct peer *peer, const char *launched, uint64_t in_memory_bytes)
{
    struct machine_plan plan = {.vm = vm,
                                .spec = &spec,
                                .accel = VM_ACCEL_TCG,
                                .in_memory_bytes = in_memory_bytes,
                                MACHINE_PLAN_NO_FDS};
    struct machine *m = NULL;
    struct err err = {0};

    *peer = (struct peer){.launched = launched, .lie = takes_files};
    n_lent = 0;
    helper.peer = peer;
    plan.qemu_log_fd = on_a_disk();
    if (!backend_qemu.start(&plan, &owner, &m, &err))
        fail_msg("%s", err.detail);
    return m;
}

static void finish(struct machine *m, struct peer *peer)
{
    backend_qemu.release(m);
    peer_stop(peer);
}

static void assert_refused(bool ok, const struct err *err)
{
    assert_false(ok);
    assert_int_equal(err->code, ERR_UNSUPPORTED);
    assert_non_null(strstr(err->detail, "stop the VM first"));
    assert_int_equal(n_lent, 0);
}

/* ---- the calls that give it files ---- */

static struct plan_disk disk(int *fd, struct uuid *file)
{
    return (struct plan_disk){.format = DISK_QCOW2, .files = file, .fds = fd, .n_fds = 1};
}

static bool plug(struct machine *m, int fd, struct err *err)
{
    struct uuid file = {{1}};
    const struct plan_disk d = disk(&fd, &file);

    return backend_qemu.disk_add(m, &d, err);
}

static bool mirror(struct machine *m, int fd, struct err *err)
{
    struct uuid file = {{1}};
    struct plan_disk d = disk(&fd, &file);
    const struct machine_mirror order = {.chain = &d};

    m->can_pivot = true;
    return backend_qemu.mirror(m, &order, err);
}

static bool snapshot(struct machine *m, int fd, struct err *err)
{
    const struct machine_overlay overlay = {.file = {{1}}, .fd = fd};

    return backend_qemu.snapshot(m, &overlay, 1, err);
}

static bool stream(struct machine *m, int fd, struct err *err)
{
    const struct machine_stream order = {.top = {{1}}, .top_fd = fd};

    return backend_qemu.stream(m, &order, err);
}

static bool (*const calls[])(struct machine *m, int fd, struct err *err) = {plug, mirror, snapshot,
                                                                            stream};

/* ---- tests ---- */

static void a_limited_machine_is_given_no_file_in_memory(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        unsigned before = open_fds();
        struct peer peer;
        struct machine *m = started(&peer, LIMITED, 0);
        struct err err = {0};
        assert_refused(calls[i](m, in_memory(), &err), &err);
        finish(m, &peer);
        assert_int_equal(open_fds(), before);
    }
}

/* Not so far that each call succeeds: its worker here has no disks. */
static void assert_not_refused(const char *launched, uint64_t in_memory_bytes, int (*file)(void))
{
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        struct peer peer;
        struct machine *m = started(&peer, launched, in_memory_bytes);
        struct err err = {0};
        bool ok = calls[i](m, file(), &err);
        assert_true(ok || err.code != ERR_UNSUPPORTED);
        finish(m, &peer);
    }
}

static void other_files_and_other_machines_are_as_ever(void **state)
{
    assert_not_refused(LIMITED, 0, on_a_disk);
    assert_not_refused(NULL, 0, in_memory); /* of an older vmmd, or of a host without limits */
    assert_not_refused(LIMITED, 4096, in_memory); /* there is room for it */
}

static void a_limit_has_room_for_what_is_written_to_memory(void **state)
{
    const uint64_t room = 3ull << 30;
    struct peer peer;
    struct machine *m = started(&peer, LIMITED, 0);
    const uint64_t usual = helper.limits.memory_bytes;

    assert_true(usual > spec.memory_bytes);
    finish(m, &peer);
    m = started(&peer, LIMITED, room);
    assert_int_equal(helper.limits.memory_bytes, usual + room);
    finish(m, &peer);
}

int main(void)
{
#define STAGED(f) cmocka_unit_test_setup_teardown(f, stage_up, stage_down)
    const struct CMUnitTest tests[] = {
        STAGED(a_limited_machine_is_given_no_file_in_memory),
        STAGED(other_files_and_other_machines_are_as_ever),
        STAGED(a_limit_has_room_for_what_is_written_to_memory),
    };

    return cmocka_run_group_tests_name("unit/qemu_in_memory", tests, NULL, NULL);
}
