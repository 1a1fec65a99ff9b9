/* Room in pools (docs/storage.md, "Space"): what is there, what operations have reserved, and
 * whether it is short. For core's own files.
 *
 * A pool has room for what fits between what its files take now and the least of its quota and its
 * file system, less the reserve that it keeps and what operations have put by. Reservations live in
 * memory: an operation that is taken up after a restart makes its own again. */
#pragma once
#include "core/core/parts.h"

struct space {
    uint64_t total_bytes, free_bytes; /* of the file system */
    uint64_t used_bytes;              /* by the pool's files, as they are on the disk */
    uint64_t reserved_bytes;          /* by operations that have not made their files yet */
    uint64_t reserve_bytes;           /* kept free for what is there already */
    uint64_t quota_bytes;             /* 0: none */
};

/* All look at the files of the pool: no lock may be held, and it blocks as long as its file system
 * does. NOT_FOUND, UNAVAILABLE when its root cannot be reached. */
bool space_read(struct core *core, const struct uuid *pool, struct space *out,
                struct err *err) MUST_USE;
/* NO_SPACE with the numbers unless the pool has room for 'bytes'. */
bool space_check(struct core *core, const struct uuid *pool, uint64_t bytes, const char *field,
                 struct err *err) MUST_USE;
/* NO_SPACE when a disk of this size could never be full. It takes no room by itself. */
bool space_check_disk(struct core *core, const struct uuid *pool, uint64_t size_bytes,
                      const char *field, struct err *err) MUST_USE;
/* The same for a file beside the pools of a root, in 'dir': what they keep and have put by is left
 * to them. */
bool space_check_root(struct core *core, const char *root, int dir, uint64_t bytes,
                      struct err *err) MUST_USE;
/* The same as space_check() and puts the bytes by for 'job', in place of what it has put by in this
 * pool before. */
bool space_reserve(struct core *core, const struct uuid *pool, const struct uuid *job,
                   uint64_t bytes, const char *field, struct err *err) MUST_USE;
/* Of all pools; nothing is fine. settle() calls it. */
void space_release(struct core *core, const struct uuid *job);
void space_clear(struct core *core); /* at the end */

/* Bytes free that the next file may use: 0 when the reserve is touched. */
uint64_t space_left(const struct space *space);
/* Whether a guest that stopped since the file system was full has room to go on: a quarter of what
 * the pool keeps in reserve for guests, and not so little that it stops again at once. */
bool space_lets_guests_write(const struct space *space);
/* Looks at all pools; those that have become short, or are so no more, get an event. The janitor
 * does it. */
void space_watch(struct core *core);
