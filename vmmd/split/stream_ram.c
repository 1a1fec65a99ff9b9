/* The sections of memory in QEMU's stream: the list of blocks, then pages. See stream.h.
 *
 * A record begins with 8 bytes: an address within a block, and in its lower 12 bits what follows.
 * Of what QEMU knows (migration/ram.c), only what our settings can bring is accepted. */
#include "core/base/str.h"
#include "vmmd/split/piece.h"
#include "vmmd/split/proto.h"

#include <stdio.h>

enum record {
    RECORD_ZERO = 0x02, /* the byte that fills the page */
    RECORD_SIZES = 0x04,
    RECORD_PAGE = 0x08,
    RECORD_EOS = 0x10,
    RECORD_CONTINUE = 0x20 /* the same block as before; without it its name follows */
};
#define RECORD_WORDS (SPLIT_PAGE - 1u)

static int find(const struct stream *s, const uint8_t *name, size_t len)
{
    for (unsigned i = 0; i < s->n_blocks; i++)
        if (s->blocks[i].name[0] == len && memcmp(s->blocks[i].name + 1, name, len) == 0)
            return (int)i;
    return -1;
}

static enum step check_block(const struct stream *s, const uint8_t *name, size_t len,
                             uint64_t bytes, struct err *err)
{
    struct shown shown = stream_shown(name, len);

    if (s->n_blocks == STREAM_BLOCKS_MAX)
        return stream_bad(s, err, "more than %u blocks of memory", STREAM_BLOCKS_MAX);
    if (len == 0 || find(s, name, len) >= 0)
        return stream_bad(s, err, "block '%s' is listed twice or has no name", shown.text);
    if (bytes == 0 || bytes % SPLIT_PAGE || bytes > s->sizes_left)
        return stream_bad(s, err, "block '%s' of %llu bytes, of %llu that are left", shown.text,
                          (unsigned long long)bytes, (unsigned long long)s->sizes_left);
    if (piece_is(name, len, SPLIT_RAM_BLOCK) && bytes != s->ram_bytes)
        return stream_bad(s, err, "the guest's memory has %llu bytes in place of %llu",
                          (unsigned long long)bytes, (unsigned long long)s->ram_bytes);
    return STEP_DONE;
}

enum step stream_size(struct stream *s, struct piece *p, struct err *err)
{
    uint8_t len = piece_u8(p);
    const uint8_t *name = piece_bytes(p, len);
    uint64_t bytes = piece_u64(p);
    struct stream_block *block = &s->blocks[s->n_blocks];

    if (s->names_addresses)
        piece_u64(p);
    if (p->is_short)
        return STEP_SHORT;
    if (check_block(s, name, len, bytes, err) != STEP_DONE)
        return STEP_FAILED;
    if (piece_is(name, len, SPLIT_RAM_BLOCK))
        s->ram = (int)s->n_blocks;
    block->bytes = bytes;
    block->name[0] = len;
    memcpy(block->name + 1, name, len);
    s->n_blocks++;
    s->sizes_left -= bytes;
    if (s->sizes_left == 0 && s->ram < 0)
        return stream_bad(s, err, "no block '%s' among the memory", SPLIT_RAM_BLOCK);
    return stream_pass(s, p, err);
}

static enum step sizes(struct stream *s, const struct piece *p, uint64_t total, struct err *err)
{
    if (s->any_sizes || total == 0)
        return stream_bad(s, err, "a second or empty list of blocks");
    s->any_sizes = true;
    s->sizes_left = total;
    return stream_pass(s, p, err);
}

/* The block that a page belongs to. */
static enum step choose(struct stream *s, struct piece *p, uint64_t words, struct err *err)
{
    if (!(words & RECORD_CONTINUE)) {
        uint8_t len = piece_u8(p);
        const uint8_t *name = piece_bytes(p, len);
        if (p->is_short)
            return STEP_SHORT;
        s->block = find(s, name, len);
        if (s->block < 0)
            return stream_bad(s, err, "a page of '%s', which is not listed",
                              stream_shown(name, len).text);
    }
    if (s->block < 0)
        return stream_bad(s, err, "a page that goes on from none");
    return STEP_DONE;
}

/* A page of another block: again, with its block's name. */
static enum step pass_page(struct stream *s, uint64_t offset, uint64_t words, const uint8_t *data,
                           size_t len, struct err *err)
{
    const struct stream_block *block = &s->blocks[s->block];
    uint64_t head = htobe64(offset | (words & ~(uint64_t)RECORD_CONTINUE));
    enum step step = stream_emit(s, &head, sizeof head, err);

    if (step == STEP_DONE)
        step = stream_emit(s, block->name, 1u + block->name[0], err);
    return step == STEP_DONE ? stream_emit(s, data, len, err) : step;
}

static enum step page(struct stream *s, struct piece *p, uint64_t offset, uint64_t words,
                      struct err *err)
{
    size_t len = words & RECORD_PAGE ? SPLIT_PAGE : 1;
    enum step step = choose(s, p, words, err);
    const uint8_t *data;
    bool ok;

    if (step != STEP_DONE)
        return step;
    data = piece_bytes(p, len);
    if (!data)
        return STEP_SHORT;
    if (offset >= s->blocks[s->block].bytes)
        return stream_bad(
            s, err, "a page at %llu of '%s', behind its end", (unsigned long long)offset,
            stream_shown(s->blocks[s->block].name + 1, s->blocks[s->block].name[0]).text);
    if (len == 1 && data[0])
        return stream_bad(s, err, "a page that is filled with %u", data[0]);
    if (s->block != s->ram)
        return pass_page(s, offset, words, data, len, err);
    ok = len == 1 ? s->sink->zero(s->to, offset, err) : s->sink->page(s->to, offset, data, err);
    return ok ? STEP_DONE : STEP_FAILED;
}

enum step stream_record(struct stream *s, struct piece *p, bool *is_over, struct err *err)
{
    uint64_t head = piece_u64(p), words = head & RECORD_WORDS,
             offset = head & ~(uint64_t)RECORD_WORDS;

    if (p->is_short)
        return STEP_SHORT;
    if (words == RECORD_EOS && offset == 0) {
        if (!s->any_sizes)
            return stream_bad(s, err, "the memory begins without a list of its blocks");
        *is_over = true;
        return stream_pass(s, p, err);
    }
    if (words == RECORD_SIZES)
        return sizes(s, p, offset, err);
    words &= ~(uint64_t)RECORD_CONTINUE;
    if (words != RECORD_PAGE && words != RECORD_ZERO)
        return stream_bad(s, err, "a record of kind 0x%llx",
                          (unsigned long long)(head & RECORD_WORDS));
    return page(s, p, offset, head & RECORD_WORDS, err);
}
