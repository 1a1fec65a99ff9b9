/* bundle.json: what a bundle holds, its text, and whether it is sound in itself. Plain data:
 * nothing here looks at files or at the database. docs/bundles.md has the shape.
 *
 * It is a disaster copy (core/rebuild/document.h) with the length and digest of each file. */
#pragma once
#include "core/rebuild/document.h"

#define BUNDLE_VERSION    1
#define BUNDLE_FOLDER     "vmmd-bundles" /* in a pool root: <name>/ */
#define BUNDLE_DOCUMENT   "bundle.json"
#define BUNDLE_MAX        (16u << 20) /* bytes of it; every list of bundles reads them all */
#define BUNDLE_EXTRA_MAX  (8u << 20)  /* bytes of one file that is no disk and no memory */
#define BUNDLE_NAME_BYTES 96

struct bundle_file { /* as the copy's file of the same place in its list */
    struct uuid file;
    uint64_t bytes;
    char *digest; /* lower-case hex of file_copy()'s */
};
enum bundle_extra_kind { BUNDLE_NVRAM, BUNDLE_NVRAM_SB, BUNDLE_PICTURE, BUNDLE_EXTRA_KINDS };
struct bundle_extra {
    int kind;
    struct uuid snapshot; /* zero: the VM's own */
    uint64_t bytes;
    char *digest;
};
struct bundle {
    uint64_t bundle; /* the version of its shape */
    uint64_t made_ms;
    struct uuid operation; /* that made it */
    json_t *vm;            /* what 'copy' is read from */
    struct bundle_file *files;
    size_t n_files;
    struct bundle_extra *extras;
    size_t n_extras;
    struct vm_copy copy; /* of 'vm': not in the text */
};

/* Parses a hostile text: what vm_copy_read() checks, and that files and digests belong together,
 * each file is needed, and there is no more of anything than a VM has. INVALID with what is wrong,
 * UNSUPPORTED when a newer vmmd wrote it. Nothing is owned by '*out' then. */
bool bundle_read(const char *text, size_t len, struct bundle *out, struct err *err) MUST_USE;
/* Whether the document will be no longer than one that is read. UNSUPPORTED with what to do. */
bool bundle_fits(const struct bundle *bundle, struct err *err) MUST_USE;
/* The document without 'copy'; owned by the caller. */
json_t *bundle_json(const struct bundle *bundle);
void bundle_clear(struct bundle *bundle); /* for CLEANUP */

/* Names in the folder, and those of extras in a VM's directory as well: made of ids only. */
void bundle_file_name(const struct copy_file *file, char out[BUNDLE_NAME_BYTES]);
void bundle_extra_name(int kind, const struct uuid *snapshot, char out[BUNDLE_NAME_BYTES]);

/* Every file of the copy that nothing in it needs, marked in an array that is the caller's to
 * free(): true for one that is needed. */
bool *vm_copy_needed(const struct vm_copy *copy);
