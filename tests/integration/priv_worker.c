/* Workers and jails as the helper starts, lists and ends them, with stand-ins for both programs. */
#include "tests/lib/parent.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "vmmd/config/config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void a_worker_gets_its_descriptors_and_nothing_else(void **state)
{
    CLEANUP(mem_freep) char *report = spawn(1, 3, 0);
    pid_t worker = worker_pid(report);
    pid_t jail = child_named(worker, "vmmd-jail", 0);

    if (!strstr(report, "\nvm 01010203-0405-0607-0809-0a0b0c0d0e0f\nworker fds 0 1 2 3 4 5 6 7\n"
                        "jail fds 0 1 2 3 4 5\npid 1\nkvm -"))
        fail_msg("%s", report);
    assert_uid(worker, 1000000);
    assert_no_rights(worker);
    assert_int_equal(child_named(getpid(), "vmmd-worker", 0), worker); /* nobody's but init's */
    assert_uid(jail, 1000000 + 16 + 6);
    assert_status(jail, "\nNoNewPrivs:\t1\n");
    kill_worker(1);
    wait_gone(worker);
    wait_gone(jail);
}

static void a_jail_lives_in_namespaces_of_its_own(void **state)
{
    static const char *const names[] = {"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"};
    CLEANUP(mem_freep) char *report = spawn(1, 3, 0);
    pid_t jail = child_named(worker_pid(report), "vmmd-jail", 0);
    char map[128] = "";
    unsigned inside, outside, count;

    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        CLEANUP(mem_freep) char *theirs = str_format("/proc/%d/ns/%s", jail, names[i]);
        CLEANUP(mem_freep) char *ours = str_format("/proc/self/ns/%s", names[i]);
        struct stat a, b;
        if (stat(theirs, &a) == 0 && stat(ours, &b) == 0 && a.st_ino == b.st_ino)
            fail_msg("the jail shares our %s namespace", names[i]);
    }
    CLEANUP(mem_freep) char *path = str_format("/proc/%d/uid_map", jail);
    CLEANUP(closep) int fd = open(path, O_RDONLY);
    assert_true(read(fd, map, sizeof map - 1) > 0);
    assert_int_equal(sscanf(map, "%u %u %u", &inside, &outside, &count), 3);
    assert_int_equal(inside, 0);
    assert_int_equal(outside, world.uid ? world.uid : 1000000 + 16 + 6);
    assert_int_equal(count, world.uid ? 1 : 2);
    kill_worker(1);
}

static void a_kvm_node_is_private_to_its_vm(void **state)
{
    CLEANUP(mem_freep) char *report = spawn(1, 3, PRIV_SPAWN_KVM);
    CLEANUP(mem_freep)
    char *expected = str_format("kvm --kvm %o %u %u\n", S_IFCHR | 0600, 1, (10 << 8) | 232);
    CLEANUP(mem_freep) char *node = below("run/kvm/kvm");
    CLEANUP(mem_freep) char *mounts = str_format("/proc/%d/mountinfo", worker_pid(report));
    CLEANUP(mem_freep) char *text = NULL;
    CLEANUP(closep) int fd = open(mounts, O_RDONLY);
    struct err err = {0};

    /* Seen from inside the jail, its owner is 1: QEMU. */
    if (!strstr(report, expected))
        fail_msg("%s has no %s", report, expected);
    assert_int_equal(access(node, F_OK), -1);
    assert_true(fs_read_all(fd, 1 << 20, &text, NULL, &err));
    assert_null(strstr(text, "run/kvm"));
    kill_worker(1);
}

static void a_dead_worker_takes_its_jail_along(void **state)
{
    CLEANUP(mem_freep) char *report = spawn(1, 3, 0);
    pid_t jail = child_named(worker_pid(report), "vmmd-jail", 0);

    assert_int_equal(kill(worker_pid(report), SIGKILL), 0);
    wait_gone(jail);
    kill_worker(1); /* nothing lives: success */
}

/* The block of the configuration has 33 slots: the ids of 33 jails come first. */
static void a_network_has_a_user_of_its_own(void **state)
{
    CLEANUP(mem_freep) char *report = spawn(1, 3, PRIV_SPAWN_NET);
    pid_t worker = worker_pid(report);
    pid_t net = child_named(worker, "vmmd-net", 0);

    if (!strstr(report, "\nworker fds 0 1 2 3 4 5 6 7 8\njail fds 0 1 2 3 4 5\n"))
        fail_msg("%s", report);
    assert_uid(worker, 1000000);
    assert_uid(net, 1000000 + 16 + 66 + 3);
    if (!world.uid)
        assert_no_rights(net);
    assert_status(net, "\nNoNewPrivs:\t1\n");
    assert_status(net, "\t1\nNSpgid:"); /* the first of its namespace */
    assert_int_equal(kill(worker, SIGKILL), 0);
    wait_gone(net);
    kill_worker(1);
}

static void a_vm_and_a_slot_are_used_once(void **state)
{
    CLEANUP(mem_freep) char *report = NULL;
    struct priv_request again = {.op = PRIV_WORKER_SPAWN, .vm = vm_id(1), .index = 4};
    struct priv_request other = {.op = PRIV_WORKER_SPAWN, .vm = vm_id(2), .index = 3};
    struct priv_reply reply;

    if (!have_cgroups())
        skip();
    report = spawn(1, 3, 0);
    reply = request(again, NULL);
    assert_int_equal(reply.error, ERR_BUSY);
    reply = request(other, NULL);
    assert_int_equal(reply.error, ERR_BUSY);
    reply = request((struct priv_request){.op = PRIV_WORKER_LIST}, NULL);
    assert_int_equal(reply.error, 0);
    assert_int_equal(reply.count, 1);
    assert_int_equal(reply.leaves[0].slot, 3);
    assert_int_equal(reply.leaves[0].populated, 1);
    assert_int_equal(reply.leaves[0].vm.b[0], 1);
    reply = request((struct priv_request){.op = PRIV_WORKER_LIST, .index = 1}, NULL);
    assert_int_equal(reply.count, 0);
    kill_worker(1);
    reply = request((struct priv_request){.op = PRIV_WORKER_LIST}, NULL);
    assert_int_equal(reply.count, 0);
}

/* The text of a file; "" when it cannot be read. The caller's. */
static char *text_of(const char *path)
{
    CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct err err = {0};
    char *text = NULL;

    return fd >= 0 && fs_read_all(fd, 1 << 16, &text, NULL, &err) ? text : str_dup("");
}

static char *cgroups_of(pid_t pid)
{
    CLEANUP(mem_freep) char *path = str_format("/proc/%d/cgroup", pid);

    return text_of(path);
}

static void worker_and_guest_live_in_two_parts_of_one_leaf(void **state)
{
    CLEANUP(mem_freep) char *report = NULL;
    CLEANUP(mem_freep) char *worker = NULL;
    CLEANUP(mem_freep) char *jail = NULL;
    const char *leaf = "/vm-3-01010203-0405-0607-0809-0a0b0c0d0e0f";

    if (!have_cgroups())
        skip();
    report = spawn(1, 3, 0);
    worker = cgroups_of(worker_pid(report));
    jail = cgroups_of(child_named(worker_pid(report), "vmmd-jail", 0));
    if (!strstr(worker, leaf) || !strstr(strstr(worker, leaf), "/worker\n") ||
        !strstr(jail, leaf) || !strstr(strstr(jail, leaf), "/guest\n"))
        fail_msg("the worker lives in %s, its jail in %s", worker, jail);
    kill_worker(1);
}

/* What the kernel of this host has the first version for; the second is looked at in
 * unit/priv_limits. */
static void a_guest_is_limited_and_its_worker_is_not(void **state)
{
    struct priv_limits limits = {.cpu_percent = 50, .memory_bytes = 256ull << 20, .pids = 100};
    struct priv_reply facts = request((struct priv_request){.op = PRIV_FACTS}, NULL), reply;
    CLEANUP(mem_freep) char *report = NULL;
    CLEANUP(mem_freep) char *jail = NULL;
    CLEANUP(mem_freep) char *worker = NULL;
    CLEANUP(mem_freep) char *file = NULL;
    CLEANUP(mem_freep) char *folder = NULL;
    CLEANUP(mem_freep) char *before = NULL;
    CLEANUP(mem_freep) char *after = NULL;
    const char *at;

    if (facts.limits[PRIV_LIMIT_CPU] != PRIV_LIMIT_V1 ||
        facts.limits[PRIV_LIMIT_MEMORY] != PRIV_LIMIT_V1)
        skip();
    report = spawn(1, 3, 0);
    jail = cgroups_of(child_named(worker_pid(report), "vmmd-jail", 0));
    worker = cgroups_of(worker_pid(report));
    at = strstr(jail, ":cpu:");
    assert_non_null(at);
    assert_null(strstr(worker, "/vm-01010203"));
    folder = str_format("/sys/fs/cgroup/cpu%.*s", (int)strcspn(at + 5, "\n"), at + 5);
    file = str_format("%s/cpu.cfs_quota_us", folder);
    before = text_of(file);
    assert_string_equal(before, "-1\n");
    reply = request(
        (struct priv_request){.op = PRIV_WORKER_LIMIT, .vm = vm_id(1), .limits = limits}, NULL);
    assert_string_equal(reply.detail, "");
    after = text_of(file);
    assert_string_equal(after, "50000\n");
    limits.pids = 1;
    reply = request(
        (struct priv_request){.op = PRIV_WORKER_LIMIT, .vm = vm_id(1), .limits = limits}, NULL);
    assert_int_equal(reply.error, ERR_INVALID);
    limits.pids = 0;
    reply = request(
        (struct priv_request){.op = PRIV_WORKER_LIMIT, .vm = vm_id(2), .limits = limits}, NULL);
    assert_int_equal(reply.error, ERR_NOT_FOUND);
    kill_worker(1);
    assert_int_equal(access(folder, F_OK), -1);
}

static long oom_of(pid_t pid)
{
    CLEANUP(mem_freep) char *path = str_format("/proc/%d/oom_score_adj", pid);
    CLEANUP(mem_freep) char *text = text_of(path);

    return strtol(text, NULL, 10);
}

/* Root has it, but in many containers. */
static bool may_lower_oom(void)
{
    CLEANUP(mem_freep) char *status = status_of(getpid());
    const char *line = strstr(status, "\nCapEff:\t");

    return world.uid == 0 && line && strtoull(line + 9, NULL, 16) >> CAP_SYS_RESOURCE & 1;
}

static void when_memory_runs_out_the_kernel_takes_guests_first(void **state)
{
    CLEANUP(mem_freep) char *report = spawn(1, 3, 0);
    pid_t worker = worker_pid(report), jail = child_named(worker, "vmmd-jail", 0);
    pid_t front = child_named(world.vmmd, "vmmd-front", 0);
    pid_t main_pid = child_named(world.vmmd, "vmmd-main", 0);

    if (may_lower_oom()) {
        assert_int_equal(oom_of(world.vmmd), -900);
        assert_int_equal(oom_of(worker), -900);
        assert_int_equal(oom_of(main_pid), -800);
        assert_int_equal(oom_of(front), 0);
        assert_int_equal(oom_of(jail), 200);
    } else { /* as far as that goes */
        assert_int_equal(oom_of(worker), oom_of(getpid()));
        assert_int_equal(oom_of(main_pid), oom_of(getpid()));
        assert_true(oom_of(jail) >= 200);
    }
    kill_worker(1);
}

static void a_pid_file_that_names_somebody_else_kills_nobody(void **state)
{
    CLEANUP(mem_freep) char *dir = below("run/vm/05010203-0405-0607-0809-0a0b0c0d0e0f");
    CLEANUP(mem_freep) char *path = str_format("%s/pid", dir);
    char boot[64] = "";
    pid_t victim;
    FILE *f;

    if (have_cgroups())
        skip(); /* the pid file is not looked at */
    assert_int_equal(mkdir(dir, 0700), 0);
    victim = child_named(world.vmmd, "vmmd-main", 0);
    f = fopen("/proc/sys/kernel/random/boot_id", "r");
    assert_int_equal(fscanf(f, "%63s", boot), 1);
    fclose(f);
    f = fopen(path, "w");
    fprintf(f, "%d 1 %s\n", victim, boot); /* another start time */
    fclose(f);
    if (geteuid() == 0)
        assert_int_equal(chown(dir, world.uid, world.uid) | chown(path, world.uid, world.uid), 0);
    kill_worker(5);
    assert_int_equal(child_named(world.vmmd, "vmmd-main", 0), victim);
}

static void a_failed_start_is_reported_and_leaves_nothing(void **state)
{
    static const char *const points[] = {"spawn.leaf=fail", "spawn.limits=fail", "spawn.jail=fail",
                                         "spawn.net=fail", "spawn.worker=fail"};

    for (unsigned i = 0; i < ARRAY_LEN(points); i++) {
        struct priv_request req = {
            .op = PRIV_WORKER_SPAWN, .vm = vm_id(1), .index = 3, .flags = PRIV_SPAWN_NET};
        struct priv_reply reply;

        world.vmmd = start_vmmd(points[i]);
        reply = request(req, NULL);
        assert_int_equal(reply.error, ERR_INTERNAL);
        assert_non_null(strstr(reply.detail, "failpoint spawn."));
        reply = request((struct priv_request){.op = PRIV_WORKER_LIST}, NULL);
        assert_int_equal(reply.count, 0);
        kill(world.vmmd, SIGTERM);
        assert_int_equal(wait_exit(world.vmmd), 0);
    }
    world.vmmd = 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest as_root[] = {
        AS_ROOT(a_worker_gets_its_descriptors_and_nothing_else),
        AS_ROOT(a_jail_lives_in_namespaces_of_its_own),
        AS_ROOT(a_kvm_node_is_private_to_its_vm),
        AS_ROOT(a_dead_worker_takes_its_jail_along),
        AS_ROOT(a_network_has_a_user_of_its_own),
        AS_ROOT(a_vm_and_a_slot_are_used_once),
        AS_ROOT(worker_and_guest_live_in_two_parts_of_one_leaf),
        AS_ROOT(a_guest_is_limited_and_its_worker_is_not),
        AS_ROOT(when_memory_runs_out_the_kernel_takes_guests_first),
    };
    const struct CMUnitTest rootless[] = {
        AS_USER(a_worker_gets_its_descriptors_and_nothing_else),
        AS_USER(a_jail_lives_in_namespaces_of_its_own),
        AS_USER(a_dead_worker_takes_its_jail_along),
        AS_USER(a_network_has_a_user_of_its_own),
        AS_USER(when_memory_runs_out_the_kernel_takes_guests_first),
        AS_USER(a_pid_file_that_names_somebody_else_kills_nobody),
        MADE(a_failed_start_is_reported_and_leaves_nothing),
    };
    int failed = 0;

    standin_play(argc, argv);
    parent_init();
    if (geteuid() == 0)
        failed += cmocka_run_group_tests(as_root, NULL, NULL);
    return failed + cmocka_run_group_tests(rootless, NULL, NULL);
}
