/* vmmctl snapshot …: states of a VM to go back to. */
#include "cli/snapshot.h"

#include "cli/list.h"
#include "cli/quantity.h"
#include "cli/wait.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define DEEPEST 200 /* levels that are drawn; the service allows no more */

static bool snapshot_create_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool snapshot_list_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool snapshot_show_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool snapshot_rename_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool snapshot_revert_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool snapshot_delete_run(struct cli *cli, struct fault *fault) MUST_USE;

static const struct column columns[] = {
    {"NAME", "name", CELL_TEXT, false},
    {"CREATED", "created_at", CELL_TIME, false},
    {"SIZE", "file_bytes", CELL_BYTES, false},
    {"CURRENT", "current", CELL_TEXT, false},
    {"NOTES", "notes", CELL_TEXT, false},
    {"KEEPS", "consistency", CELL_TEXT, false},
    {"RAM", "memory.ram_bytes", CELL_BYTES, true},
    {"PAUSE US", "memory.pause_us", CELL_TEXT, true},
    {"TOOK MS", "memory.took_ms", CELL_TEXT, true},
    {"WAY", "memory.way", CELL_TEXT, true},
    {"MEMORY", "memory.state", CELL_TEXT, true},
    {"ARCHIVED", "memory.archived_bytes", CELL_BYTES, true},
    {"PLAIN", "memory.plain_bytes", CELL_BYTES, true},
    {"NOTE", "memory.note", CELL_TEXT, true},
    {"DISKS", "disks", CELL_TEXT, true},
    {"CLONES", "clones", CELL_TEXT, true},
    {"SCREENSHOT", "has_screenshot", CELL_TEXT, true},
    {"PARENT", "parent", CELL_TEXT, true},
    {"ID", "id", CELL_TEXT, true},
    {0},
};
static const struct flag create_flags[] = {
    {"notes", 0, "TEXT", "what it is good for"},
    {"memory", 0, NULL, "with the guest's memory, or not at all"},
    {"disk-only", 0, NULL, "without the guest's memory (the default)"},
    {"auto", 0, NULL, "with the guest's memory if that can be kept, else without"},
    {"dry-run", 0, NULL, "say what stands in the way, change nothing"},
    {0},
};
static const struct flag revert_flags[] = {
    {"no-start", 0, NULL, "leave the VM saved or off afterwards"},
    {"dry-run", 0, NULL, "say what would be copied, freed and lost, and what stands in the way"},
    {0},
};
static const struct flag delete_flags[] = {
    {"bandwidth", 0, "SIZE",
     "copy so much a second at most, such as 100M; 0: no limit (default: as much as the guest "
     "hardly notices)"},
    {"dry-run", 0, NULL, "say what would be copied, freed and lost, and what stands in the way"},
    {0},
};
static const struct column plan_columns[] = {
    {"COPIED", "bytes", CELL_BYTES, false},
    {"FREED", "freed_bytes", CELL_BYTES, false},
    {"LOST", "lost_bytes", CELL_BYTES, false},
    {"FREE", "free_bytes", CELL_BYTES, false},
    {"SECONDS", "estimate_s", CELL_TEXT, false},
    {"KEPT FOR", "kept_for", CELL_TEXT, false},
    {"KEEPS", "consistency", CELL_TEXT, false},
    {"WAY", "way", CELL_TEXT, true},
    {"REASON", "reason", CELL_TEXT, true},
    {"MEMORY", "memory_bytes", CELL_BYTES, true},
    {"STANDS MS", "pause_estimate_ms", CELL_TEXT, true},
    {0},
};

const struct command snapshot_commands[] = {
    {"create", "VM NAME", 2, 2, USES_OUTPUT | USES_WAIT, create_flags, "take a snapshot of a VM",
     "All disks at one moment, the configuration and the firmware variables. A running VM goes on. "
     "With --memory a revert goes on at that very instant; without, the snapshot is like a power "
     "cut "
     "to its system.",
     "  vmmctl snapshot create web before-update --memory --notes 'all green'", snapshot_create_run,
     false},
    {"list", "VM", 1, 1, USES_LIST | USES_OUTPUT, NULL, "list a VM's snapshots, as a tree",
     "Each lies below the one it was taken on top of. The VM stands on the one that is current.",
     NULL, snapshot_list_run, false},
    {"show", "VM SNAPSHOT", 2, 2, USES_OUTPUT, NULL, "show everything about a snapshot",
     "SNAPSHOT is its name or id.", NULL, snapshot_show_run, false},
    {"rename", "VM SNAPSHOT NAME", 3, 3, USES_OUTPUT, NULL, "give a snapshot another name", NULL,
     NULL, snapshot_rename_run, false},
    {"revert", "VM SNAPSHOT", 2, 2, USES_OUTPUT | USES_WAIT | USES_CONFIRM, revert_flags,
     "go back to a snapshot; what was written since the last one is gone",
     "A running VM is forced off first. The VM's name stays, the rest of its configuration is that "
     "of the snapshot. One with the guest's memory goes on at that instant; otherwise a VM that "
     "ran "
     "boots anew. To keep what is there now, take a snapshot before.",
     "  vmmctl snapshot revert web before-update", snapshot_revert_run, false},
    {"delete", "VM SNAPSHOT", 2, 2, USES_OUTPUT | USES_WAIT | USES_CONFIRM, delete_flags,
     "delete a snapshot; the VM and other snapshots keep what they have",
     "What they still need of its files is copied to theirs first, while the VM runs or is off. "
     "How "
     "fast is changed meanwhile by vmmctl op limit.",
     "  vmmctl snapshot delete web before-update --bandwidth 50M", snapshot_delete_run, false},
    {"archive", "VM SNAPSHOT", 2, 2, USES_WAIT, snapshot_archive_flags,
     "compress the guest's memory of a snapshot",
     "It takes less of its pool then. Reverting to it and cloning it expand it each time, which "
     "takes longer and needs the room (--dry-run says how much).",
     "  vmmctl snapshot archive web before-update", snapshot_archive_run, false},
    {"unarchive", "VM SNAPSHOT", 2, 2, USES_WAIT, snapshot_archive_flags,
     "expand the guest's memory of an archived snapshot",
     "Reverting to it and cloning it need not do so each time, then.", NULL, snapshot_unarchive_run,
     false},
    {"diff", "VM SNAPSHOT [OTHER]", 2, 3, USES_OUTPUT, snapshot_diff_flags,
     "show how much of a VM's disks differs between two snapshots, or one and now",
     "At most: it counts what the files between them take, and a block that is written in part "
     "counts as a whole. With --exact also what was changed: blocks of 64 KiB that were written "
     "or discarded on either side, each once.",
     "  vmmctl snapshot diff web clean\n  vmmctl snapshot diff web clean updated --exact",
     snapshot_diff_run, false},
    {"screenshot", "VM SNAPSHOT", 2, 2, 0, snapshot_screenshot_flags,
     "save what a VM's screen showed when a snapshot was taken, as PNG",
     "Snapshots of VMs that were off, or have no graphics card, have no picture.",
     "  vmmctl snapshot screenshot web clean -f /tmp/clean.png", snapshot_screenshot_run, false},
    {"serve", "VM SNAPSHOT", 2, 2, 0, snapshot_serve_flags,
     "let programs here read a disk of a snapshot by NBD, until Ctrl-C",
     "For qemu-img, nbdcopy, qemu-nbd and other programs that speak NBD, through a unix socket "
     "that "
     "this user may use. Nothing can be written. The VM does what it likes meanwhile.",
     "  vmmctl snapshot serve web clean --listen /tmp/clean.sock &\n"
     "  qemu-img convert -O raw 'nbd+unix:///?socket=/tmp/clean.sock' clean.img",
     snapshot_serve_run, false},
    {"export", "VM SNAPSHOT", 2, 2, USES_WAIT, snapshot_export_flags,
     "write a disk of a snapshot into an image file",
     "While the VM does what it likes. Without --file the image stays in the folder exports of a "
     "pool "
     "root, and its name is printed.",
     "  vmmctl snapshot export web clean --format vhdx -f web.vhdx", snapshot_export_run, false},
    {0},
};

/* ---- finding one ---- */

static bool looks_like_id(const char *ref)
{
    return strlen(ref) == 36 && strspn(ref, "0123456789abcdefABCDEF-") == 36;
}

/* The snapshot that the second word of the command line means; owned by the caller. */
static json_t *find(struct cli *cli, struct fault *fault)
{
    const char *vm = cli_word(cli, 0), *ref = cli_word(cli, 1);
    CLEANUP(mem_freep) char *path = http_path("/vms/{}/snapshots", vm);
    CLEANUP(json_decrefp) json_t *list = list_fetch(cli, path, 0, fault);
    const char *member = looks_like_id(ref) ? "id" : "name";
    json_t *one;
    size_t i;

    if (!list)
        return NULL;
    json_array_foreach (list, i, one)
        if (str_eq(json_get_text(one, member), ref))
            return json_incref(one);
    fault_set(fault, CLI_NOT_FOUND, "%.63s has no snapshot '%.63s'", vm, ref);
    fault_hint(fault, "vmmctl snapshot list %.63s lists them", vm);
    return NULL;
}

/* "/snapshots/<id>" of it; NULL as find(). */
char *snapshot_path(struct cli *cli, struct fault *fault)
{
    CLEANUP(json_decrefp) json_t *snapshot = find(cli, fault);

    return snapshot ? http_path("/snapshots/{}", json_get_text(snapshot, "id")) : NULL;
}

/* ---- the tree ---- */

/* The children of 'parent' (NULL: the roots), each followed by its own, with the branch drawn
 * before the name. */
static void draw(const json_t *all, const char *parent, const char *indent, unsigned depth,
                 json_t *out)
{
    size_t left = 0, i;
    const json_t *one;

    json_array_foreach (all, i, one)
        left += str_eq(json_get_text(one, "parent"), parent) ||
                (!parent && !json_get_text(one, "parent"));
    json_array_foreach (all, i, one) {
        const char *above = json_get_text(one, "parent");
        if (parent ? !str_eq(above, parent) : above != NULL)
            continue;
        left--;
        CLEANUP(mem_freep)
        char *name = str_format("%s%s%s", indent,
                                !depth ? ""
                                : left ? "├─ "
                                       : "└─ ",
                                json_get_text(one, "name"));
        CLEANUP(mem_freep)
        char *deeper = str_format("%s%s", indent, !depth ? "" : left ? "│  " : "   ");
        json_t *drawn = json_deep_copy(one);
        json_put_text(drawn, "name", name);
        json_array_append_new(out, drawn);
        if (depth < DEEPEST)
            draw(all, json_get_text(one, "id"), deeper, depth + 1, out);
    }
}

static bool wants_tree(const struct cli *cli)
{
    return (cli->output == OUTPUT_TABLE || cli->output == OUTPUT_WIDE) && !cli->fields &&
           !cli->quiet && !args_has(cli->args, "filter") && !args_has(cli->args, "order") &&
           !args_has(cli->args, "limit");
}

static bool snapshot_list_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/vms/{}/snapshots", cli_word(cli, 0));
    CLEANUP(json_decrefp) json_t *all = NULL;
    CLEANUP(json_decrefp) json_t *drawn = NULL;

    if (!wants_tree(cli))
        return list_print(cli, path, columns, fault);
    all = list_fetch(cli, path, 0, fault);
    if (!all)
        return false;
    drawn = json_array();
    draw(all, NULL, "", 0, drawn);
    return output_list(cli, drawn, columns, fault);
}

/* ---- the others ---- */

static bool print(struct cli *cli, const char *id, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/snapshots/{}", id);

    return output_shown(cli, path, columns, fault);
}

/* ---- dry runs ---- */

static void print_plan(struct cli *cli, const json_t *plan)
{
    char copied[QUANTITY_TEXT], freed[QUANTITY_TEXT], lost[QUANTITY_TEXT];
    const char *kept_for = json_get_text(plan, "kept_for");
    const json_t *blocker;
    size_t i;

    size_text(json_get_u64(plan, "bytes", 0), copied);
    size_text(json_get_u64(plan, "freed_bytes", 0), freed);
    size_text(json_get_u64(plan, "lost_bytes", 0), lost);
    fprintf(cli->out, "%s to copy, about %" PRIu64 " s; %s become free; %s of writes are lost\n",
            copied, json_get_u64(plan, "estimate_s", 0), freed, lost);
    if (kept_for)
        fprintf(cli->out, "files stay for %s\n", kept_for);
    if (json_get_u64(plan, "memory_bytes", 0)) {
        size_text(json_get_u64(plan, "memory_bytes", 0), copied);
        fprintf(cli->out, "with the guest's memory, %s (%s)\n", copied, json_get_text(plan, "way"));
        if (json_get_u64(plan, "pause_estimate_ms", 0))
            fprintf(cli->out, "the guest would stand still for about %.1f s\n",
                    (double)json_get_u64(plan, "pause_estimate_ms", 0) / 1000);
    }
    if (json_get_text(plan, "reason"))
        fprintf(cli->out, "%s\n", json_get_text(plan, "reason"));
    json_array_foreach (json_object_get(plan, "blockers"), i, blocker)
        fprintf(cli->out, "not possible: %s\n", json_get_text(blocker, "detail"));
}

/* Of the request; 'body' may be NULL. */
static bool dry_run(struct cli *cli, const char *method, const char *path, const json_t *body,
                    struct fault *fault)
{
    CLEANUP(mem_freep) char *dry = str_format("%s?dry_run=true", path);
    CLEANUP(mem_freep) char *text = body ? json_write(body) : NULL;
    const struct http_request request = {.method = method,
                                         .path = dry,
                                         .content_type = body ? "application/json" : NULL,
                                         .body = text,
                                         .body_len = text ? strlen(text) : 0};
    CLEANUP(json_decrefp) json_t *reply = http_json(cli->http, &request, fault);
    const json_t *plan = json_object_get(reply, "plan");

    if (!reply)
        return false;
    if (cli->output_given)
        return output_object(cli, plan, plan_columns, fault);
    print_plan(cli, plan);
    return true;
}

/* ---- the commands ---- */

/* What the flags say of memory, into the request; more than one is a mistake. */
static bool put_consistency(struct cli *cli, json_t *body, struct fault *fault)
{
    static const struct {
        const char *flag, *word;
    } words[] = {{"memory", "running"}, {"disk-only", "disk"}, {"auto", "auto"}};
    unsigned n = 0;

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (!args_has(cli->args, words[i].flag))
            continue;
        json_put_text(body, "consistency", words[i].word);
        n++;
    }
    return n < 2 ||
           fault_set(fault, CLI_USAGE, "--memory, --disk-only and --auto exclude each other");
}

static bool snapshot_create_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/vms/{}/snapshots", cli_word(cli, 0));
    CLEANUP(json_decrefp) json_t *body = json_object();
    CLEANUP(json_decrefp) json_t *end = NULL;
    const char *id, *why;

    json_put_text(body, "name", cli_word(cli, 1));
    if (args_has(cli->args, "notes"))
        json_put_text(body, "notes", args_text(cli->args, "notes"));
    if (!put_consistency(cli, body, fault))
        return false;
    if (args_has(cli->args, "dry-run"))
        return dry_run(cli, "POST", path, body, fault);
    if (!wait_post(cli, path, body, &end, fault) || !end)
        return !fault->exit;
    id = json_get_text(json_object_get(end, "result"), "snapshot");
    if (id && cli->output_given)
        return print(cli, id, fault);
    if (id && cli->quiet)
        fprintf(cli->out, "%s\n", id);
    cli_say(cli, "%s has the snapshot %s", cli_word(cli, 0), cli_word(cli, 1));
    why = json_get_text(json_object_get(end, "result"), "reason");
    if (why)
        cli_say(cli, "%s", why);
    return true;
}

static bool snapshot_show_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = snapshot_path(cli, fault);

    return path && output_shown(cli, path, columns, fault);
}

static bool snapshot_rename_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = snapshot_path(cli, fault);
    CLEANUP(json_decrefp) json_t *patch = json_object();
    CLEANUP(json_decrefp) json_t *done = NULL;
    CLEANUP(mem_freep) char *body = NULL;
    struct http_request request = {
        .method = "PATCH", .path = path, .content_type = "application/merge-patch+json"};

    if (!path)
        return false;
    json_put_text(patch, "name", cli_word(cli, 2));
    body = json_write(patch);
    request.body = body;
    request.body_len = strlen(body);
    done = http_json(cli->http, &request, fault);
    if (!done)
        return false;
    if (cli->output_given || cli->quiet)
        return output_object(cli, done, columns, fault);
    cli_say(cli, "%s is called %s", cli_word(cli, 1), cli_word(cli, 2));
    return true;
}

static bool snapshot_revert_run(struct cli *cli, struct fault *fault)
{
    const char *vm = cli_word(cli, 0), *ref = cli_word(cli, 1);
    CLEANUP(mem_freep) char *path = http_path("/vms/{}/actions/revert", vm);
    CLEANUP(mem_freep)
    char *question = str_format(
        "Revert %.63s to %.63s? What was written since its last snapshot is gone", vm, ref);
    CLEANUP(json_decrefp) json_t *body = json_object();

    json_put_text(body, "snapshot", ref);
    if (args_has(cli->args, "no-start"))
        json_put_bool(body, "start", false);
    if (args_has(cli->args, "dry-run"))
        return dry_run(cli, "POST", path, body, fault);
    if (!cli_confirm(cli, question, fault) || !wait_post(cli, path, body, NULL, fault))
        return false;
    if (cli->wait)
        cli_say(cli, "%s is as it was at %s", vm, ref);
    return true;
}

/* NULL as find(). */
static char *delete_path(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = NULL;
    uint64_t bandwidth;

    if (!args_size(cli->args, "bandwidth", 0, &bandwidth, fault))
        return NULL;
    path = snapshot_path(cli, fault);
    if (!path || !args_has(cli->args, "bandwidth"))
        return TAKE(path);
    return str_format("%s?bandwidth=%" PRIu64, path, bandwidth);
}

static bool snapshot_delete_run(struct cli *cli, struct fault *fault)
{
    const char *vm = cli_word(cli, 0), *ref = cli_word(cli, 1);
    const bool dry = args_has(cli->args, "dry-run");
    CLEANUP(mem_freep) char *path = dry ? snapshot_path(cli, fault) : delete_path(cli, fault);
    CLEANUP(mem_freep)
    char *question = str_format("Delete the snapshot %.63s of %.63s?", ref, vm);
    CLEANUP(json_decrefp) json_t *operation = NULL;
    struct http_request request = {.method = "DELETE", .path = path};

    if (path && dry)
        return dry_run(cli, "DELETE", path, NULL, fault);
    if (!path || !cli_confirm(cli, question, fault))
        return false;
    operation = http_json(cli->http, &request, fault);
    if (!operation || !wait_follow(cli, operation, NULL, fault))
        return false;
    if (cli->wait)
        cli_say(cli, "the snapshot %s of %s is deleted", ref, vm);
    return true;
}
