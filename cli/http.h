/* Requests to the service over libcurl. One connection, kept alive; blocking calls that Ctrl-C
 * ends. */
#pragma once
#include "cli/connection.h"
#include "core/base/str.h"

#include <jansson.h>

#define HTTP_MAX_REPLY (64u << 20)

struct http;

struct http_request {
    const char *method;
    const char *path;           /* from http_path(): starts with /, is encoded */
    const void *body;           /* NULL: none */
    size_t body_len;            /* bytes */
    const char *content_type;   /* NULL: application/json */
    const char *const *headers; /* more lines "Name: value", ended by NULL; or NULL */
    bool once;                  /* never repeated and without Idempotency-Key: keystrokes */
    /* Gives the body in place of 'body', 'body_len' bytes of it: how many of 'room' it has put
     * there, 0 to end the exchange. Such a request is never repeated. */
    size_t (*source)(void *arg, char *data, size_t room);
    void *source_arg;
    int64_t timeout_ms; /* for the whole exchange; 0: 30 s; < 0: none (a stream) */
    /* Gets the body of a 2xx reply as it comes instead of reply->body; false ends the exchange,
     * which then counts as complete. */
    bool (*sink)(void *arg, const char *data, size_t len);
    void *sink_arg;
};

struct http_reply {
    int status;
    struct strbuf body;
    struct strbuf head; /* header lines, each ended by \n */
};

/* Connects to nothing yet. 'stop_fd' is borrowed: readable means that the caller wants to end (exit
 * INTERRUPTED); -1 for none. */
struct http *http_open(const struct connection *connection, int stop_fd, bool debug,
                       struct fault *fault) MUST_USE;
void http_free(struct http *http); /* NULL is fine */
/* SHA-256 fingerprint of the certificate that the service showed last, "" for none; whether it was
 * refused. Borrowed. */
const char *http_certificate(const struct http *http, bool *refused);

/* One exchange, whatever status comes. GET and POST with its key are repeated once when the
 * connection breaks. UNREACHABLE, TIMED_OUT, INTERRUPTED. '*reply' is the caller's in all cases. */
bool http_send(struct http *http, const struct http_request *request, struct http_reply *reply,
               struct fault *fault) MUST_USE;
/* As http_send(), but a status >= 400 is a fault with the problem's words. */
bool http_call(struct http *http, const struct http_request *request, struct http_reply *reply,
               struct fault *fault) MUST_USE;
/* http_call() whose reply is JSON; NULL on failure. */
json_t *http_json(struct http *http, const struct http_request *request,
                  struct fault *fault) MUST_USE;
json_t *http_get(struct http *http, const char *path, struct fault *fault) MUST_USE;
/* 'body' is borrowed and may be NULL. */
json_t *http_post(struct http *http, const char *path, const json_t *body,
                  struct fault *fault) MUST_USE;
/* The same with a time limit, as in struct http_request. */
json_t *http_post_for(struct http *http, const char *path, const json_t *body, int64_t timeout_ms,
                      struct fault *fault) MUST_USE;

void http_reply_clear(struct http_reply *reply); /* for CLEANUP(http_reply_clear) */
/* The last header of that name, or NULL; owned by the caller. */
char *http_header(const struct http_reply *reply, const char *name);

/* "/api/v1" + template with every {} replaced by the next argument, percent-encoded; owned by the
 * caller. */
char *http_path(const char *template, ...);
/* Percent-encoded for a path's segment or a query's value; owned by the caller. */
char *http_encode(const char *text);
json_t *http_parse(const char *text, size_t len, struct fault *fault) MUST_USE;
