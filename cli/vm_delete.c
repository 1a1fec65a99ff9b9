/* vmmctl vm delete: one VM, or several by one request. All are looked at before: what is not off is
 * not deleted without --force, and the question names what would be lost. */
#include "cli/many.h"
#include "cli/quantity.h"
#include "cli/vm.h"
#include "cli/wait.h"
#include "core/base/json.h"
#include "core/base/mem.h"

#include <stdlib.h>

const struct flag vm_delete_flags[] = {
    {"force", 0, NULL, "switch the VM off first if it runs"},
    {0},
};

/* What the deletion would take. */
struct loss {
    size_t vms, disks;
    uint64_t bytes;
};

static void add_loss(struct loss *loss, const json_t *vm)
{
    const json_t *disks = json_object_get(vm, "disks"), *disk;
    size_t i;

    json_array_foreach (disks, i, disk)
        loss->bytes += json_get_u64(disk, "size_bytes", 0);
    loss->disks += json_array_size(disks);
    loss->vms++;
}

static bool confirm(struct cli *cli, const char *what, const struct loss *loss, struct fault *fault)
{
    char size[QUANTITY_TEXT], question[200];

    size_text(loss->bytes, size);
    snprintf(question, sizeof question, "Delete %.100s with %s %zu disks (%s)?", what,
             loss->vms == 1 ? "its" : "their", loss->disks, size);
    return cli_confirm(cli, question, fault);
}

/* The VM as it is; NULL when it is not to be deleted. */
static json_t *look(struct cli *cli, const char *ref, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/vms/{}", ref);
    CLEANUP(json_decrefp) json_t *vm = http_get(cli->http, path, fault);

    if (!vm)
        return NULL;
    if (!json_get_text(vm, "id")) {
        fault_set(fault, CLI_FAILED, "the reply is no VM; is this vmmd?");
        return NULL;
    }
    if (vm_is_live(vm) && !args_has(cli->args, "force")) {
        fault_set(fault, CLI_CONFLICT, "%.63s is not off", ref);
        fault_hint(fault, "shut it down first, or switch it off and delete it by --force");
        return NULL;
    }
    return TAKE(vm);
}

static void say_deleted(struct cli *cli, const char *ref, const char *id)
{
    if (cli->wait && cli->quiet)
        fprintf(cli->out, "%s\n", id);
    if (cli->wait)
        cli_say(cli, "%s is deleted", ref);
}

/* --force needs the end of the stop before it can delete, whatever --no-wait says. */
static bool stop_first(struct cli *cli, const char *id, struct fault *fault)
{
    bool wait = cli->wait;
    bool ok;

    cli->wait = true;
    ok = vm_action(cli, id, "stop", NULL, fault);
    cli->wait = wait;
    return ok;
}

bool vm_delete_one(struct cli *cli, const char *ref, struct fault *fault)
{
    CLEANUP(json_decrefp) json_t *vm = look(cli, ref, fault), *operation = NULL;
    const char *id = json_get_text(vm, "id"), *name = json_get_text(vm, "name");
    CLEANUP(mem_freep) char *by_id = id ? http_path("/vms/{}", id) : NULL;
    struct http_request request = {.method = "DELETE", .path = by_id};
    struct loss loss = {0};

    if (!vm)
        return false;
    add_loss(&loss, vm);
    if (!confirm(cli, name ? name : "it", &loss, fault) ||
        (vm_is_live(vm) && !stop_first(cli, id, fault)))
        return false;
    operation = http_json(cli->http, &request, fault);
    if (!operation || !wait_follow(cli, operation, NULL, fault))
        return false;
    say_deleted(cli, ref, id);
    return true;
}

/* ---- several ---- */

struct doomed {
    struct cli *cli;
    json_t **vm; /* those that can be deleted, in the order of the errands */
    struct errand *errands;
    size_t n, n_vms; /* errands; VMs, of which an errand that failed is not left out */
    struct fault *first;
};

static void doomed_clear(struct doomed *d)
{
    for (size_t i = 0; i < d->n_vms; i++)
        json_decref(d->vm[i]);
    free(d->vm);
    errands_free(d->errands, d->n);
}

static void look_at_all(struct doomed *d, const struct targets *targets, struct loss *loss)
{
    d->vm = mem_array(targets->n, sizeof *d->vm);
    d->errands = mem_array(targets->n, sizeof *d->errands);
    for (size_t i = 0; i < targets->n && d->first->exit != CLI_INTERRUPTED; i++) {
        struct fault one = {0};
        json_t *vm = look(d->cli, targets->name[i], &one);
        if (!vm) {
            note_fault(d->cli, targets->name[i], &one, d->first, true);
            continue;
        }
        add_loss(loss, vm);
        d->vm[d->n_vms++] = vm;
        d->errands[d->n++] =
            (struct errand){.ref = targets->name[i], .id = json_get_text(vm, "id")};
    }
}

static void follow_all(struct doomed *d, struct errand *errands, size_t n, bool deleted)
{
    for (size_t i = 0; i < n && d->first->exit != CLI_INTERRUPTED; i++) {
        struct fault one = {0};
        if (!errands[i].operation)
            continue;
        if (!wait_follow(d->cli, errands[i].operation, NULL, &one))
            note_fault(d->cli, errands[i].ref, &one, d->first, true);
        else if (deleted)
            say_deleted(d->cli, errands[i].ref, errands[i].id);
    }
}

/* Those that run are stopped; one that does not stop is refused when it is to be deleted. */
static bool stop_all(struct doomed *d, struct fault *fault)
{
    struct errand *live = mem_array(d->n, sizeof *live);
    const bool wait = d->cli->wait;
    size_t n = 0;
    bool ok;

    for (size_t i = 0; i < d->n; i++)
        if (vm_is_live(d->vm[i]))
            live[n++] = d->errands[i];
    d->cli->wait = true;
    ok = !n || errands_ask(d->cli, live, n, "stop", NULL, d->first, fault);
    if (ok)
        follow_all(d, live, n, false);
    d->cli->wait = wait;
    errands_free(live, n);
    return ok && d->first->exit != CLI_INTERRUPTED;
}

static bool delete_all(struct doomed *d, const struct loss *loss, struct fault *fault)
{
    char what[40];

    snprintf(what, sizeof what, "%zu VMs", loss->vms);
    if (!confirm(d->cli, what, loss, fault) || !stop_all(d, fault) ||
        !errands_ask(d->cli, d->errands, d->n, "delete", NULL, d->first, fault))
        return false;
    follow_all(d, d->errands, d->n, true);
    return true;
}

bool vm_delete_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(targets_clear) struct targets targets = {0};
    struct fault first = {0}, whole = {0};
    CLEANUP(doomed_clear) struct doomed d = {.cli = cli, .first = &first};
    struct loss loss = {0};

    if (!targets_find(cli, &targets, fault))
        return false;
    if (targets.n == 1)
        return vm_delete_one(cli, targets.name[0], fault);
    look_at_all(&d, &targets, &loss);
    if (d.n && first.exit != CLI_INTERRUPTED && !delete_all(&d, &loss, &whole) &&
        whole.exit != CLI_OK)
        first = whole;
    *fault = first;
    return first.exit == CLI_OK;
}
