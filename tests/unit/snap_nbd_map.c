/* Asking an NBD server what is where: a server that says it, and ones that lie, stop or never end.
 * With QEMU's own it is asked in tests/integration/serve.c. */
#include "tests/lib/harness.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/sock.h"
#include "core/base/str.h"
#include "core/snap/nbd_map.h"

#include <endian.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SIZE    (3ull << 30)
#define SOON_MS 10000

/* All that a server says, in one go: the client asks the same whatever it hears. */
static struct strbuf said;

static struct extents {
    uint64_t end, marked;
    unsigned n;
} heard;

static void note(void *ctx, uint64_t offset, uint64_t length, uint32_t flags)
{
    struct extents *e = ctx;

    assert_int_equal(offset, e->end);
    e->end += length;
    e->marked += flags == 2 ? length : 0;
    e->n++;
}

static void u16(uint16_t v)
{
    v = htobe16(v);
    strbuf_add(&said, &v, sizeof v);
}

static void u32(uint32_t v)
{
    v = htobe32(v);
    strbuf_add(&said, &v, sizeof v);
}

static void u64(uint64_t v)
{
    v = htobe64(v);
    strbuf_add(&said, &v, sizeof v);
}

static void answer(uint32_t option, uint32_t type, uint32_t len)
{
    u64(0x0003e889045565a9ull);
    u32(option);
    u32(type);
    u32(len);
}

static void greet(void)
{
    strbuf_add(&said, "NBDMAGICIHAVEOPT\0\3", 18);
}

static void accept_context(void)
{
    answer(8, 1, 0);
    answer(10, 4, 4 + 4);
    u32(77);
    strbuf_adds(&said, "name");
    answer(10, 1, 0);
}

static void open_export(uint64_t size)
{
    answer(7, 3, 2 + 4); /* block sizes, of no interest */
    u16(3);
    u32(1);
    answer(7, 3, 12);
    u16(0);
    u64(size);
    u16(1);
    answer(7, 1, 0);
}

static void begin(uint64_t size)
{
    greet();
    accept_context();
    open_export(size);
}

static void reply(uint64_t to, unsigned extents)
{
    u32(0x668e33ef);
    u16(1);
    u16(5);
    u64(to);
    u32(4 + 8 * extents);
    u32(77);
}

static void extent(uint32_t length, uint32_t flags)
{
    u32(length);
    u32(flags);
}

static int ask(int64_t ms, bool stop)
{
    const atomic_bool stopped = stop;
    struct err err = {0};
    int ends[2], code;

    heard = (struct extents){0};
    assert_true(sock_pair(SOCK_STREAM, ends, &err));
    assert_true(fs_write_all(ends[1], said.data, said.len, &err));
    if (ms == SOON_MS)
        assert_int_equal(shutdown(ends[1], SHUT_WR), 0);
    code = nbd_map(ends[0], NBD_MAP_DEPTH, SIZE, note, &heard, clock_mono_ms() + ms, &stopped, &err)
               ? 0
               : (int)err.code;
    close(ends[0]);
    close(ends[1]);
    strbuf_clear(&said);
    return code;
}

static void every_part_is_heard_of_once(void **state)
{
    const uint32_t gib = 1u << 30;

    begin(SIZE);
    reply(0, 2);
    extent(65536, 2);
    extent(gib - 65536, 0);
    reply(gib, 1);
    extent(gib, 3);
    reply(2ull * gib, 1);
    extent(UINT32_MAX, 2); /* more than was asked for, and more than there is */
    assert_int_equal(ask(SOON_MS, false), 0);
    assert_int_equal(heard.end, SIZE);
    assert_int_equal(heard.n, 4);
    assert_int_equal(heard.marked, 65536 + gib);
}

static void many_extents_come_in_one_reply(void **state)
{
    begin(SIZE);
    reply(0, 3000);
    for (unsigned i = 0; i < 3000; i++)
        extent(1u << 20, i % 2 ? 2 : 0);
    reply(3000ull << 20, 1);
    extent(72u << 20, 0);
    assert_int_equal(ask(SOON_MS, false), 0);
    assert_int_equal(heard.marked, 1500ull << 20);
    assert_int_equal(heard.end, SIZE);
}

static void refused(void)
{
    assert_int_equal(ask(SOON_MS, false), ERR_HYPERVISOR);
    assert_true(heard.end <= SIZE);
}

static void what_makes_no_sense_before_is_refused(void **state)
{
    refused(); /* silence */
    strbuf_adds(&said, "HTTP/1.1 400 Bad Request\r\n\r\n");
    refused();
    strbuf_add(&said, "NBDMAGICIHAVEOPT\0\0", 18); /* of the old kind */
    refused();
    greet();
    answer(8, 0x80000001u, 0); /* no structured replies */
    refused();
    greet();
    answer(8, 1, 0);
    answer(10, 1, 0); /* no such context */
    refused();
    greet();
    answer(8, 1, 0);
    answer(10, 4, UINT32_MAX);
    refused();
    begin(SIZE + 1);
    refused();
    greet();
    accept_context();
    for (unsigned i = 0; i < 100; i++)
        answer(7, 3, 2), u16(3);
    refused();
}

static void what_makes_no_sense_after_is_refused(void **state)
{
    begin(SIZE);
    reply(1, 1); /* to something else */
    extent(1, 0);
    refused();
    begin(SIZE);
    reply(0, 2);
    extent(1, 2);
    extent(0, 2); /* without end */
    refused();
    begin(SIZE);
    reply(0, 0);
    refused();
    begin(SIZE);
    reply(0, 1u << 21);
    refused();
    begin(SIZE);
    reply(0, 5);
    extent(1, 2); /* and then it ends */
    refused();
    begin(SIZE);
    u32(0x67446698); /* a simple reply */
    u32(5);
    u64(0);
    u64(0);
    refused();
}

static void one_that_goes_silent_is_not_waited_for_without_end(void **state)
{
    begin(SIZE);
    assert_int_equal(ask(50, false), ERR_TIMEOUT);
    begin(SIZE);
    assert_int_equal(ask(SOON_MS, true), ERR_UNAVAILABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_part_is_heard_of_once),
        cmocka_unit_test(many_extents_come_in_one_reply),
        cmocka_unit_test(what_makes_no_sense_before_is_refused),
        cmocka_unit_test(what_makes_no_sense_after_is_refused),
        cmocka_unit_test(one_that_goes_silent_is_not_waited_for_without_end),
    };

    return cmocka_run_group_tests_name("unit/snap_nbd_map", tests, NULL, NULL);
}
