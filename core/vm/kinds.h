/* The job kinds of VMs, one file each; core/job finds them through job_kinds[] (kinds.c). */
#pragma once
#include "core/core/parts.h"

extern const struct job_kind vm_create_kind, vm_delete_kind, vm_start_kind, vm_shutdown_kind,
    vm_stop_kind, vm_restart_kind, guests_shutdown_kind, vm_reset_kind, vm_pause_kind,
    vm_resume_kind, vm_snapshot_kind, vm_revert_kind, vm_delete_snapshot_kind, vm_clone_kind,
    vm_move_storage_kind, vm_clone_full_kind, vm_flatten_kind, vm_add_disk_kind,
    vm_import_disk_kind, vm_remove_disk_kind, vm_grow_disk_kind, snapshot_export_kind, vm_save_kind,
    vm_discard_kind, vm_archive_snapshot_kind, vm_unarchive_snapshot_kind, vm_export_kind,
    vm_import_kind;

/* Checks that need the host's configuration; gives missing MAC addresses. */
bool vm_spec_check(struct vm_spec *spec, struct err *err) MUST_USE;
/* The media that 'spec' names and 'old' (NULL: none) does not are there. NOT_FOUND, INVALID. */
bool vm_media_check(struct core *core, const struct vm_spec *old, const struct vm_spec *spec,
                    struct err *err) MUST_USE;
struct etag;
/* True without 'if_match' or when the configuration is still at that revision; else REVISION. Under
 * vm->writing. */
bool vm_etag_matches(const struct vm *vm, const struct etag *if_match, struct err *err) MUST_USE;
const struct job_kind *vm_verb_kind(enum vm_verb verb); /* NULL: it is no operation */
/* The rows of a deletion, in the transaction of its job and under vm->writing: 'ctx' is one of
 * these. Once that is committed vm_delete_marked() lets memory follow. */
struct vm_mark {
    struct core *core;
    struct vm *vm;
    const struct uuid *job;
};
bool vm_delete_mark(struct store_txn *txn, void *ctx, struct err *err) MUST_USE;
void vm_delete_marked(struct core *core, struct vm *vm);
/* Submits the job of 'verb' for 'vm' with the claim taken. */
bool vm_submit(struct core *core, struct vm *vm, enum vm_verb verb, const json_t *args,
               const struct origin *origin, struct uuid *op,
               bool (*also)(struct store_txn *txn, void *ctx, struct err *err), void *ctx,
               struct err *err) MUST_USE;
/* ---- creating, for more than one kind (create.c) ---- */
struct vm_new {
    struct core *core;
    struct vm *vm;
    const struct uuid *job;
};
/* A VM that was just enlisted is 'creating' and held by the operation. */
void vm_new_begin(struct core *core, struct vm *vm, const struct uuid *op, const char *job_kind);
/* Its rows, and those of its disks and files, in the transaction of its job: 'ctx' is a vm_new. */
bool vm_new_rows(struct store_txn *txn, void *ctx, struct err *err) MUST_USE;
/* The rows that define it; once they are durable vm_now_defined() lets memory follow. Under
 * vm->writing. */
bool vm_define_rows(struct core *core, struct store_txn *txn, struct vm *vm,
                    struct err *err) MUST_USE;
void vm_now_defined(struct core *core, struct vm *vm);
/* Nothing is left of one that failed; what cannot be removed is removed at the next start. */
void vm_new_undo(struct core *core, struct vm *vm);
/* ---- starting, for more than one kind (start.c) ---- */
/* On the job's thread, which has the VM claimed; entered again it goes on where it was. */
bool vm_start_now(struct core *core, struct job *job, struct vm *vm, struct err *err) MUST_USE;
/* A start that failed leaves nothing: what was launched is killed, the VM is off. */
void vm_start_undo(struct core *core, struct vm *vm);
/* ---- ending, for more than one kind (stop.c) ---- */
/* The power button of a running VM, with the state 'stopping'; true as well when it ended
 * meanwhile.
 */
bool vm_press_button(struct core *core, struct vm *vm, struct err *err) MUST_USE;
/* The guest did not obey and runs on. */
void vm_shutdown_given_up(struct core *core, struct vm *vm);
/* Off, whatever holds it ('self' excepted); returns when nothing is left, within a minute. */
bool vm_force_off(struct core *core, struct vm *vm, const struct uuid *self,
                  struct err *err) MUST_USE;
/* Through the machine where there is one, else at the root of a launch under way; the end itself is
 * settled by who sees it. */
bool vm_kill(struct core *core, struct vm *vm, struct err *err) MUST_USE;
/* Asks the operation that holds the VM to end, if it is not 'self'. */
void vm_cancel_holder(struct core *core, struct vm *vm, const struct uuid *self);

/* struct job_kind.adopt of all exclusive kinds: the VM is claimed for the job again. */
void vm_adopt(struct core *core, struct job *job);
