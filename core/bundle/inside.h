/* The inside of core/bundle, shared by its files only. */
#pragma once
#include "core/bundle/bundle.h"
#include "core/bundle/document.h"
#include "core/core/parts.h"
#include "core/disk/copy.h"
#include "core/disk/pace.h"

#include <openssl/evp.h>

/* ---- folder.c ---- */
/* The folder of all bundles in a root, made when it is missing; -1 with NOT_FOUND. */
int bundles_folder(struct core *core, const char *root, struct err *err) MUST_USE;
bool bundle_name_is_fine(const char *name);
/* In the first root that has it, which is '*root' then unless that is NULL; -1 with NOT_FOUND. */
int bundle_open(struct core *core, const char *name, const char **root, struct err *err) MUST_USE;
/* The text of bundle.json, the caller's; INVALID with a sentence. */
char *bundle_text(int dir, size_t *len, struct err *err) MUST_USE;
/* A file of it for reading: regular, with one name, of that length. -1 with INVALID. */
int bundle_file_open(int dir, const char *name, uint64_t bytes, struct err *err) MUST_USE;
/* With all that is in it, bundle.json first; what is missing already is success. */
bool bundle_folder_remove(int folder, const char *name, struct err *err) MUST_USE;
/* Of the folder while that operation writes it. */
void bundle_part_name(const struct uuid *job, char out[BUNDLE_NAME_BYTES]);

#define DIGEST_TEXT (2 * COPY_DIGEST_BYTES + 1) /* as it is in the document */

/* ---- choose.c ---- */
/* What of a VM goes into a bundle: its copy, read again as a stranger's would be, so that nothing
 * is made that could not be read. Under vm->writing. */
struct bundle_choice {
    bool snapshots; /* else the present state alone */
    struct uuid as; /* as this snapshot was, which is not in it itself; zero: as it is */
};
bool bundle_choose(struct core *core, const struct vm *vm, const struct bundle_choice *choice,
                   struct bundle *out, struct err *err) MUST_USE;
/* The file on this host with that id. NOT_FOUND when it is gone meanwhile. */
bool bundle_layer(struct core *core, const struct uuid *id, struct layer *out,
                  struct err *err) MUST_USE;
uint64_t bundle_bytes(struct core *core, const struct bundle *b); /* on the disk, of its files */

/* ---- export.c ---- */
/* What 'pool' (name or id) is called, and its root. NOT_FOUND at "/pool". */
bool bundle_pool(struct core *core, const char *pool, struct uuid *id,
                 char root[NAME_MAX_BYTES + 1], struct err *err) MUST_USE;
/* One more of [{"code","pointer","detail"}]; '*first' is the first. */
void bundle_block(json_t *blockers, struct err *first, bool ok, struct err *why);
#define BUNDLE_GUESSED_BYTES_S (200u << 20) /* of a copy without a limit */

/* ---- header.c ---- */
/* The header of a qcow2 that names a file below it names this one from now on; NULL, or a name for
 * which there is no place: none. Of anything else nothing is changed. */
bool bundle_set_parent(int fd, const char *name, struct err *err) MUST_USE;

/* ---- turn.c ---- */
struct turn {
    struct uuid job;  /* of which new ids are made */
    struct uuid pool; /* where all files go */
    bool keep;        /* ids and MAC addresses stay */
    bool drop_memory; /* nothing goes on with an image */
};
struct uuid turn_id(const struct turn *t, const struct uuid *old); /* zero stays zero */
/* All ids, pools and MAC addresses in it. What memories were made with keeps its MAC addresses. */
void turn_copy(const struct turn *t, struct vm_copy *copy);

/* ---- identity.c ---- */
/* Whether another VM than the copy's has a disk or a snapshot with one of its ids, or a snapshot
 * with a disk of it. Whoever asks may not see that VM. */
bool bundle_clashes(struct core *core, const struct vm_copy *copy) REQUIRES(core->registry.lock);

/* ---- opened.c ---- */
/* A bundle that is read and becomes a VM here. */
struct opened {
    struct core *core;
    struct turn turn;
    int dir;
    char root[NAME_MAX_BYTES + 1];
    char text_digest[DIGEST_TEXT];     /* of bundle.json */
    struct bundle bundle;              /* 'copy' is turned */
    char (*names)[BUNDLE_NAME_BYTES];  /* of its files, in the folder */
    char (*extras)[BUNDLE_NAME_BYTES]; /* of its extras, there ... */
    struct layer *layers; /* what the files become; parents are not before their children */
    uint64_t bytes;       /* on the disk, of those that are needed here */
};
/* Reads bundle.json and looks whether all files are there. NOT_FOUND; INVALID. 'turn' is the
 * caller's to fill before. */
bool opened_read(struct opened *o, const char *name, struct err *err) MUST_USE;
void opened_clear(struct opened *o);
/* False for a memory image that is not taken along. */
bool opened_takes(const struct opened *o, size_t file);
