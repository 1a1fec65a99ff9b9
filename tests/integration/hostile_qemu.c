/* A QEMU that was taken over by its guest speaks with its worker, in the real jail of the real
 * daemon, and lies (hostile_qemu.py): what it says costs its own VM, which ends in a state that is
 * true and can be deleted; the daemon, other VMs and the disks are what they were. Needs root: the
 * program has to lie below /usr, which is all that a jail has to execute. */
#include "tests/lib/rig.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "tests/lib/proc.h"
#include "vmmd/worker/flood.h"

#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define VMS     "/api/v1/vms"
#define SOON_MS 20000
#define DISK    1048576

/* As LIES in hostile_qemu.py has them. */
enum lie {
    NONE,
    GREETS_WITH_GARBAGE,
    SAYS_THAT_IT_HAS_ENDED,
    FLOODS,
    NEVER_ANSWERS,
    HAS_A_DISK_WITHOUT_END,
    HAS_MEMORY_WITHOUT_END,
    WRITES_GARBAGE_FOR_ITS_MEMORY,
    GOES_MAD
};

static struct rig rig;
static char program[64], option[80];

static void copy(const char *from, const char *to)
{
    CLEANUP(mem_freep) char *line = str_format("install -m 755 '%s' '%s'", from, to);

    assert_int_equal(system(line), 0);
}

static char *spec_of(const char *name, enum lie lie)
{
    return str_format(
        "{\"name\":\"%s\",\"machine\":\"pc\",\"accel\":\"tcg\",\"memory_bytes\":%u,\"nics\":[],"
        "\"video\":{\"model\":\"none\"},\"pointer\":\"mouse\",\"rng\":false,\"shutdown_timeout_s\":"
        "3,"
        "\"disks\":[{\"size_bytes\":%d,\"format\":\"raw\",\"pool\":\"main\"}]}",
        name, (64u << 20) + ((unsigned)lie << 21), DISK);
}

static void create(const char *name, enum lie lie)
{
    CLEANUP(mem_freep) char *spec = spec_of(name, lie);

    json_decref(rig_do(&rig, "POST", VMS, spec, 201));
}

static bool is_nothing_but_zeroes(const char *path)
{
    CLEANUP(mem_freep) char *data = mem_alloc(DISK + 1);
    CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);

    return fd >= 0 && read(fd, data, DISK + 1) == DISK && data[0] == 0 &&
           memcmp(data, data + 1, DISK - 1) == 0;
}

/* Its size is the one that it was made with, and so is what lies in it. */
static void expect_disk(const char *name)
{
    CLEANUP(mem_freep) char *path = str_format(VMS "/%s", name);
    CLEANUP(mem_freep) char *pattern = str_format("%s/main/*/*.raw", rig.dir);
    CLEANUP(json_decrefp) json_t *vm = rig_do(&rig, "GET", path, NULL, 200);
    const json_t *disk = json_array_get(json_object_get(vm, "disks"), 0);
    glob_t found;

    assert_int_equal(json_get_u64(disk, "size_bytes", 0), DISK);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 2); /* the other VM's, too */
    for (size_t i = 0; i < found.gl_pathc; i++)
        assert_true(is_nothing_but_zeroes(found.gl_pathv[i]));
    globfree(&found);
}

static void delete_it(const char *name)
{
    CLEANUP(mem_freep) char *path = str_format(VMS "/%s", name);

    json_decref(rig_do(&rig, "DELETE", path, NULL, 200));
}

/* What an operation that must fail says; the caller's. */
static char *refused(const char *method, const char *path, const char *body)
{
    int status;
    CLEANUP(json_decrefp) json_t *reply = rig_call(&rig, method, path, body, &status);
    const char *detail = json_get_text(reply, "detail");

    if (!detail)
        detail = json_get_text(json_object_get(reply, "error"), "detail");
    if (!detail)
        fail_msg("%s %s was not refused: %d", method, path, status);
    print_message("%d: %s\n", status, detail);
    return str_dup(detail);
}

static int set_up(void **state)
{
    CLEANUP(mem_freep)
    char *script = str_format("%s/tests/integration/hostile_qemu.py", getenv("VMMD_SRC"));

    snprintf(program, sizeof program, "/usr/local/bin/vmmd-test-liar-%d", (int)getpid());
    snprintf(option, sizeof option, "qemu = %s\n", program);
    copy(script, program);
    rig.more = option;
    rig_make(&rig, 0);
    create("honest", NONE);
    rig_act(&rig, "honest", "start");
    return 0;
}

static int tear_down(void **state)
{
    rig_remove(&rig);
    unlink(program);
    return 0;
}

static void a_greeting_of_garbage_ends_the_start(void **state)
{
    CLEANUP(mem_freep) char *why = NULL;

    create("liar", GREETS_WITH_GARBAGE);
    why = refused("POST", VMS "/liar/actions/start", NULL);
    assert_non_null(strstr(why, "does not speak QMP"));
    expect_disk("liar");
    delete_it("liar");
}

static void one_that_goes_mad_is_ended_and_said_to_have_been(void **state)
{
    CLEANUP(mem_freep) char *why = NULL;
    CLEANUP(json_decrefp) json_t *vm = NULL;
    const char *told;

    create("liar", GOES_MAD);
    rig_act(&rig, "liar", "start");
    why = refused("POST", VMS "/liar/actions/pause", NULL);
    rig_await(&rig, "liar", "crashed", "signal", SOON_MS);
    vm = rig_do(&rig, "GET", VMS "/liar", NULL, 200);
    told = json_get_text(json_object_get(vm, "run"), "detail");
    assert_non_null(strstr(told, "does not speak QMP"));
    delete_it("liar");
}

/* It speaks as if it were its worker; then it does end, and that is told as it was. */
static void nobody_believes_an_end_that_was_none(void **state)
{
    uint64_t at = 0;

    create("liar", SAYS_THAT_IT_HAS_ENDED);
    rig_act(&rig, "liar", "start");
    rig_expect(&rig, "liar", &at, "I live", SOON_MS);
    rig_act(&rig, "liar", "pause"); /* what it said before has been read by then */
    rig_await(&rig, "liar", "paused", "user", SOON_MS);
    json_decref(rig_send(&rig, "POST", VMS "/liar/actions/resume", NULL, NULL, &(int){0}));
    rig_await(&rig, "liar", "crashed", "exit", SOON_MS);
    expect_disk("liar");
    delete_it("liar");
}

static unsigned long resident_kib(pid_t pid)
{
    char text[64] = "0";

    (void)proc_status(pid, "VmRSS", text, sizeof text);
    return strtoul(text, NULL, 10);
}

/* How often main has recorded a change of the VM's state. */
static unsigned changes_of(const char *name)
{
    CLEANUP(mem_freep) char *id = rig_text(&rig, name, "id");
    CLEANUP(json_decrefp)
    json_t *list = rig_do(&rig, "GET",
                          "/api/v1/events?after=0&types=vm.state&wait=0&page_size=1000", NULL, 200);
    unsigned n = 0;
    json_t *event;
    size_t i;

    json_array_foreach (json_object_get(list, "items"), i, event)
        n += str_eq(json_get_text(json_object_get(event, "object"), "id"), id);
    return n;
}

static void a_flood_costs_its_own_vm_alone(void **state)
{
    pid_t main_pid = rig_child(&rig, "vmmd-main");
    unsigned long before_kib = resident_kib(main_pid);
    int64_t began_ms = clock_mono_ms(), took_ms;
    unsigned changes;

    create("liar", FLOODS);
    json_decref(rig_send(&rig, "POST", VMS "/liar/actions/start", NULL, NULL, &(int){0}));
    for (unsigned i = 0; i < 5; i++) { /* the other VM does what it is told */
        rig_act(&rig, "honest", "pause");
        rig_act(&rig, "honest", "resume");
        (void)poll(NULL, 0, 300);
    }
    rig_act(&rig, "liar", "stop");
    changes = changes_of("liar");
    took_ms = clock_mono_ms() - began_ms;
    print_message("%u changes in %lld ms; main grew from %lu to %lu KiB\n", changes,
                  (long long)took_ms, before_kib, resident_kib(main_pid));
    assert_in_range(changes, 3, FLOOD_STATES + FLOOD_STATES_PER_S * took_ms / 1000 + 50);
    assert_true(resident_kib(main_pid) < before_kib + (64u << 10));
    rig_await(&rig, "liar", "off", "user", SOON_MS);
    expect_disk("liar");
    delete_it("liar");
}

static void one_that_never_answers_can_be_ended(void **state)
{
    CLEANUP(mem_freep) char *why = NULL;

    create("liar", NEVER_ANSWERS);
    rig_act(&rig, "liar", "start");
    why = refused("POST", VMS "/liar/actions/pause", NULL);
    assert_non_null(strstr(why, "did not answer"));
    rig_act(&rig, "liar", "stop");
    rig_await(&rig, "liar", "off", "user", SOON_MS);
    expect_disk("liar");
    delete_it("liar");
}

static void a_disk_is_not_as_large_as_it_says(void **state)
{
    CLEANUP(mem_freep) char *why = NULL, *disk = NULL, *path = NULL;
    CLEANUP(json_decrefp) json_t *vm = NULL;

    create("liar", HAS_A_DISK_WITHOUT_END);
    rig_act(&rig, "liar", "start");
    vm = rig_do(&rig, "GET", VMS "/liar", NULL, 200);
    disk = str_dup(json_get_text(json_array_get(json_object_get(vm, "disks"), 0), "id"));
    path = str_format("/api/v1/disks/%s/actions/grow", disk);
    why = refused("POST", path, "{\"size_bytes\":2097152}");
    assert_non_null(strstr(why, "9223372036854775807"));
    expect_disk("liar");
    rig_act(&rig, "liar", "stop");
    delete_it("liar");
}

static void no_more_memory_is_written_than_it_was_given(void **state)
{
    CLEANUP(mem_freep) char *why = NULL;

    create("liar", HAS_MEMORY_WITHOUT_END);
    rig_act(&rig, "liar", "start");
    why = refused("POST", VMS "/liar/actions/save", NULL);
    assert_non_null(strstr(why, "1099511627776"));
    rig_await(&rig, "liar", "running", NULL, SOON_MS);
    rig_act(&rig, "liar", "stop");
    delete_it("liar");
}

static void garbage_does_not_become_a_saved_guest(void **state)
{
    CLEANUP(mem_freep) char *why = NULL;

    create("liar", WRITES_GARBAGE_FOR_ITS_MEMORY);
    rig_act(&rig, "liar", "start");
    why = refused("POST", VMS "/liar/actions/save", NULL);
    rig_await(&rig, "liar", "running", NULL, SOON_MS);
    rig_act(&rig, "liar", "stop");
    rig_await(&rig, "liar", "off", "user", SOON_MS);
    expect_disk("liar");
    delete_it("liar");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_greeting_of_garbage_ends_the_start),
        cmocka_unit_test(one_that_goes_mad_is_ended_and_said_to_have_been),
        cmocka_unit_test(nobody_believes_an_end_that_was_none),
        cmocka_unit_test(a_flood_costs_its_own_vm_alone),
        cmocka_unit_test(one_that_never_answers_can_be_ended),
        cmocka_unit_test(a_disk_is_not_as_large_as_it_says),
        cmocka_unit_test(no_more_memory_is_written_than_it_was_given),
        cmocka_unit_test(garbage_does_not_become_a_saved_guest),
    };
    const char *why = "the program that lies goes below /usr, which needs root";

    if (geteuid() != 0 || !rig_possible_bare(&why)) {
        print_message("[  SKIPPED ] integration/hostile_qemu: %s\n", why);
        return 0;
    }
    return cmocka_run_group_tests_name("integration/hostile_qemu", tests, set_up, tear_down);
}
