/* Signing in and out, and who one is. The cookie's text exists in the reply that sets it and in the
 * browser; what is kept is in core/user/session.h. */
#include "core/user/session.h"
#include "api/auth.h"
#include "api/guess.h"
#include "api/handlers.h"
#include "api/origin.h"
#include "api/server.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/user/grant.h"
#include "core/user/granting.h"
#include "core/user/password.h"
#include "core/user/user.h"

#include <stdio.h>
#include <string.h>

#define FREE_BY_NAME    5
#define FREE_BY_ADDRESS 10
#define MAX_TYPED       4096 /* what may be sent in place of a password */
#define COOKIE_FLAGS    "Path=/; Secure; HttpOnly; SameSite=Strict"

struct typed {
    char *user, *old, *password, *code;
};

#define TYPED(member, min_bytes, max_bytes, text)                                                  \
    {                                                                                              \
        .name = #member, .type = FIELD_TEXT, .flags = FIELD_REQUIRED,                              \
        .offset = offsetof(struct typed, member), .min = (min_bytes), .max = (max_bytes),          \
        .help = (text)                                                                             \
    }
static const struct field sign_in_fields[] = {
    TYPED(user, 1, NAME_MAX_BYTES, "name of the user"),
    TYPED(password, 1, PASSWORD_MAX_BYTES, "its password"),
};
static const struct field change_fields[] = {
    TYPED(old, 1, PASSWORD_MAX_BYTES, "the password so far"),
    TYPED(password, 1, PASSWORD_MAX_BYTES, "the new one"),
};
static const struct field link_fields[] = {
    TYPED(code, 1, LINK_TEXT - 1, "of the link"),
    TYPED(password, 1, PASSWORD_MAX_BYTES, "the new one"),
};
static const struct model sign_in_model = {"SignIn", sizeof(struct typed), sign_in_fields,
                                           ARRAY_LEN(sign_in_fields)};
static const struct model change_model = {"PasswordChange", sizeof(struct typed), change_fields,
                                          ARRAY_LEN(change_fields)};
static const struct model link_model = {"LinkUse", sizeof(struct typed), link_fields,
                                        ARRAY_LEN(link_fields)};

static void wipe(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
}

static void typed_clear(struct typed *typed)
{
    wipe(typed->old);
    wipe(typed->password);
    wipe(typed->code);
    free(typed->user);
    free(typed->old);
    free(typed->password);
    free(typed->code);
}

/* ---- who one is ---- */

static json_t *user_of(const struct request *rq)
{
    struct err ignored = {0};
    CLEANUP(json_decrefp) json_t *user = NULL;
    json_t *v;

    if (uuid_is_zero(&rq->who.user))
        return NULL;
    user = user_show(rq->api->config.core, UUID_STR(&rq->who.user), &ignored);
    if (!user)
        return NULL;
    v = json_object();
    json_put_text(v, "id", json_get_text(user, "id"));
    json_put_text(v, "name", json_get_text(user, "name"));
    return v;
}

/* 'text': of the session's cookie, or NULL. */
static bool reply_who(struct request *rq, unsigned status, const char *text)
{
    char csrf[SESSION_CSRF] = "";
    json_t *v = json_object();

    if (text)
        session_csrf(text, csrf);
    json_put_text(v, "principal", rq->who.principal);
    json_put_text(v, "by", who_by_names[rq->who.by]);
    json_put(v, "user", user_of(rq));
    json_put_text(v, "role", role_names[rq->who.role]);
    json_put(v, "rights", rights_json(rq->who.rights));
    json_put(v, "grants", grants_of_who(rq->api->config.core, &rq->who));
    json_put_text(v, "csrf", text ? csrf : NULL);
    json_put_time(v, "expires_at",
                  text ? session_ends_ms(rq->api->config.core, &rq->who.session) : 0);
    return reply_json(rq, status, v);
}

bool session_get(struct request *rq, struct err *err)
{
    char text[SESSION_TEXT];
    bool ok;

    if (rq->who.by != BY_SESSION)
        return reply_who(rq, 200, NULL);
    ok = auth_cookie(rq, text, err) && reply_who(rq, 200, text);
    explicit_bzero(text, sizeof text);
    return ok;
}

/* ---- guesses ---- */

struct attempt {
    char name[GUESS_KEY], address[GUESS_KEY]; /* "": not counted */
};

static bool must_wait(struct request *rq, unsigned wait, struct err *err)
{
    meter_count(&rq->api->meter.limited[METER_LIMIT_AUTH]);
    rq->reply.retry_s = wait;
    return err_set(err, ERR_RATE_LIMITED,
                   "too many wrong passwords: wait %u s. Who is signed in goes on working", wait);
}

/* An administrator on the unix socket is not counted: that is the way in when the others are busy
 * with guesses. 'name_or_null': who it is about, if that can be guessed at. */
static bool attempt_begin(struct request *rq, const char *name_or_null, struct attempt *a,
                          struct err *err)
{
    struct guesses *guesses = &rq->api->guesses;
    int64_t now = clock_mono_ms();
    unsigned wait;

    *a = (struct attempt){0};
    if (rq->conn->is_free)
        return true;
    snprintf(a->address, sizeof a->address, "from %s", rq->conn->address);
    wait = guess_begin(guesses, a->address, FREE_BY_ADDRESS, now);
    if (wait)
        return must_wait(rq, wait, err);
    if (!name_or_null)
        return true;
    snprintf(a->name, sizeof a->name, "name %.63s", name_or_null);
    wait = guess_begin(guesses, a->name, FREE_BY_NAME, now);
    if (!wait)
        return true;
    guess_end(guesses, a->address, GUESS_UNKNOWN, false);
    return must_wait(rq, wait, err);
}

/* 'err' without a code: it was good. */
static void attempt_end(struct request *rq, const struct attempt *a, const struct err *err)
{
    bool wrong = err->code == ERR_UNAUTHENTICATED || err->code == ERR_FORBIDDEN;
    enum guess_end end = wrong ? GUESS_WRONG : err->code ? GUESS_UNKNOWN : GUESS_GOOD;

    if (wrong) {
        meter_count(&rq->api->meter.failed_auth);
        log_warn("a wrong password or link from %s", rq->conn->peer);
    }
    if (a->name[0])
        guess_end(&rq->api->guesses, a->name, end, true);
    if (a->address[0])
        guess_end(&rq->api->guesses, a->address, end, false);
}

/* ---- signing in ---- */

static bool reply_session(struct request *rq, char text[SESSION_TEXT])
{
    conn_is_known(rq->conn);
    reply_header(rq, "Set-Cookie", AUTH_COOKIE "=%s; " COOKIE_FLAGS, text);
    reply_who(rq, 201, text);
    explicit_bzero(text, SESSION_TEXT);
    return true;
}

bool session_post(struct request *rq, struct err *err)
{
    CLEANUP(typed_clear) struct typed typed = {0};
    char text[SESSION_TEXT] = "";
    struct attempt attempt;

    if (!request_decode_secret(rq, &sign_in_model, &typed, err) ||
        !attempt_begin(rq, typed.user, &attempt, err))
        return false;
    if (!session_begin(rq->api->config.core, typed.user, typed.password, rq->conn->peer, &rq->who,
                       text, err)) {
        attempt_end(rq, &attempt, err);
        return false;
    }
    attempt_end(rq, &attempt, &(struct err){0});
    return reply_session(rq, text);
}

bool session_delete(struct request *rq, struct err *err)
{
    struct origin origin;

    if (!request_origin(rq, &origin, err))
        return false;
    if (rq->who.by != BY_SESSION)
        return err_set(err, ERR_WRONG_STATE, "there is no session to end: %s came in by %s",
                       rq->who.principal, who_by_names[rq->who.by]);
    if (!session_end(rq->api->config.core, &rq->who.session, &rq->who.user, &origin, err))
        return false;
    if (origin.dry_run)
        return reply_dry_run(rq, NULL, NULL);
    reply_header(rq, "Set-Cookie", AUTH_COOKIE "=; " COOKIE_FLAGS "; Max-Age=0");
    return reply_empty(rq, 204);
}

/* A changed password ends all sessions; a browser that changed it gets a new one. */
bool session_password(struct request *rq, struct err *err)
{
    CLEANUP(typed_clear) struct typed typed = {0};
    struct core *core = rq->api->config.core;
    char text[SESSION_TEXT] = "";
    struct attempt attempt;
    struct origin origin;
    bool ok;

    if (!request_decode_secret(rq, &change_model, &typed, err) || !request_origin(rq, &origin, err))
        return false;
    if (uuid_is_zero(&rq->who.user))
        return err_set(err, ERR_WRONG_STATE, "%s is no user with a password", rq->who.principal);
    origin.idempotency_key = NULL; /* a password that is set twice is the same one */
    if (!attempt_begin(rq, rq->who.principal, &attempt, err))
        return false;
    ok = user_change_password(core, &rq->who.user, typed.old, typed.password, &origin, err);
    attempt_end(rq, &attempt, ok ? &(struct err){0} : err);
    if (!ok)
        return false;
    if (origin.dry_run)
        return reply_dry_run(rq, NULL, NULL);
    if (rq->who.by != BY_SESSION)
        return reply_who(rq, 200, NULL);
    grants_drop(TAKE(rq->who.grants));
    return session_begin_for(core, UUID_STR(&rq->who.user), rq->conn->peer, &rq->who, text, err) &&
           reply_session(rq, text);
}

bool session_link(struct request *rq, struct err *err)
{
    CLEANUP(typed_clear) struct typed typed = {0};
    struct core *core = rq->api->config.core;
    char name[NAME_MAX_BYTES + 1] = "", text[SESSION_TEXT] = "";
    struct attempt attempt;
    struct origin origin;
    bool ok;

    if (!request_decode_secret(rq, &link_model, &typed, err) || !request_origin(rq, &origin, err) ||
        !attempt_begin(rq, NULL, &attempt, err))
        return false;
    str_copy(rq->who.principal, sizeof rq->who.principal, "link"); /* until it is known whose */
    origin.idempotency_key = NULL;
    ok = user_use_link(core, typed.code, typed.password, &origin, name, err);
    attempt_end(rq, &attempt, ok ? &(struct err){0} : err);
    return ok && session_begin_for(core, name, rq->conn->peer, &rq->who, text, err) &&
           reply_session(rq, text);
}
