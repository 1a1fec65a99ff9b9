/* vmmctl apply: makes objects what files say, again and again. apply_read.c reads the documents,
 * apply_object.c compares and sends. */
#include "cli/apply.h"

#include "cli/interrupt.h"
#include "cli/list.h"
#include "cli/text.h"
#include "cli/vm.h"
#include "core/base/json.h"
#include "core/base/mem.h"

#include <string.h>

static bool apply_run(struct cli *cli, struct fault *fault) MUST_USE;

static const struct column columns[] = {
    {"KIND", "kind", CELL_TEXT, false},       {"NAME", "name", CELL_TEXT, false},
    {"OUTCOME", "outcome", CELL_TEXT, false}, {"CHANGES", "changes", CELL_TEXT, true},
    {"ERROR", "error", CELL_TEXT, true},      {0},
};

static const struct flag flags[] = {
    {"file", 'f', "FILE",
     "YAML or JSON with one document or more; a folder stands for its .yaml, .yml and .json files, "
     "- for standard input; may be repeated"},
    {"dry-run", 0, NULL, "show what would be created and changed, change nothing"},
    {"check", 0, NULL, "as --dry-run, with exit code 6 when something would be created or changed"},
    {"start", 0, NULL, "start the VMs of the documents that do not run afterwards"},
    {"prune", 0, "FILTER",
     "delete the VMs for which this holds and which no document names: label.app==shop"},
    {"force", 0, NULL, "let --prune switch VMs off that run"},
    {"timeout", 0, "TIME", "give up waiting for one operation after this time (default 120s)"},
    {0},
};

const struct command apply_commands[] = {
    {NULL, "", 0, 0, USES_OUTPUT | USES_CONFIRM, flags, "create or change objects as files say",
     "A document is a mapping with kind (vm, template, pool or webhook; vm when it is missing), "
     "name, and "
     "the "
     "members that the object shall have, as for the API. What it does not name stays as it is, "
     "null gives the default, and a list becomes as long as the document has it. The same "
     "documents again change nothing. A failure does not hold up the other objects.",
     "  vmmctl apply -f web.yaml --dry-run\n"
     "  vmmctl apply -f shop/ --start --prune label.app==shop",
     apply_run, false},
    {0},
};

struct run {
    struct cli *cli;
    json_t *results;
    bool dry_run, differs;
    struct fault first; /* failure, whose exit code counts */
};

/* ---- telling ---- */

static void print_change(struct cli *cli, const json_t *change)
{
    CLEANUP(mem_freep)
    char *from = json_dumps(json_object_get(change, "from"), JSON_COMPACT | JSON_ENCODE_ANY);
    CLEANUP(mem_freep)
    char *to = json_dumps(json_object_get(change, "to"), JSON_COMPACT | JSON_ENCODE_ANY);
    CLEANUP(mem_freep)
    char *line = str_format("  %s: %s -> %s", json_get_text(change, "member"), from ? from : "null",
                            to ? to : "null");
    CLEANUP(mem_freep) char *safe = text_escape(line);

    fprintf(cli->out, "%s\n", safe);
}

/* For people each object is told as soon as it is done. */
static void print_result(const struct run *r, const json_t *result, enum outcome outcome)
{
    struct cli *cli = r->cli;
    CLEANUP(mem_freep) char *name = text_escape(json_get_text(result, "name"));
    const json_t *change;
    size_t i;

    if (cli->output_given || cli->fields || cli->quiet)
        return;
    fprintf(cli->out, "%s/%s %s%s\n", json_get_text(result, "kind"), name, outcome_names[outcome],
            r->dry_run && outcome != OUTCOME_UNCHANGED && outcome != OUTCOME_FAILED ? " (dry run)"
                                                                                    : "");
    json_array_foreach (json_object_get(result, "changes"), i, change)
        print_change(cli, change);
    fflush(cli->out);
}

static void note(struct run *r, const char *kind, const char *name, enum outcome outcome,
                 json_t *changes, struct fault *fault)
{
    CLEANUP(mem_freep) char *id = str_format("%s/%s", kind, name);
    json_t *result = json_object();

    json_put_text(result, "id", id);
    json_put_text(result, "kind", kind);
    json_put_text(result, "name", name);
    json_put_text(result, "outcome", outcome_names[outcome]);
    json_put(result, "changes", changes ? changes : json_array());
    json_put_text(result, "error", outcome == OUTCOME_FAILED ? fault->detail : NULL);
    json_array_append_new(r->results, result);
    r->differs = r->differs || outcome != OUTCOME_UNCHANGED;
    print_result(r, result, outcome);
    if (outcome != OUTCOME_FAILED)
        return;
    if (*fault->detail) {
        struct fault said = *fault;
        snprintf(said.detail, sizeof said.detail, "%s/%.63s: %.450s", kind, name, fault->detail);
        fault_print(&said, r->cli->err, r->cli->colour);
        fault->detail[0] = 0;
    }
    if (r->first.exit == CLI_OK)
        r->first = *fault;
}

/* ---- doing ---- */

static bool start_if_off(struct run *r, const struct object *object, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/vms/{}", object->name);
    CLEANUP(json_decrefp) json_t *vm = NULL;

    if (!args_has(r->cli->args, "start") || r->dry_run || !str_eq(object->kind->name, "vm"))
        return true;
    vm = http_get(r->cli->http, path, fault);
    return vm && (vm_is_live(vm) || vm_action(r->cli, object->name, "start", NULL, fault));
}

static void apply_one(struct run *r, const struct object *object)
{
    json_t *changes = NULL;
    struct fault fault = {0};
    enum outcome outcome;

    if (object_apply(r->cli, object, r->dry_run, &outcome, &changes, &fault) &&
        !start_if_off(r, object, &fault))
        outcome = OUTCOME_FAILED;
    note(r, object->kind->name, object->name, outcome, changes, &fault);
}

static bool is_named(const struct objects *objects, const char *name)
{
    for (size_t i = 0; i < objects->n; i++)
        if (str_eq(objects->item[i].kind->name, "vm") && str_eq(objects->item[i].name, name))
            return true;
    return false;
}

static void prune_one(struct run *r, const char *name)
{
    struct fault fault = {0};
    bool ok = r->dry_run || vm_delete_one(r->cli, name, &fault);

    note(r, "vm", name, ok ? OUTCOME_DELETED : OUTCOME_FAILED, NULL, &fault);
}

static bool prune(struct run *r, const struct objects *objects, struct fault *fault)
{
    const char *filter = args_text(r->cli->args, "prune");
    CLEANUP(mem_freep)
    char *path = filter ? http_path("/vms?fields=id,name&filter={}", filter) : NULL;
    CLEANUP(json_decrefp) json_t *vms = path ? list_fetch(r->cli, path, 0, fault) : NULL;
    const json_t *vm;
    size_t i;

    if (filter && !vms)
        return false;
    json_array_foreach (vms, i, vm) {
        const char *name = json_get_text(vm, "name");

        if (name && !is_named(objects, name) && !interrupt_signal())
            prune_one(r, name);
    }
    return true;
}

/* What stands at the end: the list for programs, and the exit code. */
static bool conclude(struct run *r, struct fault *fault)
{
    struct cli *cli = r->cli;

    if ((cli->output_given || cli->fields || cli->quiet) &&
        !output_list(cli, r->results, columns, fault))
        return false;
    *fault = r->first;
    if (interrupt_signal())
        return fault_set(fault, CLI_INTERRUPTED, "%s", "");
    if (fault->exit == CLI_OK && args_has(cli->args, "check") && r->differs)
        return fault_set(fault, CLI_CONFLICT, "%s", "");
    return fault->exit == CLI_OK;
}

static bool apply_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(objects_clear) struct objects objects = {0};
    CLEANUP(json_decrefp) json_t *results = json_array();
    struct run r = {.cli = cli, .results = results};
    const char *filter = args_text(cli->args, "prune");

    r.dry_run = args_has(cli->args, "dry-run") || args_has(cli->args, "check");
    if (filter && !*filter)
        return fault_set(fault, CLI_USAGE, "--prune needs a filter, such as label.app==shop");
    if (!objects_read(cli, &objects, fault))
        return false;
    for (size_t i = 0; i < objects.n && !interrupt_signal(); i++)
        apply_one(&r, &objects.item[i]);
    return prune(&r, &objects, fault) && conclude(&r, fault);
}
