/* Sessions: see session.h.
 *
 * Theory of operation. A session is a row and an entry in memory; both come and go together, under
 * 'writing'. When it was last used is kept in memory and goes into the row only every five minutes:
 * a daemon that is killed may forget as much, which makes a session die a little sooner. It is over
 * when it was not used for idle_ms, max_ms after it began, when its user signs out, gets another
 * password or role, is disabled or deleted. What may be done with it is asked of the user each
 * time. */
#include "core/user/session.h"

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/model/field.h"
#include "core/model/page.h"
#include "core/user/inside.h"
#include "core/user/user.h"

#include <stdlib.h>
#include <string.h>

static const char over[] = "the session is over: sign in again";

static bool is_over(const struct users *users, const struct session *s, int64_t now)
{
    return now >= s->expires_ms || now >= s->used_ms + users->idle_ms;
}

void sessions_load(struct users *users, const struct session_record *r)
{
    struct session *s = mem_alloc(sizeof *s);

    s->id = r->id;
    s->user = r->user;
    memcpy(s->sha256, r->sha256, sizeof s->sha256);
    s->created_ms = r->created_ms;
    s->used_ms = s->saved_ms = r->used_ms;
    s->expires_ms = r->expires_ms;
    str_copy(s->origin, sizeof s->origin, r->origin);
    lock_take(&users->lock);
    HASH_ADD(hh, users->sessions, id, sizeof s->id, s);
    lock_drop(&users->lock);
}

void sessions_forget(struct users *users, const struct uuid *user)
{
    struct session *s, *next;

    HASH_ITER (hh, users->sessions, s, next)
        if (uuid_eq(&s->user, user)) {
            HASH_DELETE(hh, users->sessions, s);
            free(s);
        }
}

static void to_record(const struct session *s, struct session_record *out)
{
    *out = (struct session_record){.id = s->id,
                                   .user = s->user,
                                   .created_ms = s->created_ms,
                                   .used_ms = s->used_ms,
                                   .expires_ms = s->expires_ms,
                                   .origin = s->origin};
    memcpy(out->sha256, s->sha256, sizeof out->sha256);
}

/* ---- beginning ---- */

static bool write_new(struct core *core, const struct session *s, const char *user, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(core->store, err);
    struct session_record r;
    json_t *data;

    to_record(s, &r);
    if (!txn || !store_session_put(txn, &r, err))
        return false;
    data = json_object();
    json_put_text(data, "user", user);
    return event_add(txn, "session.created", "session", &s->id, data, err) &&
           store_commit(&txn, err);
}

static bool write_end(struct core *core, const struct session *s, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(core->store, err);

    return txn && store_session_remove(txn, &s->id, err) &&
           event_add(txn, "session.ended", "session", &s->id, json_object(), err) &&
           store_commit(&txn, err);
}

/* Under 'writing'. */
static bool end(struct core *core, struct session *s, struct err *err)
{
    struct users *users = core->users;

    if (!write_end(core, s, err))
        return false;
    lock_take(&users->lock);
    HASH_DELETE(hh, users->sessions, s);
    lock_drop(&users->lock);
    free(s);
    accounts_ring(core);
    return true;
}

/* One that is over, or, when there are too many beside 'newest' of its user, the one that was not
 * used longest. */
static struct session *superfluous(struct users *users, const struct session *newest)
{
    struct session *s, *next, *oldest = NULL, *found = NULL;
    int64_t now = clock_wall_ms();
    unsigned n = 0;

    lock_take(&users->lock);
    HASH_ITER (hh, users->sessions, s, next) {
        if (s == newest)
            continue;
        if (is_over(users, s, now))
            found = s;
        if (!uuid_eq(&s->user, &newest->user))
            continue;
        n++;
        if (!oldest || s->used_ms < oldest->used_ms)
            oldest = s;
    }
    lock_drop(&users->lock);
    return found ? found : n >= SESSION_MAX ? oldest : NULL;
}

/* Behind the new one's beginning, which is what the request's record in the audit trail is about.
 * What cannot be ended now is when the next one begins. */
static void make_room(struct core *core, const struct session *newest)
{
    struct session *s;
    struct err err = {0};

    while ((s = superfluous(core->users, newest)))
        if (!end(core, s, &err)) {
            log_warn("a session was not ended: %s", err.detail);
            return;
        }
}

static struct session *session_new(const struct users *users, const struct who *who,
                                   const char *from, char text[SESSION_TEXT])
{
    struct session *s = mem_alloc(sizeof *s);

    s->id = uuid_new();
    s->user = who->user;
    s->created_ms = s->used_ms = s->saved_ms = clock_wall_ms();
    s->expires_ms = s->created_ms + users->max_ms;
    str_copy(s->origin, sizeof s->origin, from);
    str_scrub(s->origin);
    secret_make("", &s->id, text, s->sha256);
    return s;
}

/* 'proof' (NULL: none was asked for): the user may have changed meanwhile. */
static bool begin(struct core *core, const char *name, const struct proof *proof, const char *from,
                  struct who *who, char text[SESSION_TEXT], struct err *err)
{
    struct users *users = core->users;
    struct session *s;
    struct user *u;
    bool ok;

    lock_take(&users->lock);
    u = user_find(users, name);
    ok = u && !u->disabled && (!proof || proof_holds(proof, u));
    if (ok)
        user_who(u, who);
    lock_drop(&users->lock);
    if (!ok)
        return proof_wrong_fail(err);
    s = session_new(users, who, from, text);
    who->by = BY_SESSION;
    who->session = s->id;
    if (!write_new(core, s, who->principal + strlen("user:"), err)) {
        explicit_bzero(text, SESSION_TEXT);
        free(s);
        return false;
    }
    lock_take(&users->lock);
    HASH_ADD(hh, users->sessions, id, sizeof s->id, s);
    lock_drop(&users->lock);
    events_ring(core);
    make_room(core, s);
    return true;
}

bool session_begin(struct core *core, const char *name, const char *password, const char *from,
                   struct who *who, char text[SESSION_TEXT], struct err *err)
{
    CLEANUP(proof_clear) struct proof proof = {0};
    bool ok;

    if (!proof_find(core, name, password, from, &proof, err))
        return false;
    lock_take(&core->users->writing);
    ok = begin(core, name, &proof, from, who, text, err);
    lock_drop(&core->users->writing);
    return ok;
}

bool session_begin_for(struct core *core, const char *name, const char *from, struct who *who,
                       char text[SESSION_TEXT], struct err *err)
{
    bool ok;

    lock_take(&core->users->writing);
    ok = begin(core, name, NULL, from, who, text, err);
    lock_drop(&core->users->writing);
    return ok;
}

/* ---- use ---- */

/* Writes when it was used, if it is still there. A failure costs nothing but a shorter life. */
static void save_use(struct core *core, const struct uuid *id)
{
    struct users *users = core->users;
    struct session_record r;
    struct err err = {0};
    struct session *s;

    lock_take(&users->writing);
    lock_take(&users->lock);
    HASH_FIND(hh, users->sessions, id, sizeof *id, s);
    if (s) {
        s->saved_ms = s->used_ms;
        to_record(s, &r);
    }
    lock_drop(&users->lock);
    if (s) {
        CLEANUP(store_rollback) struct store_txn *txn = store_begin(core->store, &err);
        if (!txn || !store_session_put(txn, &r, &err) || !store_commit(&txn, &err))
            log_warn("the use of a session was not noted: %s", err.detail);
    }
    lock_drop(&users->writing);
}

bool session_check(struct core *core, const char *text, struct who *who, struct err *err)
{
    struct users *users = core->users;
    uint8_t given[32], kept[32] = {0};
    int64_t now = clock_wall_ms();
    struct session *s = NULL;
    struct user *u = NULL;
    struct uuid id = {0};
    bool known = secret_read("", text, &id, given), stale = false;

    lock_take(&users->lock);
    HASH_FIND(hh, users->sessions, &id, sizeof id, s);
    if (s) {
        memcpy(kept, s->sha256, sizeof kept);
        u = user_by_id(users, &s->user);
    }
    known = secret_is(given, kept) && known && s && !is_over(users, s, now) && u && !u->disabled;
    if (known) {
        user_who(u, who);
        who->by = BY_SESSION;
        who->session = id;
        s->used_ms = now;
        stale = now - s->saved_ms >= SESSION_SAVE_MS;
    }
    lock_drop(&users->lock);
    if (stale)
        save_use(core, &id);
    return known || err_set(err, ERR_UNAUTHENTICATED, "%s", over);
}

void session_csrf(const char *text, char out[SESSION_CSRF])
{
    secret_derive("csrf", text, out);
}

int64_t session_ends_ms(struct core *core, const struct uuid *id)
{
    struct users *users = core->users;
    int64_t ends = 0;
    struct session *s;

    lock_take(&users->lock);
    HASH_FIND(hh, users->sessions, id, sizeof *id, s);
    if (s)
        ends = s->expires_ms < s->used_ms + users->idle_ms ? s->expires_ms
                                                           : s->used_ms + users->idle_ms;
    lock_drop(&users->lock);
    return ends;
}

/* ---- end ---- */

static bool missing_fail(const struct uuid *id, struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "there is no session '%s'", UUID_STR(id));
}

bool session_user(struct core *core, const struct uuid *id, struct uuid *user, struct err *err)
{
    struct users *users = core->users;
    struct session *s;

    lock_take(&users->lock);
    HASH_FIND(hh, users->sessions, id, sizeof *id, s);
    if (s)
        *user = s->user;
    lock_drop(&users->lock);
    return s || missing_fail(id, err);
}

bool session_end(struct core *core, const struct uuid *id, const struct uuid *user,
                 const struct origin *origin, struct err *err)
{
    struct users *users = core->users;
    struct session *s;
    bool ok;

    lock_take(&users->writing);
    lock_take(&users->lock);
    HASH_FIND(hh, users->sessions, id, sizeof *id, s);
    if (s && !uuid_is_zero(user) && !uuid_eq(&s->user, user))
        s = NULL;
    lock_drop(&users->lock);
    ok = s ? origin->dry_run || end(core, s, err) : missing_fail(id, err);
    lock_drop(&users->writing);
    return ok;
}

bool session_end_all(struct core *core, const char *ref, const struct origin *origin,
                     struct err *err)
{
    struct users *users = core->users;
    struct user_record r;
    struct user *u;
    bool ok;

    lock_take(&users->writing);
    lock_take(&users->lock);
    u = user_find(users, ref);
    if (u)
        user_record(u, &r);
    lock_drop(&users->lock);
    ok = u ? origin->dry_run || user_write(core, &r, "user.signed-out", true, origin, err)
           : user_missing_fail(ref, err);
    lock_drop(&users->writing);
    return ok;
}

static json_t *view(const struct session *s, const struct user *u)
{
    json_t *v = json_object();

    json_put_text(v, "id", UUID_STR(&s->id));
    json_put_text(v, "user", u->name);
    json_put_text(v, "from", s->origin);
    json_put_time(v, "created_at", s->created_ms);
    json_put_time(v, "used_at", s->used_ms);
    json_put_time(v, "expires_at", s->expires_ms);
    return v;
}

bool session_list(struct core *core, const char *ref, const struct query *query, struct strbuf *out,
                  struct err *err)
{
    CLEANUP(page_clear) struct page page = {.query = query};
    struct users *users = core->users;
    int64_t now = clock_wall_ms();
    struct session *s, *next;
    struct user *u;

    lock_take(&users->lock);
    u = user_find(users, ref);
    if (u)
        HASH_ITER (hh, users->sessions, s, next)
            if (uuid_eq(&s->user, &u->id) && !is_over(users, s, now))
                page_offer(&page, view(s, u));
    lock_drop(&users->lock);
    if (!u)
        return user_missing_fail(ref, err);
    page_write(&page, NULL, NULL, out);
    return true;
}
