/* Where the kernel counts those it ended for want of memory. */
#include "tests/lib/harness.h"

#include "vmmd/worker/oom.h"

#include <string.h>
#include <unistd.h>

#define V2 "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define HYBRID                                                                                     \
    "29 23 0:25 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"                                \
    "31 23 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"                  \
    "32 23 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"

static void assert_place(const char *cgroup, const char *mountinfo, const char *top,
                         const char *group, const char *file)
{
    struct oom_place place;

    assert_true(oom_find(cgroup, mountinfo, &place));
    assert_string_equal(place.top, top);
    assert_string_equal(place.group, group);
    assert_string_equal(place.file, file);
}

static void one_hierarchy_has_it_in_the_groups_events(void **state)
{
    assert_place("0::/vmm.slice/vmmd-workers.service/vm-3\n", V2, "/sys/fs/cgroup",
                 "/vmm.slice/vmmd-workers.service/vm-3", "memory.events");
    assert_place("0::/\n", V2, "/sys/fs/cgroup", "", "memory.events");
}

static void many_hierarchies_have_it_with_the_memory_controller(void **state)
{
    assert_place("9:cpu,cpuacct:/a\n4:memory:/jobs/b\n0::/vmmd/vm-3\n", HYBRID,
                 "/sys/fs/cgroup/memory", "/jobs/b", "memory.oom_control");
    assert_place("9:cpu,cpuacct:/a\n4:blkio,memory:/\n", HYBRID, "/sys/fs/cgroup/memory", "",
                 "memory.oom_control");
    assert_place("9:cpu,cpuacct:/a\n0::/vmmd/vm-3\n", HYBRID, "/sys/fs/cgroup/unified",
                 "/vmmd/vm-3", "memory.events");
}

static void in_a_container_a_part_of_the_hierarchy_is_mounted(void **state)
{
    assert_place("4:memory:/docker/77/x\n",
                 "32 23 0:28 /docker/77 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
                 "/sys/fs/cgroup/memory", "/x", "memory.oom_control");
}

static bool is_own(const char *cgroup)
{
    struct oom_place place;

    assert_true(oom_find(cgroup, HYBRID, &place));
    return oom_is_own(&place);
}

/* The group of a container, say, has a limit as well, and may have reached it a hundred times. */
static void a_group_that_vmmd_did_not_make_is_not_the_vms(void **state)
{
    assert_true(is_own("0::/vmm.slice/vmmd-workers.service/vm-3-0b5ee8e5/guest\n"));
    assert_true(is_own("4:memory:/vmmd-77/vm-0b5ee8e5-0000-4000-8000-000000000000\n"));
    assert_false(is_own("0::/vmm.slice/vmmd-workers.service/vm-3-0b5ee8e5\n"));
    assert_false(is_own("0::/vmm.slice/vmmd-workers.service\n"));
    assert_false(is_own("0::/guest\n"));
    assert_false(is_own("0::/\n"));
    assert_false(is_own("4:memory:/\n"));
    assert_false(is_own("4:memory:/jobs/b\n"));
    assert_false(is_own("4:memory:/vm-12\n"));
}

/* The test's own group is nobody's VM. */
static void without_a_group_of_its_own_no_limit_was_hit(void **state)
{
    struct oom o = {.fd = -1, .hits = -1};

    oom_watch(&o, getpid());
    assert_int_equal(o.hits, -1);
    assert_false(oom_was_limit(&o));
    assert_false(o.limited);
    oom_close(&o);
}

/* A group of v1 without one says the largest number of pages there is. */
static void a_limit_is_a_number_that_can_be_reached(void **state)
{
    assert_true(oom_is_limit("1073741824\n"));
    assert_true(oom_is_limit("0\n"));
    assert_false(oom_is_limit("max\n"));
    assert_false(oom_is_limit("9223372036854771712\n"));
    assert_false(oom_is_limit(""));
}

static void what_cannot_be_read_is_no_place(void **state)
{
    struct oom_place place;

    assert_false(oom_find("", V2, &place));
    assert_false(oom_find("0::/a\n", "", &place));
    assert_false(oom_find("0:\n0::\nx\n", V2, &place));
    assert_false(
        oom_find("0::/a\n", "30 23 0:26 / x rw - cgroup2 c rw\n29 - cgroup2 c rw\n", &place));
    assert_false(oom_find("4:memory:/a\n", "1 2 3:4 / /x rw - cgroup cgroup rw,cpu\n", &place));
}

static void the_counter_is_found_among_others(void **state)
{
    assert_int_equal(
        oom_parse("low 0\nhigh 0\nmax 9\noom 4\noom_kill 3\noom_group_kill 1\n", "oom_kill"), 3);
    assert_int_equal(oom_parse("oom_kill_disable 1\nunder_oom 0\noom_kill 7", "oom_kill"), 7);
    assert_int_equal(oom_parse("oom_kill_disable 1\n", "oom_kill"), 0);
    assert_int_equal(oom_parse("", "oom_kill"), 0);
    assert_int_equal(oom_parse("low 0\nmax 9\noom 4\noom_kill 3\n", "oom"), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_hierarchy_has_it_in_the_groups_events),
        cmocka_unit_test(many_hierarchies_have_it_with_the_memory_controller),
        cmocka_unit_test(in_a_container_a_part_of_the_hierarchy_is_mounted),
        cmocka_unit_test(a_group_that_vmmd_did_not_make_is_not_the_vms),
        cmocka_unit_test(without_a_group_of_its_own_no_limit_was_hit),
        cmocka_unit_test(a_limit_is_a_number_that_can_be_reached),
        cmocka_unit_test(what_cannot_be_read_is_no_place),
        cmocka_unit_test(the_counter_is_found_among_others),
    };

    return cmocka_run_group_tests_name("unit/worker_oom", tests, NULL, NULL);
}
