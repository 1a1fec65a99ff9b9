/* Snapshots of VMs as the API sees them: schemas Snapshot, SnapshotList. The words, records and
 * steps are in docs/storage.md. */
#pragma once
#include "core/base/str.h"
#include "core/core/core.h"
#include "core/model/query.h"
#include "core/model/state.h"

#define SNAPSHOT_NOTES_MAX 4096
#define GUESSED_BYTES_S    (200ull << 20) /* what dry runs say is copied in a second */
#define SNAPSHOTS_MAX      200 /* of one VM: as deep as a chain may get, with room to spare */

/* What a snapshot has of a running VM: its disks alone, its memory as well, or that if possible. */
enum consistency { CONSISTENCY_DISK, CONSISTENCY_AUTO, CONSISTENCY_RUNNING };
extern const char *const consistency_names[]; /* as in the API, NULL-terminated */

struct snapshot_ask {
    const char *name;
    const char *notes; /* may be NULL */
    enum consistency consistency;
};

/* Submits "vm.snapshot": all disks at one moment, of a running VM without stopping it. EXISTS for a
 * name taken, WRONG_STATE, BUSY, NO_SPACE. With memory the operation ends when that is on the disk;
 * UNSUPPORTED with the reason when it cannot be kept. With origin->dry_run nothing is submitted. */
bool snapshot_take(struct core *core, const char *ref, const struct snapshot_ask *ask,
                   const struct origin *origin, struct uuid *op, struct err *err) MUST_USE;
/* The same of the disks alone. */
bool snapshot_create(struct core *core, const char *ref, const char *name, const char *notes,
                     const struct origin *origin, struct uuid *op, struct err *err) MUST_USE;
/* 'ref' is a VM's id or name, 'snapshot' an id, or a name within the VM. */
/* The VM (its id) that the snapshot with this id belongs to. NOT_FOUND. */
bool snapshot_vm(struct core *core, const char *id, char vm[UUID_TEXT], struct err *err) MUST_USE;
json_t *snapshot_show(struct core *core, const char *ref, const char *snapshot,
                      struct err *err) MUST_USE;
/* Appends {"items":[Snapshot…],"next_page_token":…} for a query of schema_snapshot. */
bool snapshot_list(struct core *core, const char *ref, const struct query *query,
                   struct strbuf *out, struct err *err) MUST_USE;
/* NULL leaves a member as it is. EXISTS; BUSY while an operation holds the VM. */
json_t *snapshot_edit(struct core *core, const char *ref, const char *snapshot, const char *name,
                      const char *notes, const struct origin *origin, struct err *err) MUST_USE;
/* Submits "vm.revert": disks, firmware variables and configuration (but the name) become those of
 * the snapshot; what was written since the last snapshot is gone. A VM that runs is forced off
 * first, once all that can be refused was looked at. With the guest's memory the VM is 'saved' then
 * and goes on from there; one without that was running boots anew. 'start' false: neither.
 * UNSUPPORTED with the reason when its memory does not fit this host any more. */
bool snapshot_revert_to(struct core *core, const char *ref, const char *snapshot, bool start,
                        const struct origin *origin, struct uuid *op, struct err *err) MUST_USE;
/* The same with 'start'. */
bool snapshot_revert(struct core *core, const char *ref, const char *snapshot,
                     const struct origin *origin, struct uuid *op, struct err *err) MUST_USE;
/* Submits "vm.delete-snapshot": what others still need of its files moves to them first, at so many
 * bytes a second (0: as fast as it goes); NULL: so that a running guest hardly notices. */
bool snapshot_delete(struct core *core, const char *ref, const char *snapshot,
                     const uint64_t *bytes_per_s, const struct origin *origin, struct uuid *op,
                     struct err *err) MUST_USE;
/* Submits "vm.archive-snapshot" or, without 'pack', "vm.unarchive-snapshot": the snapshot's memory
 * is compressed, so that it takes less; who goes on with it has it expanded first, for themselves.
 * NOT_FOUND; WRONG_STATE for one without memory, or when somebody is to go on with it; NO_SPACE. */
bool snapshot_archive(struct core *core, const char *ref, const char *snapshot, bool pack,
                      const struct origin *origin, struct uuid *op, struct err *err) MUST_USE;
/* PNG of the VM's first display a moment before it was taken; '*png' is the caller's. NOT_FOUND
 * when the VM was off, or has no display. */
bool snapshot_picture(struct core *core, const char *ref, const char *snapshot, char **png,
                      size_t *len, struct err *err) MUST_USE;
/* How much of the disks differs between two snapshots, at most; 'to' NULL: and now. Schema
 * SnapshotDiff, owned by the caller. NOT_FOUND. Looks at files. 'exact': and how much it is, of two
 * snapshots only (INVALID): starts QEMUs, blocks until they have said it; BUSY, TIMEOUT,
 * HYPERVISOR, UNAVAILABLE. */
json_t *snapshot_diff(struct core *core, const char *ref, const char *from, const char *to,
                      bool exact, struct err *err) MUST_USE;
/* What would be done: VM_VERB_SNAPSHOT, VM_VERB_REVERT or VM_VERB_DELETE_SNAPSHOT. */
struct snapshot_act {
    enum vm_verb verb;
    const char *snapshot;         /* its id or name; taking one: the name that it would have */
    enum consistency consistency; /* taking one */
    bool start;                   /* reverting */
};
/* What it would do, and all that stands in its way: schema SnapshotPlan, owned by the caller.
 * NOT_FOUND. Asks the backend and looks at files. */
json_t *snapshot_plan(struct core *core, const char *ref, const struct snapshot_act *act,
                      struct err *err) MUST_USE;
