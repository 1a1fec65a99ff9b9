/* Storage that is full or does not answer, under a guest that counts (tests/lib/counter.h): one
 * pool lies on a small file system of its own, an ext4 on a loop device, which is filled and
 * frozen. It is mounted in a mount namespace of this program, so nothing of it outlives the
 * program. */
#include "tests/lib/chain.h"
#include "tests/lib/counter.h"
#include "tests/lib/rig.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <fcntl.h>
#include <glob.h>
#include <linux/fs.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define SOON_MS  60000
#define FS_BYTES (64 << 20)
#define DISK(format, pool)                                                                         \
    "{\"size_bytes\":16777216,\"format\":\"" format "\",\"bus\":\"ide\",\"pool\":\"" pool "\"}"
#define SPEC(second)                                                                               \
    "{\"name\":\"web\",\"machine\":\"pc\",\"accel\":\"tcg\",\"memory_bytes\":16777216,"            \
    "\"nics\":[],\"video\":{\"model\":\"none\"},\"pointer\":\"mouse\",\"rng\":false,"              \
    "\"disks\":[" DISK("raw", "main") "," second "]}"

/* ---- the file system ---- */

static void mount_small(struct rig *r)
{
    CLEANUP(mem_freep)
    char *make = str_format("truncate -s %d %s/small.img && mkfs.ext4 -q -m 0 %s/small.img && "
                            "mkdir -m 0755 %s/second && mount -o loop %s/small.img %s/second && "
                            "rmdir %s/second/lost+found && chmod 0777 %s/second",
                            FS_BYTES, r->dir, r->dir, r->dir, r->dir, r->dir, r->dir, r->dir);

    assert_int_equal(system(make), 0);
}

static void unmount_small(struct rig *r)
{
    CLEANUP(mem_freep) char *path = str_format("%s/second", r->dir);

    assert_int_equal(umount(path), 0);
}

static struct rig rig = {.before = mount_small, .after = unmount_small};

static char *in_second(const char *name)
{
    return str_format("%s/second/%s", rig.dir, name);
}

/* Whatever is free, to the last block. */
static void fill(void)
{
    CLEANUP(mem_freep) char *path = in_second("filler");
    CLEANUP(closep) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    struct statvfs now;
    off_t size = 0;

    assert_true(fd >= 0);
    for (off_t step = 16 << 20; step >= 1024; step /= 2)
        while (posix_fallocate(fd, size, step) == 0)
            size += step;
    assert_int_equal(fsync(fd), 0);
    assert_int_equal(fstatvfs(fd, &now), 0);
    assert_true(now.f_bavail * now.f_frsize < 65536);
}

static void free_again(void)
{
    CLEANUP(mem_freep) char *path = in_second("filler");

    assert_int_equal(unlink(path), 0);
}

static int open_second(void)
{
    CLEANUP(mem_freep) char *path = in_second("");
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

/* Whoever writes to it from now on waits. */
static void freeze(void)
{
    CLEANUP(closep) int fd = open_second();

    assert_int_equal(ioctl(fd, FIFREEZE, 0), 0);
}

static void thaw(void)
{
    CLEANUP(closep) int fd = open_second();

    (void)!ioctl(fd, FITHAW, 0); /* it may not be frozen */
}

/* ---- the guest ---- */

static void count_on(void)
{
    const uint32_t than = counter_said(&rig, "web") + 5;
    int64_t deadline_ms = clock_mono_ms() + SOON_MS;

    while (counter_said(&rig, "web") <= than) {
        if (clock_mono_ms() > deadline_ms)
            fail_msg("the guest does not go on: it stands at %x", counter_said(&rig, "web"));
        (void)poll(NULL, 0, 20); /* asked again until it has counted */
    }
}

static void nothing_is_lost(void)
{
    const uint32_t said = counter_said(&rig, "web");
    const uint32_t is = counter_on_disk(&rig, "web");

    if (is < said)
        fail_msg("the guest said it wrote %x, on the disk is %x", said, is);
}

static void define(const char *spec)
{
    json_decref(rig_do(&rig, "POST", "/api/v1/vms", spec, 201));
    counter_install(&rig);
}

/* So much that a copy of it takes a while. */
static void has_much_on_its_disk(void)
{
    CLEANUP(mem_freep) char *pattern = str_format("%s/main/*/*.raw", rig.dir);
    char block[65536];
    glob_t found;
    int fd;

    memset(block, 'x', sizeof block);
    assert_int_equal(glob(pattern, GLOB_NOSORT, NULL, &found), 0);
    fd = open(found.gl_pathv[0], O_WRONLY | O_CLOEXEC);
    globfree(&found);
    for (off_t at = 1 << 20; at < 16 << 20; at += (off_t)sizeof block)
        assert_int_equal(pwrite(fd, block, sizeof block, at), sizeof block);
    assert_int_equal(close(fd), 0);
}

/* ---- operations ---- */

/* The newest one on the VM. */
static json_t *latest(void)
{
    CLEANUP(json_decrefp)
    json_t *list = rig_do(&rig, "GET", "/api/v1/operations?vm=web", NULL, 200);

    return json_incref(json_array_get(json_object_get(list, "items"), 0));
}

static char *begin_move(const char *pool, unsigned bandwidth)
{
    CLEANUP(mem_freep)
    char *body = str_format("{\"pool\":\"%s\",\"bandwidth\":%u}", pool, bandwidth);
    CLEANUP(json_decrefp) json_t *op = NULL;
    int status;

    op = rig_send(&rig, "POST", "/api/v1/vms/web/actions/move-storage", body, NULL, &status);
    assert_int_equal(status, 202);
    return str_format("/api/v1/operations/%s", json_get_text(op, "id"));
}

static void await(const char *op, const char *member, const char *value)
{
    int64_t deadline_ms = clock_mono_ms() + SOON_MS;

    for (;;) {
        CLEANUP(json_decrefp) json_t *now = rig_do(&rig, "GET", op, NULL, 200);
        if (str_eq(json_get_text(now, member), value))
            return;
        if (clock_mono_ms() > deadline_ms || json_get_text(now, "ended_at")) {
            CLEANUP(mem_freep) char *text = json_write(now);
            fail_msg("'%s' of the operation does not become '%s': %s", member, value, text);
        }
        (void)poll(NULL, 0, 10); /* asked again until it is so */
    }
}

/* Its target's files are made, and QEMU writes to them. */
static void await_copying(const char *op)
{
    int64_t deadline_ms = clock_mono_ms() + SOON_MS;

    for (;;) {
        CLEANUP(json_decrefp) json_t *now = rig_do(&rig, "GET", op, NULL, 200);
        if (json_get_u64(json_object_get(now, "progress"), "done", 0) > 0)
            return;
        if (clock_mono_ms() > deadline_ms || json_get_text(now, "ended_at"))
            fail_msg("nothing is copied");
        (void)poll(NULL, 0, 10); /* asked again until it is so */
    }
}

/* ---- */

static int setup(void **state)
{
    rig_make(&rig, 0);
    return 0;
}

static int teardown(void **state)
{
    thaw(); /* a test that failed may have left it frozen, and then nobody could end */
    rig_remove(&rig);
    return 0;
}

static void a_guest_whose_storage_is_full_stands_still_and_goes_on_by_itself(void **state)
{
    define(SPEC(DISK("qcow2", "second")));
    fill();
    rig_act(&rig, "web", "start");
    rig_await(&rig, "web", "paused", "no-space", SOON_MS);
    free_again();
    rig_await(&rig, "web", "running", NULL, SOON_MS);
    count_on();
    CLEANUP(json_decrefp) json_t *op = latest();
    assert_string_equal(json_get_text(op, "kind"), "vm.resume");
    assert_string_equal(json_get_text(op, "created_by"), "vmmd");
    rig_act(&rig, "web", "stop");
    nothing_is_lost();
}

static void it_does_so_even_if_the_daemon_died_meanwhile(void **state)
{
    define(SPEC(DISK("qcow2", "second")));
    fill();
    rig_act(&rig, "web", "start");
    rig_await(&rig, "web", "paused", "no-space", SOON_MS);
    rig_kill(&rig, NULL);
    rig_spawn(&rig);
    rig_await(&rig, "web", "paused", "no-space", SOON_MS);
    free_again();
    rig_await(&rig, "web", "running", NULL, SOON_MS);
    count_on();
    nothing_is_lost();
}

static void a_guest_that_a_client_paused_is_left_alone(void **state)
{
    define(SPEC(DISK("qcow2", "second")));
    json_decref(rig_do(&rig, "POST", "/api/v1/vms",
                       "{\"name\":\"other\",\"machine\":\"pc\",\"accel\":\"tcg\",\"nics\":[],"
                       "\"memory_bytes\":16777216,\"disks\":[]}",
                       201));
    rig_act(&rig, "other", "start");
    rig_act(&rig, "other", "pause");
    fill();
    rig_act(&rig, "web", "start");
    rig_await(&rig, "web", "paused", "no-space", SOON_MS);
    free_again();
    rig_await(&rig, "web", "running", NULL, SOON_MS); /* all were looked at */
    rig_await(&rig, "other", "paused", "user", 0);
}

static void a_move_whose_target_is_full_waits_and_goes_on(void **state)
{
    CLEANUP(mem_freep) char *op = NULL;

    define(SPEC(DISK("qcow2", "main")));
    has_much_on_its_disk();
    rig_act(&rig, "web", "start");
    counter_await_life(&rig, "web", SOON_MS);
    op = begin_move("second", 1000);
    await_copying(op);
    fill();
    json_decref(rig_do(&rig, "PATCH", op, "{\"bandwidth\":0}", 200));
    count_on();
    await(op, "state", "running");
    free_again();
    await(op, "state", "succeeded");
    count_on();
    rig_act(&rig, "web", "stop");
    nothing_is_lost();
}

static void a_target_that_does_not_answer_leaves_the_guest_running(void **state)
{
    CLEANUP(mem_freep) char *op = NULL;

    define(SPEC(DISK("qcow2", "main")));
    has_much_on_its_disk();
    rig_act(&rig, "web", "start");
    counter_await_life(&rig, "web", SOON_MS);
    op = begin_move("second", 1000);
    await_copying(op);
    freeze();
    count_on();
    thaw();
    json_decref(rig_do(&rig, "PATCH", op, "{\"bandwidth\":0}", 200));
    await(op, "state", "succeeded");
    count_on();
    rig_act(&rig, "web", "stop");
    nothing_is_lost();
}

static void a_move_onto_it_is_cancelled_once_it_answers(void **state)
{
    CLEANUP(mem_freep) char *op = NULL;
    CLEANUP(mem_freep) char *cancel = NULL;

    define(SPEC(DISK("qcow2", "main")));
    has_much_on_its_disk();
    rig_act(&rig, "web", "start");
    counter_await_life(&rig, "web", SOON_MS);
    op = begin_move("second", 1000);
    await_copying(op);
    freeze();
    cancel = str_format("%s/actions/cancel", op);
    json_decref(rig_do(&rig, "POST", cancel, "{}", 202));
    count_on();
    count_on();
    thaw();
    await(op, "state", "cancelled");
    count_on();
    rig_act(&rig, "web", "stop");
    nothing_is_lost();
}

/* The files it can see are made by root, and so are their loop devices. */
static bool is_possible(const char **why)
{
    if (!rig_possible_bare(why))
        return false;
    *why = "needs loop devices, mkfs.ext4 and a mount namespace";
    return access("/dev/loop-control", R_OK | W_OK) == 0 &&
           system("command -v mkfs.ext4 >/dev/null") == 0 && unshare(CLONE_NEWNS) == 0 &&
           mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) == 0;
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_guest_whose_storage_is_full_stands_still_and_goes_on_by_itself),
        T(it_does_so_even_if_the_daemon_died_meanwhile),
        T(a_guest_that_a_client_paused_is_left_alone),
        T(a_move_whose_target_is_full_waits_and_goes_on),
        T(a_target_that_does_not_answer_leaves_the_guest_running),
        T(a_move_onto_it_is_cancelled_once_it_answers),
    };
    const char *why;

    if (!is_possible(&why)) {
        print_message("[  SKIPPED ] integration/storage_faults: %s\n", why);
        return 0;
    }
    return cmocka_run_group_tests_name("integration/storage_faults", tests, NULL, NULL);
}
