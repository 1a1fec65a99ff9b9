/* What the files of the noun "vm" share. */
#pragma once
#include "cli/output.h"
#include "core/model/field.h"

extern const struct column vm_columns[];
/* From here on in vm_create_flags: what makes a configuration, also that of a template. */
#define VM_SPEC_FLAGS 3
extern const struct flag vm_create_flags[], vm_edit_flags[], vm_stop_flags[], vm_shutdown_flags[],
    vm_delete_flags[], vm_wait_flags[], vm_key_flags[], vm_copy_flags[], vm_clone_flags[],
    vm_flatten_flags[], vm_media_flags[], vm_log_flags[], vm_type_flags[], vm_pointer_flags[],
    vm_move_flags[], vm_export_flags[], vm_import_flags[];

/* The member that a flag of vm create says, or NULL. */
const struct field *vm_flag_field(const struct command *command, const char *flag);

/* The configuration that a file and the flags say, without a name; owned by the caller. USAGE. */
json_t *vm_spec_from_flags(struct cli *cli, struct fault *fault) MUST_USE;
bool vm_create_run(struct cli *cli, struct fault *fault) MUST_USE;
bool vm_copy_run(struct cli *cli, struct fault *fault) MUST_USE;
bool vm_clone_run(struct cli *cli, struct fault *fault) MUST_USE;
bool vm_flatten_run(struct cli *cli, struct fault *fault) MUST_USE;
bool vm_insert_run(struct cli *cli, struct fault *fault) MUST_USE;
bool vm_eject_run(struct cli *cli, struct fault *fault) MUST_USE;
bool vm_log_run(struct cli *cli, struct fault *fault) MUST_USE;
bool vm_edit_run(struct cli *cli, struct fault *fault) MUST_USE;
bool vm_rename_run(struct cli *cli, struct fault *fault) MUST_USE;
bool vm_start_run(struct cli *cli, struct fault *fault) MUST_USE;
bool vm_stop_run(struct cli *cli, struct fault *fault) MUST_USE;
bool vm_shutdown_run(struct cli *cli, struct fault *fault) MUST_USE;
bool vm_pause_run(struct cli *cli, struct fault *fault) MUST_USE;
bool vm_save_run(struct cli *cli, struct fault *fault) MUST_USE;
bool vm_discard_run(struct cli *cli, struct fault *fault) MUST_USE;
bool vm_resume_run(struct cli *cli, struct fault *fault) MUST_USE;
bool vm_reset_run(struct cli *cli, struct fault *fault) MUST_USE;
bool vm_delete_run(struct cli *cli, struct fault *fault) MUST_USE;
bool vm_wait_run(struct cli *cli, struct fault *fault) MUST_USE;
bool vm_key_run(struct cli *cli, struct fault *fault) MUST_USE;
bool vm_type_run(struct cli *cli, struct fault *fault) MUST_USE;
bool vm_pointer_run(struct cli *cli, struct fault *fault) MUST_USE;
bool vm_move_run(struct cli *cli, struct fault *fault) MUST_USE;
bool vm_export_run(struct cli *cli, struct fault *fault) MUST_USE;
bool vm_import_run(struct cli *cli, struct fault *fault) MUST_USE;
bool vm_nmi_run(struct cli *cli, struct fault *fault) MUST_USE;

/* The members of a VM that a merge patch may name; owned by the caller. */
json_t *vm_writable(const json_t *vm);
/* Prints the VM now, when -o or -q was given or 'always'. */
bool vm_print(struct cli *cli, const char *ref, bool always, struct fault *fault) MUST_USE;
bool vm_is_live(const json_t *vm); /* it runs, or is about to: neither off, crashed nor saved */
/* Deletes a VM after a question, a running one by --force only, and waits. */
bool vm_delete_one(struct cli *cli, const char *ref, struct fault *fault) MUST_USE;
/* POST /vms/{ref}/actions/{verb} and wait for it. */
bool vm_action(struct cli *cli, const char *ref, const char *verb, const json_t *body,
               struct fault *fault) MUST_USE;
