/* Copies of image files: see copy.h.
 *
 * Both sides are walked in blocks, holes and blocks of zeroes skipped, so what is compared does not
 * depend on how a file system stores them. The copy's pages are dropped before it is read again:
 * what is compared is what the disk has. */
#include "core/disk/copy.h"

#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK_BYTES COPY_BLOCK_BYTES
#define PIECE_BYTES (1u << 20)

static void digest_freep(EVP_MD_CTX **digest)
{
    EVP_MD_CTX_free(*digest);
}

struct walk {
    int from, to; /* 'to' -1: nothing is written */
    size_t block; /* what is skipped where it is zero */
    char *buffer; /* PIECE_BYTES */
    EVP_MD_CTX *digest;
    copy_piece *piece;
    void *ctx;
};

static bool is_zero(const char *data, size_t len)
{
    return !data[0] && memcmp(data, data + 1, len - 1) == 0;
}

static bool write_at(int fd, const char *data, size_t len, off_t at, struct err *err)
{
    while (len) {
        ssize_t n = pwrite(fd, data, len, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, errno, "the copy cannot be written");
        data += n;
        len -= (size_t)n;
        at += n;
    }
    return true;
}

/* What is left of the buffer from 'begin' to 'end' belongs at that place of the copy. */
static bool write_run(struct walk *w, off_t at, size_t begin, size_t end, struct err *err)
{
    return w->to < 0 || begin == end ||
           write_at(w->to, w->buffer + begin, end - begin, at + (off_t)begin, err);
}

/* A piece was read: what of it is not zero is hashed with its place, and written. */
static bool take_piece(struct walk *w, off_t at, size_t len, struct err *err)
{
    size_t run = 0; /* where what is not written yet begins */

    for (size_t i = 0; i < len; i += w->block) {
        const size_t part = len - i < w->block ? len - i : w->block;
        const uint64_t place = (uint64_t)at + i;
        if (is_zero(w->buffer + i, part)) {
            if (!write_run(w, at, run, i, err))
                return false;
            run = i + part;
            continue;
        }
        if (!EVP_DigestUpdate(w->digest, &place, sizeof place) ||
            !EVP_DigestUpdate(w->digest, w->buffer + i, part))
            abort(); /* no SHA-256: nothing here can be trusted */
    }
    return write_run(w, at, run, len, err) && w->piece(w->ctx, len, err);
}

/* Data from 'at' up to 'end', which begins and ends at a whole block or at the file's end. */
static bool walk_data(struct walk *w, off_t at, off_t end, struct err *err)
{
    while (at < end) {
        const size_t want = end - at < PIECE_BYTES ? (size_t)(end - at) : PIECE_BYTES;
        size_t have = 0;
        while (have < want) {
            ssize_t n = pread(w->from, w->buffer + have, want - have, at + (off_t)have);
            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0)
                return err_errno(err, errno, "the image cannot be read");
            if (n == 0)
                return err_set(err, ERR_INTERNAL, "the image became shorter while it was read");
            have += (size_t)n;
        }
        if (!take_piece(w, at, have, err))
            return false;
        at += (off_t)have;
    }
    return true;
}

static bool walk_file(struct walk *w, off_t size, unsigned char hash[COPY_DIGEST_BYTES],
                      struct err *err)
{
    off_t at = 0;

    if (!EVP_DigestInit_ex(w->digest, EVP_sha256(), NULL))
        abort();
    while (at < size) {
        off_t data = lseek(w->from, at, SEEK_DATA), hole;
        if (data < 0 && errno == ENXIO)
            break; /* only a hole is left */
        hole = data < 0 ? -1 : lseek(w->from, data, SEEK_HOLE);
        if (hole < 0)
            return err_errno(err, errno, "the image cannot be read");
        data -= data % (off_t)w->block;
        data = data < at ? at : data;
        hole += ((off_t)w->block - hole % (off_t)w->block) % (off_t)w->block;
        hole = hole > size ? size : hole;
        if (!walk_data(w, data, hole, err))
            return false;
        at = hole;
    }
    if (!EVP_DigestFinal_ex(w->digest, hash, NULL))
        abort();
    return true;
}

bool file_copy(int from, int to, size_t block, copy_piece *piece, void *ctx,
               unsigned char wanted[COPY_DIGEST_BYTES], struct err *err)
{
    CLEANUP(digest_freep) EVP_MD_CTX *digest = EVP_MD_CTX_new();
    CLEANUP(mem_freep) char *buffer = mem_alloc(PIECE_BYTES);
    struct walk w = {from, to, block, buffer, digest, piece, ctx};
    unsigned char got[COPY_DIGEST_BYTES];
    struct stat st;

    if (!digest)
        abort();
    if (fstat(from, &st) < 0 || ftruncate(to, st.st_size) < 0)
        return err_errno(err, errno, "the copy cannot be begun");
    if (!walk_file(&w, st.st_size, wanted, err) || !fs_sync(to, "the copy of an image", err))
        return false;
    posix_fadvise(to, 0, 0, POSIX_FADV_DONTNEED);
    w.from = to;
    w.to = -1;
    return walk_file(&w, st.st_size, got, err) &&
           (memcmp(wanted, got, sizeof got) == 0 ||
            err_set(err, ERR_INTERNAL,
                    "the copy of an image is not what was written: the storage it was copied to, "
                    "or the host's memory, is broken"));
}

bool layer_copy(const struct layer *from, const struct layer *to, copy_piece *piece, void *ctx,
                struct err *err)
{
    CLEANUP(closep) int source = layer_open(from, O_RDONLY, err);
    CLEANUP(closep) int copy = -1;
    unsigned char digest[COPY_DIGEST_BYTES];

    if (source < 0)
        return false;
    copy = layer_open(to, O_RDWR | O_CREAT | O_TRUNC, err);
    return copy >= 0 &&
           FAILPOINT_AROUND(
               "disk.copy",
               file_copy(source, copy, copy_block(from->role), piece, ctx, digest, err), err) &&
           fs_sync(to->dir, "the pool's directory", err);
}

/* ---- the name in the header ---- */

#define QCOW2_MAGIC   "QFI\xfb"
#define NAME_AT_BYTE  8  /* u64, big-endian */
#define NAME_LEN_BYTE 16 /* u32, big-endian */

static uint64_t big_endian(const unsigned char *bytes, unsigned n)
{
    uint64_t value = 0;

    while (n--)
        value = value << 8 | *bytes++;
    return value;
}

bool layer_rename_parent(const struct layer *file, const struct layer *was, const struct layer *is,
                         struct err *err)
{
    CLEANUP(closep) int fd = layer_open(file, O_RDWR, err);
    char old[FILE_NAME_BYTES], new[FILE_NAME_BYTES], found[FILE_NAME_BYTES];
    unsigned char head[NAME_LEN_BYTE + 4];
    uint64_t at;
    size_t len;

    if (fd < 0)
        return false;
    layer_name(was, old);
    layer_name(is, new);
    len = strlen(old);
    if (strlen(new) != len || pread(fd, head, sizeof head, 0) != sizeof head ||
        memcmp(head, QCOW2_MAGIC, 4) != 0)
        return true;
    at = big_endian(head + NAME_AT_BYTE, 8);
    if (big_endian(head + NAME_LEN_BYTE, 4) != len || at > BLOCK_BYTES - len ||
        pread(fd, found, len, (off_t)at) != (ssize_t)len || memcmp(found, old, len) != 0)
        return true;
    return write_at(fd, new, len, (off_t)at, err) && fs_sync(fd, "an image's header", err);
}
