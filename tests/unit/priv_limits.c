/* What the kernel can limit guests in, and what is written to it: a tree of files in place of the
 * kernel's, since a host has controllers in one version only. */
#include "tests/lib/harness.h"

#include "backends/qemu/limits.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "vmmd/priv/hierarchy.h"
#include "vmmd/priv/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HYBRID                                                                                     \
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"                          \
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"         \
    "34 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"                            \
    "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:4 master:1 - cgroup2 cgroup2 rw\n"

static const struct uuid vm = {{1, 2, 3, 4}};
static const struct priv_limits all = {.cpu_weight = 200,
                                       .cpu_percent = 150,
                                       .io_weight = 5000,
                                       .pids = 600,
                                       .memory_bytes = 640ull << 20};

/* ---- where ---- */

static void a_controller_is_found_in_the_hierarchy_that_has_it(void **state)
{
    char at[64];

    assert_true(hierarchy_find(HYBRID, "cpu", at, sizeof at));
    assert_string_equal(at, "/sys/fs/cgroup/cpu,cpuacct");
    assert_true(hierarchy_find(HYBRID, "cpuset", at, sizeof at));
    assert_string_equal(at, "/sys/fs/cgroup/cpuset");
    assert_true(hierarchy_find(HYBRID, NULL, at, sizeof at));
    assert_string_equal(at, "/sys/fs/cgroup/unified");
    assert_false(hierarchy_find(HYBRID, "memory", at, sizeof at));
    assert_false(hierarchy_find(HYBRID, "cp", at, sizeof at));
    assert_string_equal(at, "");
}

static void what_is_no_mount_is_not_found(void **state)
{
    char at[16];

    assert_false(hierarchy_find("", NULL, at, sizeof at));
    assert_false(hierarchy_find("1 2 3 - cgroup2 x rw\n", NULL, at, sizeof at));
    assert_false(hierarchy_find("1 2 3 / /a\\040b rw - cgroup2 x rw\n", NULL, at, sizeof at));
    assert_false(hierarchy_find("1 2 3 / /much/too/long/for/it rw - cgroup2 x rw\n", NULL, at, 8));
    assert_false(hierarchy_find("1 2 3 / /x rw - cgroup cgroup", "cpu", at, sizeof at));
}

/* ---- what there is ---- */

static void write_file(const char *dir, const char *name)
{
    CLEANUP(mem_freep) char *path = str_format("%s/%s", dir, name);
    CLEANUP(closep) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
}

static void make(const char *dir, const char *below, const char *const *files)
{
    CLEANUP(mem_freep) char *path = str_format("%s/%s", dir, below);
    struct err err = {0};

    assert_true(fs_mkdirs(path, 0755, &err));
    for (; *files; files++)
        write_file(path, *files);
}

static void assert_file(const char *dir, const char *name, const char *text)
{
    CLEANUP(mem_freep) char *path = str_format("%s/%s", dir, name);
    CLEANUP(mem_freep) char *found = NULL;
    CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct err err = {0};

    assert_true(fd >= 0 && fs_read_all(fd, 4096, &found, NULL, &err));
    assert_string_equal(found, text);
}

static const char *const v2_files[] = {"cpu.weight", "cpu.max",       "memory.high", "memory.max",
                                       "pids.max",   "io.bfq.weight", NULL};
static const char *const control[] = {"cgroup.subtree_control", NULL};

/* A tree of its own for a test. */
struct tree {
    char *dir, *base_path, *mounts;
    int base;
    struct limits l;
};

static void tree_make(struct tree *t, const char *type)
{
    t->dir = tmp_dir_make();
    t->base_path = str_format("%s/base", t->dir);
    t->mounts = str_format("41 31 0:38 / %s rw,relatime - %s", t->dir, type);
    make(t->base_path, "", control);
    t->base = open(t->base_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(t->base >= 0);
}

static void tree_remove(struct tree *t)
{
    limits_close(&t->l, false);
    close(t->base);
    free(t->base_path);
    free(t->mounts);
    tmp_dir_remove(t->dir);
}

/* The look makes a group itself and a plain directory gets no files by itself, so it finds one
 * that is there already. */
static void the_second_version_has_all_controllers(void **state)
{
    struct tree t;
    struct err err = {0};
    int leaf, guest;

    tree_make(&t, "cgroup2 cgroup2 rw\n");
    make(t.base_path, "probe", v2_files);
    make(t.base_path, "vm-3", control);
    make(t.base_path, "vm-3/guest", v2_files);
    limits_open(&t.l, t.base, t.mounts, "base");
    for (unsigned i = 0; i < PRIV_LIMITS; i++)
        assert_int_equal(t.l.way[i], PRIV_LIMIT_V2);
    leaf = openat(t.base, "vm-3", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    guest = openat(t.base, "vm-3/guest", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(limits_reach(&t.l, leaf, &err));
    assert_file(t.base_path, "vm-3/cgroup.subtree_control", "+cpu +memory +io +pids");
    assert_true(limits_set(&t.l, guest, &vm, &all, &err));
    assert_file(t.base_path, "vm-3/guest/cpu.weight", "200");
    assert_file(t.base_path, "vm-3/guest/cpu.max", "150000 100000");
    assert_file(t.base_path, "vm-3/guest/memory.max", "671088640");
    assert_file(t.base_path, "vm-3/guest/memory.high", "650117120");
    assert_file(t.base_path, "vm-3/guest/pids.max", "600");
    assert_file(t.base_path, "vm-3/guest/io.bfq.weight", "545");
    close(leaf);
    close(guest);
    tree_remove(&t);
}

static uint64_t number_in(int dir, const char *name)
{
    char text[32] = "";
    CLEANUP(closep) int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0 && read(fd, text, sizeof text - 1) > 0);
    return strtoull(text, NULL, 10);
}

/* With all its memory in use, and what QEMU takes for it, a guest of any size is not slowed down.
 */
static void a_guest_may_use_all_its_memory_at_full_speed(void **state)
{
    struct vm_spec spec = {.vcpus = 1, .video = {.model = VIDEO_NONE}};
    struct priv_limits wanted = {0};
    struct tree t;
    struct err err = {0};
    int guest;

    tree_make(&t, "cgroup2 cgroup2 rw\n");
    make(t.base_path, "probe", v2_files);
    limits_open(&t.l, t.base, t.mounts, "base");
    for (uint64_t bytes = 1ull << 30; bytes <= 4ull << 40; bytes *= 2) {
        CLEANUP(mem_freep) char *name = str_format("guest-%" PRIu64, bytes >> 30);
        make(t.base_path, name, v2_files);
        guest = openat(t.base, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        spec.memory_bytes = bytes;
        wanted.memory_bytes = limits_of(&spec, VM_ACCEL_KVM).memory_bytes;
        assert_true(limits_set(&t.l, guest, &vm, &wanted, &err));
        assert_true(number_in(guest, "memory.high") >= bytes + bytes / 200 + (64ull << 20));
        assert_true(number_in(guest, "memory.high") < number_in(guest, "memory.max"));
        close(guest);
    }
    tree_remove(&t);
}

/* BFQ reads a file of its own, other schedulers the common one. */
static void a_disks_share_is_written_for_every_scheduler(void **state)
{
    static const char *const both[] = {"io.weight", "io.bfq.weight", NULL};
    struct tree t;
    struct err err = {0};
    int guest;

    tree_make(&t, "cgroup2 cgroup2 rw\n");
    make(t.base_path, "probe", both);
    limits_open(&t.l, t.base, t.mounts, "base");
    assert_int_equal(t.l.way[PRIV_LIMIT_IO], PRIV_LIMIT_V2);
    guest = openat(t.base, "probe", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(limits_set(&t.l, guest, &vm, &all, &err));
    assert_file(t.base_path, "probe/io.weight", "5000");
    assert_file(t.base_path, "probe/io.bfq.weight", "545");
    close(guest);
    tree_remove(&t);
}

/* As the kernel of v1 does with what is more than the group above has. */
static void what_the_kernel_finds_too_much_is_said_to_be(void **state)
{
    static const char *const files[] = {"cpu.weight", NULL};
    CLEANUP(mem_freep) char *link = NULL;
    struct tree t;
    struct err err = {0};
    int guest;

    tree_make(&t, "cgroup2 cgroup2 rw\n");
    make(t.base_path, "probe", files);
    link = str_format("%s/probe/cpu.max", t.base_path);
    assert_int_equal(symlink("/proc/self/oom_score_adj", link), 0); /* takes one number only */
    limits_open(&t.l, t.base, t.mounts, "base");
    guest = openat(t.base, "probe", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_false(limits_set(&t.l, guest, &vm, &all, &err));
    assert_int_equal(err.code, ERR_UNSUPPORTED);
    assert_non_null(strstr(err.detail, "cpu.max: the group that vmmd lives in allows less"));
    close(guest);
    tree_remove(&t);
}

static void no_limit_is_written_as_one(void **state)
{
    static const struct priv_limits nothing;
    struct tree t;
    struct err err = {0};

    tree_make(&t, "cgroup2 cgroup2 rw\n");
    make(t.base_path, "probe", v2_files);
    limits_open(&t.l, t.base, t.mounts, "base");
    make(t.base_path, "guest", v2_files);
    int guest = openat(t.base, "guest", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(limits_set(&t.l, guest, &vm, &nothing, &err));
    assert_file(t.base_path, "guest/cpu.weight", "100");
    assert_file(t.base_path, "guest/cpu.max", "max 100000");
    assert_file(t.base_path, "guest/memory.max", "");
    assert_file(t.base_path, "guest/memory.high", "");
    assert_file(t.base_path, "guest/pids.max", "max");
    close(guest);
    tree_remove(&t);
}

static void what_no_version_has_is_left_out(void **state)
{
    static const char *const some[] = {"cpu.max", "memory.high", "memory.max", NULL};
    struct tree t;
    struct err err = {0};
    int guest;

    tree_make(&t, "cgroup2 cgroup2 rw\n");
    make(t.base_path, "probe", some); /* cpu.weight is missing, so there is no cpu */
    limits_open(&t.l, t.base, t.mounts, "base");
    assert_int_equal(t.l.way[PRIV_LIMIT_CPU], PRIV_LIMIT_NONE);
    assert_int_equal(t.l.way[PRIV_LIMIT_MEMORY], PRIV_LIMIT_V2);
    assert_int_equal(t.l.way[PRIV_LIMIT_IO], PRIV_LIMIT_NONE);
    assert_int_equal(t.l.way[PRIV_LIMIT_PIDS], PRIV_LIMIT_NONE);
    guest = openat(t.base, "probe", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(limits_set(&t.l, guest, &vm, &all, &err));
    assert_file(t.base_path, "probe/memory.max", "671088640");
    assert_file(t.base_path, "probe/cpu.max", "");
    close(guest);
    tree_remove(&t);
}

static void the_first_version_serves_where_the_second_has_none(void **state)
{
    static const char *const files[] = {"cpu.shares", "cpu.cfs_quota_us", NULL};
    CLEANUP(mem_freep) char *folder = str_format("vm-%s", UUID_STR(&vm));
    CLEANUP(mem_freep) char *shares = str_format("%s/cpu.shares", folder);
    CLEANUP(mem_freep) char *quota = str_format("%s/cpu.cfs_quota_us", folder);
    struct priv_limits wanted = all;
    struct tree t;
    struct err err = {0};

    tree_make(&t, "cgroup cgroup rw,cpu,cpuacct\n");
    make(t.base_path, "probe", files);
    make(t.base_path, folder, files);
    limits_open(&t.l, -1, t.mounts, "base");
    assert_int_equal(t.l.way[PRIV_LIMIT_CPU], PRIV_LIMIT_V1);
    assert_int_equal(t.l.way[PRIV_LIMIT_MEMORY], PRIV_LIMIT_NONE);
    assert_true(limits_set(&t.l, -1, &vm, &wanted, &err));
    assert_file(t.base_path, shares, "2048");
    assert_file(t.base_path, quota, "150000");
    assert_false(limits_set(&t.l, -1, &(struct uuid){{9}}, &wanted, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    tree_remove(&t);
}

static void a_limit_out_of_its_range_is_refused(void **state)
{
    static const struct priv_limits bad[] = {
        {.cpu_weight = 10001},
        {.cpu_percent = 100001},
        {.io_weight = 10001},
        {.pids = 15},
        {.pids = (1u << 20) + 1},
        {.memory_bytes = 1},
        {.memory_bytes = (16ull << 20) - 1},
        {.memory_bytes = (1ull << 50) + 1},
    };
    struct err err = {0};

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(limits_check(&bad[i], &err));
        assert_int_equal(err.code, ERR_INVALID);
    }
    assert_true(limits_check(&all, &err));
    assert_true(limits_check(&(struct priv_limits){0}, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_controller_is_found_in_the_hierarchy_that_has_it),
        cmocka_unit_test(what_is_no_mount_is_not_found),
        cmocka_unit_test(the_second_version_has_all_controllers),
        cmocka_unit_test(a_guest_may_use_all_its_memory_at_full_speed),
        cmocka_unit_test(a_disks_share_is_written_for_every_scheduler),
        cmocka_unit_test(what_the_kernel_finds_too_much_is_said_to_be),
        cmocka_unit_test(no_limit_is_written_as_one),
        cmocka_unit_test(what_no_version_has_is_left_out),
        cmocka_unit_test(the_first_version_serves_where_the_second_has_none),
        cmocka_unit_test(a_limit_out_of_its_range_is_refused),
    };

    return cmocka_run_group_tests_name("unit/priv_limits", tests, NULL, NULL);
}
