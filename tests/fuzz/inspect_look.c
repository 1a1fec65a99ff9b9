/* Fuzz: looking into an image. The input is the image in pieces, so that one of many GiB is small:
 * the format it is said to have, its length, then pieces of offset, length, bytes; the rest are
 * zeroes. Whatever it is, nothing is read outside the file, facts keep within their bounds, and a
 * refusal has its sentence. */
#include "core/base/mem.h"
#include "vmmd/inspect/look.h"

#include <stdlib.h>

#define READS_MAX (64ull << 20) /* bytes of one image; an input that makes it read more is dull */

static const uint8_t *pieces;
static size_t pieces_len;
static uint64_t bytes, done;

static void must(bool what)
{
    if (!what)
        abort();
}

struct head {
    uint64_t at;
    uint16_t len;
} __attribute__((packed));

static bool read_pieces(void *ctx, uint64_t at, void *out, size_t len, struct err *err)
{
    must(at <= bytes && len <= bytes - at);
    done += len;
    if (done > READS_MAX)
        return err_set(err, ERR_TIMEOUT, "too much");
    memset(out, 0, len);
    for (size_t i = 0; i + sizeof(struct head) <= pieces_len;) {
        struct head head;
        uint64_t from, to;
        memcpy(&head, pieces + i, sizeof head);
        i += sizeof head;
        if (head.len > pieces_len - i)
            head.len = (uint16_t)(pieces_len - i);
        from = head.at > at ? head.at : at;
        to = head.at + head.len < at + len ? head.at + head.len : at + len;
        if (head.at <= UINT64_MAX - head.len && from < to)
            memcpy((uint8_t *)out + (from - at), pieces + i + (from - head.at), to - from);
        i += head.len;
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct source source = {.read = read_pieces};
    static struct image_facts facts;
    struct err err = {0};
    int stated;

    if (size < 9)
        return 0;
    stated = data[0] % (IMAGE_FORMATS + 1) - 1;
    memcpy(&bytes, data + 1, sizeof bytes);
    bytes &= (1ull << 46) - 1;
    source.bytes = source.held_bytes = bytes;
    pieces = data + 9;
    pieces_len = size - 9;
    done = 0;
    if (!image_look(&source, stated, &facts, &err)) {
        must(err.code == ERR_TIMEOUT || (err.code == ERR_INVALID && err.detail[0]));
        return 0;
    }
    must(facts.virtual_bytes && facts.virtual_bytes <= 64ull << 40);
    must(facts.virtual_bytes % 512 == 0 && facts.data_bytes <= facts.virtual_bytes);
    must(facts.format != IMAGE_RAW || stated == IMAGE_RAW);
    must(memchr(facts.backing, 0, sizeof facts.backing) && memchr(facts.layout, 0, 23));
    return 0;
}
