/* What the jail of a running VM looks like from outside, as root and as an ordinary user: user,
 * namespaces, capabilities, root directory and descriptors are exactly as documented. */
#include "tests/lib/proc.h"
#include "tests/lib/rig.h"

#include "core/base/mem.h"
#include "core/base/str.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLAIN_UID 65533

static struct rig rig;

static void start_one(void)
{
    json_decref(rig_do(&rig, "POST", "/api/v1/vms",
                       "{\"name\":\"j\",\"memory_bytes\":134217728,"
                       "\"boot\":{\"kernel\":\"tiny\",\"cmdline\":\"" RIG_CMDLINE "\"},"
                       "\"disks\":[{\"size_bytes\":1048576},{\"size_bytes\":1048576}]}",
                       201));
    rig_act(&rig, "j", "start");
}

static void expect_status(pid_t pid, const char *name, const char *value)
{
    char text[256];

    assert_true(proc_status(pid, name, text, sizeof text));
    if (strcmp(text, value) != 0)
        fail_msg("%s of process %d is '%s', not '%s'", name, (int)pid, text, value);
}

static ino_t namespace_of(const char *pid, const char *kind)
{
    CLEANUP(mem_freep) char *path = str_format("/proc/%s/ns/%s", pid, kind);
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return st.st_ino;
}

static void qemu_has_no_capability_and_cannot_get_one(void **state)
{
    pid_t qemu = rig_pids(&rig, "j").qemu;

    assert_true(qemu > 0);
    expect_status(qemu, "CapInh", "0000000000000000");
    expect_status(qemu, "CapPrm", "0000000000000000");
    expect_status(qemu, "CapEff", "0000000000000000");
    expect_status(qemu, "CapBnd", "0000000000000000");
    expect_status(qemu, "CapAmb", "0000000000000000");
    expect_status(qemu, "NoNewPrivs", "1");
    expect_status(qemu, "Seccomp", "2");
}

static void its_namespaces_are_its_own(void **state)
{
    static const char *const kinds[] = {"user", "mnt", "pid", "net", "ipc", "uts"};
    char pid[16];

    snprintf(pid, sizeof pid, "%d", (int)rig_pids(&rig, "j").qemu);
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        assert_int_not_equal(namespace_of(pid, kinds[i]), namespace_of("self", kinds[i]));
}

static void it_runs_as_the_user_of_its_slot(void **state)
{
    CLEANUP(mem_freep) char *own = NULL;
    pid_t qemu = rig_pids(&rig, "j").qemu;

    if (rig.uid)
        own = str_format("%d\t%d\t%d\t%d", (int)rig.uid, (int)rig.uid, (int)rig.uid, (int)rig.uid);
    expect_status(qemu, "Uid", own ? own : "1000017\t1000017\t1000017\t1000017");
    if (!rig.uid)
        expect_status(qemu, "Groups", " ");
}

/* Empty folders and links to nowhere may be left; no file but /dev/null. */
static void its_root_is_empty(void **state)
{
    CLEANUP(mem_freep) char *root = str_format("/proc/%d/root", (int)rig_pids(&rig, "j").qemu);
    DIR *dir = opendir(root);

    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        CLEANUP(mem_freep) char *path = str_format("%s/%s", root, e->d_name);
        struct stat st;

        if (e->d_name[0] == '.')
            continue;
        assert_int_equal(lstat(path, &st), 0);
        assert_true(S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode));
        if (S_ISDIR(st.st_mode) && strcmp(e->d_name, "dev") != 0 && proc_entries(path) != 0)
            fail_msg("/%s in the jail is not empty", e->d_name);
    }
    closedir(dir);
}

/* Every descriptor is one that QEMU was given or made by itself: sockets, images, event and timer
 * descriptors. Nothing of the daemon's: no directory, no database, no key, no log but its stderr
 * pipe. */
static void its_descriptors_are_those_it_was_given(void **state)
{
    CLEANUP(mem_freep) char *path = str_format("/proc/%d/fd", (int)rig_pids(&rig, "j").qemu);
    unsigned images = 0, userfaultfds = 0;
    DIR *dir = opendir(path);

    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        CLEANUP(mem_freep) char *link = str_format("%s/%s", path, e->d_name);
        char target[512];
        ssize_t n = readlink(link, target, sizeof target - 1);

        if (n <= 0)
            continue;
        target[n] = 0;
        if (strstr(target, ".qcow2"))
            images++;
        else if (strcmp(target, "/dev/userfaultfd") == 0)
            userfaultfds++;
        else if (!str_starts(target, "socket:") && !str_starts(target, "pipe:") &&
                 !str_starts(target, "anon_inode:") && strcmp(target, "/dev/null") != 0)
            fail_msg("QEMU holds %s", target);
    }
    closedir(dir);
    assert_in_range(images, 2, 4); /* each disk: the passed one, and QEMU's own duplicate */
    /* As root, where the kernel has it; an ordinary user cannot open it for QEMU. */
    assert_int_equal(userfaultfds, !rig.uid && access("/dev/userfaultfd", F_OK) == 0);
}

static void the_processes_of_the_daemon_hold_no_privilege(void **state)
{
    pid_t main_pid = rig_child(&rig, "vmmd-main"), front_pid = rig_child(&rig, "vmmd-front");
    pid_t worker = rig_pids(&rig, "j").worker;
    const pid_t all[] = {main_pid, front_pid, worker};

    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        assert_true(all[i] > 0);
        expect_status(all[i], "CapPrm", "0000000000000000");
        expect_status(all[i], "CapEff", "0000000000000000");
        expect_status(all[i], "NoNewPrivs", "1");
    }
    if (!rig.uid) {
        expect_status(main_pid, "Uid", "1000000\t1000000\t1000000\t1000000");
        expect_status(front_pid, "Uid", "1000001\t1000001\t1000001\t1000001");
        expect_status(worker, "Uid", "1000000\t1000000\t1000000\t1000000");
    }
}

static int setup(void **state)
{
    rig_make(&rig, *state ? PLAIN_UID : 0);
    start_one();
    return 0;
}

static int teardown(void **state)
{
    rig_remove(&rig);
    return 0;
}

static int setup_as_root(void **state)
{
    *state = NULL;
    return setup(state);
}

static int setup_as_a_user(void **state)
{
    *state = &rig;
    return setup(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(qemu_has_no_capability_and_cannot_get_one),
        cmocka_unit_test(its_namespaces_are_its_own),
        cmocka_unit_test(it_runs_as_the_user_of_its_slot),
        cmocka_unit_test(its_root_is_empty),
        cmocka_unit_test(its_descriptors_are_those_it_was_given),
        cmocka_unit_test(the_processes_of_the_daemon_hold_no_privilege),
    };
    const char *why;
    int failed;

    if (!rig_possible(&why)) {
        print_message("[  SKIPPED ] integration/jail: %s\n", why);
        return 0;
    }
    failed = cmocka_run_group_tests_name("jail, as root", tests, setup_as_root, teardown);
    return failed + cmocka_run_group_tests_name("jail, as an ordinary user", tests, setup_as_a_user,
                                                teardown);
}
