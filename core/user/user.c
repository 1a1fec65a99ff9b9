/* Users as objects: made, shown, edited, deleted. See user.h. */
#include "core/user/user.h"

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/model/page.h"
#include "core/user/inside.h"
#include "core/user/token.h"

#include <stdlib.h>
#include <string.h>

const char *const password_source_names[] = {"own", "pam", NULL};
const char *const who_by_names[] = {"nothing", "unix", "token", "session", "certificate"};

static void user_free(struct user *u)
{
    if (u->password)
        explicit_bzero(u->password, strlen(u->password));
    grants_drop(u->grants);
    free(u->password);
    free(u->name);
    free(u->created_by);
    free(u);
}

/* ---- life of the service ---- */

static void fill(struct user *u, const struct user_record *r)
{
    u->id = r->id;
    u->name = str_dup(r->name);
    u->role = role_parse(r->role);
    u->password = str_dup(r->password);
    u->password_ms = r->password_ms;
    u->pam = r->pam;
    u->disabled = r->disabled;
    u->created_ms = r->created_ms;
    u->changed_ms = r->changed_ms;
    u->created_by = str_dup(r->created_by);
}

static bool load_user(void *ctx, const struct user_record *r)
{
    struct users *users = ctx;
    struct user *u = mem_alloc(sizeof *u);

    fill(u, r);
    lock_take(&users->lock);
    HASH_ADD(hh, users->by_id, id, sizeof u->id, u);
    lock_drop(&users->lock);
    return true;
}

static bool load_session(void *ctx, const struct session_record *r)
{
    sessions_load(ctx, r);
    return true;
}

static bool load_certificate(void *ctx, const struct certificate_record *r)
{
    certificates_load(ctx, r);
    return true;
}

static bool load_grant(void *ctx, const struct grant_record *r)
{
    grants_load(ctx, r);
    return true;
}

struct users *users_new(struct core *core, const struct core_config *config, struct err *err)
{
    struct users *users = mem_alloc(sizeof *users);

    lock_init(&users->lock);
    lock_init(&users->writing);
    users->idle_ms = config->session_idle_s ? config->session_idle_s * 1000LL : SESSION_IDLE_MS;
    users->pam = config->pam;
    users->max_ms = config->session_max_s ? config->session_max_s * 1000LL : SESSION_MAX_MS;
    if (store_user_each(core->store, load_user, users, err) &&
        store_session_each(core->store, load_session, users, err) &&
        store_grant_each(core->store, load_grant, users, err) &&
        store_certificate_each(core->store, load_certificate, users, err))
        return users;
    users_free(users);
    return NULL;
}

NO_TSA void users_free(struct users *users)
{
    struct user *u, *next_user;
    struct session *s, *next;

    if (!users)
        return;
    HASH_ITER (hh, users->sessions, s, next) {
        HASH_DELETE(hh, users->sessions, s);
        free(s);
    }
    certificates_free(users);
    HASH_ITER (hh, users->by_id, u, next_user) {
        HASH_DELETE(hh, users->by_id, u);
        user_free(u);
    }
    lock_clear(&users->writing);
    lock_clear(&users->lock);
    free(users);
}

/* ---- finding and showing ---- */

struct user *user_by_id(struct users *users, const struct uuid *id)
{
    struct user *u;

    HASH_FIND(hh, users->by_id, id, sizeof *id, u);
    return u;
}

struct user *user_find(struct users *users, const char *ref)
{
    struct user *u, *next;
    struct uuid id;

    if (uuid_parse(ref, &id))
        return user_by_id(users, &id);
    HASH_ITER (hh, users->by_id, u, next)
        if (strcmp(u->name, ref) == 0)
            return u;
    return NULL;
}

bool user_missing_fail(const char *ref, struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "there is no user '%.64s'", ref);
}

void user_record(const struct user *u, struct user_record *out)
{
    *out = (struct user_record){.id = u->id,
                                .name = u->name,
                                .role = role_names[u->role],
                                .password = u->password,
                                .password_ms = u->password_ms,
                                .pam = u->pam,
                                .disabled = u->disabled,
                                .created_ms = u->created_ms,
                                .changed_ms = u->changed_ms,
                                .created_by = u->created_by};
}

void user_who(const struct user *u, struct who *out)
{
    *out = (struct who){.role = u->role,
                        .rights = role_rights(u->role),
                        .user = u->id,
                        .grants = grants_hold(u->grants),
                        .most = UINT64_MAX};
    str_copy(out->principal, sizeof out->principal, "user:");
    str_copy(out->principal + 5, sizeof out->principal - 5, u->name);
}

static json_t *view(const struct user *u)
{
    json_t *v = json_object();

    json_put_text(v, "id", UUID_STR(&u->id));
    json_put_text(v, "name", u->name);
    json_put_text(v, "role", role_names[u->role]);
    json_put_bool(v, "disabled", u->disabled);
    json_put_bool(v, "has_password", u->password || u->pam);
    json_put_text(v, "password_source", password_source_names[u->pam]);
    json_put_time(v, "password_set_at", u->password_ms);
    json_put_time(v, "created_at", u->created_ms);
    json_put_time(v, "changed_at", u->changed_ms);
    json_put_text(v, "created_by", u->created_by);
    return v;
}

json_t *user_show(struct core *core, const char *ref, struct err *err)
{
    struct users *users = core->users;
    json_t *v = NULL;
    struct user *u;

    lock_take(&users->lock);
    u = user_find(users, ref);
    if (u)
        v = view(u);
    lock_drop(&users->lock);
    if (!v)
        user_missing_fail(ref, err);
    return v;
}

void user_list(struct core *core, const struct query *query, struct strbuf *out)
{
    CLEANUP(page_clear) struct page page = {.query = query};
    struct users *users = core->users;
    struct user *u, *next;

    lock_take(&users->lock);
    HASH_ITER (hh, users->by_id, u, next)
        page_offer(&page, view(u));
    lock_drop(&users->lock);
    page_write(&page, NULL, NULL, out);
}

bool user_rights(struct core *core, const char *ref, struct uuid *id, uint64_t *rights,
                 struct err *err)
{
    struct users *users = core->users;
    struct user *u;

    lock_take(&users->lock);
    u = user_find(users, ref);
    if (u) {
        *id = u->id;
        *rights = role_rights(u->role) | grants_any(u->grants);
    }
    lock_drop(&users->lock);
    return u || user_missing_fail(ref, err);
}

bool user_is(struct core *core, const struct uuid *id, struct who *out, struct err *err)
{
    struct users *users = core->users;
    bool ok;
    struct user *u;

    lock_take(&users->lock);
    u = user_by_id(users, id);
    ok = u && !u->disabled;
    if (ok)
        user_who(u, out);
    lock_drop(&users->lock);
    return ok || err_set(err, ERR_UNAUTHENTICATED, "the user is gone or disabled");
}

/* ---- changing ---- */

unsigned accounts_version(struct core *core)
{
    return atomic_load(&core->accounts);
}

void accounts_ring(struct core *core)
{
    atomic_fetch_add(&core->accounts, 1);
    lock_take(&core->serial.lock);
    core->serial.rings++;
    cond_wake_all(&core->serial.rung);
    lock_drop(&core->serial.lock);
    events_ring(core);
}

static bool write_rows(struct core *core, const struct user_record *r, const char *event, bool ends,
                       const struct origin *origin, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(core->store, err);
    json_t *data;

    if (!txn || !store_user_put(txn, r, err) ||
        (ends && !store_session_remove_of(txn, &r->id, err)))
        return false;
    data = json_object();
    json_put_text(data, "name", r->name);
    json_put_text(data, "role", r->role);
    json_put_bool(data, "disabled", r->disabled);
    return event_add(txn, event, "user", &r->id, data, err) &&
           idem_add(txn, origin, "user", &r->id, err) && store_commit(&txn, err);
}

/* Memory follows the row. */
static void apply(struct users *users, const struct user_record *r, bool ends)
{
    struct user *u = mem_alloc(sizeof *u), *old;

    fill(u, r);
    lock_take(&users->lock);
    old = user_by_id(users, &r->id);
    if (old) {
        u->link_ends_ms = ends ? 0 : old->link_ends_ms;
        memcpy(u->link_sha256, old->link_sha256, sizeof u->link_sha256);
        u->grants = TAKE(old->grants);
        HASH_DELETE(hh, users->by_id, old);
    }
    HASH_ADD(hh, users->by_id, id, sizeof u->id, u);
    if (ends)
        sessions_forget(users, &r->id);
    lock_drop(&users->lock);
    if (old)
        user_free(old);
}

bool user_write(struct core *core, const struct user_record *record, const char *event, bool ends,
                const struct origin *origin, struct err *err)
{
    if (!write_rows(core, record, event, ends, origin, err))
        return false;
    apply(core->users, record, ends);
    accounts_ring(core);
    return true;
}

/* 'self': who is edited, NULL for a new one. */
static bool name_is_free(struct users *users, const char *name, const struct uuid *self,
                         struct err *err)
{
    struct user *same;
    bool full;

    lock_take(&users->lock);
    same = name ? user_find(users, name) : NULL;
    full = !self && HASH_COUNT(users->by_id) >= USER_MAX;
    if (same && self && uuid_eq(&same->id, self))
        same = NULL;
    lock_drop(&users->lock);
    if (same)
        return err_field(err, ERR_EXISTS, "/name", "there is a user named '%s' already", name);
    return !full || err_set(err, ERR_WRONG_STATE, "there are %d users already", USER_MAX);
}

static bool pam_is_on(const struct users *users, struct err *err)
{
    return users->pam ||
           err_field(err, ERR_WRONG_STATE, "/password_source",
                     "the host's passwords are not used: set pam_service in vmmd.conf and restart "
                     "vmmd (docs/accounts.md)");
}

static bool create(struct core *core, const struct user_spec *spec, const struct origin *origin,
                   struct uuid *id, struct err *err)
{
    struct user_record record = {.id = uuid_new(),
                                 .name = spec->name,
                                 .role = role_names[spec->role],
                                 .disabled = spec->disabled,
                                 .pam = spec->to_pam,
                                 .created_ms = clock_wall_ms(),
                                 .created_by = origin->principal};

    record.changed_ms = record.created_ms;
    *id = record.id;
    return name_is_free(core->users, spec->name, NULL, err) &&
           (!spec->to_pam || pam_is_on(core->users, err)) &&
           (origin->dry_run || user_write(core, &record, "user.created", false, origin, err));
}

bool user_create(struct core *core, const struct user_spec *spec, const struct origin *origin,
                 struct uuid *id, struct err *err)
{
    bool ok;

    lock_take(&core->users->writing);
    ok = create(core, spec, origin, id, err);
    lock_drop(&core->users->writing);
    return ok;
}

/* What 'spec' makes of 'r'; true when the user's sessions end by it. */
static bool change(struct user_record *r, const struct user_spec *spec)
{
    const char *role = spec->role || spec->to_none ? role_names[spec->role] : r->role;
    bool moves = (spec->to_pam && !r->pam) || (spec->to_own && r->pam);
    bool ends = !str_eq(role, r->role) || (!spec->keep_disabled && spec->disabled) || moves;

    if (moves) { /* the old password goes, wherever it was */
        r->pam = spec->to_pam;
        r->password = NULL;
        r->password_ms = 0;
    }
    r->name = spec->name ? spec->name : r->name;
    r->role = role;
    r->disabled = spec->keep_disabled ? r->disabled : spec->disabled;
    r->changed_ms = clock_wall_ms();
    return ends;
}

/* Under 'writing' nobody else changes or frees a user, so its texts stay while the row is written.
 */
static bool edit(struct core *core, const char *ref, const struct user_spec *spec,
                 const struct origin *origin, struct err *err)
{
    struct users *users = core->users;
    struct user_record r;
    struct user *u;
    bool ends;

    lock_take(&users->lock);
    u = user_find(users, ref);
    if (u)
        user_record(u, &r);
    lock_drop(&users->lock);
    if (!u)
        return user_missing_fail(ref, err);
    if (!name_is_free(users, spec->name, &r.id, err) ||
        (spec->to_pam && !r.pam && !pam_is_on(users, err)))
        return false;
    ends = change(&r, spec);
    return origin->dry_run || user_write(core, &r, "user.changed", ends, origin, err);
}

bool user_edit(struct core *core, const char *ref, const struct user_spec *spec,
               const struct origin *origin, struct err *err)
{
    bool ok;

    lock_take(&core->users->writing);
    ok = edit(core, ref, spec, origin, err);
    lock_drop(&core->users->writing);
    return ok;
}

static bool write_gone(struct core *core, const struct uuid *id, const char *name, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(core->store, err);
    json_t *data;

    if (!txn || !store_user_remove(txn, id, err))
        return false;
    data = json_object();
    json_put_text(data, "name", name);
    return event_add(txn, "user.deleted", "user", id, data, err) && store_commit(&txn, err);
}

static bool remove_user(struct core *core, const char *ref, const struct origin *origin,
                        struct err *err)
{
    struct users *users = core->users;
    struct user *u;

    lock_take(&users->lock);
    u = user_find(users, ref);
    lock_drop(&users->lock);
    if (!u)
        return user_missing_fail(ref, err);
    if (origin->dry_run)
        return true;
    if (!write_gone(core, &u->id, u->name, err))
        return false;
    lock_take(&users->lock);
    sessions_forget(users, &u->id);
    certificates_forget(users, &u->id);
    HASH_DELETE(hh, users->by_id, u);
    lock_drop(&users->lock);
    tokens_forget(core, &u->id);
    user_free(u);
    accounts_ring(core);
    return true;
}

bool user_delete(struct core *core, const char *ref, const struct origin *origin, struct err *err)
{
    bool ok;

    lock_take(&core->users->writing);
    ok = remove_user(core, ref, origin, err);
    lock_drop(&core->users->writing);
    return ok;
}
