/* vmmctl vm …: list, show, the actions, delete; vm_create.c and vm_edit.c have the rest. */
#include "cli/vm.h"
#include "cli/list.h"

#include "core/base/json.h"
#include "core/base/mem.h"

#include <string.h>

static bool vm_list_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool vm_show_run(struct cli *cli, struct fault *fault) MUST_USE;

#define MANY 256 /* VMs on one command line */

const struct column vm_columns[] = {
    {"NAME", "name", CELL_TEXT, false},
    {"STATE", "state", CELL_TEXT, false},
    {"VCPUS", "vcpus", CELL_TEXT, false},
    {"MEMORY", "memory_bytes", CELL_BYTES, false},
    {"DISKS", "disks", CELL_COUNT, false},
    {"CREATED", "created_at", CELL_TIME, false},
    {"REASON", "run.reason", CELL_TEXT, true},
    {"ACCEL", "run.accel", CELL_TEXT, true},
    {"LABELS", "labels", CELL_TEXT, true},
    {"ID", "id", CELL_TEXT, true},
    {0},
};

#define ACT (USES_WAIT_VM | USES_OUTPUT)

const struct command vm_commands[] = {
    {"create", "NAME", 0, 1, ACT, vm_create_flags, "create a VM with its disks",
     "Without --disk the VM has none, without --nic one network card with outgoing connections. "
     "Flags change what -f brings.",
     "  vmmctl vm create web --vcpus 2 --memory 1G --disk size=8G,pool=main --start\n"
     "  vmmctl vm create tiny --kernel tiny --nic none --label ci=true\n"
     "  vmmctl vm create win --profile windows-11 --cdrom win11.iso --disk size=64G --set "
     "cpu.cores=4\n"
     "  vmmctl vm create b1 --template builder --start\n"
     "  vmmctl vm create -f web.yaml",
     vm_create_run, false},
    {"list", "", 0, 0, USES_LIST | USES_OUTPUT, NULL, "list VMs, by name unless --order says else",
     NULL,
     "  vmmctl vm list --filter state==running -o name\n"
     "  vmmctl vm list --fields name,run.state,label.ci --order -memory_bytes --limit 10",
     vm_list_run, false},
    {"show", "VM", 1, 1, USES_OUTPUT, NULL, "show everything about a VM", NULL,
     "  vmmctl vm show web -o json", vm_show_run, false},
    {"start", "VM...", 0, MANY, ACT | USES_PICK, NULL, "start VMs", NULL,
     "  vmmctl vm start web db\n  vmmctl vm start --filter label.ci==true,run.state==off",
     vm_start_run, false},
    {"stop", "VM...", 0, MANY, ACT | USES_PICK, vm_stop_flags,
     "shut VMs down, or switch them off by --force",
     "Asks the guest to shut down (ACPI power button) and waits. A guest that does not react goes "
     "on running; --force switches it off.",
     "  vmmctl vm stop web --grace 30s\n  vmmctl vm stop web --force", vm_stop_run, false},
    {"shutdown", "VM...", 0, MANY, ACT | USES_PICK, vm_shutdown_flags,
     "ask guests to shut down (ACPI power button)", NULL, "  vmmctl vm shutdown web",
     vm_shutdown_run, false},
    {"pause", "VM...", 0, MANY, ACT | USES_PICK, NULL, "stop the processors of VMs", NULL,
     "  vmmctl vm pause web", vm_pause_run, false},
    {"resume", "VM...", 0, MANY, ACT | USES_PICK, NULL, "let paused VMs go on", NULL,
     "  vmmctl vm resume web", vm_resume_run, false},
    {"save", "VM...", 0, MANY, ACT | USES_PICK, NULL,
     "write what guests have in their memory to a file and end them; 'start' goes on from there",
     "Also over a reboot of the host. Connections of the guest to others may be lost, and its "
     "clock "
     "is behind until it is set.",
     "  vmmctl vm save web\n  vmmctl vm start web", vm_save_run, false},
    {"discard", "VM...", 0, MANY, ACT | USES_PICK, NULL, "give up the saved state of VMs",
     "As pulling the plug: what the guest had in its memory is lost, and the next start boots it.",
     "  vmmctl vm discard web", vm_discard_run, false},
    {"reset", "VM...", 0, MANY, ACT | USES_PICK, NULL, "reset VMs, as by the reset button", NULL,
     "  vmmctl vm reset web", vm_reset_run, false},
    {"delete", "VM...", 0, MANY, USES_PICK | USES_WAIT | USES_OUTPUT | USES_CONFIRM,
     vm_delete_flags, "delete VMs and their disks", "A running VM is not deleted without --force.",
     "  vmmctl vm delete web --yes", vm_delete_run, false},
    {"edit", "VM", 1, 1, USES_OUTPUT, vm_edit_flags, "change a VM's configuration",
     "Without --set and --patch the configuration is opened in $VISUAL or $EDITOR as YAML, and "
     "again with the reason when it is refused or when somebody else changed the VM meanwhile. "
     "What a running VM cannot change at once changes at its next start.",
     "  vmmctl vm edit web --set memory=2G --set label.tier=front\n"
     "  vmmctl vm edit web --patch '{\"notes\":\"the shop\"}'",
     vm_edit_run, false},
    {"rename", "VM NAME", 2, 2, USES_OUTPUT, NULL, "give a VM another name", NULL,
     "  vmmctl vm rename web shop", vm_rename_run, false},
    {"copy", "VM NAME", 2, 2, ACT, vm_copy_flags, "create a VM like another one",
     "The new VM has the same configuration, its own name, ids and MAC addresses, and empty disks "
     "of the same sizes. With what is on the disks: vmmctl vm clone.",
     "  vmmctl vm copy web web2 --set vcpus=4 --start", vm_copy_run, false},
    {"clone", "VM NAME", 2, 2, ACT, vm_clone_flags, "create a VM with what is on another's disks",
     "The new VM has its own name, ids, MAC addresses and generation id. It takes no time and no "
     "space: its disks lie on the files of the snapshot, and what it writes goes to files of its "
     "own. Both run, change and are deleted without regard to each other. With --full everything "
     "is "
     "copied.",
     "  vmmctl vm clone web web2 --start\n"
     "  vmmctl vm clone golden test-1 --snapshot installed",
     vm_clone_run, false},
    {"flatten", "VM", 1, 1, ACT, vm_flatten_flags,
     "make a clone independent of the VM it was made from",
     "Everything that its disks show of the other's files is copied into its own, while it runs or "
     "is "
     "off.",
     "  vmmctl vm flatten web2", vm_flatten_run, false},
    {"log", "VM", 1, 1, 0, vm_log_flags, "show the last lines of QEMU's log, or a serial port's",
     "For finding out why a VM does not start or has ended. With --follow what comes then is "
     "shown as well; vmmctl console does that as it comes, and types.",
     "  vmmctl vm log web\n  vmmctl vm log web --serial -n 20 --follow", vm_log_run, false},
    {"wait", "VM...", 0, MANY, USES_PICK | USES_OUTPUT, vm_wait_flags,
     "wait until VMs are what is asked for",
     "CONDITION is a state (running, off, paused, saved, crashed), deleted, serial:REGEX (the "
     "serial console's output from now on matches) or MEMBER==VALUE, such as run.accel==kvm.",
     "  vmmctl vm wait web db --for off --timeout 10m\n"
     "  vmmctl vm wait web --for 'serial:login: $'",
     vm_wait_run, false},
    {"move-storage", "VM", 1, 1, USES_OUTPUT | USES_WAIT, vm_move_flags,
     "move a VM's disks to another pool, while it runs or is off",
     "With all snapshots. Its guest goes on; all disks switch at one moment. Cancelled (Ctrl-C "
     "twice) "
     "before that, nothing has changed.",
     "  vmmctl vm move-storage web --pool fast\n"
     "  vmmctl vm move-storage web --pool fast --disk 1 --bandwidth 50M\n"
     "  vmmctl vm move-storage web --pool fast --dry-run",
     vm_move_run, false},
    {"export", "VM", 1, 1, USES_OUTPUT | USES_WAIT, vm_export_flags,
     "make a bundle of a VM, a folder that can be carried to another host",
     "With disks, snapshots and the guest's memory where there is any. A VM that runs goes on: "
     "a snapshot of it is copied, with its memory if that can be kept.",
     "  vmmctl vm export web --to fast --as web-november\n"
     "  vmmctl vm export web --to fast --no-snapshots --dry-run",
     vm_export_run, false},
    {"import", "BUNDLE", 1, 1, USES_OUTPUT | USES_WAIT, vm_import_flags, "make a VM of a bundle",
     "The bundle stays: its files are copied into the pool and compared. With --check what differs "
     "here from where it was exported is said, and nothing is made.",
     "  vmmctl vm import web-november --pool fast --check\n"
     "  vmmctl vm import web-november --pool fast --as web2 --start",
     vm_import_run, false},
    {"insert", "VM ISO", 2, 2, USES_OUTPUT, vm_media_flags, "put a medium into a CD drive",
     "vmmctl media list shows what there is. A running VM has it at once.",
     "  vmmctl vm insert web debian-12.iso", vm_insert_run, false},
    {"eject", "VM", 1, 1, USES_OUTPUT, vm_media_flags, "empty a CD drive", NULL,
     "  vmmctl vm eject web --drive 1", vm_eject_run, false},
    {"key", "VM KEYS...", 2, MANY, 0, vm_key_flags, "press keys together, as ctrl-alt-delete",
     "Names are places on a US keyboard: docs/keys.md lists them. Several words are pressed one "
     "after the other.",
     "  vmmctl vm key web ctrl-alt-delete\n  vmmctl vm key web ctrl-alt-f2 esc", vm_key_run, false},
    {"type", "VM [TEXT]", 1, 2, 0, vm_type_flags, "type a text on the keyboard", NULL,
     "  vmmctl vm type web root --enter\n  vmmctl vm type web --layout de --file answers.txt",
     vm_type_run, false},
    {"pointer", "VM", 1, 1, 0, vm_pointer_flags, "move the pointer and press its buttons", NULL,
     "  vmmctl vm pointer web --at 0.5,0.5 --click left --click left", vm_pointer_run, false},
    {"nmi", "VM", 1, 1, 0, NULL, "send a non-maskable interrupt, which makes guests write a dump",
     NULL, NULL, vm_nmi_run, false},
    {0},
};

/* ---- reading ---- */

static bool vm_list_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/vms");

    return list_print(cli, path, vm_columns, fault);
}

static bool vm_show_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/vms/{}", cli_word(cli, 0));

    return output_shown(cli, path, vm_columns, fault);
}

bool vm_print(struct cli *cli, const char *ref, bool always, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/vms/{}", ref);
    CLEANUP(json_decrefp) json_t *vm = NULL;
    CLEANUP(json_decrefp) json_t *list = json_array();

    if (!always && !cli->output_given && !cli->quiet && !cli->fields)
        return true;
    vm = http_get(cli->http, path, fault);
    if (!vm)
        return false;
    json_array_append(list, vm);
    if (cli->output == OUTPUT_JSON || cli->output == OUTPUT_YAML)
        return output_object(cli, vm, vm_columns, fault);
    return output_list(cli, list, vm_columns, fault);
}
