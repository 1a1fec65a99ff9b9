/* Replies: a status, a few headers, and a body that is JSON, bytes or a stream. A handler makes one
 * by the verbs below; reply_send() hands it to libmicrohttpd. */
#pragma once
#include "core/base/err.h"
#include "core/base/json.h"
#include "core/base/str.h"

struct MHD_Response;
struct request;

#define REPLY_MAX_HEADERS 6

struct reply {
    unsigned status;
    const char *type; /* Content-Type, NULL without body */
    char *body;       /* owned unless 'is_static' */
    size_t len;
    bool is_static;
    bool is_constant;            /* never changes while it is there: may be kept by the client */
    bool is_page;                /* of the web UI: cached by revalidation, with its policy */
    struct MHD_Response *stream; /* instead of 'body' */
    struct {
        const char *name;
        char value[224];
    } headers[REPLY_MAX_HEADERS];
    unsigned n_headers;
    void (*drop)(void *held); /* when the connection is another protocol's: called with … */
    void *held;               /* … this when it has ended */
    unsigned retry_s;         /* for a problem: when to try again; 0: as its code says */
    char instance[96];        /* for a problem: what failed, "" for the request's path */
    json_t *blockers;         /* for a problem: owned; NULL: it lists none */
};

/* All return true, so that a handler ends with "return reply_…". */
bool reply_json(struct request *rq, unsigned status, json_t *take);
bool reply_bytes(struct request *rq, const char *type, char *take, size_t len);
bool reply_text(struct request *rq, struct strbuf *take); /* 200, JSON that is written already */
bool reply_static(struct request *rq, const char *type, const char *data, size_t len);
bool reply_empty(struct request *rq, unsigned status);
bool reply_stream(struct request *rq, const char *type, struct MHD_Response *take);
/* 101: 'take' is made by MHD_create_response_for_upgrade(), whose function keeps the connection for
 * as long as it runs. 'drop' is called with 'held' after that, or when it came to nothing. */
bool reply_upgrade(struct request *rq, struct MHD_Response *take, void *held,
                   void (*drop)(void *held));
void reply_header(struct request *rq, const char *name, const char *fmt, ...) PRINTF(3, 4);
/* {"dry_run":true} and, when 'key' is given, one member more. */
bool reply_dry_run(struct request *rq, const char *key, json_t *take);
/* Whether what was refused may be refused for more than that: then its plan says for what. */
bool reply_is_blocked(const struct err *err);
/* The problem document of 'err' lists what the plan ('take', may be NULL) has in "blockers", and
 * 'err' itself, should it not be among them. */
void reply_blockers(struct request *rq, json_t *take, const struct err *err);
/* The problem document of 'err'. */
bool reply_problem(struct request *rq, const struct err *err);

/* Queues it; false when libmicrohttpd refuses and the connection must end. */
bool reply_send(struct request *rq) MUST_USE;
/* Writes a problem straight to the socket and lets the client finish talking for a moment: for
 * refusals before the body, after which the connection is closed. Blocks up to 2 s. */
void reply_refuse(struct request *rq, const struct err *err);
void reply_clear(struct reply *reply);
