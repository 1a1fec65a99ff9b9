/* Copying image files that nobody writes to, as they are: for moves, clones and bundles. Not a
 * conversion, and nothing that is in them is believed. */
#pragma once
#include "core/disk/file.h"

/* Called between pieces with the bytes that were read since the last call: may wait (a limit), and
 * ends the copy by returning false with *err set. */
typedef bool copy_piece(void *ctx, uint64_t bytes, struct err *err);

#define COPY_DIGEST_BYTES 32
#define COPY_BLOCK_BYTES  65536
#define COPY_PAGE_BYTES   4096 /* of a guest's memory: each of zeroes is a hole */
static inline size_t copy_block(enum file_role role)
{
    return role == FILE_MEMORY ? COPY_PAGE_BYTES : COPY_BLOCK_BYTES;
}
/* Makes the empty file 'to', open for both, a copy of 'from', and flushes it; its name is the
 * caller's to flush. 'digest' is a SHA-256 over what is not zero: for each 'block' of the file that
 * holds anything its place (8 bytes, little-endian) and its bytes. Otherwise as layer_copy(). */
bool file_copy(int from, int to, size_t block, copy_piece *piece, void *ctx,
               unsigned char digest[COPY_DIGEST_BYTES], struct err *err) MUST_USE;
/* Makes 'to' a copy of 'from', which has the same format, and flushes it and its name; what is
 * there of an earlier attempt is replaced. Holes stay holes. Blocks as long as that takes: the copy
 * is read again from the disk, and its SHA-256 compared with that of what was read of the source,
 * so 'piece' hears of about twice layer_allocated() bytes. NO_SPACE; INTERNAL when the disk fails.
 * After a failure a part of it may be there: layer_unlink() it. */
bool layer_copy(const struct layer *from, const struct layer *to, copy_piece *piece, void *ctx,
                struct err *err) MUST_USE;
/* A qcow2's header says what the file below it is called, for people with other tools. Where 'file'
 * says 'was' it says 'is' from now on, which is as long; anything else is left as it is. */
bool layer_rename_parent(const struct layer *file, const struct layer *was, const struct layer *is,
                         struct err *err) MUST_USE;
