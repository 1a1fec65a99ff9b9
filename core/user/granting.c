/* Grants of users: made, shown, taken back. See granting.h. Row first, then memory, as all changes
 * of users, under the same lock; a set in memory is never changed but replaced. */
#include "core/user/granting.h"

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/disks.h"
#include "core/model/field.h"
#include "core/user/inside.h"

#include <stdlib.h>
#include <string.h>

static void grant_clear(struct grant *g)
{
    free(g->key);
    free(g->value);
    free(g->created_by);
}

/* ---- showing ---- */

static json_t *view(struct core *core, const struct grant *g, uint64_t most)
{
    json_t *v = json_object(), *pool = NULL;

    if (g->pool[0]) {
        lock_take(&core->registry.lock);
        pool = pool_name_of(core, g->pool);
        lock_drop(&core->registry.lock);
    }
    json_put_text(v, "id", UUID_STR(&g->id));
    json_put_text(v, "role", g->role ? role_names[g->role] : NULL);
    json_put(v, "rights", rights_json(g->rights & grant_possible() & most));
    json_put(v, "label", g->key ? json_sprintf("%s=%s", g->key, g->value) : NULL);
    json_put(v, "pool", pool);
    json_put_time(v, "created_at", g->created_ms);
    json_put_text(v, "created_by", g->created_by);
    return v;
}

static json_t *views(struct core *core, const struct grants *all, uint64_t most)
{
    json_t *list = json_array();

    for (size_t i = 0; all && i < all->n; i++)
        json_array_append_new(list, view(core, &all->all[i], most));
    return list;
}

json_t *grants_of_who(struct core *core, const struct who *who)
{
    return views(core, who->grants, who->most);
}

/* A reference to the user's set; false when there is no such user. */
static bool hold(struct core *core, const char *ref, struct uuid *user, struct grants **out,
                 struct err *err)
{
    struct users *users = core->users;
    struct user *u;

    lock_take(&users->lock);
    u = user_find(users, ref);
    if (u) {
        *user = u->id;
        *out = grants_hold(u->grants);
    }
    lock_drop(&users->lock);
    return u || user_missing_fail(ref, err);
}

json_t *grant_list(struct core *core, const char *ref, struct err *err)
{
    struct grants *all = NULL;
    struct uuid user;
    json_t *list;

    if (!hold(core, ref, &user, &all, err))
        return NULL;
    list = views(core, all, UINT64_MAX);
    grants_drop(all);
    return list;
}

static const struct grant *find(const struct grants *all, const char *text)
{
    struct uuid id;

    if (!uuid_parse(text, &id))
        return NULL;
    for (size_t i = 0; all && i < all->n; i++)
        if (uuid_eq(&all->all[i].id, &id))
            return &all->all[i];
    return NULL;
}

static bool missing_fail(const char *user, const char *id, struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "%.64s has no grant '%.64s'", user, id);
}

json_t *grant_show(struct core *core, const char *ref, const char *id, struct err *err)
{
    struct grants *all = NULL;
    const struct grant *g;
    struct uuid user;
    json_t *v;

    if (!hold(core, ref, &user, &all, err))
        return NULL;
    g = find(all, id);
    v = g ? view(core, g, UINT64_MAX) : NULL;
    if (!v)
        missing_fail(ref, id, err);
    grants_drop(all);
    return v;
}

/* ---- changing ---- */

/* Under 'writing': memory follows the row. Takes 'all'. */
static void put(struct core *core, const struct uuid *user, struct grants *all)
{
    struct users *users = core->users;
    struct user *u;

    lock_take(&users->lock);
    u = user_by_id(users, user);
    if (u) {
        struct grants *old = u->grants;
        u->grants = all;
        all = old;
    }
    lock_drop(&users->lock);
    grants_drop(all);
}

static json_t *event_of(struct core *core, const struct grant *g)
{
    CLEANUP(json_decrefp) json_t *whole = view(core, g, UINT64_MAX);
    json_t *data = json_object();

    json_put_text(data, "grant", json_get_text(whole, "id"));
    json_put_text(data, "role", json_get_text(whole, "role"));
    json_put(data, "rights", json_incref(json_object_get(whole, "rights")));
    json_put_text(data, "label", json_get_text(whole, "label"));
    json_put_text(data, "pool", json_get_text(whole, "pool"));
    return data;
}

static bool write_new(struct core *core, const struct uuid *user, const struct grant *g,
                      const struct origin *origin, struct err *err)
{
    CLEANUP(json_decrefp) json_t *list = g->role ? NULL : rights_json(g->rights);
    CLEANUP(mem_freep) char *rights = list ? json_write(list) : NULL;
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(core->store, err);
    struct grant_record record = {.id = g->id,
                                  .user = *user,
                                  .label_key = g->key,
                                  .label_value = g->value,
                                  .role = g->role ? role_names[g->role] : NULL,
                                  .rights = rights,
                                  .created_ms = g->created_ms,
                                  .created_by = g->created_by};

    if (g->pool[0] && !uuid_parse(g->pool, &record.pool))
        return err_set(err, ERR_INTERNAL, "a pool without an id");
    return txn && store_grant_put(txn, &record, err) &&
           event_add(txn, "user.granted", "user", user, event_of(core, g), err) &&
           idem_add(txn, origin, "grant", &g->id, err) && store_commit(&txn, err);
}

static bool write_gone(struct core *core, const struct uuid *user, const struct grant *g,
                       struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(core->store, err);

    return txn && store_grant_remove(txn, &g->id, err) &&
           event_add(txn, "user.revoked", "user", user, event_of(core, g), err) &&
           store_commit(&txn, err);
}

static bool read_label(const char *text, struct grant *out, struct err *err)
{
    const char *equals = strchr(text, '='), *why = "";

    out->key = equals ? mem_dup(text, (size_t)(equals - text) + 1) : str_dup("");
    if (equals)
        out->key[equals - text] = 0;
    out->value = str_dup(equals ? equals + 1 : "");
    return (equals && strlen(out->key) <= NAME_MAX_BYTES && check_name(out->key, &why) &&
            strlen(out->value) <= 255 && check_line(out->value, &why)) ||
           err_field(err, ERR_INVALID, "/label",
                     "a label is written as key=value: up to 63 letters, digits, '.', '_' or '-', "
                     "and a line of up to 255 bytes");
}

static bool read_pool(struct core *core, const char *ref, struct grant *out, struct err *err)
{
    struct pool *pool;

    lock_take(&core->registry.lock);
    pool = pool_find(core, ref);
    if (pool)
        uuid_text(&pool->id, out->pool);
    lock_drop(&core->registry.lock);
    return pool || err_field(err, ERR_NOT_FOUND, "/pool",
                             "there is no pool '%.64s': GET /pools lists them", ref);
}

static bool read_spec(struct core *core, const struct grant_spec *spec, struct grant *out,
                      struct err *err)
{
    if (!spec->label == !spec->pool)
        return err_field(err, ERR_INVALID, spec->label ? "/pool" : "/label",
                         "say what it selects by either label, as key=value, or pool");
    if (!spec->role == !spec->rights)
        return err_field(err, ERR_INVALID, spec->role ? "/rights" : "/role",
                         "say what may be done by either role or rights");
    out->role = spec->role;
    out->rights = (spec->role ? role_rights(spec->role) : spec->rights) & grant_possible();
    if (!out->rights)
        return err_field(err, ERR_INVALID, "/rights",
                         "none of these rights is about VMs, pools or templates: docs/accounts.md "
                         "lists those that can be granted");
    return spec->label ? read_label(spec->label, out, err) : read_pool(core, spec->pool, out, err);
}

static bool has_room(const struct grants *all, const struct grant *g, struct err *err)
{
    for (size_t i = 0; all && i < all->n; i++)
        if (str_eq(all->all[i].key, g->key) && str_eq(all->all[i].value, g->value) &&
            strcmp(all->all[i].pool, g->pool) == 0)
            return err_field(err, ERR_EXISTS, g->key ? "/label" : "/pool",
                             "the user has the grant %s for it already: revoke that first",
                             UUID_STR(&all->all[i].id));
    return !all || all->n < GRANTS_MAX ||
           err_set(err, ERR_WRONG_STATE, "the user has %d grants already", GRANTS_MAX);
}

/* Under 'writing'. */
static bool create(struct core *core, const char *ref, struct grant *g, const struct origin *origin,
                   struct err *err)
{
    struct grants *all = NULL;
    struct uuid user;
    bool ok;

    if (!hold(core, ref, &user, &all, err))
        return false;
    ok = has_room(all, g, err) && (origin->dry_run || write_new(core, &user, g, origin, err));
    if (ok && !origin->dry_run) {
        put(core, &user, grants_with(all, g));
        accounts_ring(core);
    }
    grants_drop(all);
    return ok;
}

bool grant_create(struct core *core, const char *user, const struct grant_spec *spec,
                  const struct origin *origin, struct uuid *id, struct err *err)
{
    CLEANUP(grant_clear) struct grant g = {.id = uuid_new(), .created_ms = clock_wall_ms()};
    bool ok;

    g.created_by = str_dup(origin->principal);
    *id = g.id;
    if (!read_spec(core, spec, &g, err))
        return false;
    lock_take(&core->users->writing);
    ok = create(core, user, &g, origin, err);
    lock_drop(&core->users->writing);
    return ok;
}

static bool take_back(struct core *core, const char *ref, const char *id,
                      const struct origin *origin, struct err *err)
{
    struct grants *all = NULL;
    const struct grant *g;
    struct uuid user;
    bool ok;

    if (!hold(core, ref, &user, &all, err))
        return false;
    g = find(all, id);
    ok = g ? origin->dry_run || write_gone(core, &user, g, err) : missing_fail(ref, id, err);
    if (ok && !origin->dry_run) {
        put(core, &user, grants_without(all, &g->id));
        accounts_ring(core);
    }
    grants_drop(all);
    return ok;
}

bool grant_delete(struct core *core, const char *user, const char *id, const struct origin *origin,
                  struct err *err)
{
    bool ok;

    lock_take(&core->users->writing);
    ok = take_back(core, user, id, origin, err);
    lock_drop(&core->users->writing);
    return ok;
}

/* The user's set without those for the pool; NULL when none is left, and its own when none is. */
static struct grants *without_pool(struct grants *all, const char *pool)
{
    struct grants *left = grants_hold(all);

    for (size_t i = 0; all && i < all->n; i++)
        if (strcmp(all->all[i].pool, pool) == 0) {
            struct grants *less = grants_without(left, &all->all[i].id);
            grants_drop(left);
            left = less;
        }
    return left;
}

void grants_forget_pool(struct core *core, const struct uuid *pool)
{
    struct users *users = core->users;
    struct user *u, *next;

    lock_take(&users->writing);
    lock_take(&users->lock);
    HASH_ITER (hh, users->by_id, u, next) {
        struct grants *old = u->grants;
        u->grants = without_pool(old, UUID_STR(pool));
        grants_drop(old);
    }
    lock_drop(&users->lock);
    accounts_ring(core);
    lock_drop(&users->writing);
}

bool grants_any_by_label(struct core *core, const char *key, const char *value)
{
    struct users *users = core->users;
    struct user *u, *next;
    bool any = false;

    lock_take(&users->lock);
    HASH_ITER (hh, users->by_id, u, next)
        any = any || grants_by_label(u->grants, key, value);
    lock_drop(&users->lock);
    return any;
}

/* ---- at the start ---- */

/* Words that a newer vmmd wrote and this one does not know give nothing. */
static uint64_t rights_of(const struct grant_record *r)
{
    CLEANUP(json_decrefp) json_t *list = r->rights ? json_loads(r->rights, 0, NULL) : NULL;
    uint64_t rights = 0;

    if (!r->rights)
        return role_rights(role_parse(r->role)) & grant_possible();
    return rights_parse(list, &rights) ? rights & grant_possible() : 0;
}

void grants_load(struct users *users, const struct grant_record *r)
{
    CLEANUP(grant_clear) struct grant g = {.id = r->id, .created_ms = r->created_ms};
    struct user *u;

    g.key = str_dup(r->label_key);
    g.value = str_dup(r->label_value);
    g.created_by = str_dup(r->created_by);
    g.role = role_parse(r->role);
    g.rights = rights_of(r);
    if (!uuid_is_zero(&r->pool))
        uuid_text(&r->pool, g.pool);
    lock_take(&users->lock);
    u = user_by_id(users, &r->user);
    if (u) {
        struct grants *old = u->grants;
        u->grants = grants_with(old, &g);
        grants_drop(old);
    }
    lock_drop(&users->lock);
}
