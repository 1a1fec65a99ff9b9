/* How a request that began an operation is answered. */
#pragma once
#include "api/request.h"
#include "api/stream.h"

/* Bytes a second that a client may allow a copy. */
#define BANDWIDTH_MAX 1000000000000ull
#define BANDWIDTH_HELP                                                                             \
    "bytes a second, 0 for no limit; chosen so that the guest hardly notices when not given"
/* A FIELD_REAL of this is in the model of an operation that may be limited: NAN when not given. */
#define BANDWIDTH_FIELD(args, member, text)                                                        \
    {                                                                                              \
        .name = "bandwidth", .type = FIELD_REAL, .offset = offsetof(args, member), .low = 0,       \
        .max = BANDWIDTH_MAX, .help = (text)                                                       \
    }

/* 202 with Location and the Operation. With "Prefer: wait=N" waits for the end: 200 with the
 * Operation when it succeeded in time (for "vm.create" 201 with the VM), its error when it failed.
 */
bool operation_reply(struct request *rq, const struct uuid *op, struct err *err) MUST_USE;
/* The operation as it is when it has ended, or at 'until_ms' (monotonic; 0: now); 'still' tells
 * whether whoever waits may go on: stream_is_known() for one they began, else stream_may(). Owned
 * by the caller. */
json_t *operation_wait(struct stream *stream, const struct uuid *id, int64_t until_ms,
                       stream_still *still, struct err *err) MUST_USE;
/* The id in the request's path; NOT_FOUND when it is none. */
bool operation_ref(const struct request *rq, struct uuid *id, struct err *err) MUST_USE;
