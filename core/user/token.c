/* API tokens in memory and in the store: see token.h. Their number is small (a person or a pipeline
 * each), so all of them live in one hash table by id. */
#include "core/user/token.h"

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/core/parts.h"
#include "core/model/page.h"
#include "core/user/secret.h"
#include "core/user/user.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "vmmd_"

struct token {
    struct uuid id;
    char *name, *created_by;
    enum role role;
    uint8_t sha256[32];
    int64_t created_ms, expires_ms;
    struct uuid owner; /* zero: nobody's */
    bool narrowed;     /* 'rights' is less than its role's */
    uint64_t rights;   /* no more than its role's and its owner's count */
    UT_hash_handle hh;
};

struct tokens {
    struct lock lock;
    struct token *by_id GUARDED_BY(lock);
};

static void token_free(struct token *t)
{
    free(t->name);
    free(t->created_by);
    free(t);
}

/* Words that a newer vmmd wrote and this one does not know give nothing. */
static void read_rights(struct token *t, const char *text)
{
    CLEANUP(json_decrefp) json_t *list = text ? json_loads(text, 0, NULL) : NULL;

    t->rights = role_rights(t->role);
    t->narrowed = text != NULL;
    if (text && !rights_parse(list, &t->rights))
        t->rights = role_rights(ROLE_NONE);
}

static bool load(void *ctx, const struct token_record *r)
{
    struct tokens *tokens = ctx;
    struct token *t = mem_alloc(sizeof *t);

    t->id = r->id;
    t->name = str_dup(r->name);
    t->created_by = str_dup(r->created_by);
    t->role = role_parse(r->role);
    memcpy(t->sha256, r->sha256, sizeof t->sha256);
    t->created_ms = r->created_ms;
    t->expires_ms = r->expires_ms;
    t->owner = r->owner;
    read_rights(t, r->rights);
    lock_take(&tokens->lock);
    HASH_ADD(hh, tokens->by_id, id, sizeof t->id, t);
    lock_drop(&tokens->lock);
    return true;
}

struct tokens *tokens_new(struct core *core, struct err *err)
{
    struct tokens *tokens = mem_alloc(sizeof *tokens);

    lock_init(&tokens->lock);
    if (store_token_each(core->store, load, tokens, err))
        return tokens;
    tokens_free(tokens);
    return NULL;
}

NO_TSA void tokens_free(struct tokens *tokens)
{
    struct token *t, *next;

    HASH_ITER (hh, tokens->by_id, t, next) {
        HASH_DELETE(hh, tokens->by_id, t);
        token_free(t);
    }
    lock_clear(&tokens->lock);
    free(tokens);
}

static struct token *find(struct tokens *tokens, const char *ref) REQUIRES(tokens->lock);
static struct token *find(struct tokens *tokens, const char *ref)
{
    struct token *t = NULL, *next;
    struct uuid id;

    if (uuid_parse(ref, &id)) {
        HASH_FIND(hh, tokens->by_id, &id, sizeof id, t);
        return t;
    }
    HASH_ITER (hh, tokens->by_id, t, next)
        if (strcmp(t->name, ref) == 0)
            return t;
    return NULL;
}

static bool write_new(struct core *core, const struct token *t, const struct origin *origin,
                      struct err *err)
{
    CLEANUP(json_decrefp) json_t *list = t->narrowed ? rights_json(t->rights) : NULL;
    CLEANUP(mem_freep) char *rights = list ? json_write(list) : NULL;
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(core->store, err);
    struct token_record record = {.id = t->id,
                                  .name = t->name,
                                  .role = role_names[t->role],
                                  .created_ms = t->created_ms,
                                  .expires_ms = t->expires_ms,
                                  .created_by = t->created_by,
                                  .owner = t->owner,
                                  .rights = rights};
    json_t *data = json_object();

    memcpy(record.sha256, t->sha256, sizeof record.sha256);
    json_put_text(data, "name", t->name);
    json_put_text(data, "role", role_names[t->role]);
    if (!txn) {
        json_decref(data);
        return false;
    }
    return event_add(txn, "token.created", "token", &t->id, data, err) &&
           store_token_put(txn, &record, err) && idem_add(txn, origin, "token", &t->id, err) &&
           store_commit(&txn, err);
}

static struct token *token_new(const struct token_spec *spec, const struct origin *origin,
                               char text[TOKEN_TEXT])
{
    struct token *t = mem_alloc(sizeof *t);

    t->id = uuid_new();
    t->name = str_dup(spec->name);
    t->created_by = str_dup(origin->principal);
    t->role = spec->role;
    t->owner = spec->owner;
    t->narrowed = spec->rights != 0;
    t->rights = spec->rights ? spec->rights : role_rights(spec->role);
    t->created_ms = clock_wall_ms();
    t->expires_ms = spec->ttl_s ? t->created_ms + (int64_t)spec->ttl_s * 1000 : 0;
    secret_make(PREFIX, &t->id, text, t->sha256);
    return t;
}

bool token_create_as(struct core *core, const struct token_spec *spec, const struct origin *origin,
                     struct uuid *id, char text[TOKEN_TEXT], struct err *err)
{
    struct tokens *tokens = core->tokens;
    struct token *t;
    bool taken;

    lock_take(&tokens->lock);
    taken = find(tokens, spec->name) != NULL;
    lock_drop(&tokens->lock);
    if (taken)
        return err_field(err, ERR_EXISTS, "/name", "there is a token named '%s' already",
                         spec->name);
    t = token_new(spec, origin, text);
    *id = t->id;
    if (origin->dry_run || !write_new(core, t, origin, err)) {
        token_free(t);
        explicit_bzero(text, TOKEN_TEXT);
        return origin->dry_run;
    }
    lock_take(&tokens->lock);
    HASH_ADD(hh, tokens->by_id, id, sizeof t->id, t);
    lock_drop(&tokens->lock);
    events_ring(core);
    return true;
}

bool token_create(struct core *core, const char *name, enum role role, uint64_t ttl_s,
                  const struct origin *origin, struct uuid *id, char text[TOKEN_TEXT],
                  struct err *err)
{
    const struct token_spec spec = {.name = name, .role = role, .ttl_s = ttl_s};

    return token_create_as(core, &spec, origin, id, text, err);
}

static void token_who(const struct token *t, struct who *out)
{
    *out = (struct who){.role = t->role,
                        .rights = role_rights(t->role) & t->rights,
                        .by = BY_TOKEN,
                        .user = t->owner};
    snprintf(out->principal, sizeof out->principal, "token:%s", t->name);
}

bool token_check(struct core *core, const char *text, struct who *out, struct err *err)
{
    struct tokens *tokens = core->tokens;
    struct token *t = NULL;
    uint8_t given[32], kept[32] = {0};
    struct who owner = {.rights = UINT64_MAX};
    struct err ignored = {0};
    struct uuid id = {0};
    bool known = secret_read(PREFIX, text, &id, given);

    *out = (struct who){0};
    lock_take(&tokens->lock);
    HASH_FIND(hh, tokens->by_id, &id, sizeof id, t);
    if (t) {
        memcpy(kept, t->sha256, sizeof kept);
        token_who(t, out);
    }
    known = known && t && (!t->expires_ms || clock_wall_ms() < t->expires_ms);
    lock_drop(&tokens->lock);
    known = secret_is(given, kept) && known &&
            (uuid_is_zero(&out->user) || user_is(core, &out->user, &owner, &ignored));
    /* its own rights bound what the owner may do with all objects, and with some */
    out->most = out->rights;
    out->rights &= owner.rights;
    out->grants = TAKE(owner.grants);
    if (known)
        return true;
    who_clear(out);
    return err_set(err, ERR_UNAUTHENTICATED, "the token is unknown, revoked or expired");
}

void tokens_forget(struct core *core, const struct uuid *owner)
{
    struct tokens *tokens = core->tokens;
    struct token *t, *next;

    lock_take(&tokens->lock);
    HASH_ITER (hh, tokens->by_id, t, next)
        if (uuid_eq(&t->owner, owner)) {
            HASH_DELETE(hh, tokens->by_id, t);
            token_free(t);
        }
    lock_drop(&tokens->lock);
}

static json_t *view(const struct token *t)
{
    json_t *v = json_object();

    json_put_text(v, "id", UUID_STR(&t->id));
    json_put_text(v, "name", t->name);
    json_put_text(v, "role", role_names[t->role]);
    json_put_time(v, "created_at", t->created_ms);
    json_put_time(v, "expires_at", t->expires_ms);
    json_put_text(v, "created_by", t->created_by);
    json_put_text(v, "owner", uuid_is_zero(&t->owner) ? NULL : UUID_STR(&t->owner));
    json_put(v, "rights", rights_json(t->rights & role_rights(t->role)));
    return v;
}

json_t *token_show(struct core *core, const char *ref, struct err *err)
{
    struct tokens *tokens = core->tokens;
    json_t *v = NULL;
    struct token *t;

    lock_take(&tokens->lock);
    t = find(tokens, ref);
    if (t)
        v = view(t);
    lock_drop(&tokens->lock);
    if (!v)
        err_set(err, ERR_NOT_FOUND, "there is no token '%.64s'", ref);
    return v;
}

void token_list(struct core *core, const struct query *query, struct strbuf *out)
{
    CLEANUP(page_clear) struct page page = {.query = query};
    struct tokens *tokens = core->tokens;
    struct token *t, *next;

    lock_take(&tokens->lock);
    HASH_ITER (hh, tokens->by_id, t, next)
        page_offer(&page, view(t));
    lock_drop(&tokens->lock);
    page_write(&page, NULL, NULL, out);
}

static bool write_gone(struct core *core, const struct uuid *id, const char *name, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(core->store, err);
    json_t *data = json_object();

    json_put_text(data, "name", name);
    if (!txn) {
        json_decref(data);
        return false;
    }
    return event_add(txn, "token.revoked", "token", id, data, err) &&
           store_token_remove(txn, id, err) && store_commit(&txn, err);
}

bool token_revoke(struct core *core, const char *ref, const struct origin *origin, struct err *err)
{
    struct tokens *tokens = core->tokens;
    char name[NAME_MAX_BYTES + 1] = "";
    struct uuid id = {0};
    struct token *t;

    lock_take(&tokens->lock);
    t = find(tokens, ref);
    if (t) {
        id = t->id;
        str_copy(name, sizeof name, t->name);
    }
    lock_drop(&tokens->lock);
    if (!t)
        return err_set(err, ERR_NOT_FOUND, "there is no token '%.64s'", ref);
    if (origin->dry_run)
        return true;
    if (!write_gone(core, &id, name, err))
        return false;
    lock_take(&tokens->lock);
    HASH_FIND(hh, tokens->by_id, &id, sizeof id, t);
    if (t) {
        HASH_DELETE(hh, tokens->by_id, t);
        token_free(t);
    }
    lock_drop(&tokens->lock);
    accounts_ring(core);
    return true;
}
