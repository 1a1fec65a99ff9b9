/* Copying image files that nobody writes to, as they are: for moves and clones. Not a conversion,
 * and nothing that is in them is believed. */
#pragma once
#include "core/disk/file.h"

/* Called between pieces with the bytes that were read since the last call: may wait (a limit), and
 * ends the copy by returning false with *err set. */
typedef bool copy_piece(void *ctx, uint64_t bytes, struct err *err);

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
