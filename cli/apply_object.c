/* One object of vmmctl apply: see apply.h.
 *
 * Theory of operation: what the document does not name stays as it is, so the object as it is with
 * the document laid over it is what is wanted, and the difference between the two is the patch. A
 * null stands for a default that only the service knows; so a VM's patch is tried dry first, and
 * only what that would change counts. The patch goes out with If-Match: whoever was faster is not
 * overwritten. */
#include "cli/apply.h"
#include "cli/edit.h"
#include "cli/spec.h"
#include "cli/vm.h"
#include "cli/wait.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/model/vm.h"

#include <string.h>

const char *const outcome_names[] = {"unchanged", "created", "changed", "deleted", "failed"};

/* The object as it is. */
struct present {
    char *path, *etag;
    json_t *whole;  /* NULL: there is none */
    json_t *edited; /* what a patch may name */
};

static void present_clear(struct present *p)
{
    free(p->path);
    free(p->etag);
    json_decref(p->whole);
    json_decref(p->edited);
}

static bool is_vm(const struct kind *kind)
{
    return kind->model == &vm_model;
}

static json_t *edited_members(const struct kind *kind, const json_t *whole)
{
    json_t *part;

    if (is_vm(kind))
        return vm_writable(whole);
    part = json_object();
    for (size_t i = 0; kind->edited && kind->edited[i]; i++)
        json_object_set(part, kind->edited[i], json_object_get(whole, kind->edited[i]));
    return part;
}

static bool look(struct cli *cli, const struct object *object, struct present *out,
                 struct fault *fault)
{
    CLEANUP(http_reply_clear) struct http_reply reply = {0};
    CLEANUP(mem_freep) char *name = http_encode(object->name);
    struct http_request get = {.method = "GET"};

    out->path = str_format("/api/v1%s/%s", object->kind->collection, name);
    get.path = out->path;
    if (!http_call(cli->http, &get, &reply, fault)) {
        bool none = fault->exit == CLI_NOT_FOUND;
        if (none)
            *fault = (struct fault){0};
        return none;
    }
    out->etag = http_header(&reply, "ETag");
    out->whole = http_parse(reply.body.data, reply.body.len, fault);
    out->edited = out->whole ? edited_members(object->kind, out->whole) : NULL;
    return out->whole != NULL;
}

static bool create(struct cli *cli, const struct object *object, bool dry_run, struct fault *fault)
{
    CLEANUP(mem_freep)
    char *path =
        str_format("/api/v1%s%s", object->kind->collection, dry_run ? "?dry_run=true" : "");
    CLEANUP(json_decrefp) json_t *reply = http_post(cli->http, path, object->spec, fault);

    return reply &&
           (dry_run || !object->kind->by_operation || wait_follow(cli, reply, NULL, fault));
}

/* ---- what is to be changed ---- */

/* Members that say how an object is made, and nothing about one that is there. */
static bool is_recipe(const char *key)
{
    return str_eq(key, "template") || str_eq(key, "copy_of") || str_eq(key, "start") ||
           str_eq(key, "secret");
}

/* What can be changed as a patch; NULL with CONFLICT when anything else is to be another. */
static json_t *make_patch(const struct object *object, const struct present *now,
                          struct fault *fault)
{
    CLEANUP(json_decrefp) json_t *wanted = spec_overlay(now->whole, object->spec);
    CLEANUP(json_decrefp) json_t *target = json_object();
    const char *key;
    json_t *value;

    json_object_foreach (object->spec, key, value) {
        json_t *laid = json_object_get(wanted, key);
        const json_t *is = json_object_get(now->whole, key);

        if (is_recipe(key))
            continue;
        if (json_object_get(now->edited, key) || (is_vm(object->kind) && !is)) {
            json_object_set(target, key, laid);
        } else if (is && !json_equal(is, laid)) {
            fault_set(fault, CLI_CONFLICT, "%.60s cannot be changed any more", key);
            return NULL;
        } else if (!is) {
            fault_set(fault, CLI_INVALID, "a %s has no %.60s", object->kind->name, key);
            return NULL;
        }
    }
    json_object_foreach (now->edited, key, value)
        if (!json_object_get(target, key))
            json_object_set(target, key, value);
    return spec_diff(now->edited, target);
}

static json_t *send(struct cli *cli, const struct present *now, const json_t *patch, bool dry_run,
                    struct fault *fault)
{
    return edit_patch(cli, now->path, patch, now->etag, dry_run, fault);
}

/* What a patch would make of a VM; of others it is the patch that tells. */
static json_t *foresee(struct cli *cli, const struct object *object, const struct present *now,
                       const json_t *patch, struct fault *fault)
{
    CLEANUP(json_decrefp) json_t *reply = send(cli, now, patch, true, fault);

    if (!reply)
        return NULL;
    if (!is_vm(object->kind))
        return spec_overlay(now->edited, patch);
    return vm_writable(json_object_get(reply, "vm"));
}

/* Every member that differs, inner ones by their path. */
static void list_changes(const char *path, const json_t *from, const json_t *to, json_t *list)
{
    CLEANUP(json_decrefp) json_t *diff = NULL;
    const char *key;
    json_t *value;

    if (!json_is_object(from) || !json_is_object(to)) {
        json_t *change = json_object();

        json_put_text(change, "member", path);
        json_put(change, "from", json_incref((json_t *)from));
        json_put(change, "to", json_incref((json_t *)to));
        json_array_append_new(list, change);
        return;
    }
    diff = spec_diff(from, to);
    json_object_foreach (diff, key, value) {
        CLEANUP(mem_freep) char *inner = str_format("%s%s%s", path, *path ? "." : "", key);
        list_changes(inner, json_object_get(from, key), json_object_get(to, key), list);
    }
}

static bool change(struct cli *cli, const struct object *object, const struct present *now,
                   bool dry_run, json_t *changes, struct fault *fault)
{
    CLEANUP(json_decrefp) json_t *patch = make_patch(object, now, fault);
    CLEANUP(json_decrefp) json_t *after = NULL, *done = NULL;

    if (!patch || !json_object_size(patch))
        return patch != NULL;
    after = foresee(cli, object, now, patch, fault);
    if (!after)
        return false;
    list_changes("", now->edited, after, changes);
    if (!json_array_size(changes) || dry_run)
        return true;
    done = send(cli, now, patch, false, fault);
    return done != NULL;
}

bool object_apply(struct cli *cli, const struct object *object, bool dry_run, enum outcome *outcome,
                  json_t **changes, struct fault *fault)
{
    CLEANUP(present_clear) struct present now = {0};
    bool ok;

    *changes = json_array();
    if (!look(cli, object, &now, fault)) {
        ok = false;
    } else if (!now.whole) {
        *outcome = OUTCOME_CREATED;
        ok = create(cli, object, dry_run, fault);
    } else {
        ok = change(cli, object, &now, dry_run, *changes, fault);
        *outcome = json_array_size(*changes) ? OUTCOME_CHANGED : OUTCOME_UNCHANGED;
    }
    if (!ok)
        *outcome = OUTCOME_FAILED;
    return ok;
}
