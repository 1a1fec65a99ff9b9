/* Images packed and expanded by vmmd-pack's own functions: what goes in comes out, with its holes;
 * what is damaged, cut or larger than it may be is refused. */
#include "tests/lib/harness.h"

#include "core/base/fs.h"
#include "vmmd/pack/frame.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE  4096
#define BYTES ((5u << 20) + 100) /* no whole number of pages */

static int plain, packed, again;
static uint64_t told;

static int setup(void **state)
{
    plain = memfd_create("plain", 0);
    packed = memfd_create("packed", 0);
    again = memfd_create("again", 0);
    told = 0;
    return plain < 0 || packed < 0 || again < 0;
}

static int teardown(void **state)
{
    close(plain);
    close(packed);
    close(again);
    return 0;
}

static bool tell(uint64_t bytes, struct err *err)
{
    told += bytes;
    return true;
}

static uint64_t size_of(int fd)
{
    struct stat st;

    assert_int_equal(fstat(fd, &st), 0);
    return (uint64_t)st.st_size;
}

/* Three pages of something, far apart, and the last bytes. */
static void fill(void)
{
    static const off_t places[] = {0, 37 * PAGE, 700 * PAGE, BYTES - 100};
    unsigned char page[PAGE];

    assert_int_equal(ftruncate(plain, BYTES), 0);
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        const size_t len = i == 3 ? 100 : PAGE;
        for (size_t b = 0; b < len; b++)
            page[b] = (unsigned char)(b * 31 + i * 7 + b / 256 + 1);
        assert_int_equal(pwrite(plain, page, len, places[i]), len);
    }
}

static void pack(void)
{
    struct err err = {0};

    fill();
    assert_true(frame_pack(plain, BYTES, packed, tell, &err));
    assert_int_equal(told, BYTES);
}

static enum err_code unpack(uint64_t max)
{
    struct err err = {0};

    return frame_unpack(packed, again, &max, tell, &err) ? ERR_NONE : err.code;
}

static void what_goes_in_comes_out_with_its_holes(void **state)
{
    uint64_t bytes = BYTES;
    struct err err = {0};
    struct stat st;

    pack();
    assert_true(size_of(packed) < 20000);
    assert_true(frame_compare(packed, plain, BYTES, tell, &err));
    assert_true(frame_unpack(packed, again, &bytes, tell, &err));
    assert_int_equal(bytes, BYTES);
    assert_int_equal(size_of(again), BYTES);
    assert_true(frame_compare(packed, again, BYTES, tell, &err));
    assert_int_equal(fstat(again, &st), 0);
    assert_int_equal(st.st_blocks * 512, 4 * PAGE);
}

static void the_next_one_is_packed_as_well(void **state)
{
    pack();
    assert_int_equal(ftruncate(packed, 0), 0);
    told = 0;
    pack();
    assert_int_equal(unpack(BYTES), 0);
}

static void an_empty_image_is_one_too(void **state)
{
    struct err err = {0};

    assert_true(frame_pack(plain, 0, packed, tell, &err));
    assert_true(size_of(packed) > 0);
    assert_int_equal(unpack(0), 0);
    assert_int_equal(size_of(again), 0);
}

static void one_that_is_larger_than_it_was_is_refused(void **state)
{
    pack();
    assert_int_equal(unpack(BYTES - 1), ERR_MALFORMED);
}

static void one_that_was_cut_is_refused(void **state)
{
    pack();
    assert_int_equal(ftruncate(packed, (off_t)size_of(packed) - 3), 0);
    assert_int_equal(unpack(BYTES), ERR_MALFORMED);
}

static void one_with_a_bit_turned_is_refused(void **state)
{
    unsigned char byte;

    pack();
    for (off_t at = 0; at < (off_t)size_of(packed); at += 97) {
        assert_int_equal(pread(packed, &byte, 1, at), 1);
        byte ^= 4;
        assert_int_equal(pwrite(packed, &byte, 1, at), 1);
        assert_int_equal(unpack(BYTES), ERR_MALFORMED);
        byte ^= 4;
        assert_int_equal(pwrite(packed, &byte, 1, at), 1);
    }
    assert_int_equal(unpack(BYTES), 0);
}

static void a_disk_that_changed_a_byte_is_found_out(void **state)
{
    struct err err = {0};

    pack();
    assert_int_equal(pwrite(plain, "x", 1, 3 * PAGE), 1);
    assert_false(frame_compare(packed, plain, BYTES, tell, &err));
    assert_int_equal(err.code, ERR_INTERNAL);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(what_goes_in_comes_out_with_its_holes),
        T(the_next_one_is_packed_as_well),
        T(an_empty_image_is_one_too),
        T(one_that_is_larger_than_it_was_is_refused),
        T(one_that_was_cut_is_refused),
        T(one_with_a_bit_turned_is_refused),
        T(a_disk_that_changed_a_byte_is_found_out),
    };

    if (!frame_init())
        return 1;
    return cmocka_run_group_tests_name("unit/pack_frame", tests, NULL, NULL);
}
