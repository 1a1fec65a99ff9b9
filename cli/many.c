/* One command for several VMs: see many.h. */
#include "cli/many.h"

#include "cli/list.h"
#include "cli/vm.h"
#include "cli/wait.h"
#include "core/base/json.h"
#include "core/base/mem.h"

#include <stdlib.h>
#include <string.h>

#define BULK 1000 /* VMs in one request, the service's limit */

/* ---- which VMs ---- */

void targets_clear(struct targets *t)
{
    for (size_t i = 0; i < t->n; i++)
        free(t->name[i]);
    free(t->name);
}

static bool targets_of_filter(struct cli *cli, const char *filter, struct targets *out,
                              struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/vms?fields=id,name&filter={}", filter);
    CLEANUP(json_decrefp) json_t *vms = list_fetch(cli, path, 0, fault);
    const json_t *vm;
    size_t i;

    if (!vms)
        return false;
    out->name = mem_array(json_array_size(vms), sizeof *out->name);
    json_array_foreach (vms, i, vm)
        if (json_get_text(vm, "name"))
            out->name[out->n++] = str_dup(json_get_text(vm, "name"));
    if (!out->n)
        cli_say(cli, "no VM fits");
    return true;
}

bool targets_find(struct cli *cli, struct targets *out, struct fault *fault)
{
    const char *filter = args_text(cli->args, "filter");
    size_t n = cli->args->n_words;

    if (filter && n)
        return fault_set(fault, CLI_USAGE, "give names of VMs or --filter, not both");
    if (filter && !*filter)
        return fault_set(fault, CLI_USAGE, "--filter is empty; write label.ci==true");
    if (filter)
        return targets_of_filter(cli, filter, out, fault);
    if (!n)
        return fault_set(fault, CLI_USAGE, "VM is missing: vmmctl vm %s VM... or --filter FILTER",
                         cli->args->command->verb);
    out->name = mem_array(n, sizeof *out->name);
    for (; out->n < n; out->n++)
        out->name[out->n] = str_dup(cli_word(cli, out->n));
    return true;
}

/* ---- errands ---- */

void note_fault(struct cli *cli, const char *ref, struct fault *one, struct fault *first,
                bool several)
{
    if (several && *one->detail) {
        struct fault said = *one;
        snprintf(said.detail, sizeof said.detail, "%.60s: %.500s", ref, one->detail);
        fault_print(&said, cli->err, cli->colour);
        one->detail[0] = 0;
    }
    if (first->exit == CLI_OK)
        *first = *one;
}

void errands_free(struct errand *errands, size_t n)
{
    for (size_t i = 0; errands && i < n; i++) {
        json_decref(errands[i].operation);
        condition_clear(&errands[i].condition);
    }
    free(errands);
}

struct errand *errands_new(struct cli *cli, const struct targets *targets, struct fault *fault)
{
    struct errand *errands = mem_array(targets->n, sizeof *errands);

    for (size_t i = 0; i < targets->n; i++) {
        errands[i].ref = targets->name[i];
        if (cli->wait_for && !condition_init(&errands[i].condition, cli->wait_for, fault)) {
            errands_free(errands, targets->n);
            return NULL;
        }
    }
    return errands;
}

/* ---- asking ---- */

static bool submit_one(struct cli *cli, struct errand *e, const char *verb, const json_t *body,
                       struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/vms/{}/actions/{}", e->ref, verb);

    e->operation = http_post(cli->http, path, body, fault);
    return e->operation != NULL;
}

/* An item of the reply to a bulk request: the operation, or why there is none. */
static bool take_item(struct errand *e, const json_t *item, struct fault *fault)
{
    json_t *operation = json_object_get(item, "operation");
    const json_t *error = json_object_get(item, "error");
    const char *code = json_get_text(error, "code"), *detail = json_get_text(error, "detail");

    if (json_is_object(operation)) {
        e->operation = json_incref(operation);
        return true;
    }
    fault_set(fault, exit_of_status(err_status(err_from_slug(code ? code : ""))), "%s",
              detail ? detail : "it was refused");
    str_copy(fault->code, sizeof fault->code, code ? code : "");
    return false;
}

/* One request for up to BULK of them. */
static bool submit_many(struct cli *cli, struct errand *errands, size_t n, const char *verb,
                        const json_t *body, struct fault *first, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/vms/actions/{}", verb);
    CLEANUP(json_decrefp) json_t *request = body ? json_copy((json_t *)body) : json_object();
    CLEANUP(json_decrefp) json_t *reply = NULL;
    json_t *names = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(names, json_string(errands[i].id ? errands[i].id : errands[i].ref));
    json_put(request, "vms", names);
    reply = http_post(cli->http, path, request, fault);
    if (!reply)
        return false;
    for (size_t i = 0; i < n; i++) {
        struct fault one = {0};
        if (!take_item(&errands[i], json_array_get(json_object_get(reply, "items"), i), &one))
            note_fault(cli, errands[i].ref, &one, first, true);
    }
    return true;
}

bool errands_ask(struct cli *cli, struct errand *errands, size_t n, const char *verb,
                 const json_t *body, struct fault *first, struct fault *fault)
{
    for (size_t i = 0; i < n; i += BULK)
        if (!submit_many(cli, errands + i, n - i < BULK ? n - i : BULK, verb, body, first, fault))
            return false;
    return true;
}

static bool submit(struct cli *cli, struct errand *errands, size_t n, const char *verb,
                   const json_t *body, struct fault *first, struct fault *fault)
{
    for (size_t i = 0; i < n && cli->wait_for; i++)
        if (!condition_begin(cli, &errands[i].condition, errands[i].ref, 0, fault))
            return false;
    return n == 1 ? submit_one(cli, errands, verb, body, fault)
                  : errands_ask(cli, errands, n, verb, body, first, fault);
}

/* ---- the whole of it ---- */

static bool errand_finish(struct cli *cli, struct errand *e, const char *done, struct fault *fault)
{
    if (!wait_follow(cli, e->operation, NULL, fault))
        return false;
    if (!cli->wait)
        return true;
    cli_say(cli, "%s %s", e->ref, done);
    if (cli->wait_for && !condition_wait(cli, &e->condition, e->ref, fault))
        return false;
    return vm_print(cli, e->ref, false, fault);
}

bool act_on_all(struct cli *cli, const char *verb, const char *done, const json_t *body,
                struct fault *fault)
{
    CLEANUP(targets_clear) struct targets targets = {0};
    struct fault first = {0}, whole = {0};
    struct errand *errands;

    if (!targets_find(cli, &targets, fault))
        return false;
    errands = errands_new(cli, &targets, fault);
    if (!errands)
        return false;
    if (!submit(cli, errands, targets.n, verb, body, &first, &whole))
        first = whole; /* what was submitted goes on: it is not waited for */
    for (size_t i = 0; i < targets.n && whole.exit == CLI_OK; i++) {
        struct fault one = {0};
        if (errands[i].operation && first.exit != CLI_INTERRUPTED &&
            !errand_finish(cli, &errands[i], done, &one))
            note_fault(cli, errands[i].ref, &one, &first, targets.n > 1);
    }
    errands_free(errands, targets.n);
    *fault = first;
    return first.exit == CLI_OK;
}
