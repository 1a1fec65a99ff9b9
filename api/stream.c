/* Replies without an end: see stream.h. */
#include "api/stream.h"

#include "api/about.h"
#include "api/auth.h"
#include "api/server.h"
#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/user/certificate.h"
#include "core/user/grant.h"
#include "core/user/session.h"
#include "core/user/sight.h"
#include "core/user/user.h"

#define CHECK_MS 15000

void stream_init(struct stream *stream, const struct request *rq)
{
    const char *token = auth_token(rq->head.authorization);

    stream->api = rq->api;
    stream->conn = rq->conn;
    stream->route = rq->route;
    stream->ref = str_dup(rq->ref);
    stream->checked_ms = clock_mono_ms();
    stream->accounts = rq->accounts;
    stream->who = rq->who;
    stream->who.grants = grants_hold(rq->who.grants);
    if (token)
        str_copy(stream->token, sizeof stream->token, token);
}

void stream_clear(struct stream *stream)
{
    sight_end();
    stream_forget(stream);
}

void stream_forget(struct stream *stream)
{
    who_clear(&stream->who);
    mem_freep(&stream->ref);
}

/* Who that is now; false: nobody any more. */
static bool ask_again(struct stream *stream, struct who *now)
{
    struct core *core = stream->api->config.core;
    const struct who *was = &stream->who;
    struct err err = {0};

    if (was->by == BY_TOKEN)
        return token_check(core, stream->token, now, &err);
    if (was->by == BY_CERTIFICATE)
        return certificate_check(core, stream->conn->certificate_sha256, now, &err);
    return session_ends_ms(core, &was->session) > clock_wall_ms() &&
           user_is(core, &was->user, now, &err);
}

/* Whether it is time to ask; then 'who' is theirs who it is now. False: nobody's any more. */
static bool look_again(struct stream *stream, bool *asked)
{
    struct who now = {0};
    int64_t now_ms = clock_mono_ms();
    enum who_by by = stream->who.by;
    struct uuid session = stream->who.session;
    unsigned accounts = accounts_version(stream->api->config.core);

    *asked = by != BY_NOTHING && by != BY_UNIX &&
             (accounts != stream->accounts || now_ms - stream->checked_ms >= CHECK_MS);
    if (!*asked)
        return true;
    stream->checked_ms = now_ms;
    stream->accounts = accounts;
    if (!ask_again(stream, &now)) {
        who_clear(&now);
        return false;
    }
    who_clear(&stream->who);
    stream->who = now;
    stream->who.by = by;
    stream->who.session = session;
    return true;
}

static bool over(struct err *err)
{
    return err_set(err, ERR_UNAUTHENTICATED, "what this request came in by is not good any more");
}

bool stream_may(struct stream *stream, struct err *err)
{
    bool asked;

    if (!look_again(stream, &asked))
        return over(err);
    return !asked ||
           about_may(stream->api->config.core, stream->route, &stream->who, stream->ref, err);
}

bool stream_is_known(struct stream *stream, struct err *err)
{
    bool asked;

    return look_again(stream, &asked) || over(err);
}

bool stream_goes_on(struct stream *stream)
{
    struct err err = {0};

    return !atomic_load(&stream->api->stopping) && !conn_is_gone(stream->conn) &&
           stream_may(stream, &err);
}

void stream_turn_begins(struct stream *stream)
{
    conn_deadline(stream->conn, METER_REPLY, 0);
    sight_begin(&stream->who, stream->route->right);
}

void stream_turn_ends(struct stream *stream)
{
    sight_end();
    conn_deadline(stream->conn, METER_REPLY, stream->api->config.send_ms);
}
