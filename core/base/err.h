/* The one error value of vmmd: filled where a call fails, shown to the client as problem+json, kept
 * as a job's error, carried in a worker's or the helper's reply, printed by vmmctl. */
#pragma once
#include "core/base/cleanup.h"

#include <stdbool.h>

/* X(name, HTTP status, slug, title). The only place an error is declared: the enum, the reply's
 * status and "code", vmmctl's exit codes, docs/errors.md and openapi.yaml follow it. */
#define ERR_LIST(X)                                                                                \
    X(MALFORMED, 400, "malformed", "The request cannot be read")                                   \
    X(UNAUTHENTICATED, 401, "unauthenticated", "Authentication is needed")                         \
    X(FORBIDDEN, 403, "forbidden", "Not permitted")                                                \
    X(NOT_FOUND, 404, "not-found", "No such object")                                               \
    X(METHOD, 405, "method-not-allowed", "No such method on this resource")                        \
    X(EXISTS, 409, "exists", "The name is taken")                                                  \
    X(WRONG_STATE, 409, "wrong-state", "Not possible in the object's present state")               \
    X(BUSY, 409, "busy", "Another operation holds the object")                                     \
    X(IN_USE, 409, "in-use", "Something else still uses the object")                               \
    X(CANCELLED, 409, "cancelled", "The operation was cancelled")                                  \
    X(REVISION, 412, "revision-conflict", "The object was changed meanwhile")                      \
    X(TOO_LARGE, 413, "too-large", "The request is too large")                                     \
    X(MEDIA_TYPE, 415, "media-type", "The body has the wrong content type")                        \
    X(MISDIRECTED, 421, "misdirected", "Not a name of this host")                                  \
    X(INVALID, 422, "invalid", "The request is not valid")                                         \
    X(IDEM_MISMATCH, 422, "idempotency-mismatch", "The Idempotency-Key was used differently")      \
    X(RATE_LIMITED, 429, "rate-limited", "Too many requests")                                      \
    X(INTERNAL, 500, "internal", "vmmd failed")                                                    \
    X(UNSUPPORTED, 501, "unsupported", "This host cannot do that")                                 \
    X(HYPERVISOR, 502, "hypervisor", "QEMU refused or failed")                                     \
    X(UNAVAILABLE, 503, "unavailable", "Not available at the moment")                              \
    X(TIMEOUT, 504, "timeout", "No answer in time")                                                \
    X(NO_SPACE, 507, "no-space", "The storage is full")                                            \
    X(NO_MEMORY, 507, "no-memory", "The host has not enough memory")

enum err_code {
    ERR_NONE,
#define X(name, status, slug, title) ERR_##name,
    ERR_LIST(X)
#undef X
        ERR_COUNT
};

struct err {
    enum err_code code;
    char field[64];   /* JSON pointer of the member at fault, or "" */
    char detail[400]; /* one sentence for the client: what is wrong and what to do about it; no
                       * secrets, no host paths that the client did not name */
};

/* House rule: a call that can fail returns something false-like (false, NULL, -1) and has then
 * filled *err, once. On success *err is untouched. The calls below always return false, so that
 * "return err_set(...)" is the whole error path. */
bool err_set(struct err *err, enum err_code code, const char *fmt, ...) PRINTF(3, 4);
/* As err_set(), with the JSON pointer of the request's member at fault ("/disks/0/size_bytes"). */
bool err_field(struct err *err, enum err_code code, const char *pointer, const char *fmt, ...)
    PRINTF(4, 5);
/* "<fmt>: <strerror>", with ENOSPC/EDQUOT -> NO_SPACE, ETIMEDOUT -> TIMEOUT, else INTERNAL. */
bool err_errno(struct err *err, int errnum, const char *fmt, ...) PRINTF(3, 4);
/* Puts "<fmt>: " in front of the detail and keeps the code. */
bool err_prefix(struct err *err, const char *fmt, ...) PRINTF(2, 3);
/* Puts 'pointer' in front of the field ("/disks/0" + "/size_bytes"). */
bool err_under(struct err *err, const char *pointer);
/* Drops a failure on purpose; says so in the log at debug level. 'ok' is the call's result. */
void err_ignore(bool ok, const struct err *err);

int err_status(enum err_code code);       /* HTTP status; 200 for ERR_NONE */
const char *err_slug(enum err_code code); /* "code" of the problem document */
const char *err_title(enum err_code code);
enum err_code err_from_slug(const char *slug); /* ERR_INTERNAL for an unknown one */
