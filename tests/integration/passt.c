/* What a guest's user-mode network may do on its host: passt is the one process that a guest talks
 * to and that has the host's network; vmmd-net is the one above it. */
#include "tests/lib/proc.h"
#include "tests/lib/rig.h"

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_MS 20000
#define NOBODY      65534

static struct rig rig;

static struct rig_pids pids; /* of the VM "n" */
static pid_t passt;          /* the same's */

static void expect_status(pid_t pid, const char *name, const char *value)
{
    char text[256];

    assert_true(proc_status(pid, name, text, sizeof text));
    if (strcmp(text, value) != 0)
        fail_msg("%s of %s is '%s', not '%s'", name, pid == passt ? "passt" : "vmmd-net", text,
                 value);
}

static bool has_two_filters(pid_t pid)
{
    char text[16];

    return pid && proc_status(pid, "Seccomp_filters", text, sizeof text) && text[0] == '2';
}

/* passt's own filter, and vmmd-net's room, besides what all have: both are in their sandboxes. */
static bool is_ready(void)
{
    return has_two_filters(pids.passt) && has_two_filters(pids.net);
}

static void expect_no_right(pid_t pid)
{
    static const char *const sets[] = {"CapInh", "CapPrm", "CapEff", "CapAmb"};

    for (size_t i = 0; i < ARRAY_LEN(sets); i++)
        expect_status(pid, sets[i], "0000000000000000");
    expect_status(pid, "NoNewPrivs", "1");
    expect_status(pid, "Seccomp", "2");
    expect_status(pid, "Groups", " "); /* none */
}

static void it_has_no_right_and_two_filters(void **state)
{
    expect_no_right(passt);
    expect_no_right(pids.net);
    expect_status(pids.net, "CapBnd", "0000000000000000");
}

static uid_t user_of(pid_t pid)
{
    char text[128];
    unsigned id[4];

    assert_true(proc_status(pid, "Uid", text, sizeof text));
    assert_int_equal(sscanf(text, "%u %u %u %u", &id[0], &id[1], &id[2], &id[3]), 4);
    for (int i = 1; i < 4; i++)
        assert_int_equal(id[i], id[0]);
    return id[0];
}

/* The block as it is where vmmd.conf says nothing: the ids of jails, then those of networks. */
static void its_user_is_nobody_elses(void **state)
{
    const uid_t jail = user_of(pids.jail), qemu = user_of(pids.qemu), worker = user_of(pids.worker);
    const uid_t own = user_of(passt);
    const unsigned slot = (jail - 1000016) / 2;

    assert_int_equal(own, 1000016 + 2 * ((131072 - 16) / 3) + slot);
    assert_int_equal(own, user_of(pids.net));
    assert_int_equal(worker, 1000000);
    assert_int_equal(qemu, jail + 1);
}

/* The target of a link of its in /proc; the caller's. */
static char *link_of(pid_t pid, const char *name)
{
    CLEANUP(mem_freep) char *path = str_format("/proc/%d/%s", (int)pid, name);
    char target[256] = "";

    (void)!readlink(path, target, sizeof target - 1);
    return str_dup(target);
}

static void it_has_namespaces_of_its_own_but_the_network(void **state)
{
    static const char *const own[] = {"ns/user", "ns/mnt", "ns/ipc", "ns/uts"};
    CLEANUP(mem_freep) char *net = link_of(passt, "ns/net");
    CLEANUP(mem_freep) char *hosts = link_of(getpid(), "ns/net");

    for (size_t i = 0; i < ARRAY_LEN(own); i++) {
        CLEANUP(mem_freep) char *its = link_of(passt, own[i]);
        CLEANUP(mem_freep) char *ours = link_of(getpid(), own[i]);
        if (!*its || str_eq(its, ours))
            fail_msg("passt shares our %s", own[i]);
    }
    assert_string_equal(net, hosts); /* that is what it is for */
}

static void it_sees_an_empty_root(void **state)
{
    CLEANUP(mem_freep) char *root = str_format("/proc/%d/root", (int)passt);
    CLEANUP(mem_freep) char *path = str_format("/proc/%d/mountinfo", (int)passt);
    FILE *f = fopen(path, "re");
    char line[1024];
    unsigned mounts = 0;

    assert_int_equal(proc_entries(root), 0);
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        mounts++;
        assert_non_null(strstr(line, " / / ro,nosuid,nodev,noexec"));
    }
    fclose(f);
    assert_int_equal(mounts, 1);
}

static void expect_fd(pid_t pid, int fd, const char *kind)
{
    CLEANUP(mem_freep) char *name = str_format("fd/%d", fd);
    CLEANUP(mem_freep) char *target = link_of(pid, name);

    if (!str_starts(target, kind))
        fail_msg("descriptor %d is %s and no %s", fd, target, kind);
}

/* 'path' below the root of vmmd-net. */
static bool it_sees(const char *path)
{
    CLEANUP(mem_freep) char *there = str_format("/proc/%d/root%s", (int)pids.net, path);

    return access(there, F_OK) == 0;
}

/* What passt has before its own root is empty. */
static void the_one_above_sees_programs_and_name_servers_alone(void **state)
{
    static const char *const all[] = {"bin", "dev", "etc", "lib", "lib64", "proc", "tmp", "usr"};
    CLEANUP(mem_freep) char *root = str_format("/proc/%d/root", (int)pids.net);
    CLEANUP(mem_freep) char *tmp = str_format("%s/tmp", root);
    CLEANUP(mem_freep) char *dev = str_format("%s/dev", root);
    DIR *dir = opendir(root);

    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        bool known = e->d_name[0] == '.';
        for (size_t i = 0; !known && i < ARRAY_LEN(all); i++)
            known = str_eq(e->d_name, all[i]);
        if (!known)
            fail_msg("vmmd-net sees /%s", e->d_name);
    }
    closedir(dir);
    assert_false(it_sees(rig.dir));
    assert_false(it_sees("/etc/passwd"));
    assert_true(it_sees("/etc/resolv.conf") || access("/etc/resolv.conf", F_OK) < 0);
    assert_int_equal(proc_entries(tmp), 0);
    assert_int_equal(proc_entries(dev), 1);
}

static void it_is_alone_with_the_one_above(void **state)
{
    char text[128];

    assert_true(proc_status(pids.net, "NSpid", text, sizeof text));
    assert_string_equal(strrchr(text, '\t'), "\t1");
    assert_true(it_sees("/proc/1") && it_sees("/proc/2"));
    for (int pid = 3; pid < 64; pid++) {
        CLEANUP(mem_freep) char *path = str_format("/proc/%d", pid);
        assert_false(it_sees(path));
    }
}

static void the_one_above_holds_a_socket_and_passt(void **state)
{
    CLEANUP(mem_freep) char *path = str_format("/proc/%d/fd", (int)pids.net);

    expect_fd(pids.net, 3, "socket:[");
    expect_fd(pids.net, 4, "anon_inode:[pidfd]");
    assert_int_equal(proc_entries(path), 5);
}

static void it_holds_sockets_and_no_file(void **state)
{
    static const char *const kinds[] = {"socket:[", "pipe:[", "anon_inode:", "/dev/null"};
    CLEANUP(mem_freep) char *path = str_format("/proc/%d/fd", (int)passt);
    DIR *dir = opendir(path);

    assert_non_null(dir);
    expect_fd(passt, 0, "/dev/null");
    expect_fd(passt, 1, "/dev/null");
    expect_fd(passt, 2, "pipe:[");
    expect_fd(passt, 3, "socket:[");
    for (struct dirent *e; (e = readdir(dir));) {
        CLEANUP(mem_freep) char *name = str_format("fd/%s", e->d_name);
        CLEANUP(mem_freep) char *target = e->d_name[0] == '.' ? NULL : link_of(passt, name);
        bool known = !target || !*target; /* one that is just closed */
        for (size_t i = 0; !known && i < ARRAY_LEN(kinds); i++)
            known = str_starts(target, kinds[i]);
        if (!known)
            fail_msg("passt holds %s", target);
    }
    closedir(dir);
}

static void no_file_and_no_process_comes_of_it(void **state)
{
    CLEANUP(mem_freep) char *path = str_format("/proc/%d/limits", (int)passt);
    FILE *f = fopen(path, "re");
    char line[256];
    unsigned found = 0;

    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        if (str_starts(line, "Max file size ") || str_starts(line, "Max core file size "))
            found += strstr(line, " 0                    0 ") != NULL;
        else if (str_starts(line, "Max processes "))
            found += strstr(line, " 1                    1 ") != NULL;
    fclose(f);
    assert_int_equal(found, 3);
}

static void await(bool (*what)(void))
{
    int64_t deadline = clock_mono_ms() + PATIENCE_MS;

    while (!what()) {
        assert_true(clock_left_ms(deadline) > 0);
        poll(NULL, 0, 10);
    }
}

static bool is_gone(void)
{
    return !proc_lives(pids.net) && !proc_lives(passt);
}

static bool has_come(void)
{
    pids = rig_pids(&rig, "n");
    return is_ready();
}

static void start_it(void)
{
    rig_act(&rig, "n", "start");
    await(has_come);
    passt = pids.passt;
}

static void it_goes_with_its_guest(void **state)
{
    rig_act(&rig, "n", "stop");
    await(is_gone);
}

/* A passt that takes no signal and reads no end of a stream is no exception: a guest may have taken
 * it over. */
static void it_goes_with_its_worker_even_when_it_hangs(void **state)
{
    if (!proc_lives(passt))
        start_it();
    kill(passt, SIGSTOP);
    kill(pids.worker, SIGKILL);
    await(is_gone);
    rig_await(&rig, "n", "crashed", NULL, PATIENCE_MS);
}

static void it_goes_with_the_one_above_and_the_guest_stays(void **state)
{
    start_it();
    kill(pids.net, SIGKILL);
    await(is_gone);
    rig_act(&rig, "n", "pause");
    rig_act(&rig, "n", "resume");
    assert_true(proc_lives(pids.qemu));
    rig_act(&rig, "n", "stop");
}

static void a_vm_without_a_card_has_neither(void **state)
{
    json_decref(rig_do(&rig, "POST", "/api/v1/vms",
                       "{\"name\":\"alone\",\"boot\":{\"kernel\":\"tiny\"},\"nics\":[]}", 201));
    rig_act(&rig, "alone", "start");
    pids = rig_pids(&rig, "alone");
    assert_true(pids.qemu > 0);
    assert_int_equal(pids.net, 0);
    rig_act(&rig, "alone", "stop");
}

static int setup_as(uid_t uid)
{
    rig_make(&rig, uid);
    rig_create_tiny(&rig, "n");
    start_it();
    return 0;
}

static int setup(void **state)
{
    return setup_as(0);
}

static int setup_rootless(void **state)
{
    return setup_as(NOBODY);
}

static int teardown(void **state)
{
    rig_remove(&rig);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_has_no_right_and_two_filters),
        cmocka_unit_test(its_user_is_nobody_elses),
        cmocka_unit_test(it_has_namespaces_of_its_own_but_the_network),
        cmocka_unit_test(it_sees_an_empty_root),
        cmocka_unit_test(it_holds_sockets_and_no_file),
        cmocka_unit_test(no_file_and_no_process_comes_of_it),
        cmocka_unit_test(the_one_above_sees_programs_and_name_servers_alone),
        cmocka_unit_test(it_is_alone_with_the_one_above),
        cmocka_unit_test(the_one_above_holds_a_socket_and_passt),
        cmocka_unit_test(it_goes_with_its_guest),
        cmocka_unit_test(it_goes_with_its_worker_even_when_it_hangs),
        cmocka_unit_test(it_goes_with_the_one_above_and_the_guest_stays),
        cmocka_unit_test(a_vm_without_a_card_has_neither),
    };
    /* A user's daemon: all but a user of its own, and the view of processes that only root has. */
    const struct CMUnitTest users[] = {
        cmocka_unit_test(it_has_namespaces_of_its_own_but_the_network),
        cmocka_unit_test(it_sees_an_empty_root),
        cmocka_unit_test(it_holds_sockets_and_no_file),
        cmocka_unit_test(no_file_and_no_process_comes_of_it),
        cmocka_unit_test(the_one_above_sees_programs_and_name_servers_alone),
        cmocka_unit_test(it_goes_with_its_worker_even_when_it_hangs),
    };
    const char *why;
    int failed;

    if (geteuid() != 0 || !rig_possible(&why) || access("/usr/bin/passt", X_OK) < 0) {
        print_message("[  SKIPPED ] integration/passt: needs root, the tiny guest and passt\n");
        return 0;
    }
    failed = cmocka_run_group_tests_name("integration/passt", tests, setup, teardown);
    return failed + cmocka_run_group_tests_name("integration/passt_rootless", users, setup_rootless,
                                                teardown);
}
