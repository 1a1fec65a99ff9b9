/* Pools, disks and their files in memory and on the disk: for core's own files.
 *
 * A disk of a new VM passes: planned (pool and size checked) -> rows 'creating' committed -> file
 * made and flushed -> rows 'live'. Deleting goes: rows 'trash' committed -> file unlinked,
 * directory flushed -> rows removed. A crash in between is settled by the job that is entered
 * again. */
#pragma once
#include "core/core/parts.h"
#include "core/disk/file.h"

/* Roots, pools and disks from configuration and store. */
bool disks_load(struct core *core, struct err *err) MUST_USE;
void disks_clear(struct core *core);

struct layer; /* core/disk/file.h */

struct pool *pool_find(struct core *core, const char *ref) REQUIRES(core->registry.lock);
/* What a client calls so, if it may be seen (core/user/sight.h); NULL: the oldest of those. */
struct pool *pool_named(struct core *core, const char *ref) REQUIRES(core->registry.lock);
bool pool_missing_fail(const char *ref, struct err *err);
/* Its default format as a word; 'ref' NULL is the oldest pool, and qcow2 what there is without. */
const char *pool_format(struct core *core, const char *ref);
/* Whoever writes a pool's row holds this. */
extern struct lock pool_editing;
/* The pool's row, with this said of its space; memory is left as it is. */
bool pool_write_low(struct core *core, struct store_txn *txn, const struct uuid *id, bool low,
                    struct err *err) MUST_USE;

/* ---- index.c: all disks by id, and each VM's ---- */
void disk_index_add(struct core *core, struct disk *disk) REQUIRES(core->registry.lock);
/* Takes one disk out of memory; its files stay. */
void disk_index_take(struct core *core, const struct uuid *disk);
/* The files of a chain from this leaf down that nobody else needs: no other file lies on them, no
 * snapshot has them. Copies, the leaf first; free(). */
struct layer *disk_own_files(struct core *core, struct vm *vm, const struct uuid *leaf, size_t *n);
/* Takes a VM's disks and files out of memory. */
void disk_index_drop(struct core *core, const struct uuid *vm) REQUIRES(core->registry.lock);
struct disk_owner *disk_owner_find(struct core *core, const struct uuid *vm)
    REQUIRES(core->registry.lock);
struct disk_owner *disk_owner_get(struct core *core, const struct uuid *vm)
    REQUIRES(core->registry.lock);
/* The first of a VM's disks, in no order; NULL when it has none. */
struct disk *disks_of(struct core *core, const struct uuid *vm) REQUIRES(core->registry.lock);
bool disk_missing_fail(const char *ref, struct err *err);
struct disk *disk_find(struct core *core, const struct uuid *id) REQUIRES(core->registry.lock);

/* Resolves and checks the pools of a new VM's disks, gives them ids. NOT_FOUND, NO_SPACE with the
 * numbers, INVALID. */
bool disks_plan(struct core *core, struct vm_spec *spec, struct err *err) MUST_USE;
/* The same for one; 'field' is the error's. */
bool disk_plan(struct core *core, struct vm_disk *disk, const char *field,
               struct err *err) MUST_USE;
/* Puts a VM's planned disks into memory, each with one new file. */
void disks_enlist(struct core *core, const struct vm *vm);
/* One of them, the spec's 'index', with a new file on 'parent', which is there. */
void disk_enlist_on(struct core *core, const struct vm *vm, size_t index, const struct uuid *parent)
    REQUIRES(core->registry.lock);
void disks_delist(struct core *core, const struct uuid *vm);
/* Rows of a VM's disks and files, with the files in 'state' and held by 'job' (zero: none). */
bool disks_write(struct core *core, struct store_txn *txn, const struct uuid *vm, const char *state,
                 const struct uuid *job, struct err *err) MUST_USE;
/* Memory follows rows that say 'live'. */
void disks_live(struct core *core, const struct uuid *vm);
bool disks_remove_rows(struct core *core, struct store_txn *txn, const struct uuid *vm,
                       struct err *err) MUST_USE;
/* One disk's row with another leaf, of this size; memory is left as it is. */
bool disk_write_leaf(struct core *core, struct store_txn *txn, const struct uuid *disk,
                     const struct uuid *leaf, uint64_t size_bytes, struct err *err) MUST_USE;
/* The same for a leaf in another pool or of another format; once that is durable memory follows
 * with disk_set_leaf(). */
bool disk_write_moved(struct core *core, struct store_txn *txn, const struct uuid *disk,
                      const struct layer *leaf, struct err *err) MUST_USE;
void disk_set_leaf(struct core *core, const struct uuid *disk, const struct layer *leaf)
    REQUIRES(core->registry.lock);
/* Makes the files of a VM's disks; those that exist are made anew. */
bool disks_make(struct core *core, const struct uuid *vm, struct err *err) MUST_USE;
bool disks_unlink(struct core *core, const struct uuid *vm, struct err *err) MUST_USE;
/* Opens a VM's disks for a start; the caller hands the descriptors on. Only leaves are opened for
 * writing. */
bool disks_open(struct core *core, const struct uuid *vm, struct plan_disk **out, size_t *n,
                struct err *err) MUST_USE;
/* One chain from a leaf down, as disks_open() does; position and bus are left open. */
bool disk_open_chain(struct core *core, const struct uuid *leaf, struct plan_disk *out,
                     struct err *err) MUST_USE;
void disks_close(struct plan_disk *disks, size_t n);
/* Tells a machine the limits of one disk, or of those that have any. The VM's 'spec' is a copy. */
bool disk_limit_set(struct core *core, struct machine *machine, const struct backend *backend,
                    const struct vm_disk *disk, struct err *err) MUST_USE;
bool disks_limit(struct core *core, struct machine *machine, const struct backend *backend,
                 const struct vm_spec *spec, struct err *err) MUST_USE;
/* Removes files in our pools that have a uuid name but no row: what a crash left before its row. */
void disks_sweep(struct core *core);
/* Name of the pool with this id (as text), or the text itself. */
json_t *pool_name_of(struct core *core, const char *id) REQUIRES(core->registry.lock);
