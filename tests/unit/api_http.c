/* The HTTP edge: framing, routing, authentication, limits and deadlines, over real sockets. */
#include "tests/unit/api/rig.h"

#include <sys/resource.h>

#define WHERE "Host: x\r\n"

/* What two servers could understand differently, and what is none of HTTP. */
static const struct {
    const char *text;
    const char *detail;
} hostile[] = {
    {"POST /api/v1/vms HTTP/1.1\r\n" WHERE ADMIN
     "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n",
     NULL},
    {"POST /api/v1/vms HTTP/1.1\r\n" WHERE ADMIN
     "Content-Length: 4\r\nContent-Length: 5\r\n\r\n{}{}x",
     "Content-Length comes twice"},
    {"POST /api/v1/vms HTTP/1.1\r\n" WHERE ADMIN
     "Content-Length: 4\r\nContent-Length: 4\r\n\r\n{}{}",
     "Content-Length comes twice"},
    {"POST /api/v1/vms HTTP/1.1\r\n" WHERE "Host: y\r\n" ADMIN "Content-Length: 2\r\n\r\n{}",
     "Host comes twice"},
    {"POST /api/v1/vms HTTP/1.1\r\n" WHERE ADMIN VIEWER "Content-Length: 2\r\n\r\n{}",
     "Authorization comes twice"},
    {"POST /api/v1/vms HTTP/1.1\r\n" WHERE ADMIN "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n",
     NULL},
    {"POST /api/v1/vms HTTP/1.1\r\n" WHERE ADMIN
     "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n",
     NULL},
    {"POST /api/v1/vms HTTP/1.1\r\n" WHERE ADMIN "Content-Length: +4\r\n\r\n{}{}", NULL},
    {"POST /api/v1/vms HTTP/1.1\r\n" WHERE ADMIN "Content-Length: 0x4\r\n\r\n{}{}", NULL},
    {"POST /api/v1/vms HTTP/1.1\r\n" WHERE ADMIN
     "Content-Length: 99999999999999999999999\r\n\r\n{}{}",
     NULL},
    {"POST /api/v1/vms HTTP/1.1\r\n" WHERE ADMIN "Content-Length : 4\r\n\r\n{}{}", NULL},
    {"GET /api/v1/vms HTTP/1.1\r\n" WHERE ADMIN "Content-Length: 2\r\n\r\n{}", "GET takes no body"},
    {"DELETE /api/v1/vms/hello HTTP/1.1\r\n" WHERE ADMIN "Content-Length: 2\r\n\r\n{}",
     "DELETE takes no body"},
    {"HEAD /api/v1/vms HTTP/1.1\r\n" WHERE ADMIN "Content-Length: 2\r\n\r\n{}",
     "HEAD takes no body"},
    {"POST /api/v1/vms HTTP/1.1\r\n" WHERE ADMIN "Content-Length: 4,4\r\n\r\n{}{}", NULL},
    {"POST /api/v1/vms HTTP/1.1\r\n" WHERE ADMIN "Content-Length: 4 4\r\n\r\n{}{}", NULL},
    {"POST /api/v1/vms HTTP/1.1\r\n" WHERE ADMIN "Content-Length: -4\r\n\r\n{}{}", NULL},
    {"POST /api/v1/vms HTTP/1.1\r\n" WHERE ADMIN "Content-Length:\r\n\r\n{}{}", NULL},
    {"POST /api/v1/vms HTTP/1.1\r\n" WHERE ADMIN "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
     NULL},
    {"POST /api/v1/vms HTTP/1.1\r\n" WHERE ADMIN
     "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
     NULL},
    {"POST /api/v1/vms HTTP/1.1\r\n" WHERE ADMIN "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
     NULL},
    {"POST /api/v1/vms HTTP/1.1\r\n" WHERE ADMIN
     "Transfer-Encoding : chunked\r\nContent-Length: 4\r\n\r\n{}{}",
     NULL},
    {"POST /api/v1/vms HTTP/1.1\r\n" WHERE ADMIN
     "Content-Length: 4\r\nTransfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n",
     NULL},
    {"POST /api/v1/vms HTTP/1.1\r\n" WHERE ADMIN
     "Content-Length: 4\r\nX: y\r\n Transfer-Encoding: chunked\r\n\r\n{}{}",
     NULL}, /* a folded line */
    {"POST /api/v1/vms HTTP/1.1\r\n Content-Length: 4\r\n" WHERE ADMIN "\r\n{}{}", NULL},
    {"POST /api/v1/vms HTTP/1.1\r\n" WHERE ADMIN
     "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
     "ffffffffffffffffff\r\n{}\r\n0\r\n\r\n",
     NULL},
    {"POST /api/v1/vms HTTP/1.1\r\n" WHERE ADMIN
     "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
     "-2\r\n{}\r\n0\r\n\r\n",
     NULL},
    {"POST /api/v1/vms HTTP/1.1\r\n" WHERE ADMIN
     "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
     "0x2\r\n{}\r\n0\r\n\r\n",
     NULL},
    {"GET /api/v1/vms HTTP/1.1\r\n" ADMIN "\r\n", NULL}, /* no Host */
    {"GET /api/v1/vms HTTP/1.1\r\n" WHERE ADMIN "X Y: z\r\n\r\n", "whose name is none"},
};

static void hostile_heads_are_refused_and_the_connection_is_closed(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
        int fd = dial(*state);
        CLEANUP(reply_seen_clear) struct reply_seen r = {0};

        say(fd, hostile[i].text);
        r = listen_to(fd, false);
        if (r.status < 400 || r.status > 499)
            fail_msg("%zu: %u", i, r.status);
        if (strstr(r.body, "\"items\""))
            fail_msg("%zu is served", i);
        if (hostile[i].detail && !strstr(r.body, hostile[i].detail))
            fail_msg("%zu: %s", i, r.body);
        assert_closed(fd);
    }
}

static void what_is_not_http_is_hung_up_on(void **state)
{
    int fd = dial(*state);

    say(fd, "garbage\r\n\r\n");
    assert_closed(fd);
}

static void nothing_smuggled_is_served(void **state)
{
    struct rig *rig = *state;
    int fd = dial(rig);
    CLEANUP(reply_seen_clear) struct reply_seen r = {0};

    say(fd, "POST /api/v1/vms/hello/actions/pause HTTP/1.1\r\n" WHERE ADMIN
            "Content-Type: application/json\r\nContent-Length: 60\r\nTransfer-Encoding: chunked\r\n"
            "\r\n0\r\n\r\nPOST /api/v1/vms/hello/actions/stop HTTP/1.1\r\n" WHERE ADMIN "\r\n");
    r = listen_to(fd, false);
    assert_int_equal(r.status, 400);
    assert_closed(fd);
    assert_int_equal(rig->core->acts, 0);
}

static void too_many_or_too_large_headers_are_refused(void **state)
{
    CLEANUP(strbuf_clear) struct strbuf many = {0}, large = {0};
    struct reply_seen r;
    int fd;

    for (int i = 0; i < 80; i++)
        strbuf_addf(&many, "X-%d: y\r\n", i);
    expect(*state, "GET /healthz", many.data, NULL, 400, "more than 64 headers");

    fd = dial(*state);
    strbuf_adds(&large, "GET /healthz HTTP/1.1\r\n" WHERE "X: ");
    for (int i = 0; i < 40000; i++)
        strbuf_adds(&large, "y");
    strbuf_adds(&large, "\r\n\r\n");
    say(fd, large.data);
    r = listen_to(fd, false);
    assert_in_range(r.status, 400, 499); /* libmicrohttpd's own page */
    reply_seen_clear(&r);
    assert_closed(fd);
}

static void unknown_paths_are_404_and_other_methods_405(void **state)
{
    expect(*state, "GET /api/v1/nothing", ADMIN, NULL, 404, "not-found");
    expect(*state, "GET /api/v1/vms/hello/nothing", ADMIN, NULL, 404, NULL);
    expect(*state, "GET /api/v1/a/b/c/d/e/f/g/h/i/j", ADMIN, NULL, 404, NULL);
    expect(*state, "GET /etc/passwd", "", NULL, 404, NULL);
    expect(*state, "PUT /api/v1/vms", ADMIN, "{}", 405, "Allow: GET, HEAD, POST\r\n");
    expect(*state, "DELETE /api/v1/vms", ADMIN, NULL, 405, "method-not-allowed");
    expect(*state, "OPTIONS /api/v1/vms/hello", "", NULL, 405, "Allow: GET, HEAD, PATCH, DELETE");
    expect(*state, "get /healthz", "", NULL, 405, NULL);
    expect(*state, "GET /api/v1/vms/hello/actions/start", ADMIN, NULL, 405, "Allow: POST");
}

static void paths_are_decoded_strictly(void **state)
{
    static const char *const bad[] = {
        "/api/v1/vms/..",    "/api/v1/vms/%2e%2e",  "/api/v1/vms/.",      "/api/v1/vms/a%2Fb",
        "/api/v1/vms/a%00b", "/api/v1/vms/%zz",     "/api/v1/vms/%4",     "/api/v1/vms/",
        "//api/v1/vms",      "/api//v1/vms",        "/api/v1/vms/%0d%0a", "/api/v1/vms/%ff",
        "/api/v1/../v1/vms", "/ui/../openapi.yaml", "/ui/..%2fx",
    };
    char line[128];

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        snprintf(line, sizeof line, "GET %s", bad[i]);
        expect(*state, line, ADMIN, NULL, 400, "malformed");
    }
    expect(*state, "GET /api/v1/vms/h%65llo", ADMIN, NULL, 200, HELLO_ID);
    expect(*state, "GET /%61pi/v1/vms/hello", ADMIN, NULL, 200, HELLO_ID);
}

static void query_parameters_are_known_and_single(void **state)
{
    expect(*state, "GET /api/v1/vms?page_sise=3", ADMIN, NULL, 422, "known are: filter");
    expect(*state, "GET /api/v1/vms?page_size=3&page_size=4", ADMIN, NULL, 422, "twice");
    expect(*state, "GET /api/v1/vms?page_size=0", ADMIN, NULL, 422, "?page_size");
    expect(*state, "GET /api/v1/vms?page_size=1001", ADMIN, NULL, 422, "?page_size");
    expect(*state, "GET /api/v1/vms?page_size=-1", ADMIN, NULL, 422, NULL);
    expect(*state, "GET /api/v1/vms?page_size=99999999999999999999", ADMIN, NULL, 422, NULL);
    expect(*state, "GET /api/v1/vms?filter=%zz", ADMIN, NULL, 400, NULL);
    expect(*state, "GET /api/v1/vms?filter=state%3D%3Drunning&page_size=7", ADMIN, NULL, 200,
           "\"page_size\":7");
    expect(*state, "GET /healthz?x=1", "", NULL, 422, "known are: none");
}

static void without_a_good_token_there_is_401(void **state)
{
    static const char *const bad[] = {
        "",
        "Authorization: Bearer vmmd_wrong_x\r\n",
        "Authorization: Bearer \r\n",
        "Authorization: Basic YTpi\r\n",
        "Authorization: Bearer vmmd_admin_x vmmd_admin_x\r\n",
        "Authorization: vmmd_admin_x\r\n",
        "Cookie: token=vmmd_admin_x\r\n",
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        expect(*state, "GET /api/v1/vms", bad[i], NULL, 401, "WWW-Authenticate: Bearer");
    expect(*state, "GET /api/v1/vms", "Authorization: bearer vmmd_viewer_x\r\n", NULL, 200, NULL);
}

static void roles_bound_what_may_be_done(void **state)
{
    expect(*state, "POST /api/v1/vms", VIEWER, "{\"name\":\"a\"}", 403, "the right vm-create");
    expect(*state, "GET /api/v1/vms/hello/serial", VIEWER, NULL, 403, NULL);
    expect(*state, "GET /api/v1/tokens", OPERATOR, NULL, 403, "the right account-admin");
    expect(*state, "POST /api/v1/pools", OPERATOR, "{}", 403, NULL);
    expect(*state, "GET /api/v1/tokens", ADMIN, NULL, 200, NULL);
    expect(*state, "GET /healthz", "", NULL, 200, "ok");
    expect(*state, "GET /api/v1/openapi.yaml", "", NULL, 200, "openapi: 3.1.0");
}

/* The client announces a body and sends none of it: only an answer before the body can come. */
static void refusals_do_not_wait_for_the_body(void **state)
{
    static const struct {
        const char *line, *headers;
        unsigned status;
    } refused[] = {
        {"POST /api/v1/vms", "Content-Type: application/json\r\n", 401},
        {"PATCH /api/v1/vms/hello", "Content-Type: application/json\r\n", 401},
        {"POST /api/v1/vms", VIEWER "Content-Type: application/json\r\n", 403},
        {"PATCH /api/v1/vms/hello", VIEWER "Content-Type: application/json\r\n", 403},
        {"POST /api/v1/nothing", ADMIN, 404},
        {"PUT /api/v1/vms", ADMIN, 405},
        {"POST /api/v1/vms", ADMIN "Content-Type: text/plain\r\n", 415},
        {"POST /api/v1/vms", ADMIN, 415},
        {"POST /api/v1/vms/hello/serial", ADMIN "Content-Type: application/json\r\n", 415},
        {"POST /api/v1/vms", ADMIN "Content-Type: application/merge-patch+json\r\n", 415},
        {"DELETE /api/v1/vms/hello", ADMIN, 400},
    };

    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        CLEANUP(reply_seen_clear) struct reply_seen r = {0};
        char text[512];
        int fd = dial(*state);

        snprintf(text, sizeof text, "%s HTTP/1.1\r\n" WHERE "%sContent-Length: 1000\r\n\r\n",
                 refused[i].line, refused[i].headers);
        say(fd, text);
        r = listen_to(fd, false);
        if (r.status != refused[i].status)
            fail_msg("%s: %u %s", refused[i].line, r.status, r.body);
        assert_non_null(strstr(r.head, "Connection: close"));
        assert_closed(fd);
    }
}

static void expect_100_is_answered_only_when_the_body_is_wanted(void **state)
{
    CLEANUP(reply_seen_clear) struct reply_seen r = {0};
    CLEANUP(mem_freep) char *go_on = NULL;
    int fd = dial(*state);

    say(fd, "POST /api/v1/vms HTTP/1.1\r\n" WHERE ADMIN "Content-Type: application/json\r\n"
            "Expect: 100-continue\r\nContent-Length: 12\r\n\r\n");
    go_on = hear_until(fd, "\r\n\r\n");
    assert_non_null(strstr(go_on, "100 Continue"));
    say(fd, "{\"name\":\"a\"}");
    r = listen_to(fd, false);
    assert_int_equal(r.status, 202);
    close(fd);
    expect(*state, "POST /api/v1/vms", VIEWER "Expect: 100-continue\r\n", "{}", 403, NULL);
}

static long peak_kib(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

static void ten_mebibytes_of_brackets_cost_nothing(void **state)
{
    size_t len = 10u << 20;
    CLEANUP(mem_freep) char *body = mem_alloc(len + 1);
    CLEANUP(reply_seen_clear) struct reply_seen r = {0};
    int64_t began = clock_mono_ms();
    char head[256];
    long before;
    int fd = dial(*state);

    memset(body, '[', len);
    before = peak_kib();
    snprintf(head, sizeof head,
             "POST /api/v1/vms HTTP/1.1\r\n" WHERE ADMIN
             "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
             len);
    say(fd, head);
    r = listen_to(fd, false);
    say_bytes(fd, body, len);
    assert_int_equal(r.status, 413);
    assert_closed(fd);
    assert_true(peak_kib() - before < 4096);
    assert_true(clock_mono_ms() - began < 5000);
}

static void deep_json_is_refused_within_the_limit(void **state)
{
    CLEANUP(mem_freep) char *body = mem_alloc((1u << 20) + 1);

    memset(body, '[', 1u << 20);
    expect(*state, "POST /api/v1/vms", ADMIN, body, 400, "nested deeper than 32");
}

static void a_chunked_body_that_grows_too_large_gets_413(void **state)
{
    CLEANUP(reply_seen_clear) struct reply_seen r = {0};
    CLEANUP(mem_freep) char *chunk = mem_alloc((128u << 10) + 1);
    int fd = dial(*state);

    memset(chunk, ' ', 128u << 10);
    say(fd, "POST /api/v1/vms HTTP/1.1\r\n" WHERE ADMIN
            "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 9; i++) {
        say(fd, "20000\r\n");
        say(fd, chunk);
        say(fd, "\r\n");
    }
    say(fd, "0\r\n\r\n");
    r = listen_to(fd, false);
    assert_int_equal(r.status, 413);
    close(fd);

    fd = dial(*state); /* and one that never ends is cut off */
    say(fd, "POST /api/v1/vms HTTP/1.1\r\n" WHERE ADMIN
            "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 40; i++) {
        say(fd, "20000\r\n");
        say(fd, chunk);
        say(fd, "\r\n");
    }
    assert_closed(fd);
}

static void chunked_bodies_work(void **state)
{
    CLEANUP(reply_seen_clear) struct reply_seen r = {0};
    int fd = dial(*state);

    say(fd, "POST /api/v1/vms HTTP/1.1\r\n" WHERE ADMIN
            "Content-Type: application/json; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
            "5\r\n{\"nam\r\n7\r\ne\":\"a\"}\r\n0\r\n\r\n");
    r = listen_to(fd, false);
    assert_int_equal(r.status, 202);
    close(fd);
}

/* Sends 'slow' byte by byte, faster than any inactivity timeout, until the server hangs up. */
static void drip_until_closed(int fd, const char *slow)
{
    int64_t began = clock_mono_ms();
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};

    while (!poll(&p, 1, 20)) {
        if (*slow)
            say_bytes(fd, slow++, 1);
        assert_true(clock_mono_ms() - began < 5000);
    }
    close(fd);
}

static void a_slow_head_is_cut_off(void **state)
{
    int silent = dial(*state), fd = dial(*state);

    drip_until_closed(fd, "GET /healthz HTTP/1.1\r\nHost: a-host-with-a-long-name-that-never-ends");
    drip_until_closed(silent, "");
}

static void a_slow_body_is_cut_off(void **state)
{
    int fd = dial(*state);

    say(fd, "POST /api/v1/vms HTTP/1.1\r\n" WHERE ADMIN
            "Content-Type: application/json\r\nContent-Length: 5000\r\n\r\n");
    drip_until_closed(fd, "                                                                    ");
}

static void an_idle_connection_is_cut_off(void **state)
{
    CLEANUP(reply_seen_clear) struct reply_seen r = {0};
    int fd = dial(*state);

    say(fd, "GET /healthz HTTP/1.1\r\n" WHERE "\r\n");
    r = listen_to(fd, false);
    assert_int_equal(r.status, 200);
    drip_until_closed(fd, "");
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    static const unsigned expected[] = {200, 404, 401, 202, 200};
    int fd = dial(*state);

    say(fd, "GET /healthz HTTP/1.1\r\n" WHERE "\r\n"
            "GET /api/v1/vms/none HTTP/1.1\r\n" WHERE ADMIN "\r\n"
            "GET /api/v1/vms/hello HTTP/1.1\r\n" WHERE "\r\n"
            "POST /api/v1/vms HTTP/1.1\r\n" WHERE ADMIN
            "Content-Type: application/json\r\nContent-Length: 12\r\n\r\n{\"name\":\"a\"}"
            "GET /api/v1/vms/hello HTTP/1.1\r\n" WHERE ADMIN "\r\n");
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        struct reply_seen r = listen_to(fd, false);
        assert_int_equal(r.status, expected[i]);
        reply_seen_clear(&r);
    }
    close(fd);
}

static void head_is_get_without_the_body(void **state)
{
    CLEANUP(reply_seen_clear) struct reply_seen r = {0};
    int fd = dial(*state);

    say(fd, "HEAD /api/v1/vms/hello HTTP/1.1\r\n" WHERE ADMIN "\r\n"
            "GET /healthz HTTP/1.1\r\n" WHERE "\r\n");
    r = listen_to(fd, true);
    assert_int_equal(r.status, 200);
    assert_non_null(strstr(r.head, "ETag: \"41.7\""));
    reply_seen_clear(&r);
    r = listen_to(fd, false); /* the next reply follows the head at once */
    assert_string_equal(r.body, "ok\n");
    close(fd);
}

static void every_reply_has_its_common_headers(void **state)
{
    CLEANUP(reply_seen_clear) struct reply_seen r = ask(*state, "GET /api/v1/vms", ADMIN, NULL);
    const char *id = strstr(r.head, "X-Request-Id: r-");

    assert_non_null(id);
    assert_int_equal(strspn(id + 16, "0123456789abcdef"), 16);
    assert_non_null(strstr(r.head, "Cache-Control: no-store"));
    assert_non_null(strstr(r.head, "X-Content-Type-Options: nosniff"));
    assert_non_null(strstr(r.head, "Content-Type: application/json"));
}

static void the_unix_socket_makes_root_an_admin(void **state)
{
    struct rig *rig = *state;
    CLEANUP(reply_seen_clear) struct reply_seen r = {0};
    char name[32];
    int fd = dial_unix(rig);

    say(fd, "POST /api/v1/pools HTTP/1.1\r\n" WHERE
            "Content-Type: application/json\r\nContent-Length: 26\r\n\r\n"
            "{\"name\":\"a\",\"root\":\"main\"}");
    r = listen_to(fd, false);
    assert_int_equal(r.status, 201);
    snprintf(name, sizeof name, "unix:%u", geteuid());
    assert_string_equal(rig->core->last_principal, name);
    reply_seen_clear(&r);
    say(fd, "POST /api/v1/pools HTTP/1.1\r\n" WHERE VIEWER "Content-Length: 0\r\n\r\n");
    r = listen_to(fd, false); /* a token that was brought counts instead */
    assert_int_equal(r.status, 403);
    close(fd);
}

static void one_is_served(int fd)
{
    CLEANUP(mem_freep) char *answer = NULL;

    say(fd, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    answer = hear_until(fd, "\r\n\r\n");
    assert_non_null(strstr(answer, "200 OK"));
    close(fd);
}

/* All of them are the network's; the unix socket has its own. */
static void beyond_the_limit_connections_get_503(void **state)
{
    struct rig *rig = *state;
    int fds[8], fd;
    CLEANUP(mem_freep) char *answer = NULL;

    for (int i = 0; i < 8; i++)
        fds[i] = dial(rig);
    fd = dial(rig);
    answer = hear_until(fd, "\r\n\r\n");
    assert_non_null(strstr(answer, "503"));
    assert_closed(fd);
    one_is_served(dial_unix(rig));
    for (int i = 0; i < 8; i++)
        one_is_served(fds[i]);
}

static int start_small(void **state)
{
    struct api_config config = patient;

    config.max_connections = 8;
    return rig_start_with(state, &config);
}

#define TEST(f)   cmocka_unit_test_setup_teardown(f, rig_start, rig_stop)
#define STRICT(f) cmocka_unit_test_setup_teardown(f, rig_start_strict, rig_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(hostile_heads_are_refused_and_the_connection_is_closed),
        TEST(what_is_not_http_is_hung_up_on),
        TEST(nothing_smuggled_is_served),
        TEST(too_many_or_too_large_headers_are_refused),
        TEST(unknown_paths_are_404_and_other_methods_405),
        TEST(paths_are_decoded_strictly),
        TEST(query_parameters_are_known_and_single),
        TEST(without_a_good_token_there_is_401),
        TEST(roles_bound_what_may_be_done),
        TEST(refusals_do_not_wait_for_the_body),
        TEST(expect_100_is_answered_only_when_the_body_is_wanted),
        TEST(ten_mebibytes_of_brackets_cost_nothing),
        TEST(deep_json_is_refused_within_the_limit),
        TEST(a_chunked_body_that_grows_too_large_gets_413),
        TEST(chunked_bodies_work),
        STRICT(a_slow_head_is_cut_off),
        STRICT(a_slow_body_is_cut_off),
        STRICT(an_idle_connection_is_cut_off),
        TEST(pipelined_requests_are_answered_in_order),
        TEST(head_is_get_without_the_body),
        TEST(every_reply_has_its_common_headers),
        TEST(the_unix_socket_makes_root_an_admin),
        cmocka_unit_test_setup_teardown(beyond_the_limit_connections_get_503, start_small,
                                        rig_stop),
    };

    return cmocka_run_group_tests_name("api/http", tests, NULL, NULL);
}
