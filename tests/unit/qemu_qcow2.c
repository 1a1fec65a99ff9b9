/* Empty qcow2 images, judged by qemu-img and qemu-io: what they check, read and write is theirs. */
#include "tests/lib/harness.h"

#include "backends/qemu/qcow2.h"
#include "core/base/fs.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB (1ull << 20)
#define TIB (1ull << 40)

static char *dir;

static int setup(void **state)
{
    dir = tmp_dir_make();
    return 0;
}

static int teardown(void **state)
{
    tmp_dir_remove(dir);
    return 0;
}

static void make(const char *name, uint64_t size, const char *parent, enum disk_format format)
{
    const struct image_parent below = {parent, format};
    CLEANUP(mem_freep) char *path = str_format("%s/%s", dir, name);
    CLEANUP(closep) int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct err err = {0};

    assert_true(fd >= 0);
    assert_true(image_create(fd, DISK_QCOW2, size, parent ? &below : NULL, &err));
}

/* What a program says; its exit code must be 0. */
static char *say(const char *line)
{
    CLEANUP(mem_freep) char *in = str_format("cd '%s' && %s 2>&1", dir, line);
    FILE *out = popen(in, "re");
    char *text = NULL;
    struct err err = {0};

    assert_non_null(out);
    assert_true(fs_read_all(fileno(out), 1 << 20, &text, NULL, &err));
    if (pclose(out) != 0)
        fail_msg("%s: %s", line, text);
    return text;
}

static json_t *info(const char *name)
{
    CLEANUP(mem_freep) char *line = str_format("qemu-img info --output=json %s", name);
    CLEANUP(mem_freep) char *text = say(line);
    json_t *json = json_loads(text, 0, NULL);

    assert_non_null(json);
    return json;
}

static void of_every_size(void **state)
{
    static const uint64_t sizes[] = {MIB,           MIB + 512, 512 * MIB, 512 * MIB + 512,
                                     20480 * MIB,   4 * TIB, /* the L1 table fills its cluster … */
                                     4 * TIB + 512,          /* … and needs one more */
                                     64 * TIB};

    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        make("a", sizes[i], NULL, DISK_RAW);
        CLEANUP(mem_freep) char *checked = say("qemu-img check -q -f qcow2 a");
        CLEANUP(json_decrefp) json_t *seen = info("a");
        assert_string_equal(checked, "");
        assert_int_equal(json_integer_value(json_object_get(seen, "virtual-size")), sizes[i]);
        assert_string_equal(json_get_text(seen, "format"), "qcow2");
    }
}

static void as_small_as_those_of_qemu_img(void **state)
{
    CLEANUP(mem_freep) char *made = say("qemu-img create -q -f qcow2 theirs 64T");
    CLEANUP(mem_freep) char *ours = str_format("%s/ours", dir);
    CLEANUP(mem_freep) char *theirs = str_format("%s/theirs", dir);
    struct stat a, b;

    make("ours", 64 * TIB, NULL, DISK_RAW);
    assert_int_equal(stat(ours, &a), 0);
    assert_int_equal(stat(theirs, &b), 0);
    assert_true(a.st_size <= b.st_size);
    assert_true(a.st_blocks <= 64);
}

static void an_overlay_shows_what_lies_below_and_keeps_what_is_written(void **state)
{
    CLEANUP(mem_freep)
    char *base = say("qemu-img create -q -f raw base.raw 8M && "
                     "qemu-io -f raw -c 'write -P 7 0 8M' base.raw >/dev/null");
    CLEANUP(json_decrefp) json_t *top = NULL;

    make("one.qcow2", 8 * MIB, "base.raw", DISK_RAW);
    make("two.qcow2", 8 * MIB, "one.qcow2", DISK_QCOW2);
    CLEANUP(mem_freep)
    char *worked = say("qemu-io -f qcow2 -c 'write -P 9 1M 64k' one.qcow2 > /dev/null && "
                       "qemu-io -f qcow2 -c 'write -P 5 3M 1M' two.qcow2 > /dev/null && "
                       "qemu-img check -q one.qcow2 && qemu-img check -q two.qcow2 && "
                       "qemu-io -f qcow2 -c 'read -P 7 0 1M' -c 'read -P 9 1M 64k' "
                       "-c 'read -P 5 3M 1M' -c 'read -P 7 4M 4M' two.qcow2");
    assert_null(strstr(worked, "failed"));
    top = info("two.qcow2");
    assert_string_equal(json_get_text(top, "backing-filename"), "one.qcow2");
    assert_string_equal(json_get_text(top, "backing-filename-format"), "qcow2");
}

static void a_full_one_is_sound(void **state)
{
    CLEANUP(mem_freep) char *worked = NULL;

    make("full", 64 * MIB, NULL, DISK_RAW);
    worked = say("qemu-io -f qcow2 -c 'write -P 3 0 64M' full > /dev/null && "
                 "qemu-img check -q -f qcow2 full");
    assert_string_equal(worked, "");
}

static void impossible_sizes_are_refused(void **state)
{
    struct err err = {0};

    assert_false(qcow2_write(-1, 0, NULL, &err));
    assert_int_equal(err.code, ERR_INVALID);
    err = (struct err){0};
    assert_false(qcow2_write(-1, QCOW2_SIZE_MAX + 1, NULL, &err));
    assert_int_equal(err.code, ERR_INVALID);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(of_every_size),
        T(as_small_as_those_of_qemu_img),
        T(an_overlay_shows_what_lies_below_and_keeps_what_is_written),
        T(a_full_one_is_sound),
        T(impossible_sizes_are_refused),
    };

    return cmocka_run_group_tests_name("unit/qemu_qcow2", tests, NULL, NULL);
}
