/* What replies without an end share: whether to go on. */
#pragma once
#include "api/conn.h"
#include "core/user/token.h"

/* Waits in core are cut into slices, since only between them a client that left is noticed. */
#define STREAM_SLICE_MS 5000

struct stream {
    struct api *api;
    struct conn *conn;
    char token[TOKEN_TEXT]; /* it came with, "" on the unix socket */
    struct uuid session;    /* it came with, zero: none */
    int64_t checked_ms;     /* when the token or session was last seen to be alive */
};

void stream_init(struct stream *stream, const struct request *rq);
/* False once the client is gone, vmmd stops, or the token was revoked or has expired, or the
 * session is over (asked every 15 s; that is no use of the session). Called before each wait. */
bool stream_goes_on(struct stream *stream);
/* Around each turn of a stream's callback: waiting has no deadline, taking what was sent has. */
void stream_turn_begins(struct stream *stream);
void stream_turn_ends(struct stream *stream);
