/* What vmmd's own processes may do on their host, when the daemon runs as root: a main that was
 * taken over finds neither files nor rights, the front not even a file system. docs/security.md
 * promises what is looked at here. */
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

static struct rig rig;

static void expect_status(pid_t pid, const char *name, const char *value)
{
    char text[256];

    assert_true(proc_status(pid, name, text, sizeof text));
    if (strcmp(text, value) != 0)
        fail_msg("%s of process %d is '%s', not '%s'", name, (int)pid, text, value);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in 'path' as process 'pid' has it, sorted, with blanks between. */
static char *names_in(pid_t pid, const char *path)
{
    CLEANUP(mem_freep) char *dir = str_format("/proc/%d/root%s", (int)pid, path);
    char *names[256];
    struct strbuf all = {0};
    struct dirent *entry;
    size_t n = 0;
    DIR *d = opendir(dir);

    assert_non_null(d);
    while ((entry = readdir(d)) && n < ARRAY_LEN(names))
        if (entry->d_name[0] != '.')
            names[n++] = str_dup(entry->d_name);
    closedir(d);
    qsort(names, n, sizeof *names, by_name);
    strbuf_adds(&all, "");
    for (size_t i = 0; i < n; i++) {
        strbuf_addf(&all, "%s%s", i ? " " : "", names[i]);
        free(names[i]);
    }
    return all.data;
}

static bool is_there(pid_t pid, const char *path)
{
    CLEANUP(mem_freep) char *full = str_format("/proc/%d/root%s", (int)pid, path);
    struct stat st;

    return lstat(full, &st) == 0;
}

static void nobody_keeps_a_right_it_does_not_need(void **state)
{
    static const char *const sets[] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"};
    pid_t daemons[] = {rig_child(&rig, "vmmd-main"), rig_child(&rig, "vmmd-front")};

    for (size_t i = 0; i < ARRAY_LEN(daemons); i++) {
        assert_true(daemons[i] > 0);
        for (size_t k = 0; k < ARRAY_LEN(sets); k++)
            expect_status(daemons[i], sets[k], "0000000000000000");
        expect_status(daemons[i], "NoNewPrivs", "1");
        expect_status(daemons[i], "Seccomp", "2");
    }
    expect_status(rig.vmmd, "NoNewPrivs", "1");
    expect_status(rig.vmmd, "Seccomp", "2");
    expect_status(rig.vmmd, "CapInh", "0000000000000000");
    expect_status(rig.vmmd, "CapBnd", "00000000082401e5");
}

/* Tests and their daemons share /tmp; a product's main has none. */
static void main_sees_its_own_directories_and_no_others(void **state)
{
    pid_t main_pid = rig_child(&rig, "vmmd-main");
    CLEANUP(mem_freep) char *root = names_in(main_pid, "/");
    CLEANUP(mem_freep) char *state_dir = str_format("%s/state", rig.dir);
    CLEANUP(mem_freep) char *own = names_in(main_pid, state_dir);
    static const char *const gone[] = {"/root",       "/home",     "/var/log",  "/boot",
                                       "/etc/../srv", "/run/dbus", "/run/user", "/mnt"};

    assert_non_null(strstr(own, "vmmd.db"));
    for (size_t i = 0; i < ARRAY_LEN(gone); i++)
        if (is_there(main_pid, gone[i]))
            fail_msg("vmmd-main sees %s; its root has: %s", gone[i], root);
}

static bool has_option(pid_t pid, const char *mount_point, const char *option)
{
    CLEANUP(mem_freep) char *path = str_format("/proc/%d/mountinfo", (int)pid);
    FILE *f = fopen(path, "re");
    char line[4096], at[1024], options[512];
    bool found = false;

    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "%*s %*s %*s %*s %1023s %511s", at, options) == 2 &&
            strcmp(at, mount_point) == 0)
            found = strstr(options, option) != NULL; /* the last one lies on top */
    fclose(f);
    return found;
}

static void what_main_sees_of_the_system_it_cannot_change(void **state)
{
    static const char *const read_only[] = {"/", "/usr", "/etc", "/sys", "/dev"};
    static const char *const no_devices[] = {"/", "/usr", "/etc", "/sys", "/dev", "/proc"};
    pid_t main_pid = rig_child(&rig, "vmmd-main");

    for (size_t i = 0; i < ARRAY_LEN(read_only); i++)
        if (!has_option(main_pid, read_only[i], "ro"))
            fail_msg("vmmd-main may write to %s", read_only[i]);
    for (size_t i = 0; i < ARRAY_LEN(no_devices); i++)
        if (!has_option(main_pid, no_devices[i], "nodev"))
            fail_msg("vmmd-main may open devices in %s", no_devices[i]);
    assert_false(has_option(main_pid, "/dev/null", "nodev"));
}

static void the_front_has_no_files_and_no_network_but_its_sockets(void **state)
{
    pid_t front = rig_child(&rig, "vmmd-front");
    CLEANUP(mem_freep) char *root = names_in(front, "/");
    CLEANUP(mem_freep) char *path = str_format("/proc/%d/net/dev", (int)front);
    FILE *f = fopen(path, "re");
    char line[512];
    unsigned devices = 0;

    assert_string_equal(root, "");
    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        if (strchr(line, ':'))
            assert_non_null(strstr(line, "lo:")), devices++;
    fclose(f);
    assert_int_equal(devices, 1);
}

/* All of it holds for a daemon that works: it answers, and looks at its host. */
static void the_daemon_works_in_there(void **state)
{
    CLEANUP(json_decrefp) json_t *host = rig_do(&rig, "GET", "/api/v1/host", NULL, 200);
    CLEANUP(json_decrefp) json_t *all = rig_do(&rig, "GET", "/api/v1/host/inventory", NULL, 200);

    assert_true(json_is_object(host));
    assert_true(json_is_object(all));
    rig_create_tiny(&rig, "c");
    rig_act(&rig, "c", "start");
    rig_act(&rig, "c", "stop");
}

static int setup(void **state)
{
    rig_make(&rig, 0);
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
        cmocka_unit_test(nobody_keeps_a_right_it_does_not_need),
        cmocka_unit_test(main_sees_its_own_directories_and_no_others),
        cmocka_unit_test(what_main_sees_of_the_system_it_cannot_change),
        cmocka_unit_test(the_front_has_no_files_and_no_network_but_its_sockets),
        cmocka_unit_test(the_daemon_works_in_there),
    };
    const char *why;

    if (geteuid() != 0 || !rig_possible(&why)) {
        print_message("[  SKIPPED ] integration/confined: %s\n",
                      geteuid() ? "needs root: a user's daemon has the user's rights" : why);
        return 0;
    }
    return cmocka_run_group_tests_name("integration/confined", tests, setup, teardown);
}
