/* Which messages of QEMU's migration stream are brought together, and that nothing of them changes.
 */
#include "tests/lib/harness.h"

#include "core/base/str.h"
#include "vmmd/preload/gather.h"

#include <endian.h>
#include <string.h>

enum { PAGE = 4096, IS_ZERO = 0x02, IS_PAGE = 0x08, EOS = 0x10, GOES_ON = 0x20 };

static struct gather g;
static uint8_t page[PAGE];

struct message {
    uint64_t head;
    char rest[300];
    struct iovec iov[3];
    size_t n;
};

static void make(struct message *m, uint64_t words, const char *name, size_t body)
{
    m->head = htobe64(0x12345000 | words);
    m->n = 0;
    m->iov[m->n++] = (struct iovec){&m->head, sizeof m->head};
    if (name) {
        m->rest[0] = (char)strlen(name);
        memcpy(m->rest + 1, name, strlen(name));
        m->iov[m->n++] = (struct iovec){m->rest, 1 + strlen(name)};
    }
    m->iov[m->n++] = (struct iovec){page, body};
}

static bool is_page(uint64_t words, const char *name, size_t body)
{
    struct message m;

    make(&m, words, name, body);
    return gather_is_page(m.iov, m.n);
}

static void pages_are_known_with_and_without_a_name(void **state)
{
    assert_true(is_page(IS_PAGE | GOES_ON, NULL, PAGE));
    assert_true(is_page(IS_PAGE, "pc.ram", PAGE));
    assert_true(is_page(IS_ZERO | GOES_ON, NULL, 1));
    assert_true(is_page(IS_ZERO, "0000:00:02.0/vga.vram", 1));
}

static void nothing_else_is_taken_for_one(void **state)
{
    static const char *const said[] = {"{\"return\": {}, \"id\": \"w1.2\"}\r\n",
                                       "{\"timestamp\": {\"seconds\": 1}, \"event\": \"STOP\"}\r\n",
                                       "{\"QMP\": {\"version\": {}}}\r\n", "{\"error\": {}}\r\n"};

    assert_false(is_page(EOS, NULL, 1));
    assert_false(is_page(0x04, NULL, 1));           /* the list of blocks */
    assert_false(is_page(IS_PAGE, NULL, PAGE - 1)); /* a part */
    assert_false(is_page(IS_PAGE, NULL, 0));
    assert_false(is_page(IS_ZERO | GOES_ON, NULL, PAGE)); /* more than one */
    assert_false(is_page(0x40, NULL, PAGE));              /* XBZRLE */
    assert_false(gather_is_page(NULL, 0));
    for (size_t i = 0; i < ARRAY_LEN(said); i++) {
        struct iovec iov = {(void *)(uintptr_t)said[i], strlen(said[i])};
        assert_false(gather_is_page(&iov, 1));
    }
}

static void messages_follow_each_other_byte_by_byte(void **state)
{
    struct message a, b;

    memset(page, 0x5a, sizeof page);
    make(&a, IS_PAGE, "pc.ram", PAGE);
    make(&b, IS_ZERO | GOES_ON, NULL, 1);
    g.len = 0;
    assert_true(gather_add(&g, a.iov, a.n));
    memset(page, 0, sizeof page); /* the guest may change it now */
    assert_true(gather_add(&g, b.iov, b.n));
    assert_int_equal(g.len, 8 + 7 + PAGE + 8 + 1);
    assert_memory_equal(g.data, &a.head, 8);
    assert_memory_equal(g.data + 8, "\6pc.ram", 7);
    assert_int_equal(g.data[8 + 7], 0x5a);
    assert_int_equal(g.data[8 + 7 + PAGE - 1], 0x5a);
    assert_memory_equal(g.data + 8 + 7 + PAGE, &b.head, 8);
}

static void what_does_not_fit_is_left_out_whole(void **state)
{
    struct message m;
    size_t before;

    make(&m, IS_PAGE | GOES_ON, NULL, PAGE);
    for (g.len = 0; gather_add(&g, m.iov, m.n);)
        ;
    before = g.len;
    assert_true(before <= GATHER_BYTES && before > GATHER_BYTES - PAGE - 8);
    assert_false(gather_add(&g, m.iov, m.n));
    assert_int_equal(g.len, before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_are_known_with_and_without_a_name),
        cmocka_unit_test(nothing_else_is_taken_for_one),
        cmocka_unit_test(messages_follow_each_other_byte_by_byte),
        cmocka_unit_test(what_does_not_fit_is_left_out_whole),
    };

    return cmocka_run_group_tests_name("unit/preload_gather", tests, NULL, NULL);
}
