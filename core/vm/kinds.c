/* The index of job kinds. */
#include "core/vm/kinds.h"

const struct job_kind *const job_kinds[] = {
    &vm_create_kind,
    &vm_delete_kind,
    &vm_start_kind,
    &vm_shutdown_kind,
    &vm_stop_kind,
    &vm_reset_kind,
    &vm_pause_kind,
    &vm_resume_kind,
    &vm_restart_kind,
    &guests_shutdown_kind,
    &vm_snapshot_kind,
    &vm_revert_kind,
    &vm_delete_snapshot_kind,
    &vm_move_storage_kind,
    &vm_clone_kind,
    &vm_clone_full_kind,
    &vm_flatten_kind,
    &vm_add_disk_kind,
    &vm_remove_disk_kind,
    &vm_grow_disk_kind,
    &snapshot_export_kind,
    &vm_save_kind,
    &vm_discard_kind,
    NULL,
};
