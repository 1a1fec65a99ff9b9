/* See source.h. */
#include "vmmd/inspect/source.h"

#include <stdarg.h>
#include <stdio.h>

#define PIECE       (32u << 10)
#define VIRTUAL_MAX (64ull << 40)
#define RATIO_MAX   1100         /* what deflate makes of nothing but the same byte is 1032 */
#define RATIO_FROM  (1ull << 30) /* smaller than that it is no matter */

bool refuse(struct err *err, const char *format, const char *fmt, ...)
{
    char what[300];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    return err_set(err, ERR_INVALID, "the %s image %s", format, what);
}

bool source_read(const struct source *s, uint64_t at, void *out, size_t len, struct err *err)
{
    if (at > s->bytes || len > s->bytes - at)
        return err_set(err, ERR_INVALID,
                       "the image is damaged or cut off: it is %llu bytes long, and a part of it "
                       "is said to lie at byte %llu",
                       (unsigned long long)s->bytes, (unsigned long long)at);
    return len == 0 || s->read(s->ctx, at, out, len, err);
}

bool source_table(const struct source *s, uint64_t at, uint64_t n, unsigned width,
                  source_take *take, void *ctx, struct err *err)
{
    _Alignas(8) uint8_t piece[PIECE];

    if (n > s->bytes / width)
        return err_set(err, ERR_INVALID,
                       "the image is damaged: a table in it is larger than the file");
    while (n) {
        const size_t now = n < PIECE / width ? n : PIECE / width;
        if (!source_read(s, at, piece, now * width, err) || !take(ctx, piece, now, err))
            return false;
        at += now * width;
        n -= now;
    }
    return true;
}

static bool claim_begins(const struct claims *c, uint64_t at, struct err *err)
{
    return at < c->file_bytes ||
           refuse(err, c->format,
                  "is damaged or cut off: it says that data lies at byte %llu, behind its end",
                  (unsigned long long)at);
}

/* What is smaller than a piece may be the only thing in its piece. */
static void claim_copy(struct claims *c, uint64_t bytes)
{
    c->data_bytes += bytes;
    c->copy_bytes += bytes > COPY_BYTES ? bytes : COPY_BYTES;
}

bool claim_plain(struct claims *c, uint64_t at, uint64_t bytes, bool is_data, struct err *err)
{
    if (!claim_begins(c, at, err))
        return false;
    c->plain_bytes += bytes;
    if (is_data)
        claim_copy(c, bytes);
    /* The last one may be cut where only zeroes follow. */
    return c->plain_bytes <= c->file_bytes + bytes ||
           refuse(err, c->format,
                  "is damaged: its tables name more data than the file has, so that some of it "
                  "would be in the disk more than once");
}

bool claim_packed(struct claims *c, uint64_t at, uint64_t unpacked_bytes, struct err *err)
{
    if (!claim_begins(c, at, err))
        return false;
    claim_copy(c, unpacked_bytes);
    return c->data_bytes < RATIO_FROM || c->data_bytes / RATIO_MAX <= c->file_bytes ||
           refuse(err, c->format,
                  "would unpack to more than %u times its size: no honest image does", RATIO_MAX);
}

bool claims_end(const struct claims *c, uint64_t virtual_bytes, struct image_facts *out,
                struct err *err)
{
    if (virtual_bytes == 0)
        return refuse(err, c->format, "has a disk of no size");
    if (virtual_bytes > VIRTUAL_MAX)
        return refuse(err, c->format, "has a disk of more than 64 TiB, which no VM can have");
    if (virtual_bytes % 512)
        return refuse(err, c->format, "has a disk that is no whole number of sectors");
    out->virtual_bytes = virtual_bytes;
    out->data_bytes = c->copy_bytes < virtual_bytes ? c->copy_bytes : virtual_bytes;
    return true;
}
