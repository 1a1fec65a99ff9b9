/* QEMU's migration stream (format version 3), taken apart as it comes: the pages of the guest's
 * memory go one way, all else the other. It does no I/O and allocates nothing; who feeds it reads,
 * and the sink writes.
 *
 *   head, configuration, its subsections
 *   (START | PART | END) of "ram": records until EOS, a footer     many times; a background
 *                                                                  snapshot has no END
 *   sections of devices … the end, the description of it all       from the first on passed through
 *
 * Nothing of it is believed: every length is checked against what was announced, what was announced
 * against the size of the guest, and a word that is not known ends it with a sentence about where
 * it stood. The pages of other blocks (firmware, video memory) are passed through and name their
 * block each, since the one that they went on from may be gone. */
#pragma once
#include "core/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STREAM_BLOCKS_MAX 512
#define STREAM_PIECE_MAX  8192 /* a feed of that many bytes always moves */

/* Where it goes. What it is given is valid until stream_feed() returns. Each fills *err when false.
 */
struct stream_sink {
    bool (*page)(void *to, uint64_t offset, const uint8_t *page, struct err *err);
    bool (*zero)(void *to, uint64_t offset, struct err *err); /* a page of zeroes */
    bool (*state)(void *to, const void *data, size_t len, struct err *err);
};

struct stream_block {
    uint64_t bytes;
    uint8_t name[256]; /* as the stream has it: its length, then itself */
};

/* The members are the parser's own. */
struct stream {
    const struct stream_sink *sink;
    void *to;
    uint64_t ram_bytes;
    uint64_t at;    /* bytes of the stream that were taken */
    unsigned phase; /* see stream.c */
    uint32_t section;
    bool ram_began, ram_ended, any_sizes;
    bool names_addresses; /* the list of blocks does */
    uint64_t sizes_left;  /* of the list of blocks: bytes not yet given to a block */
    uint64_t state_bytes;
    unsigned n_blocks;
    int ram;         /* index of the guest's memory; -1: none yet */
    int block;       /* of the last page; -1: none */
    uint64_t window; /* the last 8 bytes of the devices */
    uint64_t end;    /* where their description says that the stream is over; 0: not seen */
    struct stream_block blocks[STREAM_BLOCKS_MAX];
};

/* 'ram_bytes': the size of the guest's memory. */
void stream_init(struct stream *s, uint64_t ram_bytes, const struct stream_sink *sink, void *to);
/* Takes what it can of 'data' and says how much that was; the rest, less than STREAM_PIECE_MAX, is
 * to be brought again with more behind it. MALFORMED, or what the sink said. */
bool stream_feed(struct stream *s, const uint8_t *data, size_t len, size_t *taken,
                 struct err *err) MUST_USE;
/* Whether the stream may end here. */
bool stream_is_complete(const struct stream *s);
