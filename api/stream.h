/* What replies without an end share: whether to go on. */
#pragma once
#include "api/conn.h"
#include "api/routes.h"
#include "core/user/token.h"

/* Waits in core are cut into slices, since only between them a client that left is noticed. */
#define STREAM_SLICE_MS 5000

struct stream {
    struct api *api;
    struct conn *conn;
    const struct route *route;
    char *ref;              /* the object of it */
    char token[TOKEN_TEXT]; /* it came with, "" on the unix socket */
    struct who who;         /* for whom it is, as of the last check */
    int64_t checked_ms;     /* when that was asked last … */
    unsigned accounts;      /* … and accounts_version() then */
};

void stream_init(struct stream *stream, const struct request *rq);
void stream_clear(struct stream *stream);
/* The same for a request that only waits: the thread goes on working for whom it did. */
void stream_forget(struct stream *stream);
/* False once the client is gone, vmmd stops, the token was revoked or has expired, the session is
 * over, or they may not do that any more: asked whenever anybody's rights have changed, and every
 * 15 s, since tokens expire and objects change; that is no use of the session. Called before each
 * wait. */
bool stream_goes_on(struct stream *stream);
typedef bool stream_still(struct stream *stream, struct err *err);
/* The latter alone, between a wait and what it has brought: UNAUTHENTICATED, FORBIDDEN, NOT_FOUND.
 */
bool stream_may(struct stream *stream, struct err *err) MUST_USE;
/* Only whether they still are somebody: for what they began themselves. */
bool stream_is_known(struct stream *stream, struct err *err) MUST_USE;
/* Around each turn of a stream's callback: waiting has no deadline, taking what was sent has.
 * Between them the thread works for whom the stream is. */
void stream_turn_begins(struct stream *stream);
void stream_turn_ends(struct stream *stream);
