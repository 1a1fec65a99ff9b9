/* What a guest may take of its host, with a real kernel: the processor it is held to, and the
 * memory beyond which it is ended alone. */
#include "tests/lib/proc.h"
#include "tests/lib/rig.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATIENCE_MS 30000

static struct rig rig;
static bool v1_cpu, v1_memory;

static bool is_v1(const char *limit)
{
    CLEANUP(json_decrefp) json_t *host = rig_do(&rig, "GET", "/api/v1/host", NULL, 200);
    const char *way = json_get_text(json_object_get(host, "limits"), limit);

    assert_non_null(way);
    return str_eq(way, "v1");
}

#define QEMU "/usr/bin/qemu-system"

/* The QEMU that is not 'other'. */
static pid_t qemu_beside(pid_t other)
{
    pid_t all[4] = {0};
    unsigned n = proc_users(QEMU, rig.dir, all, ARRAY_LEN(all));

    for (unsigned i = 0; i < n && i < ARRAY_LEN(all); i++)
        if (all[i] != other)
            return all[i];
    fail_msg("no QEMU runs");
    return 0;
}

/* A file of the group that process 'pid' has with a controller of v1; the caller's. */
static char *group_file(pid_t pid, const char *controller, const char *name)
{
    CLEANUP(mem_freep) char *path = str_format("/proc/%d/cgroup", (int)pid);
    CLEANUP(mem_freep) char *text = NULL;
    CLEANUP(mem_freep) char *mark = str_format(":%s:", controller);
    CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct err err = {0};
    const char *at;

    assert_true(fd >= 0 && fs_read_all(fd, 65536, &text, NULL, &err));
    at = strstr(text, mark);
    assert_non_null(at);
    at += strlen(mark);
    return str_format("/sys/fs/cgroup/%s%.*s/%s", controller, (int)strcspn(at, "\n"), at, name);
}

static char *group_text(pid_t pid, const char *controller, const char *name)
{
    CLEANUP(mem_freep) char *path = group_file(pid, controller, name);
    CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct err err = {0};
    char *text = NULL;

    assert_true(fd >= 0 && fs_read_all(fd, 65536, &text, NULL, &err));
    return text;
}

static void put(pid_t pid, const char *controller, const char *name, uint64_t value)
{
    CLEANUP(mem_freep) char *path = group_file(pid, controller, name);
    CLEANUP(mem_freep) char *text = str_format("%llu", (unsigned long long)value);
    CLEANUP(closep) int fd = open(path, O_WRONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    (void)!write(fd, text, strlen(text)); /* the group may take more than that already */
}

static uint64_t number(pid_t pid, const char *controller, const char *name, const char *word)
{
    CLEANUP(mem_freep) char *text = group_text(pid, controller, name);
    const char *at = word ? strstr(text, word) : text;

    assert_non_null(at);
    return strtoull(at + (word ? strlen(word) : 0), NULL, 10);
}

static void assert_says(pid_t pid, const char *controller, const char *name, const char *expected)
{
    CLEANUP(mem_freep) char *text = group_text(pid, controller, name);

    assert_string_equal(text, expected);
}

static void patch(const char *vm, const char *body)
{
    CLEANUP(mem_freep) char *path = str_format("/api/v1/vms/%s", vm);
    CLEANUP(json_decrefp) json_t *after = rig_do(&rig, "PATCH", path, body, 200);

    assert_true(json_is_null(json_object_get(after, "pending")));
}

static void a_guest_is_held_to_its_share_of_a_processor(void **state)
{
    int64_t deadline = clock_mono_ms() + PATIENCE_MS;
    pid_t qemu;

    if (!v1_cpu)
        skip();
    rig_create_tiny(&rig, "slow");
    patch("slow", "{\"limits\":{\"cpu_percent\":20,\"cpu_weight\":50}}");
    rig_act(&rig, "slow", "start");
    qemu = qemu_beside(0);
    assert_says(qemu, "cpu", "cpu.cfs_quota_us", "20000\n");
    assert_says(qemu, "cpu", "cpu.shares", "512\n");
    while (number(qemu, "cpu", "cpu.stat", "nr_throttled ") == 0) { /* it boots */
        assert_true(clock_left_ms(deadline) > 0);
        poll(NULL, 0, 20);
    }
    patch("slow", "{\"limits\":{\"cpu_percent\":150}}"); /* while it runs */
    assert_says(qemu, "cpu", "cpu.cfs_quota_us", "150000\n");
    patch("slow", "{\"limits\":null}");
    assert_says(qemu, "cpu", "cpu.cfs_quota_us", "-1\n");
    assert_says(qemu, "cpu", "cpu.shares", "1024\n");
    rig_act(&rig, "slow", "stop");
}

static void a_qemu_that_takes_too_much_memory_is_ended_alone(void **state)
{
    pid_t bystander, hog;
    CLEANUP(mem_freep) char *run = NULL;

    if (!v1_memory)
        skip();
    rig_create_tiny(&rig, "bystander");
    rig_create_tiny(&rig, "hog");
    rig_act(&rig, "bystander", "start");
    bystander = qemu_beside(0);
    rig_act(&rig, "hog", "start");
    hog = qemu_beside(bystander);
    assert_true(number(hog, "memory", "memory.limit_in_bytes", NULL) > 192ull << 20);
    assert_true(number(hog, "memory", "memory.limit_in_bytes", NULL) < 1024ull << 20);
    /* Its guest boots and takes more and more; so much is already too much. */
    put(hog, "memory", "memory.limit_in_bytes",
        number(hog, "memory", "memory.usage_in_bytes", NULL) + (1 << 20));
    rig_await(&rig, "hog", "crashed", "oom", PATIENCE_MS);
    CLEANUP(json_decrefp) json_t *vm = rig_do(&rig, "GET", "/api/v1/vms/hog", NULL, 200);
    run = str_dup(json_get_text(json_object_get(vm, "run"), "detail"));
    if (!strstr(run, "limit of memory"))
        fail_msg("the crash says: %s", run);
    assert_true(proc_lives(bystander));
    rig_await(&rig, "bystander", "running", NULL, 0);
    rig_act(&rig, "hog", "start"); /* with what it needs */
    rig_act(&rig, "hog", "stop");
    rig_act(&rig, "bystander", "stop");
}

/* ---- a pool in memory ---- */

static void mount_second(struct rig *r)
{
    CLEANUP(mem_freep) char *path = str_format("%s/second", r->dir);

    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(mount("second", path, "tmpfs", 0, "size=64m,mode=0777"), 0);
}

static void unmount_second(struct rig *r)
{
    CLEANUP(mem_freep) char *path = str_format("%s/second", r->dir);

    assert_int_equal(umount(path), 0);
}

static void assert_not_while_it_runs(const char *path, const char *body)
{
    int status;
    CLEANUP(json_decrefp) json_t *refusal = rig_call(&rig, "POST", path, body, &status);
    CLEANUP(mem_freep) char *text = json_write(refusal);

    if (status < 400 || !strstr(text, "lies in memory"))
        fail_msg("%s: %d %s", path, status, text);
    rig_await(&rig, "web", "running", NULL, 0);
}

/* What it writes there would count as its own, until the kernel ends it. */
static void a_limited_guest_gets_no_disk_in_memory(void **state)
{
    static const char *const disk =
        "{\"size_bytes\":1048576,\"bus\":\"virtio\",\"pool\":\"second\"}";
    static const char *const away = "{\"pool\":\"second\"}";
    pid_t qemu;

    if (!v1_memory)
        skip();
    rig_create_tiny(&rig, "web");
    rig_act(&rig, "web", "start");
    assert_not_while_it_runs("/api/v1/vms/web/disks", disk);
    assert_not_while_it_runs("/api/v1/vms/web/actions/move-storage", away);
    rig_act(&rig, "web", "stop");
    json_decref(rig_do(&rig, "POST", "/api/v1/vms/web/disks", disk, 200));
    rig_act(&rig, "web", "start"); /* it has no limit now */
    qemu = qemu_beside(0);
    assert_true(number(qemu, "memory", "memory.limit_in_bytes", NULL) > 1ull << 60);
    json_decref(rig_do(&rig, "POST", "/api/v1/vms/web/disks", disk, 200));
    json_decref(rig_do(&rig, "POST", "/api/v1/vms/web/actions/move-storage", away, 200));
    rig_act(&rig, "web", "stop");
}

static int setup(void **state)
{
    rig = (struct rig){.before = mount_second, .after = unmount_second};
    rig_make(&rig, 0);
    v1_cpu = is_v1("cpu");
    v1_memory = is_v1("memory");
    return 0;
}

static int teardown(void **state)
{
    rig_remove(&rig);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_guest_is_held_to_its_share_of_a_processor),
        cmocka_unit_test(a_qemu_that_takes_too_much_memory_is_ended_alone),
        cmocka_unit_test(a_limited_guest_gets_no_disk_in_memory),
    };
    const char *why;

    if (geteuid() != 0 || !rig_possible(&why)) {
        print_message("[  SKIPPED ] integration/limits: %s\n",
                      geteuid() ? "needs root: a user has no cgroups here" : why);
        return 0;
    }
    assert_int_equal(unshare(CLONE_NEWNS), 0);
    assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL), 0);
    return cmocka_run_group_tests_name("integration/limits", tests, setup, teardown);
}
