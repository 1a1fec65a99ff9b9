/* Storage pools and disks as the API sees them: schemas Pool, PoolList, Disk, DiskList. */
#pragma once
#include "core/base/str.h"
#include "core/core/core.h"
#include "core/model/pool.h"
#include "core/model/query.h"

/* A pool is a directory named by its id below a configured root. */
bool pool_create_as(struct core *core, const struct pool_settings *settings,
                    const struct origin *origin, struct uuid *id, struct err *err) MUST_USE;
/* With the usual settings. */
bool pool_create(struct core *core, const char *name, const char *root, const struct origin *origin,
                 struct uuid *id, struct err *err) MUST_USE;
/* By a merge patch; NOT_FOUND, INVALID, EXISTS. The pool as it is then. */
json_t *pool_edit(struct core *core, const char *ref, const json_t *patch,
                  const struct origin *origin, struct err *err) MUST_USE;
/* Appends {"items":[PoolFile…],"next_page_token":…}: what lies in the pool and whose it is, for a
 * query of schema_pool_file. Reads the directory. */
bool pool_files(struct core *core, const char *ref, const struct query *query, struct strbuf *out,
                struct err *err) MUST_USE;
json_t *pool_show(struct core *core, const char *ref, struct err *err) MUST_USE;
/* Appends {"items":[Pool…],"next_page_token":…} for a query of schema_pool. */
void pool_list(struct core *core, const struct query *query, struct strbuf *out);
/* IN_USE while disks lie in it. */
bool pool_delete(struct core *core, const char *ref, const struct origin *origin,
                 struct err *err) MUST_USE;
json_t *disk_show(struct core *core, const char *ref, struct err *err) MUST_USE;
/* The same of disks; 'vm' (ref) narrows to one VM's when not NULL: NOT_FOUND. */
bool disk_list(struct core *core, const char *vm, const struct query *query, struct strbuf *out,
               struct err *err) MUST_USE;

/* ---- changing disks; a disk is named by its id ---- */
/* Submits "vm.add-disk" with a VmDisk as a client writes it: pool, format and bus may be left to
 * pool and profile. INVALID, NOT_FOUND (pool), NO_SPACE with the numbers, WRONG_STATE when the VM
 * runs and the bus takes no disks then, BUSY. With origin->dry_run nothing is submitted; the same
 * of the others. */
bool disk_add(struct core *core, const char *vm, const json_t *body, const struct origin *origin,
              struct uuid *op, struct err *err) MUST_USE;
/* What disk_add() of a body with a 'source' would do: the image's facts and the disk (schema
 * DiskImportPlan), or why it would not. Nothing is changed. */
json_t *disk_import_plan(struct core *core, const char *vm, const json_t *body,
                         const struct origin *origin, struct err *err) MUST_USE;
/* Submits "vm.remove-disk": the guest lets go of it, and its data is gone; what snapshots have of
 * it stays. */
bool disk_remove(struct core *core, const char *disk, const struct origin *origin, struct uuid *op,
                 struct err *err) MUST_USE;
/* Submits "vm.grow-disk". INVALID when it would shrink, UNSUPPORTED by its format. */
bool disk_grow(struct core *core, const char *disk, uint64_t size_bytes,
               const struct origin *origin, struct uuid *op, struct err *err) MUST_USE;
/* Changes its limits by a merge patch of {"limits":DiskLimits}, at once while the VM runs. The
 * disk, as it is or (dry run) would be. */
json_t *disk_edit(struct core *core, const char *disk, const json_t *patch,
                  const struct origin *origin, struct err *err) MUST_USE;
