/* The edge of the audit trail: see trail.h, and core/event/audit.c for how a record gets into the
 * transaction of its change.
 *
 * Of a body the record has the paths of the members it names. Numbers, true, false and null are
 * shown; a text may be a secret, and a new member may become one, so of texts only their length is
 * kept, except for "name", "role", what a grant is for, and which VMs a bulk action is ("vms",
 * "filter"). */
#include "api/trail.h"

#include "api/routes.h"
#include "api/server.h"
#include "core/event/audit.h"

#include <stdio.h>
#include <string.h>

#define MAX_CHANGES 64
#define MAX_POINTER 128

/* What is sent at typing speed, and pieces of a file (that it is whole is an event with a record of
 * its own): one record a minute tells of all. */
static const char *const inputs[] = {"writeSerial", "sendKeys", "typeText", "sendPointer",
                                     "uploadImport"};

static bool is_input(const struct route *route)
{
    for (unsigned i = 0; i < ARRAY_LEN(inputs); i++)
        if (strcmp(inputs[i], route->operation) == 0)
            return true;
    return false;
}

/* Whose bodies are secrets: not even their lengths are for the record. */
static const char *const secrets[] = {"signIn", "changePassword", "useLink", "setPassword"};

static bool is_secret(const struct route *route)
{
    for (unsigned i = 0; i < ARRAY_LEN(secrets); i++)
        if (strcmp(secrets[i], route->operation) == 0)
            return true;
    return false;
}

static bool is_plain(const char *pointer, const char *name)
{
    return strcmp(name, "name") == 0 || strcmp(name, "role") == 0 ||
           strncmp(pointer, "/vms/", 5) == 0 || strncmp(pointer, "/rights/", 8) == 0 ||
           strcmp(pointer, "/filter") == 0 || strcmp(pointer, "/label") == 0;
}

static json_t *shown(const char *pointer, const char *name, const json_t *value)
{
    char text[32];

    if (!json_is_string(value))
        return json_incref((json_t *)value);
    if (is_plain(pointer, name))
        return json_stringn(json_string_value(value), strnlen(json_string_value(value), 64));
    snprintf(text, sizeof text, "(%zu bytes)", json_string_length(value));
    return json_string(text);
}

static void collect(json_t *out, const char *at, const json_t *value);

static void collect_one(json_t *out, const char *at, const char *name, const json_t *value)
{
    char pointer[MAX_POINTER];

    /* One that does not fit is not shown, rather than shown as another. */
    if (snprintf(pointer, sizeof pointer, "%s/%s", at, name) >= (int)sizeof pointer ||
        json_object_size(out) >= MAX_CHANGES)
        json_put_bool(out, "more", true);
    else if (json_is_object(value) || json_is_array(value))
        collect(out, pointer, value);
    else
        json_put(out, pointer, shown(pointer, name, value));
}

static void collect(json_t *out, const char *at, const json_t *value)
{
    const char *name;
    json_t *member;
    size_t i;
    char number[24];

    if (json_is_object(value)) {
        json_object_foreach ((json_t *)value, name, member)
            collect_one(out, at, name, member);
        return;
    }
    json_array_foreach (value, i, member) {
        snprintf(number, sizeof number, "%zu", i);
        collect_one(out, at, number, member);
    }
}

static json_t *changes_of(const struct request *rq)
{
    CLEANUP(json_decrefp) json_t *body = NULL;
    struct err ignored = {0};
    json_t *out;

    if (is_secret(rq->route) || rq->route->body == BODY_BYTES || !rq->body.len)
        return NULL;
    body = json_read(rq->body.data, rq->body.len, &ignored);
    if (!body)
        return NULL; /* the handler will refuse it */
    out = json_object();
    collect(out, "", body);
    return out;
}

static struct audit_note note_of(const struct request *rq)
{
    return (struct audit_note){.operation = rq->route->operation,
                               .principal = rq->who.principal,
                               .from = rq->conn->peer,
                               .path = rq->path,
                               .request_id = rq->id,
                               .role = rq->who.role,
                               .is_input = is_input(rq->route)};
}

void trail_begin(struct request *rq, struct trail *trail)
{
    const char *method = rq->route->method;

    if (strcmp(method, "GET") == 0)
        return;
    trail->note = note_of(rq);
    trail->note.changes = changes_of(rq);
    audit_begin(&trail->note);
}

void trail_end(struct request *rq, struct trail *trail)
{
    bool dry_run = str_eq(request_query(rq, "dry_run"), "true");

    if (!trail->note.operation)
        return;
    audit_end(rq->api->config.core, rq->reply.status < 300 && !dry_run && !rq->replayed);
    json_decref(trail->note.changes);
}

void trail_refusal(struct request *rq, const struct err *why)
{
    struct audit_note note;

    if (why->code != ERR_FORBIDDEN || !rq->route || !rq->who.principal[0])
        return;
    note = note_of(rq);
    audit_refusal(rq->api->config.core, &note, why);
}
