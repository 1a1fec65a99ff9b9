/* Image files: in memory, in the database, on the disk. For core's own files.
 *
 * A file knows its parent, and that is the chain of record (docs/storage.md): what is inside the
 * file itself is never asked. */
#pragma once
#include "core/core/parts.h"

#define FILE_NAME_BYTES 64
#define FILE_CHAIN_MAX  256 /* files on top of each other: QEMU opens them all */

/* ---- in memory ---- */
/* Takes 'file' over. Its parent, if any, is there already. */
void file_index_add(struct core *core, struct file *file) REQUIRES(core->registry.lock);
void file_index_drop(struct core *core, struct file *file) REQUIRES(core->registry.lock);
struct file *file_find(struct core *core, const struct uuid *id) REQUIRES(core->registry.lock);
void file_set_parent(struct core *core, struct file *file, const struct uuid *parent)
    REQUIRES(core->registry.lock);
/* Zero: nobody. */
void file_set_owner(struct core *core, struct file *file, const struct uuid *vm)
    REQUIRES(core->registry.lock);
bool files_load(struct core *core, struct err *err) MUST_USE;

/* ---- copies, so that no lock is held while the disk is worked on ---- */
struct layer {
    struct uuid id, pool, parent, vm;
    enum file_role role;
    int format; /* enum disk_format */
    uint64_t size_bytes;
    int dir; /* of its pool, borrowed; -1 when it cannot be reached */
};
struct layer layer_of_file(struct core *core, const struct file *file)
    REQUIRES(core->registry.lock);
/* From a leaf to its base; the array is the caller's to free(). */
struct layer *chain_of_leaf(struct core *core, const struct uuid *leaf, size_t *n);
/* All files of a VM, a parent before its children. */
struct layer *layers_of_vm(struct core *core, const struct uuid *vm, size_t *n);

/* Puts a file that is being made into memory, unless it is there: after a restart it is. */
void layer_enlist(struct core *core, const struct layer *layer, const struct uuid *job)
    REQUIRES(core->registry.lock);
/* Removes files, children before their parents in 'list' read backwards: from the disk, their rows,
 * memory. What cannot be done now is done at the next start. */
void layers_remove(struct core *core, const struct layer *list, size_t n);

/* ---- rows ---- */
/* 'state' is "creating", "live" or "trash"; 'job' holds it (zero: none). */
bool layer_write(struct store_txn *txn, const struct layer *layer, const char *state,
                 const struct uuid *job, struct err *err) MUST_USE;

/* ---- on the disk ---- */
void layer_name(const struct layer *layer, char out[FILE_NAME_BYTES]);
/* Makes it empty and flushes it and its name; what is there of an earlier attempt is replaced. */
bool layer_make(struct core *core, const struct layer *layer, struct err *err) MUST_USE;
/* And flushes the name; what it took is free a while later. */
bool layer_unlink(const struct layer *layer, struct err *err) MUST_USE;
/* A fresh descriptor, for handing over: image locks belong to it. -1 with *err set. */
int layer_open(const struct layer *layer, int flags, struct err *err) MUST_USE;
uint64_t layer_allocated(const struct layer *layer); /* bytes on the disk, 0 when unknown */
