/* Fuzz: what a QEMU sends vmmd-split, for a guest of 1 MiB. Whatever it is, pages lie within the
 * memory, state within its limit, a refusal has its sentence, and the same comes out however the
 * stream is cut. */
#include "core/base/crc.h"
#include "core/base/mem.h"
#include "vmmd/split/proto.h"
#include "vmmd/split/stream.h"

#include <stdlib.h>
#include <string.h>

#define RAM (1u << 20)

static void must(bool what)
{
    if (!what)
        abort();
}

/* What came out, in its order. */
struct seen {
    uint32_t pages, state;
    uint64_t state_bytes;
};

static bool take_page(void *to, uint64_t offset, const uint8_t *page, struct err *err)
{
    struct seen *seen = to;

    must(offset <= RAM - SPLIT_PAGE && offset % SPLIT_PAGE == 0);
    seen->pages = crc32c(seen->pages, &offset, sizeof offset);
    seen->pages = crc32c(seen->pages, page, SPLIT_PAGE);
    return true;
}

static bool take_zero(void *to, uint64_t offset, struct err *err)
{
    struct seen *seen = to;

    must(offset <= RAM - SPLIT_PAGE && offset % SPLIT_PAGE == 0);
    seen->pages = crc32c(seen->pages, &offset, sizeof offset);
    return true;
}

static bool take_state(void *to, const void *data, size_t len, struct err *err)
{
    struct seen *seen = to;

    seen->state = crc32c(seen->state, data, len);
    seen->state_bytes += len;
    must(seen->state_bytes <= SPLIT_STATE_MAX);
    return true;
}

static const struct stream_sink sink = {take_page, take_zero, take_state};
static struct stream stream;

/* False when it was refused. */
static bool feed(const uint8_t *data, size_t size, size_t step, struct seen *seen)
{
    size_t done = 0;

    *seen = (struct seen){0};
    stream_init(&stream, RAM, &sink, seen);
    for (size_t have = 0; have < size;) {
        struct err err = {0};
        size_t n;
        have = size - have > step ? have + step : size;
        char *exact = mem_dup(data + done, have - done); /* so that an overrun is seen */
        bool ok = stream_feed(&stream, (uint8_t *)exact, have - done, &n, &err);
        free(exact);
        must(n <= have - done && (!ok || have - done - n < STREAM_PIECE_MAX));
        must(ok || (err.code == ERR_MALFORMED && err.detail[0]));
        if (!ok)
            return false;
        done += n;
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen whole, cut;
    bool ok = feed(data, size, size ? size : 1, &whole);
    bool complete = stream_is_complete(&stream);

    must(feed(data, size, 1 + size / 13, &cut) == ok);
    must(stream_is_complete(&stream) == complete);
    must(memcmp(&whole, &cut, sizeof whole) == 0);
    return 0;
}
