/* Outgoing requests by libcurl: see core/port/post.h.
 *
 * What a hostile receiver or a forged name could make of us is closed here: http and https only, no
 * redirections, TLS verified, no proxy, cookies, netrc or credentials, every address asked of
 * guard.c at the moment of the connection, and of the reply nothing but its head. */
#include "core/port/post.h"

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "net/post/guard.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOOK_MS    100        /* how often 'stop' is looked at */
#define CONNECT_MS 10000L     /* at most */
#define HEAD_BYTES (64 << 10) /* of a reply's head */
#define BODY_BYTES (64 << 10) /* read and dropped, so that the receiver can finish */

struct call {
    char host[256];
    const char *refusal; /* of guard.c, for the last address that was tried */
    size_t head, body;
};

static void start_curl(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
        abort(); /* no memory or no TLS at all */
}

static curl_socket_t open_socket(void *cls, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct call *call = cls;

    (void)purpose;
    call->refusal = guard_refuses(call->host, &address->addr);
    if (call->refusal)
        return CURL_SOCKET_BAD;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static size_t count_head(char *data, size_t size, size_t n, void *cls)
{
    struct call *call = cls;

    (void)data;
    call->head += size * n;
    return call->head > HEAD_BYTES ? 0 : size * n;
}

static size_t drop_body(char *data, size_t size, size_t n, void *cls)
{
    struct call *call = cls;

    (void)data;
    call->body += size * n;
    return call->body > BODY_BYTES ? 0 : size * n;
}

static bool host_of(const char *url, char out[256])
{
    CURLU *u = curl_url();
    char *host = NULL;
    bool ok = u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK && strlen(host) < 256;

    if (ok)
        str_copy(out, 256, host);
    curl_free(host);
    curl_url_cleanup(u);
    return ok;
}

static CURL *prepare(const struct post *post, struct call *call, struct curl_slist *headers)
{
    CURL *c = curl_easy_init();
    bool ok = c != NULL;

#define SET(option, value) ok = ok && curl_easy_setopt(c, option, value) == CURLE_OK
    SET(CURLOPT_URL, post->url);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
    SET(CURLOPT_OPENSOCKETDATA, call);
    SET(CURLOPT_HEADERFUNCTION, count_head);
    SET(CURLOPT_HEADERDATA, call);
    SET(CURLOPT_WRITEFUNCTION, drop_body);
    SET(CURLOPT_WRITEDATA, call);
    SET(CURLOPT_HTTPHEADER, headers);
    SET(CURLOPT_USERAGENT, "vmmd/" VMMD_VERSION);
    SET(CURLOPT_POST, 1L);
    SET(CURLOPT_POSTFIELDS, post->body);
    SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)post->len);
    SET(CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    SET(CURLOPT_TIMEOUT_MS, (long)post->limit_ms);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); /* a name server that does not answer must not hold us up */
    SET(CURLOPT_FORBID_REUSE, 1L);
#undef SET
    if (ok)
        return c;
    curl_easy_cleanup(c);
    return NULL;
}

/* curl_easy_perform() that can be interrupted: CURLE_ABORTED_BY_CALLBACK then. */
static CURLcode perform(CURL *c, const atomic_bool *stop)
{
    CURLM *multi = curl_multi_init();
    CURLcode result = CURLE_ABORTED_BY_CALLBACK;
    CURLMsg *message;
    int running = 1, left;

    if (!multi || curl_multi_add_handle(multi, c) != CURLM_OK) {
        curl_multi_cleanup(multi);
        return CURLE_OUT_OF_MEMORY;
    }
    while (running && !atomic_load(stop))
        if (curl_multi_perform(multi, &running) != CURLM_OK ||
            (running && curl_multi_poll(multi, NULL, 0, LOOK_MS, NULL) != CURLM_OK))
            break;
    while ((message = curl_multi_info_read(multi, &left)))
        if (message->msg == CURLMSG_DONE)
            result = message->data.result;
    curl_multi_remove_handle(multi, c);
    curl_multi_cleanup(multi);
    return result;
}

static void explain(CURL *c, CURLcode code, const struct call *call, struct post_result *out)
{
    long status = 0;
    curl_off_t after = 0;

    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(c, CURLINFO_RETRY_AFTER, &after);
    out->status = status > 0 ? (unsigned)status : 0;
    out->retry_after_s = after;
    if (call->refusal)
        snprintf(out->error, sizeof out->error,
                 "%.80s may not be reached: %s (webhook_allow in vmmd.conf can permit it)",
                 call->host, call->refusal);
    else if (code == CURLE_ABORTED_BY_CALLBACK)
        str_copy(out->error, sizeof out->error, "vmmd is stopping, or the webhook was changed");
    else if (status >= 300 && status < 400)
        snprintf(out->error, sizeof out->error,
                 "the receiver answered %ld: redirections are not followed, give the final address",
                 status);
    else if (status && (status < 200 || status >= 300))
        snprintf(out->error, sizeof out->error, "the receiver answered %ld", status);
    else if (code != CURLE_OK && status < 200)
        snprintf(out->error, sizeof out->error, "%s", curl_easy_strerror(code));
}

bool post_send(const struct post *post, const atomic_bool *stop, struct post_result *out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    int64_t begin = clock_mono_ms();
    struct call call = {0};
    CURL *c = NULL;

    *out = (struct post_result){0};
    pthread_once(&once, start_curl);
    for (const char *const *h = post->headers; *h; h++)
        headers = curl_slist_append(headers, *h);
    if (host_of(post->url, call.host))
        c = prepare(post, &call, headers);
    if (c)
        explain(c, perform(c, stop), &call, out);
    else
        str_copy(out->error, sizeof out->error, "the request cannot be made");
    curl_easy_cleanup(c);
    curl_slist_free_all(headers);
    out->took_ms = clock_mono_ms() - begin;
    return !out->error[0];
}

static bool has(CURLU *u, CURLUPart part)
{
    char *text = NULL;
    bool there = curl_url_get(u, part, &text, 0) == CURLUE_OK;

    curl_free(text);
    return there;
}

bool post_url_check(const char *url, struct err *err)
{
    CURLU *u = curl_url();
    char *scheme = NULL;
    const char *why = NULL;

    if (!u || curl_url_set(u, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK || !has(u, CURLUPART_HOST))
        why = "must be an address such as https://ci.example.org/hook";
    else if (!str_eq(scheme, "https") && !str_eq(scheme, "http"))
        why = "must begin with https:// or http://";
    else if (has(u, CURLUPART_USER) || has(u, CURLUPART_PASSWORD))
        why = "must not have a user or password in it: the signature proves who sends";
    else if (has(u, CURLUPART_FRAGMENT))
        why = "must not have a fragment (#)";
    curl_free(scheme);
    curl_url_cleanup(u);
    return !why || err_field(err, ERR_INVALID, "/url", "url %s", why);
}
