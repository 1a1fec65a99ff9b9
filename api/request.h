/* One request: its checked head, who asks, its body, and the reply in the making. A handler reads
 * it with the verbs below and answers with those of reply.h. */
#pragma once
#include "api/reply.h"
#include "core/core/core.h"
#include "core/model/query.h"
#include "core/user/who.h"

struct MHD_Connection;
struct api;
struct conn;
struct intake;
struct route;

#define REQUEST_MAX_SEGMENTS 8
#define REQUEST_MAX_QUERY    8
#define REQUEST_MAX_HEADERS  64
#define REQUEST_MAX_TARGET   2048 /* bytes of the path, and of all query values together */
#define REQUEST_MAX_WAIT_S   60
#define REQUEST_ID_TEXT      20

/* Headers we look at. X(member, name, may come several times) */
#define REQUEST_HEADERS(X)                                                                         \
    X(accept, "Accept", true)                                                                      \
    X(authorization, "Authorization", false)                                                       \
    X(content_length, "Content-Length", false)                                                     \
    X(content_range, "Content-Range", false)                                                       \
    X(content_type, "Content-Type", false)                                                         \
    X(cookie, "Cookie", false)                                                                     \
    X(csrf, "X-VMM-CSRF", false)                                                                   \
    X(host, "Host", false)                                                                         \
    X(idempotency_key, "Idempotency-Key", false)                                                   \
    X(if_match, "If-Match", false)                                                                 \
    X(if_none_match, "If-None-Match", false)                                                       \
    X(last_event_id, "Last-Event-ID", false)                                                       \
    X(origin, "Origin", false)                                                                     \
    X(prefer, "Prefer", true)                                                                      \
    X(sec_fetch_site, "Sec-Fetch-Site", false)                                                     \
    X(transfer_encoding, "Transfer-Encoding", false)                                               \
    X(upgrade, "Upgrade", false)

/* Borrowed of libmicrohttpd for the request's life; NULL when absent. */
struct request_head {
#define X(member, name, repeats) const char *member;
    REQUEST_HEADERS(X)
#undef X
    bool has_body; /* a body of at least one byte is announced */
};

struct query_arg {
    const char *name;  /* borrowed */
    const char *value; /* decoded, in request.text */
};

struct request {
    struct api *api;
    struct conn *conn;
    struct MHD_Connection *mhd;
    char id[REQUEST_ID_TEXT];
    int64_t began_ms; /* monotonic */
    int64_t began_us; /* the same */

    const char *method; /* as sent */
    const char *path;   /* as sent, without the query */
    struct request_head head;
    const struct route *route;
    size_t text_used;
    const char *segments[REQUEST_MAX_SEGMENTS];
    unsigned n_segments;
    const char *ref; /* the segment that stands for {id}, or "" */
    struct query_arg query[REQUEST_MAX_QUERY];
    unsigned n_query;

    struct who who;
    unsigned accounts; /* accounts_version() when that was asked */

    bool begun;      /* the head was looked at */
    bool refused;    /* ... and 'refusal' is the answer */
    bool must_close; /* ... with which the connection ends */
    struct err refusal;
    struct strbuf body;
    size_t body_limit, body_seen;
    int64_t body_began_ms;
    struct intake *intake; /* of a body that is a file: intake.h */
    bool replayed;         /* an Idempotency-Key gave what an earlier request made */

    struct reply reply;

    struct request *next_key; /* idem.c: among those that hold a key */
    const char *held_key;

    /* Not cleared between requests: only what is in use is read. */
    char text[2 * REQUEST_MAX_TARGET];        /* decoded path segments and query values */
    char route_text[REQUEST_MAX_TARGET + 16]; /* "POST /api/v1/vms", by request_origin() */
};

/* Makes 'rq' ready for the next request of its connection. */
void request_begin(struct request *rq);
void request_clear(struct request *rq);
/* Everything that can be said before the body: framing, route, authentication, permission, media
 * type, size. False with what the answer is. */
bool request_check(struct request *rq, struct err *err) MUST_USE;

/* Query parameters. Absent gives the fallback / NULL; INVALID with "?name" as field. */
const char *request_query(const struct request *rq, const char *name);
bool request_query_u64(const struct request *rq, const char *name, uint64_t min, uint64_t max,
                       uint64_t fallback, uint64_t *out, struct err *err) MUST_USE;
bool request_query_bool(const struct request *rq, const char *name, bool *out,
                        struct err *err) MUST_USE;
/* filter, fields, order, page_size and page_token, for a list of 'schema'. */
bool request_list(const struct request *rq, const struct query_schema *schema, struct query *out,
                  struct err *err) MUST_USE;
/* Answers with 'take', of which only ?fields is shown when that was asked for. */
bool request_show(struct request *rq, const struct query_schema *schema, json_t *take,
                  struct err *err) MUST_USE;

/* The JSON body, MALFORMED when it is none; an absent optional body gives {}. */
json_t *request_json(const struct request *rq, struct err *err) MUST_USE;
/* ... decoded by a field table. */
bool request_decode(const struct request *rq, const struct model *model, void *out,
                    struct err *err) MUST_USE;
/* ... which has secrets: what is left of the body is wiped. */
bool request_decode_secret(struct request *rq, const struct model *model, void *out,
                           struct err *err) MUST_USE;
/* ... which must be absent or {}. */
bool request_no_arguments(const struct request *rq, struct err *err) MUST_USE;
/* Who asks, for core: borrows from the request. Reads Idempotency-Key and ?dry_run. */
bool request_origin(struct request *rq, struct origin *out, struct err *err) MUST_USE;
/* Seconds of "Prefer: wait=N", 0 when not asked for. */
unsigned request_prefer_wait_s(const struct request *rq);
