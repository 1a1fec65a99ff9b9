/* Idempotency keys: a request that made something can be sent again and finds what it made. The row
 * is written in the transaction of the effect, so a key exists exactly when its effect does. */
#include "core/core/parts.h"

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <string.h>

static bool add(struct store_txn *txn, const struct origin *origin, const char *object_type,
                const struct uuid *object, const char *note, struct err *err)
{
    struct idem_record record = {.principal = origin->principal,
                                 .key = origin->idempotency_key,
                                 .route = origin->route,
                                 .object_type = object_type,
                                 .object = *object,
                                 .note = note,
                                 .created_ms = clock_wall_ms()};

    memcpy(record.body_sha256, origin->body_sha256, sizeof record.body_sha256);
    if (store_idem_put(txn, &record, err))
        return true;
    if (err->code == ERR_EXISTS)
        err_set(err, ERR_BUSY, "another request with this Idempotency-Key is being served: retry");
    return false;
}

bool idem_add(struct store_txn *txn, const struct origin *origin, const char *object_type,
              const struct uuid *object, struct err *err)
{
    return !origin->idempotency_key || add(txn, origin, object_type, object, NULL, err);
}

bool idem_add_batch(struct store_txn *txn, const struct origin *origin, const json_t *note,
                    struct err *err)
{
    CLEANUP(mem_freep) char *text = origin->idempotency_key ? json_write(note) : NULL;
    const struct uuid none = {0};

    return !origin->idempotency_key || add(txn, origin, "batch", &none, text, err);
}

struct earlier {
    const struct origin *origin;
    char *type;
    struct uuid *object;
    bool same;
};

static bool keep(void *ctx, const struct idem_record *r)
{
    struct earlier *e = ctx;

    e->same = strcmp(r->route, e->origin->route) == 0 &&
              memcmp(r->body_sha256, e->origin->body_sha256, sizeof r->body_sha256) == 0;
    str_copy(e->type, 16, r->object_type);
    *e->object = r->object;
    return true;
}

bool core_idem_find(struct core *core, const struct origin *origin, bool *found, char type[16],
                    struct uuid *object, struct err *err)
{
    struct earlier e = {.origin = origin, .type = type, .object = object};

    *found = false;
    if (!origin->idempotency_key)
        return true;
    if (!store_idem_get(core->store, origin->principal, origin->idempotency_key, keep, &e, found,
                        err))
        return false;
    if (*found && !e.same)
        return err_set(err, ERR_IDEM_MISMATCH,
                       "this Idempotency-Key was used for another request: choose a new one");
    return true;
}

static bool keep_note(void *ctx, const struct idem_record *r)
{
    *(json_t **)ctx = r->note ? json_loads(r->note, 0, NULL) : NULL;
    return true;
}

json_t *core_idem_note(struct core *core, const struct origin *origin, struct err *err)
{
    json_t *note = NULL;
    bool found = false;

    if (!store_idem_get(core->store, origin->principal, origin->idempotency_key, keep_note, &note,
                        &found, err))
        return NULL;
    if (!note)
        err_set(err, ERR_NOT_FOUND, "what the earlier request made is no longer known");
    return note;
}
