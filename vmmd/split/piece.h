/* What the parts of the stream's parser share: reading one piece, a part of the stream that must
 * lie in the buffer as a whole, and the verdicts on it. */
#pragma once
#include "vmmd/split/stream.h"

#include <endian.h>
#include <string.h>

enum step { STEP_DONE, STEP_SHORT, STEP_FAILED };

/* A cursor over a piece. Once it is short it stays so, and what it gives is 0. */
struct piece {
    const uint8_t *start, *at, *end;
    bool is_short;
};

static inline const uint8_t *piece_bytes(struct piece *p, size_t n)
{
    const uint8_t *here = p->at;

    if (p->is_short || (size_t)(p->end - here) < n) {
        p->is_short = true;
        return NULL;
    }
    p->at += n;
    return here;
}

static inline uint8_t piece_u8(struct piece *p)
{
    const uint8_t *b = piece_bytes(p, 1);

    return b ? *b : 0;
}

static inline uint32_t piece_u32(struct piece *p)
{
    const uint8_t *b = piece_bytes(p, 4);
    uint32_t v = 0;

    if (b)
        memcpy(&v, b, sizeof v);
    return be32toh(v);
}

static inline uint64_t piece_u64(struct piece *p)
{
    const uint8_t *b = piece_bytes(p, 8);
    uint64_t v = 0;

    if (b)
        memcpy(&v, b, sizeof v);
    return be64toh(v);
}

static inline bool piece_is(const uint8_t *bytes, size_t len, const char *word)
{
    return len == strlen(word) && memcmp(bytes, word, len) == 0;
}

/* The whole piece, or a part of it, to the state. */
enum step stream_pass(struct stream *s, const struct piece *p, struct err *err) MUST_USE;
enum step stream_emit(struct stream *s, const void *data, size_t len, struct err *err) MUST_USE;
/* STEP_FAILED, MALFORMED: "… at byte N of QEMU's stream". */
enum step stream_bad(const struct stream *s, struct err *err, const char *fmt, ...) PRINTF(3, 4);
/* A name of the stream for a sentence: cut, and without what cannot be shown. */
struct shown {
    char text[48];
};
struct shown stream_shown(const uint8_t *name, size_t len);

/* stream_ram.c: one entry of the list of blocks; one record of a section of memory, of which
 * *is_over says that it was the last. */
enum step stream_size(struct stream *s, struct piece *p, struct err *err) MUST_USE;
enum step stream_record(struct stream *s, struct piece *p, bool *is_over, struct err *err) MUST_USE;
