/* Requests to the service: see http.h.
 *
 * The transfer is driven through curl's multi interface only because that can wait for one more
 * descriptor: the interrupt's. Redirects are never followed and no other protocol than the one
 * configured is spoken, so a reply cannot send the token elsewhere. */
#include "cli/http_inside.h"

#include "core/base/clock.h"
#include "core/base/id.h"
#include "core/base/json.h"
#include "core/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_HEAD           (64u << 10)
#define DEFAULT_TIMEOUT_MS 30000
#define STALL_S            45                  /* a stream sends a heartbeat every 15 s */
#define CHECK_MS           (6 * 3600 * 1000ll) /* the service reads a large image back */

/* One exchange in flight. */
struct exchange {
    struct http *http;
    const struct http_request *request;
    struct http_reply *reply;
    bool sink_full; /* the sink said enough */
    bool too_large;
    int64_t moved_ms; /* of a body from a source: when more of it was sent last, and how much */
    curl_off_t sent;
    bool stalled;
};

static bool perform(struct exchange *x, CURLcode *result, struct fault *fault) MUST_USE;

/* ---- open and close ---- */

struct http *http_open(const struct connection *connection, int stop_fd, bool debug,
                       struct fault *fault)
{
    struct http *http = mem_alloc(sizeof *http);

    curl_global_init(CURL_GLOBAL_DEFAULT);
    http->connection = connection;
    http->stop_fd = stop_fd;
    http->debug = debug;
    http->curl = curl_easy_init();
    http->multi = curl_multi_init();
    if (connection->token)
        http->authorization = str_format("Authorization: Bearer %s", connection->token);
    if (http->curl && http->multi)
        return http;
    http_free(http);
    fault_set(fault, CLI_FAILED, "libcurl does not start");
    return NULL;
}

void http_free(struct http *http)
{
    if (!http)
        return;
    if (http->curl)
        curl_easy_cleanup(http->curl);
    if (http->multi)
        curl_multi_cleanup(http->multi);
    if (http->authorization)
        mem_free_secret(http->authorization, strlen(http->authorization));
    free(http);
}

const char *http_certificate(const struct http *http, bool *refused)
{
    *refused = http->trust.refused;
    return http->trust.seen;
}

/* ---- one exchange ---- */

static size_t on_head(char *data, size_t size, size_t n, void *arg)
{
    struct exchange *x = arg;
    size_t len = size * n;

    if (len >= 5 && memcmp(data, "HTTP/", 5) == 0) /* after a 100 the real head follows */
        strbuf_clear(&x->reply->head);
    if (x->reply->head.len + len > MAX_HEAD)
        return 0;
    strbuf_add(&x->reply->head, data, len);
    return len;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
    struct exchange *x = arg;
    size_t len = size * n;
    long status = 0;

    curl_easy_getinfo(x->http->curl, CURLINFO_RESPONSE_CODE, &status);
    if (x->request->sink && status / 100 == 2) {
        x->sink_full = !x->request->sink(x->request->sink_arg, data, len);
        return x->sink_full ? 0 : len;
    }
    x->too_large = x->reply->body.len + len > HTTP_MAX_REPLY;
    if (x->too_large)
        return 0;
    strbuf_add(&x->reply->body, data, len);
    return len;
}

static size_t on_source(char *data, size_t size, size_t n, void *arg)
{
    struct exchange *x = arg;
    size_t len = x->request->source(x->request->source_arg, data, size * n);

    return len ? len : CURL_READFUNC_ABORT;
}

/* A body may take as long as it moves; the answer may take long as well. Not 0: ends it. */
static int on_progress(void *arg, curl_off_t dltotal, curl_off_t dlnow, curl_off_t ultotal,
                       curl_off_t ulnow)
{
    struct exchange *x = arg;
    const int64_t now_ms = clock_mono_ms();
    const bool all = (uint64_t)ulnow >= x->request->body_len;

    if (ulnow != x->sent || !x->moved_ms) {
        x->sent = ulnow;
        x->moved_ms = now_ms;
    }
    x->stalled = now_ms - x->moved_ms > (all ? CHECK_MS : STALL_S * 1000ll);
    return x->stalled;
}

static struct curl_slist *make_headers(const struct http *http, const struct http_request *request)
{
    /* A large body is worth asking first. */
    struct curl_slist *list = request->source ? NULL : curl_slist_append(NULL, "Expect:");
    CLEANUP(mem_freep) char *line = NULL;

    if (http->authorization)
        list = curl_slist_append(list, http->authorization);
    if (request->body) {
        line = str_format("Content-Type: %s",
                          request->content_type ? request->content_type : "application/json");
        list = curl_slist_append(list, line);
    }
    if (str_eq(request->method, "POST") && !request->once) {
        struct uuid key = uuid_new();
        CLEANUP(mem_freep) char *text = str_format("Idempotency-Key: %s", UUID_STR(&key));
        list = curl_slist_append(list, text);
    }
    for (const char *const *h = request->headers; h && *h; h++)
        list = curl_slist_append(list, *h);
    return list;
}

void http_set_peer(struct http *http)
{
    CURL *curl = http->curl;
    const struct connection *c = http->connection;

    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, str_starts(c->url, "https") ? "https" : "http");
    if (c->socket)
        curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, c->socket);
    if (str_starts(c->url, "http:"))
        curl_easy_setopt(curl, CURLOPT_PROXY, ""); /* this machine: no proxy from the environment */
    else
        curl_easy_setopt(curl, CURLOPT_NOPROXY, "localhost,127.0.0.1,::1");
    if (c->cacert)
        curl_easy_setopt(curl, CURLOPT_CAINFO, c->cacert);
    if (c->cert)
        curl_easy_setopt(curl, CURLOPT_SSLCERT, c->cert);
    if (c->cert)
        curl_easy_setopt(curl, CURLOPT_SSLKEY, c->key ? c->key : c->cert);
    trust_install(&http->trust, c->fingerprint, curl);
}

static void set_source(CURL *curl, struct exchange *x)
{
    curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L); /* by PUT */
    curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)x->request->body_len);
    curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_source);
    curl_easy_setopt(curl, CURLOPT_READDATA, x);
    curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, 256l << 10);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, x);
}

static void set_body(CURL *curl, const struct http_request *request)
{
    bool post = str_eq(request->method, "POST");

    if (request->body || post) {
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body ? request->body : "");
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
    }
    if (str_eq(request->method, "HEAD"))
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    else if (!post && !str_eq(request->method, "GET"))
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
}

static void set_limits(CURL *curl, const struct http_request *request)
{
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, 15000L);
    if (request->source)
        return; /* on_progress() looks at it */
    if (request->timeout_ms < 0) {
        curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)STALL_S);
    } else {
        curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS,
                         (long)(request->timeout_ms ? request->timeout_ms : DEFAULT_TIMEOUT_MS));
    }
}

static void prepare(struct exchange *x, const char *url, struct curl_slist *headers)
{
    CURL *curl = x->http->curl;

    curl_easy_reset(curl); /* keeps the connection */
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "vmmctl/" VMMD_VERSION);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_head);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, x);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, x);
    http_set_peer(x->http);
    if (x->request->source)
        set_source(curl, x);
    else
        set_body(curl, x->request);
    set_limits(curl, x->request);
}

static bool is_broken_connection(CURLcode result)
{
    return result == CURLE_GOT_NOTHING || result == CURLE_SEND_ERROR ||
           result == CURLE_RECV_ERROR || result == CURLE_PARTIAL_FILE;
}

static bool may_repeat(const struct http_request *request)
{
    bool safe = str_eq(request->method, "GET") || str_eq(request->method, "POST");

    return safe && !request->once && !request->sink && !request->source;
}

static void say(const struct http *http, const struct http_request *request,
                const struct http_reply *reply)
{
    if (!http->debug)
        return;
    if (!reply)
        fprintf(stderr, "> %s %s%s%.*s\n", request->method, request->path,
                request->body ? "\n> " : "", (int)request->body_len,
                request->body ? (const char *)request->body : "");
    else
        fprintf(stderr, "< %d %.2000s\n", reply->status, reply->body.data ? reply->body.data : "");
}

bool http_send(struct http *http, const struct http_request *request, struct http_reply *reply,
               struct fault *fault)
{
    struct exchange x = {.http = http, .request = request, .reply = reply};
    CLEANUP(mem_freep) char *url = str_format("%s%s", http->connection->url, request->path);
    struct curl_slist *headers = make_headers(http, request);
    CURLcode result = CURLE_OK;
    bool ran;
    long status = 0;

    say(http, request, NULL);
    for (int attempt = 0;; attempt++) {
        *reply = (struct http_reply){0};
        prepare(&x, url, headers);
        ran = perform(&x, &result, fault);
        if (!ran || attempt || !is_broken_connection(result) || !may_repeat(request))
            break;
        http_reply_clear(reply);
    }
    curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(headers);
    reply->status = (int)status;
    if (!ran)
        return false;
    if (x.too_large)
        return fault_set(fault, CLI_FAILED, "the reply is larger than %u MiB",
                         HTTP_MAX_REPLY >> 20);
    if (x.stalled)
        return fault_set(fault, CLI_TIMED_OUT, "nothing more was taken for a while");
    if (result != CURLE_OK && !x.sink_full)
        return http_transport_fault(http, result, fault);
    say(http, request, reply);
    return true;
}

/* Drives the transfer until it has ended or the caller's descriptor is readable. */
static bool perform(struct exchange *x, CURLcode *result, struct fault *fault)
{
    struct curl_waitfd stop = {.fd = x->http->stop_fd, .events = CURL_WAIT_POLLIN};
    unsigned n_stop = x->http->stop_fd >= 0 ? 1 : 0;
    int running = 1, left;
    const CURLMsg *message;

    curl_multi_add_handle(x->http->multi, x->http->curl);
    while (running && !stop.revents) {
        curl_multi_perform(x->http->multi, &running);
        if (running)
            curl_multi_poll(x->http->multi, &stop, n_stop, 1000, NULL);
    }
    *result = CURLE_OK;
    while ((message = curl_multi_info_read(x->http->multi, &left)))
        if (message->msg == CURLMSG_DONE)
            *result = message->data.result;
    curl_multi_remove_handle(x->http->multi, x->http->curl);
    if (running)
        return fault_set(fault, CLI_INTERRUPTED, "%s", "");
    return true;
}

bool http_transport_fault(const struct http *http, CURLcode result, struct fault *fault)
{
    const struct connection *c = http->connection;
    const char *where = c->socket ? c->socket : c->url;

    if (result == CURLE_OPERATION_TIMEDOUT)
        return fault_set(fault, CLI_TIMED_OUT, "%.200s did not answer in time", where);
    if (trust_fault(&http->trust, where, fault))
        return false;
    fault_set(fault, CLI_UNREACHABLE, "cannot reach the service at %.200s: %s", where,
              curl_easy_strerror(result));
    if (result == CURLE_SSL_CACERT_BADFILE)
        return fault_hint(
            fault, "the file of trusted certificates (--cacert, VMMD_CACERT) cannot be read");
    if (result == CURLE_SSL_CERTPROBLEM)
        return fault_hint(fault, "the certificate or its key (--cert and --key, VMMD_CERT and "
                                 "VMMD_KEY) cannot be used; PEM is expected, the key without a "
                                 "passphrase");
    if (result == CURLE_COULDNT_CONNECT && c->socket)
        return fault_hint(fault,
                          "is vmmd running here, and may you use its socket? Another service is "
                          "named by --url or VMMD_URL");
    return false;
}

/* ---- on top of it ---- */

bool http_call(struct http *http, const struct http_request *request, struct http_reply *reply,
               struct fault *fault)
{
    CLEANUP(mem_freep) char *request_id = NULL;

    if (!http_send(http, request, reply, fault))
        return false;
    if (reply->status >= 200 && reply->status < 300)
        return true;
    request_id = http_header(reply, "X-Request-Id");
    if (reply->status < 400)
        return fault_set(fault, CLI_FAILED, "the service answered with status %d; is this vmmd?",
                         reply->status);
    return fault_problem(fault, reply->status, reply->body.data, reply->body.len, request_id);
}

json_t *http_parse(const char *text, size_t len, struct fault *fault)
{
    json_error_t at;
    json_t *value = json_loadb(text ? text : "", len, JSON_REJECT_DUPLICATES, &at);

    if (!value)
        fault_set(fault, CLI_FAILED, "the reply is no JSON (%s); is this vmmd?", at.text);
    return value;
}

json_t *http_json(struct http *http, const struct http_request *request, struct fault *fault)
{
    CLEANUP(http_reply_clear) struct http_reply reply = {0};

    if (!http_call(http, request, &reply, fault))
        return NULL;
    return http_parse(reply.body.data, reply.body.len, fault);
}

json_t *http_get(struct http *http, const char *path, struct fault *fault)
{
    struct http_request request = {.method = "GET", .path = path};

    return http_json(http, &request, fault);
}

json_t *http_post_for(struct http *http, const char *path, const json_t *body, int64_t timeout_ms,
                      struct fault *fault)
{
    CLEANUP(mem_freep) char *text = body ? json_write(body) : NULL;
    struct http_request request = {.method = "POST",
                                   .path = path,
                                   .body = text,
                                   .body_len = text ? strlen(text) : 0,
                                   .timeout_ms = timeout_ms};

    return http_json(http, &request, fault);
}

json_t *http_post(struct http *http, const char *path, const json_t *body, struct fault *fault)
{
    return http_post_for(http, path, body, 0, fault);
}

void http_reply_clear(struct http_reply *reply)
{
    strbuf_clear(&reply->body);
    strbuf_clear(&reply->head);
    reply->status = 0;
}

char *http_header(const struct http_reply *reply, const char *name)
{
    const char *line = reply->head.data;
    size_t n = strlen(name);
    char *found = NULL;

    while (line && *line) {
        const char *end = strchr(line, '\n');
        if (strncasecmp(line, name, n) == 0 && line[n] == ':') {
            const char *value = line + n + 1 + strspn(line + n + 1, " \t");
            free(found);
            found = str_format("%.*s", (int)strcspn(value, "\r\n"), value);
        }
        line = end ? end + 1 : NULL;
    }
    return found;
}

static void add_encoded(struct strbuf *b, const char *s)
{
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                     strchr("-._~", c);
        if (plain)
            strbuf_add(b, s, 1);
        else
            strbuf_addf(b, "%%%02X", c);
    }
}

char *http_encode(const char *text)
{
    struct strbuf b = {0};

    add_encoded(&b, text);
    return strbuf_take(&b);
}

char *http_path(const char *template, ...)
{
    struct strbuf b = {0};
    va_list args;

    va_start(args, template);
    strbuf_adds(&b, "/api/v1");
    for (const char *p = template; *p; p++) {
        if (p[0] == '{' && p[1] == '}') {
            add_encoded(&b, va_arg(args, const char *));
            p++;
        } else {
            strbuf_add(&b, p, 1);
        }
    }
    va_end(args);
    return strbuf_take(&b);
}
