/* How vmmd-split reads QEMU's stream: what goes where, in pieces of every size. The real streams
 * were made by QEMU 7.2 and cut down: most of their pages are zeroes, their description is short.
 */
#include "tests/unit/split_stream.h"

#include "core/base/crc.h"
#include "core/base/fs.h"

#include <fcntl.h>
#include <unistd.h>

/* ---- what goes where ---- */

static void pages_go_to_their_places_and_the_rest_to_the_state(void **state)
{
    struct strbuf in = {0}, expected = {0};

    put_known(&in);
    put_end(&in);
    put_section(&in, 2);
    put_known(&expected);
    put_end(&expected);
    put_section(&expected, 2);
    put_page(&in, 0 | 8, "pc.ram", 'a');
    put_page(&in, SPLIT_PAGE | 8 | 0x20, NULL, 'b');
    put_page(&in, 5 * SPLIT_PAGE | 8 | 0x20, NULL, 'c');
    put_page(&in, 0 | 8, "pc.rom", 'r');
    put_page(&expected, 0 | 8, "pc.rom", 'r');
    put_end(&in); /* the block goes on in the next section */
    put_end(&expected);
    put_section(&in, 3);
    put_section(&expected, 3);
    put_page(&in, 0 | 2 | 0x20, NULL, 0);
    put_page(&expected, 0 | 2, "pc.rom", 0);
    put_page(&in, 5 * SPLIT_PAGE | 2, "pc.ram", 0); /* zeroes again */
    put_page(&in, SPLIT_PAGE | 8 | 0x20, NULL, 'd');
    put_end(&in);
    put_end(&expected);
    put_devices(&in);
    put_devices(&expected);
    for (size_t step = 1; step < in.len + 4000; step = step * 3 + 1) {
        struct err err = {0};
        if (!feed(&in, step, &err))
            fail_msg("by %zu: %s", step, err.detail);
        assert_true(stream_is_complete(&stream));
        assert_int_equal(taken.pages, 4);
        assert_int_equal(taken.zeroes, 1);
        assert_true(taken.ram[0] == 'a' && taken.ram[SPLIT_PAGE] == 'd');
        assert_true(taken.ram[5 * SPLIT_PAGE] == 0 && taken.ram[6 * SPLIT_PAGE - 1] == 0);
        assert_int_equal(taken.state.len, expected.len);
        assert_memory_equal(taken.state.data, expected.data, expected.len);
    }
    strbuf_clear(&in);
    strbuf_clear(&expected);
}

static void a_stream_that_is_cut_is_not_complete(void **state)
{
    struct strbuf in = {0};

    put_known(&in);
    put_page(&in, 0 | 8, "pc.ram", 'a');
    put_end(&in);
    put_devices(&in);
    for (size_t len = in.len; len > 0; len -= len > 4300 ? 97 : 1) {
        struct strbuf cut = {.data = in.data, .len = len};
        struct err err = {0};
        assert_true(feed(&cut, len, &err));
        assert_int_equal(stream_is_complete(&stream), len == in.len);
    }
    put8(&in, 0); /* and nothing comes behind the end */
    assert_true(feed(&in, 100, &(struct err){0}));
    assert_false(stream_is_complete(&stream));
    strbuf_clear(&in);
}

static void what_a_guest_wrote_is_not_taken_for_the_end(void **state)
{
    struct strbuf in = {0};

    put_known(&in);
    put_end(&in);
    put8(&in, 4);
    strbuf_add(&in, "\0\6\0\0\0\4{\"", 8); /* a description of its own, in a device */
    strbuf_adds(&in, "xy");
    assert_true(feed(&in, 7, &(struct err){0}));
    assert_true(stream_is_complete(&stream)); /* so far */
    put_devices(&in);
    in.len--;
    assert_true(feed(&in, 7, &(struct err){0}));
    assert_false(stream_is_complete(&stream));
    in.len++;
    assert_true(feed(&in, 7, &(struct err){0}));
    assert_true(stream_is_complete(&stream));
    strbuf_clear(&in);
}

static void addresses_are_listed_only_with_their_capability(void **state)
{
    struct strbuf in = {0};

    put_head(&in);
    put_subsection(&in, "configuration/target-page-bits", 1);
    put32(&in, 12);
    put_start(&in);
    put64(&in, RAM | 4);
    put_name(&in, "pc.ram");
    put64(&in, RAM);
    put_end(&in);
    put_devices(&in);
    assert_true(feed(&in, 5, &(struct err){0}));
    assert_true(stream_is_complete(&stream));
    assert_int_equal(taken.state.len, in.len);
    strbuf_clear(&in);
}

static bool drop(void *to, const void *data, size_t len, struct err *err)
{
    return true;
}

static void a_state_without_an_end_is_refused(void **state)
{
    static const struct stream_sink nowhere = {take_page, take_zero, drop};
    struct strbuf in = {0}, more = {0};
    struct err err = {0};
    uint64_t sent = 0;
    size_t n;

    put_known(&in);
    put_end(&in);
    put8(&in, 4);
    stream_init(&stream, RAM, &nowhere, &taken);
    assert_true(stream_feed(&stream, (uint8_t *)in.data, in.len, &n, &err));
    stream.state_bytes = SPLIT_STATE_MAX - 100000; /* as if it had been sent */
    for (int i = 0; i < 1000; i++)
        put8(&more, 'x');
    while (stream_feed(&stream, (uint8_t *)more.data, more.len, &n, &err))
        sent += n;
    assert_true(sent <= 100000 && sent > 98000);
    assert_true(str_starts(err.detail, "the state of the devices is larger than 1024 MiB"));
    strbuf_clear(&in);
    strbuf_clear(&more);
}

/* ---- what QEMU really sends ---- */

#define REAL_RAM (1u << 20)
static uint8_t real_ram[REAL_RAM];

static bool real_page(void *to, uint64_t offset, const uint8_t *page, struct err *err)
{
    assert_true(offset <= REAL_RAM - SPLIT_PAGE);
    memcpy(real_ram + offset, page, SPLIT_PAGE);
    return true;
}

static bool real_zero(void *to, uint64_t offset, struct err *err)
{
    assert_true(offset <= REAL_RAM - SPLIT_PAGE);
    return true;
}

static void what_qemu_sends_is_understood(void **state)
{
    static const char *const ways[] = {"background", "precopy", "still"};
    static const struct stream_sink real = {real_page, real_zero, take_state};

    for (unsigned i = 0; i < ARRAY_LEN(ways); i++) {
        CLEANUP(mem_freep)
        char *path =
            str_format("%s/tests/fuzz/corpus/split_stream/%s", getenv("VMMD_SRC"), ways[i]);
        CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
        CLEANUP(mem_freep) char *data = NULL;
        struct err err = {0};
        size_t len, n;
        assert_true(fs_read_all(fd, 1 << 20, &data, &len, &err));
        strbuf_clear(&taken.state);
        stream_init(&stream, REAL_RAM, &real, &taken);
        if (!stream_feed(&stream, (uint8_t *)data, len, &n, &err))
            fail_msg("%s: %s", ways[i], err.detail);
        assert_int_equal(n, len);
        assert_true(stream_is_complete(&stream));
        assert_true(taken.state.len > 30000 && taken.state.len < len);
        assert_memory_equal(taken.state.data, data, 140); /* the head, the list of blocks */
    }
}

static void the_checksum_is_the_known_one(void **state)
{
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283u);
    assert_int_equal(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_go_to_their_places_and_the_rest_to_the_state),
        cmocka_unit_test(a_stream_that_is_cut_is_not_complete),
        cmocka_unit_test(what_a_guest_wrote_is_not_taken_for_the_end),
        cmocka_unit_test(addresses_are_listed_only_with_their_capability),
        cmocka_unit_test(a_state_without_an_end_is_refused),
        cmocka_unit_test(what_qemu_sends_is_understood),
        cmocka_unit_test(the_checksum_is_the_known_one),
    };

    return cmocka_run_group_tests_name("split/stream", tests, NULL, NULL);
}
