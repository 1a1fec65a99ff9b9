/* Copying what a file has into one that lies on it, by QEMU: the VM's own when it runs, one that
 * never runs a guest when the VM is off. For deleting snapshots. */
#pragma once
#include "core/core/parts.h"
#include "core/disk/file.h"
#include "core/disk/pace.h"

#define MERGE_LATER                                                                                \
    "the snapshot is gone, its files are not merged yet: that is gone on with later, or when any " \
    "snapshot of the VM is deleted"

/* Blocks until 'child' has everything of 'from' that it shows and the copy is on the disk; 'child'
 * does not need 'from' any more then. As fast as 'pace' allows; progress goes to its job. CANCELLED
 * when that is asked to end.
 * WRONG_STATE when the running VM cannot do it, with what to do. May be repeated. */
bool merge_stream(struct core *core, struct vm *vm, struct pace *pace, const struct layer *from,
                  const struct layer *child, struct err *err) MUST_USE;
/* The running VM's QEMU has a copy into (merge_stream()) or out of (merge_commit()) this file,
 * under way or over, that an earlier daemon may have begun: whatever ends the operation now, that
 * is to be gone on with, which ends it in an orderly way when the operation was cancelled. */
bool merge_is_begun(struct core *core, struct vm *vm, const struct layer *file);
/* A file, and the one it lies on that takes it over. */
struct merge_down {
    struct layer top, base;
    struct uuid disk;   /* that writes to 'top'; zero: none does */
    struct layer above; /* of a running VM: what lies on 'top' there; its id is zero when a disk
                         * writes to 'top' */
    bool above_is_leaf;
};
/* Blocks until 'base' has everything of 'top', on the disk, and a running VM's disk goes on in it:
 * nothing is true of that in the database yet. Errors as above; what cannot be known, since neither
 * the machine nor its log answer, is waited for. May be repeated; by an operation that is entered
 * again only for a disk that has not switched (merge_switched()). */
bool merge_commit(struct core *core, struct vm *vm, struct pace *pace,
                  const struct merge_down *down, struct err *err) MUST_USE;
/* Whether the operation had the pair's disk switch already. What cannot be known is waited for;
 * false: the daemon ends. */
bool merge_switched(struct core *core, struct vm *vm, struct pace *pace,
                    const struct merge_down *down, bool *switched, struct err *err) MUST_USE;
/* A running QEMU lets go of files that its disks do not need any more, as far as it answers. Waits
 * for their storage first. */
void merge_forget(struct core *core, struct vm *vm, const struct layer *files, size_t n);
