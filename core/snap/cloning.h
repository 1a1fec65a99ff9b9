/* What files of core/snap share about clones. */
#pragma once
#include "core/disk/file.h"
#include "core/disk/pace.h"

/* Whether files may be put on those of the VM's snapshots: no operation removes or moves them.
 * Under the registry lock. WRONG_STATE, BUSY. */
bool clone_source_is_free(const struct vm *vm, struct err *err) MUST_USE;
/* Streams into every file of the VM that lies on another's all that is below; a failure leaves what
 * is done. CANCELLED when the job of 'pace' is asked to end. For clone_run.c and flatten.c. */
bool flatten_vm(struct core *core, struct vm *vm, struct pace *pace, struct err *err) MUST_USE;
/* Puts by what that may take, in all pools concerned: space_release() is the job's settle().
 * 'again': it has a part of it already, which counts as well; then it only puts by what fits.
 * NO_SPACE. */
bool flatten_reserve(struct core *core, const struct vm *vm, struct job *job, bool again,
                     struct err *err) MUST_USE;

/* ---- clone_memory.c: an image of the clone's own that it goes on with: that of a full one in
 * another pool is a copy, that of any is expanded from an archived one ---- */
/* Zero 'out->id' when the image lies in that pool (a reference; NULL: its own) already and is no
 * archived one, so that it can be shared. NO_SPACE and UNAVAILABLE of the pool. 'out->vm' is the
 * caller's to set. */
bool clone_image_plan(struct core *core, const struct uuid *image, const char *pool,
                      struct layer *out, struct err *err) MUST_USE;
/* Makes what the VM is to go on with in the job's image, if it has one: file only. The guest of
 * 'source' goes first. Puts the space by: space_release() is the job's settle(). */
bool clone_image_make(struct core *core, struct vm *vm, struct vm *source, struct job *job,
                      struct err *err) MUST_USE;
/* The VM goes on with its own from the transaction that 'write' fills on, and lets go of the other
 * one. A failure leaves it with that. Under vm->writing. */
bool clone_image_commit(struct core *core, struct vm *vm, struct job *job,
                        bool (*write)(struct store_txn *txn, void *ctx, struct err *err), void *ctx,
                        struct err *err) MUST_USE;
