/* Frames of zstd, packed, unpacked and compared: see frame.h.
 *
 * All is done with parameters that do not depend on the image, so that the warming up in
 * frame_init() makes the contexts as large as they get: later there is no memory to be had. */
#include "vmmd/pack/frame.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#define LEVEL      3 /* half a gigabyte a second a core; more saves little of what a memory holds */
#define WINDOW_LOG 21
#define CHUNK      (1u << 20)
#define PAGE       4096u

static ZSTD_CCtx *compressor;
static ZSTD_DCtx *expander;
static uint8_t plain_chunk[CHUNK], packed_chunk[CHUNK], other_chunk[CHUNK];

/* ---- files ---- */

static bool read_at(int fd, void *to, size_t len, uint64_t at, size_t *got, struct err *err)
{
    *got = 0;
    while (*got < len) {
        ssize_t n = pread(fd, (uint8_t *)to + *got, len - *got, (off_t)(at + *got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, errno, "read the image");
        if (n == 0)
            break;
        *got += (size_t)n;
    }
    return true;
}

static bool write_at(int fd, const void *from, size_t len, uint64_t at, struct err *err)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = pwrite(fd, (const uint8_t *)from + done, len - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, errno, "write the image");
        done += (size_t)n;
    }
    return true;
}

/* ---- packing ---- */

struct packing {
    int fd; /* -1: what comes out stays in 'packed_chunk' */
    uint64_t written;
};

static bool drain(struct packing *p, ZSTD_inBuffer *in, ZSTD_EndDirective how, struct err *err)
{
    size_t left;

    do {
        ZSTD_outBuffer out = {packed_chunk, sizeof packed_chunk, p->fd < 0 ? p->written : 0};
        const size_t before = out.pos;
        left = ZSTD_compressStream2(compressor, &out, in, how);
        if (ZSTD_isError(left))
            return err_set(err, ERR_INTERNAL, "zstd: %s", ZSTD_getErrorName(left));
        if (p->fd >= 0 && !write_at(p->fd, packed_chunk, out.pos, p->written, err))
            return false;
        p->written += out.pos - before;
    } while (how == ZSTD_e_end ? left > 0 : in->pos < in->size);
    return true;
}

static bool feed(struct packing *p, const void *data, size_t len, struct err *err)
{
    ZSTD_inBuffer in = {data, len, 0};

    return drain(p, &in, ZSTD_e_continue, err);
}

static bool finish(struct packing *p, struct err *err)
{
    ZSTD_inBuffer in = {NULL, 0, 0};

    return drain(p, &in, ZSTD_e_end, err);
}

/* Where data begins from 'at' on; the end when there is none. */
static uint64_t next_data(int fd, uint64_t at, uint64_t end)
{
    const off_t data = lseek(fd, (off_t)at, SEEK_DATA);

    if (data >= 0)
        return (uint64_t)data < end ? (uint64_t)data : end;
    return errno == ENXIO ? end : at; /* a file system without holes has data everywhere */
}

bool frame_pack(int plain, uint64_t bytes, int packed, frame_tell *tell, struct err *err)
{
    struct packing p = {.fd = packed};
    uint64_t at = 0, data = 0;

    ZSTD_CCtx_reset(compressor, ZSTD_reset_session_only);
    while (at < bytes) {
        size_t len = bytes - at < CHUNK ? (size_t)(bytes - at) : CHUNK, got = len;
        if (data <= at)
            data = next_data(plain, at, bytes);
        if (data >= at + len)
            memset(plain_chunk, 0, len);
        else if (!read_at(plain, plain_chunk, len, at, &got, err))
            return false;
        if (got < len)
            return err_set(err, ERR_INTERNAL, "the image became shorter while it was read");
        if (!feed(&p, plain_chunk, len, err) || !tell(len, err))
            return false;
        at += len;
    }
    return finish(&p, err);
}

/* ---- expanding ---- */

struct expanding {
    int fd;
    uint64_t read;
    ZSTD_inBuffer in;
    bool ended; /* the frame */
};

static void begin(struct expanding *e, int fd)
{
    *e = (struct expanding){.fd = fd, .in = {packed_chunk, 0, 0}};
    ZSTD_DCtx_reset(expander, ZSTD_reset_session_only);
}

static bool refill(struct expanding *e, struct err *err)
{
    size_t got;

    if (e->in.pos < e->in.size)
        return true;
    if (!read_at(e->fd, packed_chunk, sizeof packed_chunk, e->read, &got, err))
        return false;
    e->read += got;
    e->in = (ZSTD_inBuffer){packed_chunk, got, 0};
    return got > 0 || err_set(err, ERR_MALFORMED, "the packed image ends before its end");
}

/* A whole chunk unless the frame ends in it. */
static bool expand(struct expanding *e, size_t *len, struct err *err)
{
    ZSTD_outBuffer out = {plain_chunk, sizeof plain_chunk, 0};

    while (!e->ended && out.pos < out.size) {
        /* it may have more to give of what it has had already */
        const size_t left = ZSTD_decompressStream(expander, &out, &e->in);
        if (ZSTD_isError(left))
            return err_set(err, ERR_MALFORMED, "the packed image is damaged: %s",
                           ZSTD_getErrorName(left));
        e->ended = left == 0;
        if (!e->ended && out.pos < out.size && !refill(e, err))
            return false;
    }
    *len = out.pos;
    return true;
}

static bool is_zero(const uint8_t *data, size_t len)
{
    return !data[0] && memcmp(data, data + 1, len - 1) == 0;
}

/* What is no page of zeroes, in as few writes as there are runs of it. */
static bool write_pages(int fd, const uint8_t *data, size_t len, uint64_t at, struct err *err)
{
    size_t run = 0;

    for (size_t i = 0; i < len; i += PAGE) {
        const size_t part = len - i < PAGE ? len - i : PAGE;
        if (!is_zero(data + i, part))
            continue;
        if (!write_at(fd, data + run, i - run, at + run, err))
            return false;
        run = i + part;
    }
    return run >= len || write_at(fd, data + run, len - run, at + run, err);
}

bool frame_unpack(int packed, int plain, uint64_t *bytes, frame_tell *tell, struct err *err)
{
    struct expanding e;
    uint64_t at = 0;

    begin(&e, packed);
    while (!e.ended) {
        size_t len;
        if (!expand(&e, &len, err))
            return false;
        if (len > *bytes - at)
            return err_set(err, ERR_MALFORMED, "the packed image is larger than it was");
        if (!write_pages(plain, plain_chunk, len, at, err) || !tell(len, err))
            return false;
        at += len;
    }
    *bytes = at;
    return ftruncate(plain, (off_t)at) == 0 || err_errno(err, errno, "end the image");
}

bool frame_compare(int packed, int plain, uint64_t bytes, frame_tell *tell, struct err *err)
{
    struct expanding e;
    uint64_t at = 0;

    begin(&e, packed);
    while (!e.ended) {
        size_t len, got;
        if (!expand(&e, &len, err) || !read_at(plain, other_chunk, len, at, &got, err))
            return false;
        if (got != len || memcmp(plain_chunk, other_chunk, len) != 0)
            break;
        if (!tell(len, err))
            return false;
        at += len;
    }
    return (e.ended && at == bytes) ||
           err_set(err, ERR_INTERNAL,
                   "the image is not what was written: the storage, or the host's memory, is "
                   "broken");
}

/* ---- warming up ---- */

static bool set(size_t result)
{
    return !ZSTD_isError(result);
}

bool frame_init(void)
{
    struct packing p = {.fd = -1};
    struct err err = {0};
    ZSTD_outBuffer out = {plain_chunk, sizeof plain_chunk, 0};
    ZSTD_inBuffer in;

    compressor = ZSTD_createCCtx();
    expander = ZSTD_createDCtx();
    if (!compressor || !expander ||
        !set(ZSTD_CCtx_setParameter(compressor, ZSTD_c_compressionLevel, LEVEL)) ||
        !set(ZSTD_CCtx_setParameter(compressor, ZSTD_c_windowLog, WINDOW_LOG)) ||
        !set(ZSTD_CCtx_setParameter(compressor, ZSTD_c_checksumFlag, 1)) ||
        !set(ZSTD_DCtx_setParameter(expander, ZSTD_d_windowLogMax, WINDOW_LOG)))
        return false;
    for (unsigned i = 0; i < (1u << WINDOW_LOG) / CHUNK + 1; i++)
        if (!feed(&p, other_chunk, sizeof other_chunk, &err))
            return false;
    if (!finish(&p, &err))
        return false;
    in = (ZSTD_inBuffer){packed_chunk, (size_t)p.written, 0};
    return p.written < sizeof packed_chunk && set(ZSTD_decompressStream(expander, &out, &in));
}
