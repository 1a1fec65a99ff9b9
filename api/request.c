/* Requests: see request.h. The checks stand in the order in which they are made: framing before
 * route, route before authentication, permission before anything of the body is looked at. */
#include "api/request.h"
#include "api/idem.h"

#include "api/auth.h"
#include "api/intake.h"
#include "api/origin.h"
#include "api/problem.h"
#include "api/rate.h"
#include "api/routes.h"
#include "api/server.h"
#include "api/target.h"
#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/model/page.h"
#include "core/user/user.h"

#include <microhttpd.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#define MAX_SERIAL_BYTES (64u << 10)
#define MAX_PUBLIC_BYTES (8u << 10) /* of those who are not known */

void request_begin(struct request *rq)
{
    memset(rq, 0, offsetof(struct request, text));
    rq->began_us = clock_mono_us();
    rq->began_ms = rq->began_us / 1000;
}

void request_clear(struct request *rq)
{
    idem_release(rq);
    intake_end(rq);
    strbuf_clear(&rq->body);
    who_clear(&rq->who);
    reply_clear(&rq->reply);
}

/* ---- framing ---- */

struct scan {
    struct request_head *head;
    unsigned count;
    const char *twice; /* a header that may come once only */
    bool misnamed;     /* "Content-Length : 4" is another header to some and not to others */
};

/* A token of RFC 9110 §5.6.2. */
static bool is_token(const char *text)
{
    static const char marks[] = "!#$%&'*+-.^_`|~";

    for (const char *p = text; *p; p++)
        if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
              strchr(marks, *p)))
            return false;
    return *text;
}

static enum MHD_Result on_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                 const char *value)
{
    struct scan *s = cls;

    (void)kind;
    s->count++;
    s->misnamed |= !is_token(name);
#define X(member, header, repeats)                                                                 \
    if (strcasecmp(name, header) == 0) {                                                           \
        if (s->head->member && !(repeats))                                                         \
            s->twice = header;                                                                     \
        s->head->member = value ? value : "";                                                      \
        return MHD_YES;                                                                            \
    }
    REQUEST_HEADERS(X)
#undef X
    return MHD_YES;
}

static bool is_number(const char *text)
{
    uint64_t ignored;

    return str_to_u64(text, &ignored);
}

static bool check_framing(struct request *rq, struct err *err)
{
    struct request_head *h = &rq->head;
    struct scan scan = {.head = h};

    MHD_get_connection_values(rq->mhd, MHD_HEADER_KIND, on_header, &scan);
    h->has_body =
        h->transfer_encoding || (h->content_length && strcmp(h->content_length, "0") != 0);
    if (scan.count > REQUEST_MAX_HEADERS || scan.misnamed)
        return err_set(err, ERR_MALFORMED,
                       "the request has more than %d headers, or one whose name is none",
                       REQUEST_MAX_HEADERS);
    if (scan.twice)
        return err_set(err, ERR_MALFORMED, "the header %s comes twice", scan.twice);
    if (h->content_length && h->transfer_encoding)
        return err_set(err, ERR_MALFORMED,
                       "Content-Length and Transfer-Encoding may not come together");
    if (h->transfer_encoding && strcasecmp(h->transfer_encoding, "chunked") != 0)
        return err_set(err, ERR_MALFORMED, "the only Transfer-Encoding taken is 'chunked'");
    if (h->content_length && !is_number(h->content_length))
        return err_set(err, ERR_MALFORMED, "Content-Length must be a number");
    return true;
}

/* ---- body ---- */

static bool type_is(const char *header, const char *type)
{
    size_t n = header ? strcspn(header, "; \t") : 0;

    return header && strlen(type) == n && strncasecmp(header, type, n) == 0;
}

static bool check_type(const struct request *rq, struct err *err)
{
    const char *type = rq->head.content_type;

    if (rq->route->body == BODY_BYTES)
        return type_is(type, "application/octet-stream") ||
               err_set(err, ERR_MEDIA_TYPE, "send it as Content-Type: application/octet-stream");
    if (rq->route->body == BODY_PATCH && type_is(type, "application/merge-patch+json"))
        return true;
    return type_is(type, "application/json") ||
           err_set(err, ERR_MEDIA_TYPE, "send it as Content-Type: application/json");
}

static bool too_large(const struct request *rq, struct err *err)
{
    return err_set(err, ERR_TOO_LARGE, "the body may have up to %zu bytes", rq->body_limit);
}

/* How much of it comes is for the handler to say. */
static bool check_file(struct request *rq, struct err *err)
{
    rq->body_limit = SIZE_MAX;
    return !rq->head.transfer_encoding ||
           err_set(err, ERR_MALFORMED,
                   "say beforehand how long the file is, by Content-Length: send it from a file, "
                   "not from a pipe");
}

static bool check_body(struct request *rq, struct err *err)
{
    uint64_t len = 0;

    if (rq->route->body == BODY_FILE)
        return check_file(rq, err);
    rq->body_limit = rq->route->right == RIGHT_PUBLIC ? MAX_PUBLIC_BYTES
                     : rq->route->body == BODY_BYTES  ? MAX_SERIAL_BYTES
                                                      : rq->api->config.max_body_bytes;
    if (!rq->head.has_body)
        return rq->route->body == BODY_NONE || rq->route->body == BODY_JSON_OPTIONAL ||
               rq->route->body == BODY_BYTES ||
               err_set(err, ERR_MALFORMED, "a JSON body is needed here");
    if (rq->route->body == BODY_NONE)
        return err_set(err, ERR_MALFORMED, "%.16s takes no body here", rq->method);
    if (rq->head.content_length && str_to_u64(rq->head.content_length, &len) &&
        len > rq->body_limit)
        return too_large(rq, err);
    return check_type(rq, err);
}

/* The number first: a change meanwhile is noticed by whoever asks again. */
static bool is_let_in(struct request *rq, struct err *err)
{
    rq->accounts = accounts_version(rq->api->config.core);
    return auth_who(rq, err) && auth_may(rq, err);
}

static bool check_caller(struct request *rq, struct err *err)
{
    if (rq->route->right != RIGHT_PUBLIC)
        return is_let_in(rq, err);
    /* Signing somebody in from a page of another site would make that the person's account. */
    return strcmp(rq->route->method, "GET") == 0 || origin_is_ours(rq, err);
}

bool request_check(struct request *rq, struct err *err)
{
    if (!check_framing(rq, err)) {
        rq->must_close = true; /* where the next request begins is anyone's guess */
        return false;
    }
    if (!origin_check_host(rq, err) || !target_path(rq, err) || !route_find(rq, err) ||
        !check_caller(rq, err))
        return false;
    if (!rate_check(rq, err))
        return false;
    if (atomic_load(&rq->api->stopping))
        return err_set(err, ERR_UNAVAILABLE, "vmmd is stopping; try again in a moment");
    return check_body(rq, err) && target_query(rq, err);
}

/* ---- what handlers ask ---- */

const char *request_query(const struct request *rq, const char *name)
{
    for (unsigned i = 0; i < rq->n_query; i++)
        if (strcmp(rq->query[i].name, name) == 0)
            return rq->query[i].value;
    return NULL;
}

bool request_query_u64(const struct request *rq, const char *name, uint64_t min, uint64_t max,
                       uint64_t fallback, uint64_t *out, struct err *err)
{
    const char *text = request_query(rq, name);
    char field[40];

    *out = fallback;
    if (!text || (str_to_u64(text, out) && *out >= min && *out <= max))
        return true;
    snprintf(field, sizeof field, "?%s", name);
    return err_field(err, ERR_INVALID, field, "%s must be a whole number from %llu to %llu", name,
                     (unsigned long long)min, (unsigned long long)max);
}

bool request_query_bool(const struct request *rq, const char *name, bool *out, struct err *err)
{
    const char *text = request_query(rq, name);
    char field[40];

    *out = str_eq(text, "true");
    if (!text || *out || strcmp(text, "false") == 0)
        return true;
    snprintf(field, sizeof field, "?%s", name);
    return err_field(err, ERR_INVALID, field, "%s must be true or false", name);
}

bool request_list(const struct request *rq, const struct query_schema *schema, struct query *out,
                  struct err *err)
{
    struct query_ask ask = {.filter = request_query(rq, "filter"),
                            .fields = request_query(rq, "fields"),
                            .order = request_query(rq, "order"),
                            .page_token = request_query(rq, "page_token")};
    uint64_t size;

    if (!request_query_u64(rq, "page_size", 1, 1000, 100, &size, err))
        return false;
    ask.page_size = (unsigned)size;
    return query_parse(schema, &ask, out, err);
}

bool request_show(struct request *rq, const struct query_schema *schema, json_t *take,
                  struct err *err)
{
    CLEANUP(json_decrefp) json_t *whole = take;
    CLEANUP(query_clear) struct query q = {0};
    struct query_ask ask = {.fields = request_query(rq, "fields"), .page_size = 1};

    if (!whole || !query_parse(schema, &ask, &q, err))
        return false;
    return reply_json(rq, 200, q.n_fields ? query_project(&q, whole) : TAKE(whole));
}

json_t *request_json(const struct request *rq, struct err *err)
{
    if (rq->body_seen > rq->body_limit)
        return too_large(rq, err), NULL;
    if (!rq->body.len && rq->route->body == BODY_JSON_OPTIONAL)
        return json_object();
    return json_read(rq->body.data ? rq->body.data : "", rq->body.len, err);
}

bool request_decode(const struct request *rq, const struct model *model, void *out, struct err *err)
{
    CLEANUP(json_decrefp) json_t *body = request_json(rq, err);

    return body && model_decode(model, body, MODEL_CLIENT, out, err);
}

/* Texts of a decoded body, wherever they are in it. */
static void wipe(json_t *value)
{
    const char *name;
    json_t *member;
    size_t i;

    if (json_is_string(value))
        explicit_bzero((char *)json_string_value(value), json_string_length(value));
    json_object_foreach (value, name, member)
        wipe(member);
    json_array_foreach (value, i, member)
        wipe(member);
}

bool request_decode_secret(struct request *rq, const struct model *model, void *out,
                           struct err *err)
{
    CLEANUP(json_decrefp) json_t *body = request_json(rq, err);
    bool ok = body && model_decode(model, body, MODEL_CLIENT, out, err);

    wipe(body);
    if (rq->body.data)
        explicit_bzero(rq->body.data, rq->body.len);
    return ok;
}

bool request_no_arguments(const struct request *rq, struct err *err)
{
    static const struct model none = {"NoArguments", 0, NULL, 0};
    char nothing;

    return request_decode(rq, &none, &nothing, err);
}

static bool key_is_good(const char *key)
{
    size_t n = strlen(key);

    for (size_t i = 0; i < n; i++)
        if (key[i] < 0x21 || key[i] > 0x7e)
            return false;
    return n >= 1 && n <= 128;
}

bool request_origin(struct request *rq, struct origin *out, struct err *err)
{
    bool repeats = strcmp(rq->method, "POST") == 0 || strcmp(rq->method, "PATCH") == 0;
    const char *key = repeats ? rq->head.idempotency_key : NULL;

    *out = (struct origin){.principal = rq->who.principal,
                           .role = rq->who.role,
                           .request_id = rq->id,
                           .route = rq->route_text};
    snprintf(rq->route_text, sizeof rq->route_text, "%s %s", rq->method, rq->path);
    if (!request_query_bool(rq, "dry_run", &out->dry_run, err))
        return false;
    if (!key || out->dry_run)
        return true;
    if (!key_is_good(key))
        return err_set(err, ERR_MALFORMED,
                       "an Idempotency-Key has 1 to 128 visible ASCII characters");
    out->idempotency_key = key;
    if (EVP_Digest(rq->body.data ? rq->body.data : "", rq->body.len, out->body_sha256, NULL,
                   EVP_sha256(), NULL) != 1)
        return err_set(err, ERR_INTERNAL, "SHA-256 is not available");
    return true;
}

unsigned request_prefer_wait_s(const struct request *rq)
{
    const char *p = rq->head.prefer;
    unsigned long seconds;
    char *end;

    for (; p && *p; p += strcspn(p, ","), p += *p == ',') {
        p += strspn(p, " \t");
        if (strncasecmp(p, "wait=", 5) != 0 || p[5] < '0' || p[5] > '9')
            continue;
        seconds = strtoul(p + 5, &end, 10);
        if (*end && !strchr(",; \t", *end))
            continue; /* a preference that cannot be read is ignored (RFC 7240) */
        return seconds > REQUEST_MAX_WAIT_S ? REQUEST_MAX_WAIT_S : (unsigned)seconds;
    }
    return 0;
}
