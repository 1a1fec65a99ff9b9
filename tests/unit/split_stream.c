/* How vmmd-split reads QEMU's stream: what goes where, in pieces of every size, and that each thing
 * that is not as it must be ends it with a sentence. The real streams were made by QEMU 7.2 and cut
 * down: most of their pages are zeroes, their description is short. */
#include "tests/lib/harness.h"

#include "core/base/crc.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "vmmd/split/proto.h"
#include "vmmd/split/stream.h"

#include <endian.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RAM (8u * SPLIT_PAGE)

/* ---- where it goes ---- */

struct taken {
    uint8_t ram[RAM];
    unsigned pages, zeroes;
    struct strbuf state;
};

static bool take_page(void *to, uint64_t offset, const uint8_t *page, struct err *err)
{
    struct taken *t = to;

    assert_true(offset < RAM && offset % SPLIT_PAGE == 0);
    memcpy(t->ram + offset, page, SPLIT_PAGE);
    t->pages++;
    return true;
}

static bool take_zero(void *to, uint64_t offset, struct err *err)
{
    struct taken *t = to;

    assert_true(offset < RAM && offset % SPLIT_PAGE == 0);
    memset(t->ram + offset, 0, SPLIT_PAGE);
    t->zeroes++;
    return true;
}

static bool take_state(void *to, const void *data, size_t len, struct err *err)
{
    strbuf_add(&((struct taken *)to)->state, data, len);
    return true;
}

static const struct stream_sink sink = {take_page, take_zero, take_state};
static struct stream stream;
static struct taken taken;

/* All of it, 'step' bytes more at a time, each time from an allocation of its exact size. */
static bool feed(const struct strbuf *in, size_t step, struct err *err)
{
    size_t done = 0;

    strbuf_clear(&taken.state);
    memset(&taken, 0, sizeof taken);
    stream_init(&stream, RAM, &sink, &taken);
    for (size_t have = 0; have < in->len;) {
        have = have + step < in->len ? have + step : in->len;
        CLEANUP(mem_freep) char *exact = mem_dup(in->data + done, have - done);
        size_t n;
        if (!stream_feed(&stream, (uint8_t *)exact, have - done, &n, err))
            return false;
        assert_true(n <= have - done && have - done - n < STREAM_PIECE_MAX);
        done += n;
    }
    return true;
}

/* ---- a stream that is made by hand ---- */

static void put8(struct strbuf *b, uint8_t v)
{
    strbuf_add(b, &v, 1);
}

static void put32(struct strbuf *b, uint32_t v)
{
    v = htobe32(v);
    strbuf_add(b, &v, sizeof v);
}

static void put64(struct strbuf *b, uint64_t v)
{
    v = htobe64(v);
    strbuf_add(b, &v, sizeof v);
}

static void put_name(struct strbuf *b, const char *name)
{
    put8(b, (uint8_t)strlen(name));
    strbuf_adds(b, name);
}

static void put_page(struct strbuf *b, uint64_t head, const char *block, char fill)
{
    char page[SPLIT_PAGE];

    memset(page, fill, sizeof page);
    put64(b, head);
    if (block)
        put_name(b, block);
    strbuf_add(b, page, head & 2 ? 1 : sizeof page);
}

static void put_head(struct strbuf *b)
{
    strbuf_add(b, "QEVM", 4);
    put32(b, 3);
    put8(b, 7);
    put32(b, 2);
    strbuf_adds(b, "pc");
}

static void put_subsection(struct strbuf *b, const char *name, uint32_t version)
{
    put8(b, 5);
    put_name(b, name);
    put32(b, version);
}

static void put_capabilities(struct strbuf *b)
{
    put_subsection(b, "configuration/capabilities", 1);
    put32(b, 1);
    put_name(b, "x-ignore-shared");
}

static void put_start(struct strbuf *b)
{
    put8(b, 1);
    put32(b, 2);
    put_name(b, "ram");
    put32(b, 0);
    put32(b, 4);
}

static void put_size(struct strbuf *b, const char *name, uint64_t bytes)
{
    put_name(b, name);
    put64(b, bytes);
    put64(b, 0xc0000);
}

static void put_section(struct strbuf *b, uint8_t word)
{
    put8(b, word);
    put32(b, 2);
}

static void put_end(struct strbuf *b) /* of a section */
{
    put64(b, 0x10);
    put_section(b, 0x7e);
}

/* As far as the list of blocks. */
static void put_known(struct strbuf *b)
{
    put_head(b);
    put_capabilities(b);
    put_start(b);
    put64(b, (RAM + SPLIT_PAGE) | 4);
    put_size(b, "pc.ram", RAM);
    put_size(b, "pc.rom", SPLIT_PAGE);
}

static void put_devices(struct strbuf *b)
{
    const char description[] = "{\"page_size\": 4096}";

    put8(b, 4);
    strbuf_adds(b, "what devices have to say");
    put8(b, 0);
    put8(b, 6);
    put32(b, sizeof description - 1);
    strbuf_adds(b, description);
}

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

/* ---- what is refused ---- */

static void bad_magic(struct strbuf *b)
{
    strbuf_adds(b, "GET / HTTP/1.1");
}
static void bad_version(struct strbuf *b)
{
    strbuf_adds(b, "QEVM");
    put32(b, 2);
}
static void no_configuration(struct strbuf *b)
{
    strbuf_adds(b, "QEVM");
    put32(b, 3);
    put_start(b);
}
static void long_machine(struct strbuf *b)
{
    strbuf_adds(b, "QEVM");
    put32(b, 3);
    put8(b, 7);
    put32(b, 0xffffffff);
}
static void many_capabilities(struct strbuf *b)
{
    put_head(b);
    put_subsection(b, "configuration/capabilities", 1);
    put32(b, 0x80000001);
}
static void strange_capability(struct strbuf *b)
{
    put_head(b);
    put_subsection(b, "configuration/capabilities", 1);
    put32(b, 1);
    put_name(b, "multi\nfd");
}
static void large_pages(struct strbuf *b)
{
    put_head(b);
    put_subsection(b, "configuration/target-page-bits", 1);
    put32(b, 16);
}
static void strange_subsection(struct strbuf *b)
{
    put_head(b);
    put_subsection(b, "configuration/uuid", 1);
}
static void newer_subsection(struct strbuf *b)
{
    put_head(b);
    put_subsection(b, "configuration/capabilities", 2);
}
static void late_subsection(struct strbuf *b)
{
    put_known(b);
    put_end(b);
    put_capabilities(b);
}
static void other_section(struct strbuf *b)
{
    put_head(b);
    put8(b, 1);
    put32(b, 2);
    put_name(b, "dirty-bitmap");
    put32(b, 0);
    put32(b, 1);
}
static void second_instance(struct strbuf *b)
{
    put_head(b);
    put8(b, 1);
    put32(b, 2);
    put_name(b, "ram");
    put32(b, 1);
    put32(b, 4);
}
static void other_memory(struct strbuf *b)
{
    put_head(b);
    put8(b, 1);
    put32(b, 2);
    put_name(b, "ram");
    put32(b, 0);
    put32(b, 5);
}
static void twice(struct strbuf *b)
{
    put_known(b);
    put_end(b);
    put_start(b);
}
static void not_begun(struct strbuf *b)
{
    put_head(b);
    put_section(b, 2);
}
static void gone_on_after_the_end(struct strbuf *b)
{
    put_known(b);
    put_end(b);
    put_section(b, 3);
    put_end(b);
    put_section(b, 2);
}
static void other_number(struct strbuf *b)
{
    put_known(b);
    put_end(b);
    put8(b, 2);
    put32(b, 3);
}
static void strange_word(struct strbuf *b)
{
    put_known(b);
    put_end(b);
    put8(b, 8);
}
static void devices_first(struct strbuf *b)
{
    put_head(b);
    put_devices(b);
}
static void no_list(struct strbuf *b)
{
    put_head(b);
    put_start(b);
    put_end(b);
}
static void second_list(struct strbuf *b)
{
    put_known(b);
    put64(b, SPLIT_PAGE | 4);
}
static void empty_list(struct strbuf *b)
{
    put_head(b);
    put_start(b);
    put64(b, 4);
}
static void begin_list(struct strbuf *b, uint64_t total)
{
    put_head(b);
    put_capabilities(b);
    put_start(b);
    put64(b, total | 4);
}
static void wrong_size(struct strbuf *b)
{
    begin_list(b, 2 * RAM);
    put_size(b, "pc.ram", 2 * RAM);
}
static void beyond_total(struct strbuf *b)
{
    begin_list(b, RAM + SPLIT_PAGE);
    put_size(b, "pc.ram", RAM);
    put_size(b, "pc.rom", 1ull << 63);
}
static void odd_size(struct strbuf *b)
{
    begin_list(b, RAM);
    put_size(b, "pc.rom", 100);
}
static void no_size(struct strbuf *b)
{
    begin_list(b, RAM);
    put_size(b, "pc.rom", 0);
}
static void listed_twice(struct strbuf *b)
{
    begin_list(b, 2 * RAM);
    put_size(b, "pc.ram", RAM);
    put_size(b, "pc.ram", RAM);
}
static void nameless(struct strbuf *b)
{
    begin_list(b, RAM);
    put_size(b, "", RAM);
}
static void no_ram(struct strbuf *b)
{
    begin_list(b, RAM);
    put_size(b, "pc.rom", RAM);
}
static void too_many(struct strbuf *b)
{
    begin_list(b, (STREAM_BLOCKS_MAX + 1) * SPLIT_PAGE);
    for (unsigned i = 0; i <= STREAM_BLOCKS_MAX; i++) {
        CLEANUP(mem_freep) char *name = str_format("rom%u", i);
        put_size(b, name, SPLIT_PAGE);
    }
}
static void strange_block(struct strbuf *b)
{
    put_known(b);
    put_page(b, 0 | 8, "vga.vram", 'v');
}
static void goes_on_from_none(struct strbuf *b)
{
    put_known(b);
    put_page(b, 0 | 8 | 0x20, NULL, 'v');
}
static void behind_memory(struct strbuf *b)
{
    put_known(b);
    put_page(b, RAM | 8, "pc.ram", 'v');
}
static void behind_rom(struct strbuf *b)
{
    put_known(b);
    put_page(b, 1ull << 62 | 2, "pc.rom", 0);
}
static void filled(struct strbuf *b)
{
    put_known(b);
    put_page(b, 0 | 2, "pc.ram", 'U');
}
static void compressed(struct strbuf *b)
{
    put_known(b);
    put64(b, 0x100);
}
static void xbzrle(struct strbuf *b)
{
    put_known(b);
    put64(b, 0x40 | 0x20);
}
static void two_kinds(struct strbuf *b)
{
    put_known(b);
    put64(b, 8 | 2);
}
static void end_with_address(struct strbuf *b)
{
    put_known(b);
    put64(b, SPLIT_PAGE | 0x10);
}
static void no_footer(struct strbuf *b)
{
    put_known(b);
    put64(b, 0x10);
    put_section(b, 2);
}
static void other_footer(struct strbuf *b)
{
    put_known(b);
    put64(b, 0x10);
    put8(b, 0x7e);
    put32(b, 9);
}

static const struct {
    void (*make)(struct strbuf *);
    const char *sentence;
} refused[] = {
    {bad_magic, "it begins with 47455420, which is not a migration's, at byte 0 of QEMU's stream"},
    {bad_version, "format version 2, only 3 is known, at byte 0"},
    {no_configuration, "word 1 where the configuration belongs, at byte 8"},
    {long_machine, "a machine's name of 4294967295 bytes"},
    {many_capabilities, "a list of 2147483649 capabilities"},
    {strange_capability, "the capability 'multi?fd' is not known"},
    {large_pages, "pages of 2^16 bytes, only 2^12 are known"},
    {strange_subsection, "version 1 of 'configuration/uuid' is not known"},
    {newer_subsection, "version 2 of 'configuration/capabilities' is not known"},
    {late_subsection, "a part of the configuration behind it"},
    {other_section, "'dirty-bitmap' streams besides the memory"},
    {second_instance, "'ram' streams besides the memory"},
    {other_memory, "memory of version 5, only 4 is known"},
    {twice, "the memory begins a second time"},
    {not_begun, "section 2 goes on and has not begun"},
    {gone_on_after_the_end, "section 2 goes on and is over"},
    {other_number, "section 3 goes on and has not begun"},
    {strange_word, "word 8 is not known"},
    {devices_first, "devices before the memory"},
    {no_list, "the memory begins without a list of its blocks"},
    {second_list, "a second or empty list of blocks"},
    {empty_list, "a second or empty list of blocks"},
    {wrong_size, "the guest's memory has 65536 bytes in place of 32768"},
    {beyond_total, "block 'pc.rom' of 9223372036854775808 bytes, of 4096 that are left"},
    {odd_size, "block 'pc.rom' of 100 bytes"},
    {no_size, "block 'pc.rom' of 0 bytes"},
    {listed_twice, "block 'pc.ram' is listed twice or has no name"},
    {nameless, "block '' is listed twice or has no name"},
    {no_ram, "no block 'pc.ram' among the memory"},
    {too_many, "more than 512 blocks of memory"},
    {strange_block, "a page of 'vga.vram', which is not listed"},
    {goes_on_from_none, "a page that goes on from none"},
    {behind_memory, "a page at 32768 of 'pc.ram', behind its end"},
    {behind_rom, "a page at 4611686018427387904 of 'pc.rom', behind its end"},
    {filled, "a page that is filled with 85"},
    {compressed, "a record of kind 0x100"},
    {xbzrle, "a record of kind 0x60"},
    {two_kinds, "a record of kind 0xa"},
    {end_with_address, "a record of kind 0x10"},
    {no_footer, "word 2 and section 2 where section 2 ends"},
    {other_footer, "word 126 and section 9 where section 2 ends"},
};

static void what_is_not_known_ends_it_with_a_sentence(void **state)
{
    for (unsigned i = 0; i < ARRAY_LEN(refused); i++) {
        struct strbuf in = {0};
        refused[i].make(&in);
        for (size_t step = 1; step < 1000; step += 998) {
            struct err err = {0};
            if (feed(&in, step, &err))
                fail_msg("taken: %s", refused[i].sentence);
            assert_int_equal(err.code, ERR_MALFORMED);
            if (!str_starts(err.detail, refused[i].sentence))
                fail_msg("'%s' in place of '%s'", err.detail, refused[i].sentence);
            assert_true(strlen(err.detail) < sizeof((struct split_report *)0)->detail);
        }
        strbuf_clear(&in);
    }
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
        cmocka_unit_test(what_is_not_known_ends_it_with_a_sentence),
        cmocka_unit_test(a_state_without_an_end_is_refused),
        cmocka_unit_test(what_qemu_sends_is_understood),
        cmocka_unit_test(the_checksum_is_the_known_one),
    };

    return cmocka_run_group_tests_name("split/stream", tests, NULL, NULL);
}
