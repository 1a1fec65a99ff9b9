/* A real daemon loses its database, with VMs whose guest counts on its disk (tests/lib/counter.h):
 * vmmctl recover makes it again, and the guests go on with what they had, on a disk, from a
 * snapshot and from a saved state. */
#include "tests/lib/counter.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOON_MS   30000
#define PLAIN_UID 12345

static struct rig rig;
static char *words; /* of the last vmmctl */

static int teardown(void **state)
{
    mem_freep(&words);
    rig_remove(&rig);
    return 0;
}

static void create(const char *name)
{
    CLEANUP(mem_freep) char *spec = counter_spec(name);

    json_decref(rig_do(&rig, "POST", "/api/v1/vms", spec, 201));
    counter_install(&rig);
}

/* "vmmctl recover" with these flags; its exit code. */
static int recover(const char *flags)
{
    const char *bin = getenv("VMMD_BIN") ? getenv("VMMD_BIN") : "build/dev";
    CLEANUP(mem_freep)
    char *line = str_format("setpriv --reuid=%u --regid=%u --clear-groups %s/vmmctl recover "
                            "--config %s/vmmd.conf %s 2>&1",
                            rig.uid, rig.uid, bin, rig.dir, flags);
    struct err err = {0};
    FILE *pipe = popen(line, "re");
    int status;

    assert_non_null(pipe);
    mem_freep(&words);
    assert_true(fs_read_all(fileno(pipe), 1 << 20, &words, NULL, &err));
    status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void recovers(const char *flags, const char *says)
{
    if (recover(flags) != 0 || !strstr(words, says))
        fail_msg("%s: %s", flags, words);
}

static void refuses(const char *flags, const char *says)
{
    if (recover(flags) == 0 || !strstr(words, says))
        fail_msg("%s: %s", flags, words);
}

static void remove_files(const char *of)
{
    CLEANUP(mem_freep) char *line = str_format("rm -rf %s/%s", rig.dir, of);

    assert_int_equal(system(line), 0);
}

/* Started by hand; the exit code of one that does not serve. */
static int daemon_exit(void)
{
    const char *bin = getenv("VMMD_BIN") ? getenv("VMMD_BIN") : "build/dev";
    CLEANUP(mem_freep)
    char *line =
        str_format("timeout 60 %s/vmmd --config %s/vmmd.conf 2>>%s/log", bin, rig.dir, rig.dir);
    int status = system(line);

    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* More than 'than', on the console. */
static uint32_t await_more(const char *name, struct counter_heard *heard, uint32_t than, bool back)
{
    int64_t deadline = clock_mono_ms() + SOON_MS;
    uint32_t now;

    while ((now = counter_said_on(&rig, name, heard, back)) <= than) {
        if (clock_mono_ms() > deadline)
            fail_msg("%s stands at %x", name, now);
        (void)poll(NULL, 0, 20); /* asked again until it has counted */
    }
    return now;
}

/* A VM with a snapshot, off, that has counted on since; what its disk has. */
static uint32_t a_vm_with_a_past(void)
{
    struct counter_heard heard = {0};
    uint32_t then;

    create("web");
    rig_act(&rig, "web", "start");
    then = await_more("web", &heard, 5, false);
    json_decref(rig_do(&rig, "POST", "/api/v1/vms/web/snapshots", "{\"name\":\"then\"}", 200));
    (void)await_more("web", &heard, then + 10, false);
    rig_act(&rig, "web", "stop");
    return counter_on_disk(&rig, "web");
}

static void guests_go_on_where_they_were(void **state)
{
    struct counter_heard saved = {0}, heard = {0};
    uint32_t on_disk, in_snapshot, was;

    rig_make(&rig, 0);
    on_disk = a_vm_with_a_past();
    in_snapshot = counter_in_snapshot(&rig, "web", "then");
    create("asleep");
    rig_act(&rig, "asleep", "start");
    (void)await_more("asleep", &saved, 5, false);
    rig_act(&rig, "asleep", "save");
    was = counter_said_on(&rig, "asleep", &saved, false);
    refuses("--scan", "vmmd runs");
    rig_stop(&rig);
    remove_files("state/vmmd.db*");
    assert_int_equal(daemon_exit(), 78); /* and nothing was lost by trying */
    recovers("--scan", "2 of 2 VMs can be made again");
    recovers("--scan --apply", "A new database with 2 VMs is in place");
    rig_spawn(&rig);
    assert_int_equal(counter_on_disk(&rig, "web"), on_disk);
    assert_int_equal(counter_in_snapshot(&rig, "web", "then"), in_snapshot);
    rig_act(&rig, "asleep", "start");
    (void)await_more("asleep", &saved, was, false); /* without a new beginning */
    rig_act(&rig, "web", "start");
    (void)await_more("web", &heard, on_disk, true);
    json_decref(rig_do(&rig, "POST", "/api/v1/vms/web/actions/revert",
                       "{\"snapshot\":\"then\",\"start\":false}", 200));
    assert_int_equal(counter_on_disk(&rig, "web"), in_snapshot);
}

static void a_damaged_database_is_kept_and_replaced(void **state)
{
    CLEANUP(mem_freep) char *path = NULL;
    CLEANUP(mem_freep) char *lost = NULL;
    uint32_t on_disk;
    int fd;

    rig_make(&rig, 0);
    on_disk = a_vm_with_a_past();
    rig_stop(&rig);
    path = str_format("%s/state/vmmd.db", rig.dir);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0 && pwrite(fd, path, strlen(path), 0) > 0);
    close(fd);
    recovers("--scan --apply", "the old one is kept as vmmd.db.lost-");
    rig_spawn(&rig);
    assert_int_equal(counter_on_disk(&rig, "web"), on_disk);
    rig_act(&rig, "web", "start");
}

static void the_pool_s_own_copies_are_enough(void **state)
{
    uint32_t on_disk;

    rig_make(&rig, 0);
    on_disk = a_vm_with_a_past();
    rig_stop(&rig);
    remove_files("state");
    recovers("--scan --apply", "with 1 VMs is in place");
    rig_spawn(&rig);
    assert_int_equal(counter_on_disk(&rig, "web"), on_disk);
    rig_act(&rig, "web", "start");
}

static void a_guest_that_runs_is_not_forgotten(void **state)
{
    rig_make(&rig, 0);
    create("web");
    rig_act(&rig, "web", "start");
    counter_await_life(&rig, "web", SOON_MS);
    rig_stop(&rig);
    refuses("--scan --apply", "still run");
    rig_spawn(&rig);
    rig_await(&rig, "web", "running", NULL, SOON_MS);
}

/* Without root the same program does it as the user it is. */
static void a_user_s_own_daemon_recovers_as_well(void **state)
{
    int status;

    rig_make(&rig, PLAIN_UID);
    json_decref(rig_do(&rig, "POST", "/api/v1/vms",
                       "{\"name\":\"idle\",\"backend\":\"fake\",\"nics\":[],"
                       "\"disks\":[{\"size_bytes\":1048576}]}",
                       201));
    rig_stop(&rig);
    remove_files("state/vmmd.db*");
    recovers("--scan --apply", "with 1 VMs is in place");
    rig_spawn(&rig);
    json_decref(rig_call(&rig, "GET", "/api/v1/vms/idle", NULL, &status));
    assert_int_equal(status, 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(guests_go_on_where_they_were, teardown),
        cmocka_unit_test_teardown(a_damaged_database_is_kept_and_replaced, teardown),
        cmocka_unit_test_teardown(the_pool_s_own_copies_are_enough, teardown),
        cmocka_unit_test_teardown(a_guest_that_runs_is_not_forgotten, teardown),
        cmocka_unit_test_teardown(a_user_s_own_daemon_recovers_as_well, teardown),
    };
    const char *why;

    if (!rig_possible_bare(&why)) {
        print_message("[  SKIPPED ] integration/recover: %s\n", why);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
