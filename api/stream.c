/* Replies without an end: see stream.h. */
#include "api/stream.h"

#include "api/auth.h"
#include "api/server.h"
#include "core/base/clock.h"

#define TOKEN_CHECK_MS 15000

void stream_init(struct stream *stream, const struct request *rq)
{
    const char *token = auth_token(rq->head.authorization);

    stream->api = rq->api;
    stream->conn = rq->conn;
    stream->checked_ms = clock_mono_ms();
    stream->session = rq->who.session;
    if (token)
        str_copy(stream->token, sizeof stream->token, token);
}

static bool token_lives(struct stream *stream)
{
    struct who who;
    struct err err = {0};
    int64_t now = clock_mono_ms();
    bool by_session = !uuid_is_zero(&stream->session);

    if ((!stream->token[0] && !by_session) || now - stream->checked_ms < TOKEN_CHECK_MS)
        return true;
    stream->checked_ms = now;
    if (by_session)
        return session_ends_ms(stream->api->config.core, &stream->session) > clock_wall_ms();
    return token_check(stream->api->config.core, stream->token, &who, &err);
}

bool stream_goes_on(struct stream *stream)
{
    return !atomic_load(&stream->api->stopping) && !conn_is_gone(stream->conn) &&
           token_lives(stream);
}

void stream_turn_begins(struct stream *stream)
{
    conn_deadline(stream->conn, METER_REPLY, 0);
}

void stream_turn_ends(struct stream *stream)
{
    conn_deadline(stream->conn, METER_REPLY, stream->api->config.send_ms);
}
