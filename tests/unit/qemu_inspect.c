/* vmmd-inspect as main starts it: what it says arrives, it has nothing but the one file, and
 * without it nothing is believed. */
#include "tests/lib/harness.h"

#include "backends/qemu/qemu.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/port/image.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void use(const char *program)
{
    const char *bin = getenv("VMMD_BIN") ? getenv("VMMD_BIN") : "build/dev";
    CLEANUP(mem_freep) char *path = str_format("%s/%s", bin, program);

    image_inspect_init(path);
}

static int image_make(enum disk_format format, const char *parent)
{
    const struct image_parent below = {parent, DISK_RAW};
    int fd = memfd_create("image", MFD_CLOEXEC);
    struct err err = {0};

    assert_true(fd >= 0);
    assert_true(image_create(fd, format, 1 << 20, parent ? &below : NULL, &err));
    return fd;
}

#ifndef VMMD_TSAN /* it may make too few calls for the thread sanitizer to live */
static void an_image_is_told(void **state)
{
    CLEANUP(closep) int fd = image_make(DISK_QCOW2, "../../etc/passwd");
    struct image_facts facts;
    struct err err = {0};

    use("vmmd-inspect");
    if (!image_inspect(fd, IMAGE_UNKNOWN, &facts, &err))
        fail_msg("%s", err.detail);
    assert_int_equal(facts.format, IMAGE_QCOW2);
    assert_int_equal(facts.virtual_bytes, 1 << 20);
    assert_true(facts.has_backing);
    assert_string_equal(facts.backing, "../../etc/passwd");
    assert_int_equal(facts.backing_format, IMAGE_RAW);
}

/* A copy is made of whole pieces, whatever little is in each. */
static void what_a_raw_image_holds_is_counted_by_pieces(void **state)
{
    static const off_t places[] = {0, 65535, 4 << 16, (4 << 16) + 8192, 9 << 16, (16 << 16) - 1};
    CLEANUP(closep) int fd = image_make(DISK_RAW, NULL);
    struct image_facts facts;
    struct err err = {0};

    use("vmmd-inspect");
    assert_true(image_inspect(fd, IMAGE_RAW, &facts, &err));
    assert_int_equal(facts.data_bytes, 0);
    for (size_t i = 0; i < ARRAY_LEN(places); i++)
        assert_int_equal(pwrite(fd, "x", 1, places[i]), 1);
    assert_true(image_inspect(fd, IMAGE_RAW, &facts, &err));
    assert_true(facts.is_plain);
    assert_int_equal(facts.data_bytes, 4 << 16);
}

static void a_refusal_has_its_sentence(void **state)
{
    CLEANUP(closep) int fd = image_make(DISK_RAW, NULL);
    struct image_facts facts;
    struct err err = {0};

    use("vmmd-inspect");
    assert_false(image_inspect(fd, IMAGE_VHDX, &facts, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_string_equal(err.detail, "the file is no vhdx image");
}
#endif

static void only_a_file_is_looked_into(void **state)
{
    struct image_facts facts;
    struct err err = {0};
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    assert_false(image_inspect(ends[0], IMAGE_UNKNOWN, &facts, &err));
    assert_int_equal(err.code, ERR_INVALID);
    close(ends[0]);
    close(ends[1]);
}

/* Whatever stands in its place, or is killed there: nothing is known of the image then. */
static void without_a_report_nothing_is_known(void **state)
{
    CLEANUP(closep) int fd = image_make(DISK_RAW, NULL);
    struct image_facts facts;
    struct err err = {0};

    image_inspect_init("/bin/true");
    assert_false(image_inspect(fd, IMAGE_RAW, &facts, &err));
    assert_int_equal(err.code, ERR_INVALID);
    err = (struct err){0};
    use("no-such-program");
    assert_false(image_inspect(fd, IMAGE_RAW, &facts, &err));
    assert_int_equal(err.code, ERR_INTERNAL);
    image_inspect_init(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifndef VMMD_TSAN
        cmocka_unit_test(an_image_is_told),
        cmocka_unit_test(what_a_raw_image_holds_is_counted_by_pieces),
        cmocka_unit_test(a_refusal_has_its_sentence),
#endif
        cmocka_unit_test(only_a_file_is_looked_into),
        cmocka_unit_test(without_a_report_nothing_is_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
