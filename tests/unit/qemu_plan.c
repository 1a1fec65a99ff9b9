/* Files that lie in memory: what is written to them counts as QEMU's. */
#include "tests/lib/harness.h"

#include "backends/qemu/machine.h"
#include "backends/qemu/plan.h"
#include "core/base/fs.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

static int in_memory(void)
{
    int fd = memfd_create("disk", MFD_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

/* On no tmpfs, wherever the tests lie. */
static int on_a_disk(void)
{
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

static struct plan_disk disk(int fds[2])
{
    return (struct plan_disk){.fds = fds, .n_fds = 2};
}

static bool lies_in_memory(int leaf, int base, bool leaf_stays_empty)
{
    int fds[] = {leaf, base};
    struct plan_disk d = disk(fds);
    const struct machine_plan plan = {.disks = &d, .n_disks = 1, MACHINE_PLAN_NO_FDS};
    bool yes;

    d.leaf_stays_empty = leaf_stays_empty;
    yes = plan_is_in_memory(&plan);
    plan_close(&plan, false);
    return yes;
}

static void every_file_is_looked_at(void **state)
{
    assert_false(lies_in_memory(on_a_disk(), on_a_disk(), false));
    assert_true(lies_in_memory(in_memory(), on_a_disk(), false));
    assert_true(lies_in_memory(on_a_disk(), in_memory(), false));
}

/* Above a stranger's image there is one at times: its reader has a limit all the same. */
static void a_leaf_that_stays_empty_does_not_count(void **state)
{
    assert_false(lies_in_memory(in_memory(), on_a_disk(), true));
    assert_true(lies_in_memory(in_memory(), in_memory(), true));
}

static void one_that_must_be_limited_does_not_start(void **state)
{
    const struct machine_owner owner = {0};
    struct vm_spec spec = {.vcpus = 1, .memory_bytes = 16 << 20, .require_limits = true};
    int fds[] = {in_memory(), on_a_disk()};
    struct plan_disk d = disk(fds);
    const struct machine_plan plan = {
        .spec = &spec, .disks = &d, .n_disks = 1, MACHINE_PLAN_NO_FDS};
    struct machine *machine = NULL;
    struct err err = {0};

    assert_false(machine_launch(&plan, &owner, &machine, &err));
    assert_null(machine);
    assert_int_equal(err.code, ERR_UNSUPPORTED);
    assert_string_equal(err.field, "/require_limits");
    assert_int_equal(fds[0], -1); /* taken, whatever came out */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file_is_looked_at),
        cmocka_unit_test(a_leaf_that_stays_empty_does_not_count),
        cmocka_unit_test(one_that_must_be_limited_does_not_start),
    };

    return cmocka_run_group_tests_name("unit/qemu_plan", tests, NULL, NULL);
}
