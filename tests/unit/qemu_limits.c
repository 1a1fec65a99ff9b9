/* What a QEMU may take of its host: never less than what it needs. */
#include "tests/lib/harness.h"

#include "backends/qemu/limits.h"

#define MIB (1ull << 20)

static struct vm_spec plain(void)
{
    return (struct vm_spec){.vcpus = 1, .memory_bytes = 1024 * MIB, .video = {.heads = 1}};
}

static void memory_has_room_for_what_qemu_needs(void **state)
{
    struct vm_spec spec = plain(), more = plain();

    /* At least 128 MiB and 3 % beside the guest's memory. */
    assert_true(limits_of(&spec, VM_ACCEL_KVM).memory_bytes >= (1024 + 128 + 30) * MIB);
    assert_true(limits_of(&spec, VM_ACCEL_KVM).memory_bytes <= (1024 + 768) * MIB);
    /* As much again as translated code may take. */
    assert_int_equal(limits_of(&spec, VM_ACCEL_TCG).memory_bytes -
                         limits_of(&spec, VM_ACCEL_KVM).memory_bytes,
                     256 * MIB);
    more.n_disks = 2;
    more.video = (struct vm_video){.model = VIDEO_VIRTIO, .heads = 2};
    more.cpu.max_vcpus = 16;
    assert_true(limits_of(&more, VM_ACCEL_KVM).memory_bytes >=
                limits_of(&spec, VM_ACCEL_KVM).memory_bytes + 2 * 64 * MIB);
    more = plain();
    more.limits.memory_extra_bytes = 5 * MIB;
    assert_int_equal(limits_of(&more, VM_ACCEL_KVM).memory_bytes -
                         limits_of(&spec, VM_ACCEL_KVM).memory_bytes,
                     5 * MIB);
}

/* Disks come while it runs. */
static void there_is_room_for_disks_that_are_plugged_in(void **state)
{
    struct vm_spec spec = plain(), more = plain();

    more.n_disks = VM_DISKS_MAX;
    assert_in_range(limits_of(&more, VM_ACCEL_KVM).memory_bytes -
                        limits_of(&spec, VM_ACCEL_KVM).memory_bytes,
                    0, 8 * VM_DISKS_MAX * MIB);
}

static uint64_t tables(uint64_t size_bytes, size_t layers)
{
    struct plan_disk disk = {.format = DISK_QCOW2, .size_bytes = size_bytes, .n_fds = layers};
    const struct machine_plan plan = {.disks = &disk, .n_disks = 1, MACHINE_PLAN_NO_FDS};

    return limits_of_tables(&plan);
}

/* QEMU's cache of one has 32 MiB at most, and 8 for a disk of 64 GiB. */
static void the_tables_of_every_layer_have_room(void **state)
{
    for (size_t layers = 1; layers <= 200; layers++) {
        assert_true(tables(64ull << 30, layers) >= layers * 8 * MIB);
        assert_true(tables(64ull << 30, layers) <= (layers + 8) * 9 * MIB);
        assert_true(tables(8ull << 40, layers) >= layers * 32 * MIB);
        assert_true(tables(8ull << 40, layers) <= (layers + 8) * 33 * MIB);
    }
    assert_true(tables(1ull << 30, 1) <= 8 * MIB);
}

static void a_strangers_image_may_have_the_largest_tables(void **state)
{
    struct plan_disk disk = {.size_bytes = MIB, .n_fds = 2, .leaf_stays_empty = true};
    const struct machine_plan plan = {.disks = &disk, .n_disks = 1, MACHINE_PLAN_NO_FDS};

    assert_true(limits_of_tables(&plan) >= 2 * 32 * MIB);
}

static void threads_suffice_unless_the_vm_says_otherwise(void **state)
{
    struct vm_spec spec = plain();

    assert_true(limits_of(&spec, VM_ACCEL_KVM).pids >= 256);
    spec.cpu.max_vcpus = 255;
    assert_true(limits_of(&spec, VM_ACCEL_KVM).pids >= 256 + 255);
    spec.limits.pids = 700;
    assert_int_equal(limits_of(&spec, VM_ACCEL_KVM).pids, 700);
}

static void what_the_vm_says_is_what_is_asked_for(void **state)
{
    struct vm_spec spec = plain();
    struct host_limits l;

    spec.limits = (struct vm_limits){.cpu_weight = 50, .cpu_percent = 150, .io_weight = 700};
    l = limits_of(&spec, VM_ACCEL_KVM);
    assert_int_equal(l.cpu_weight, 50);
    assert_int_equal(l.cpu_percent, 150);
    assert_int_equal(l.io_weight, 700);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_has_room_for_what_qemu_needs),
        cmocka_unit_test(there_is_room_for_disks_that_are_plugged_in),
        cmocka_unit_test(the_tables_of_every_layer_have_room),
        cmocka_unit_test(a_strangers_image_may_have_the_largest_tables),
        cmocka_unit_test(threads_suffice_unless_the_vm_says_otherwise),
        cmocka_unit_test(what_the_vm_says_is_what_is_asked_for),
    };

    return cmocka_run_group_tests_name("unit/qemu_limits", tests, NULL, NULL);
}
