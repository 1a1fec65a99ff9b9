/* API tokens in memory and in the store: see token.h. Their number is small (a person or a pipeline
 * each), so all of them live in one hash table by id. */
#include "core/user/token.h"

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/core/parts.h"
#include "core/model/page.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX       "vmmd_"
#define SECRET_BYTES 32

const char *const role_names[] = {"none", "viewer", "operator", "admin", NULL};

struct token {
    struct uuid id;
    char *name, *created_by;
    enum role role;
    uint8_t sha256[32];
    int64_t created_ms, expires_ms;
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

static enum role role_parse(const char *text)
{
    for (int i = ROLE_VIEWER; role_names[i]; i++)
        if (str_eq(role_names[i], text))
            return (enum role)i;
    return ROLE_NONE;
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

static void sha256(const char *text, uint8_t out[32])
{
    unsigned len = 32;

    if (!EVP_Digest(text, strlen(text), out, &len, EVP_sha256(), NULL))
        abort(); /* no SHA-256: nothing here can be trusted */
}

/* "vmmd_<32 hex digits of the id>_<64 hex digits>" */
static void write_text(const struct uuid *id, const char *secret, char text[TOKEN_TEXT])
{
    char hex[33];

    str_hex(id->b, sizeof id->b, hex);
    snprintf(text, TOKEN_TEXT, PREFIX "%s_%s", hex, secret);
}

static bool split(const char *text, struct uuid *id, const char **secret)
{
    char hex[33];

    if (strlen(text) != strlen(PREFIX) + 32 + 1 + 2 * SECRET_BYTES || !str_starts(text, PREFIX))
        return false;
    str_copy(hex, sizeof hex, text + strlen(PREFIX));
    *secret = text + strlen(PREFIX) + 33;
    return (*secret)[-1] == '_' && str_unhex(hex, id->b, sizeof id->b);
}

static bool write_new(struct core *core, const struct token *t, const struct origin *origin,
                      struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(core->store, err);
    struct token_record record = {.id = t->id,
                                  .name = t->name,
                                  .role = role_names[t->role],
                                  .created_ms = t->created_ms,
                                  .expires_ms = t->expires_ms,
                                  .created_by = t->created_by};
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

static struct token *token_new(const char *name, enum role role, uint64_t ttl_s,
                               const struct origin *origin, char text[TOKEN_TEXT])
{
    struct token *t = mem_alloc(sizeof *t);
    uint8_t raw[SECRET_BYTES];
    char secret[2 * SECRET_BYTES + 1];

    random_bytes(raw, sizeof raw);
    str_hex(raw, sizeof raw, secret);
    t->id = uuid_new();
    t->name = str_dup(name);
    t->created_by = str_dup(origin->principal);
    t->role = role;
    t->created_ms = clock_wall_ms();
    t->expires_ms = ttl_s ? t->created_ms + (int64_t)ttl_s * 1000 : 0;
    sha256(secret, t->sha256);
    write_text(&t->id, secret, text);
    explicit_bzero(raw, sizeof raw);
    explicit_bzero(secret, sizeof secret);
    return t;
}

bool token_create(struct core *core, const char *name, enum role role, uint64_t ttl_s,
                  const struct origin *origin, struct uuid *id, char text[TOKEN_TEXT],
                  struct err *err)
{
    struct tokens *tokens = core->tokens;
    struct token *t;
    bool taken;

    lock_take(&tokens->lock);
    taken = find(tokens, name) != NULL;
    lock_drop(&tokens->lock);
    if (taken)
        return err_field(err, ERR_EXISTS, "/name", "there is a token named '%s' already", name);
    t = token_new(name, role, ttl_s, origin, text);
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

bool token_check(struct core *core, const char *text, struct token_who *out, struct err *err)
{
    static const char nobody[] = "0000000000000000000000000000000000000000000000000000000000000000";
    struct tokens *tokens = core->tokens;
    struct token *t = NULL;
    uint8_t given[32], kept[32] = {0};
    const char *secret = nobody;
    struct uuid id = {0};
    bool known = split(text, &id, &secret);

    sha256(secret, given);
    lock_take(&tokens->lock);
    HASH_FIND(hh, tokens->by_id, &id, sizeof id, t);
    if (t) {
        memcpy(kept, t->sha256, sizeof kept);
        snprintf(out->principal, sizeof out->principal, "token:%s", t->name);
        out->role = t->role;
    }
    known = known && t && (!t->expires_ms || clock_wall_ms() < t->expires_ms);
    lock_drop(&tokens->lock);
    if (CRYPTO_memcmp(given, kept, sizeof given) == 0 && known)
        return true;
    *out = (struct token_who){0};
    return err_set(err, ERR_UNAUTHENTICATED, "the token is unknown, revoked or expired");
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
    events_ring(core);
    return true;
}
