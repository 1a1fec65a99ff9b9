/* That vmmd-split takes nothing for granted of QEMU's stream: each thing that is not as it must be
 * ends it with a sentence that says what, and where. */
#include "tests/unit/split_stream.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_known_ends_it_with_a_sentence),
    };

    return cmocka_run_group_tests_name("split/refused", tests, NULL, NULL);
}
