/* Empty vhd and vhdx images, judged by qemu-img and qemu-io: what they check, read and write is
 * theirs. */
#include "tests/lib/harness.h"

#include "core/base/fs.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/port/image.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

static bool make(enum disk_format format, uint64_t size)
{
    CLEANUP(mem_freep) char *path = str_format("%s/a", dir);
    CLEANUP(closep) int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct err err = {0};

    assert_true(fd >= 0);
    return image_create(fd, format, size, NULL, &err);
}

/* What a program says; its exit code must be 0. */
static char *say(const char *fmt, const char *driver)
{
    CLEANUP(mem_freep)
    char *line = str_format("cd '%s' && %s -f %s %s 2>&1", dir, fmt, driver, "a");
    FILE *out = popen(line, "re");
    struct err err = {0};
    char *text = NULL;

    assert_non_null(out);
    assert_true(fs_read_all(fileno(out), 1 << 20, &text, NULL, &err));
    if (pclose(out) != 0)
        fail_msg("%s: %s", line, text);
    return text;
}

static void has_size(const char *driver, uint64_t size)
{
    CLEANUP(mem_freep) char *text = say("qemu-img info --output=json", driver);
    CLEANUP(json_decrefp) json_t *seen = json_loads(text, 0, NULL);

    assert_int_equal(json_get_u64(seen, "virtual-size", 0), size);
}

static void of_every_size(void **state)
{
    static const uint64_t sizes[] = {MIB, MIB + 512, 1024 * MIB, 127 * 1024 * MIB + 512,
                                     2040ull << 30};

    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        assert_true(make(DISK_VHD, sizes[i]));
        has_size("vpc", sizes[i]);
        assert_true(make(DISK_VHDX, sizes[i]));
        has_size("vhdx", sizes[i]);
        CLEANUP(mem_freep) char *checked = say("qemu-img check -q", "vhdx");
        assert_string_equal(checked, "");
    }
    assert_true(make(DISK_VHDX, 64 * TIB));
    has_size("vhdx", 64 * TIB);
}

static void what_is_too_large_is_refused(void **state)
{
    assert_false(make(DISK_VHD, (2040ull << 30) + 512));
    assert_false(make(DISK_VHDX, 64 * TIB + 512));
    assert_false(make(DISK_VHDX, 0));
}

static void what_is_written_is_read(void **state)
{
    static const struct {
        enum disk_format format;
        const char *driver;
    } both[] = {{DISK_VHD, "vpc"}, {DISK_VHDX, "vhdx"}};

    for (size_t i = 0; i < ARRAY_LEN(both); i++) {
        assert_true(make(both[i].format, 40 * MIB));
        free(say("qemu-io -c 'write -P 5 1M 9M' -c 'write -P 7 41942528 512'", both[i].driver));
        CLEANUP(mem_freep)
        char *said = say("qemu-io -c 'read -P 5 1M 9M' -c 'read -P 0 10M 20M' "
                         "-c 'read -P 0 0 1M' -c 'read -P 7 41942528 512'",
                         both[i].driver);
        assert_null(strstr(said, "failed"));
        assert_null(strstr(said, "rror"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(of_every_size, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_too_large_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_written_is_read, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
