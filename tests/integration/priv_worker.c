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
    CLEANUP(mem_freep) char *report = spawn(1, 3, false);
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
    CLEANUP(mem_freep) char *report = spawn(1, 3, false);
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
    CLEANUP(mem_freep) char *report = spawn(1, 3, true);
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
    CLEANUP(mem_freep) char *report = spawn(1, 3, false);
    pid_t jail = child_named(worker_pid(report), "vmmd-jail", 0);

    assert_int_equal(kill(worker_pid(report), SIGKILL), 0);
    wait_gone(jail);
    kill_worker(1); /* nothing lives: success */
}

static void a_vm_and_a_slot_are_used_once(void **state)
{
    CLEANUP(mem_freep) char *report = NULL;
    struct priv_request again = {.op = PRIV_WORKER_SPAWN, .vm = vm_id(1), .index = 4};
    struct priv_request other = {.op = PRIV_WORKER_SPAWN, .vm = vm_id(2), .index = 3};
    struct priv_reply reply;

    if (!have_cgroups())
        skip();
    report = spawn(1, 3, false);
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
    static const char *const points[] = {"spawn.jail=fail", "spawn.worker=fail"};

    for (unsigned i = 0; i < ARRAY_LEN(points); i++) {
        struct priv_request req = {.op = PRIV_WORKER_SPAWN, .vm = vm_id(1), .index = 3};
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
        AS_ROOT(a_vm_and_a_slot_are_used_once),
    };
    const struct CMUnitTest rootless[] = {
        AS_USER(a_worker_gets_its_descriptors_and_nothing_else),
        AS_USER(a_jail_lives_in_namespaces_of_its_own),
        AS_USER(a_dead_worker_takes_its_jail_along),
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
