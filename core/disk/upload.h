/* Images that come through the API: pieces of a file, put behind each other in the folder "imports"
 * of a pool root, where it can be imported once it is whole (docs/disks.md; steps in
 * docs/storage.md). The API calls begin, add and end for each body; imports.c shows what there is.
 */
#pragma once
#include "core/disk/imports.h"

#include <stdatomic.h>

#define UPLOADS_AT_ONCE  8         /* bodies that are being taken */
#define UPLOADS_LEFT     64        /* unfinished ones that may lie in a root */
#define UPLOAD_KEEP_MS   604800000 /* 7 days without a byte, and an unfinished one is removed */
#define UPLOAD_BYTES_MAX (64ull << 40)

struct upload;

/* What one body is of the image. Texts are borrowed for upload_begin(). */
struct upload_ask {
    const char *root, *name;
    uint64_t from, len, total;  /* bytes; from 0: it begins anew */
    const char *sha256;         /* of the whole, in hex; NULL: not said */
    const atomic_bool *no_more; /* checking the whole ends with UNAVAILABLE when it is set */
};

/* Finds or makes the file for what is to come, with room for all of it. One body an image at a
 * time: BUSY. EXISTS when the image is there already; WRONG_STATE with the place to go on from;
 * NO_SPACE, NOT_FOUND, INVALID. Nothing is changed by one that is refused. */
struct upload *upload_begin(struct core *core, const struct upload_ask *ask,
                            struct err *err) MUST_USE;
/* Writes the next bytes of the body; blocks on the disk. NO_SPACE, INTERNAL. */
bool upload_add(struct upload *upload, const void *data, size_t len, struct err *err) MUST_USE;
/* The body has ended. What came is flushed; when that was all, it is compared with its digest and
 * gets its name ('*whole'). INVALID when the digest is another: then all of it is removed. */
bool upload_end(struct upload *upload, bool *whole, struct err *err) MUST_USE;
/* Frees it; what has come stays, to be gone on with. NULL is fine. */
void upload_close(struct upload *upload);

/* Removes unfinished ones that nobody has gone on with. The janitor calls it. */
void uploads_sweep(struct core *core);

/* Keeps others from an image while it is removed: BUSY while a body of it is being taken. To be
 * closed with upload_close(). */
struct upload *upload_claim(struct core *core, unsigned root, const char *name,
                            struct err *err) MUST_USE;
