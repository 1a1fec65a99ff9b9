/* Sessions of browsers at the API's edge: the cookie and what it is worth to other sites, names we
 * are asked by, guesses that have to wait. */
#include "tests/unit/api/rig.h"

#include "api/cookie.h"
#include "api/guess.h"
#include "api/routes.h"

#define COOKIE(role)   "Cookie: __Host-vmmd=0000000000000000000000000000000" role "_" SECRET_A "\r\n"
#define CSRF(role)     "X-VMM-CSRF: " role CCC "\r\n"
#define CCC            "ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
#define ANN            "3" /* an admin */
#define SIGN_IN        "POST /api/v1/session"
#define GOOD           "{\"user\":\"viewer\",\"password\":\"" PASSWORD "\"}"
#define WRONG          "{\"user\":\"viewer\",\"password\":\"guessed it\"}"
#define DELETE_SESSION "DELETE /api/v1/session"

static void a_sign_in_sets_a_cookie_that_only_this_host_gets(void **state)
{
    CLEANUP(reply_seen_clear) struct reply_seen r = ask(*state, SIGN_IN, "", GOOD);

    assert_int_equal(r.status, 201);
    assert_non_null(strstr(r.head,
                           "Set-Cookie: __Host-vmmd=00000000000000000000000000000001_" SECRET_A
                           "; Path=/; Secure; HttpOnly; SameSite=Strict\r\n"));
    assert_non_null(strstr(r.body, "\"csrf\":\"1" CCC "\""));
    assert_non_null(strstr(r.body, "\"principal\":\"user:viewer\""));
    assert_null(strstr(r.body, SECRET_A));
    assert_null(strstr(r.head, "Access-Control"));
}

static void the_cookie_says_who_one_is(void **state)
{
    expect(*state, "GET /api/v1/session", COOKIE(ANN), NULL, 200, "\"by\":\"session\"");
    expect(*state, "GET /api/v1/session", ADMIN, NULL, 200, "\"by\":\"token\"");
    expect(*state, "GET /api/v1/session", ADMIN COOKIE("1"), NULL, 200, "token:admin");
    expect(*state, "GET /api/v1/session", "", NULL, 401, "unauthenticated");
}

/* With nothing but the cookie, with another's value, with one that is cut. */
static void a_change_needs_what_only_our_page_knows(void **state)
{
    static const char *const wrong[] = {"", CSRF("1"), "X-VMM-CSRF: \r\n", "X-VMM-CSRF: 3\r\n",
                                        "X-VMM-CSRF: " ANN CCC "c\r\n"};

    for (size_t i = 0; i < n_routes; i++) {
        CLEANUP(mem_freep) char *line = NULL, *headers = NULL;
        const char *id = strstr(routes[i].pattern, "{id}");
        if (routes[i].right == RIGHT_PUBLIC || str_eq(routes[i].method, "GET"))
            continue;
        line = id ? str_format("%s %.*shello%s", routes[i].method, (int)(id - routes[i].pattern),
                               routes[i].pattern, id + 4)
                  : str_format("%s %s", routes[i].method, routes[i].pattern);
        headers = str_format("%s%s", COOKIE(ANN), wrong[i % ARRAY_LEN(wrong)]);
        expect(*state, line, headers, NULL, 403, "X-VMM-CSRF");
    }
    expect(*state, DELETE_SESSION "?dry_run=true", COOKIE(ANN) CSRF(ANN), NULL, 200, "dry_run");
}

static void a_role_bounds_a_session_as_it_does_a_token(void **state)
{
    for (size_t i = 0; i < n_routes; i++) {
        CLEANUP(mem_freep) char *line = NULL;
        const char *id = strstr(routes[i].pattern, "{id}");
        if (right_role(routes[i].right) <= ROLE_VIEWER)
            continue;
        line = id ? str_format("%s %.*shello%s", routes[i].method, (int)(id - routes[i].pattern),
                               routes[i].pattern, id + 4)
                  : str_format("%s %s", routes[i].method, routes[i].pattern);
        expect(*state, line, COOKIE("1") CSRF("1"), NULL, 403, "without the right");
    }
}

static void pages_of_other_sites_get_nowhere(void **state)
{
    static const char *const theirs[] = {"Origin: https://evil.example\r\n",
                                         "Origin: null\r\n",
                                         "Origin: http://x\r\n",
                                         "Origin: https://x.evil\r\n",
                                         "Origin: https://x:1\r\n",
                                         "Sec-Fetch-Site: cross-site\r\n",
                                         "Sec-Fetch-Site: same-site\r\n",
                                         "Origin: \r\n"};

    for (unsigned i = 0; i < ARRAY_LEN(theirs); i++) {
        CLEANUP(mem_freep) char *headers = str_format("%s%s%s", COOKIE(ANN), CSRF(ANN), theirs[i]);
        expect(*state, DELETE_SESSION, headers, NULL, 403, "another site");
        expect(*state, "GET /api/v1/vms", headers, NULL, 403, "another site");
        expect(*state, SIGN_IN, theirs[i], GOOD, 403, "another site");
    }
    expect(*state, "GET /api/v1/vms",
           COOKIE(ANN) "Origin: https://X\r\nSec-Fetch-Site: same-origin\r\n", NULL, 200, NULL);
}

static void a_form_is_no_json(void **state)
{
    static const char *const types[] = {"text/plain", "application/x-www-form-urlencoded",
                                        "multipart/form-data; boundary=x"};

    for (unsigned i = 0; i < ARRAY_LEN(types); i++) {
        CLEANUP(mem_freep)
        char *headers =
            str_format("Content-Type: %s\r\nContent-Length: 2\r\nConnection: close\r\n", types[i]);
        expect(*state, SIGN_IN, headers, NULL, 415, "media-type");
    }
}

static void a_session_that_is_over_opens_nothing(void **state)
{
    struct rig *rig = *state;

    expect(rig, DELETE_SESSION, COOKIE(ANN) CSRF(ANN), NULL, 204, "Max-Age=0");
    for (size_t i = 0; i < n_routes; i++)
        if (routes[i].right != RIGHT_PUBLIC && !strchr(routes[i].pattern, '{')) {
            CLEANUP(mem_freep)
            char *line = str_format("%s %s", routes[i].method, routes[i].pattern);
            expect(rig, line, COOKIE(ANN) CSRF(ANN), NULL, 401, "unauthenticated");
        }
}

static void a_cookie_that_comes_twice_is_refused(void **state)
{
    expect(*state, "GET /api/v1/vms", "Cookie: __Host-vmmd=a; __Host-vmmd=b\r\n", NULL, 400,
           "malformed");
    expect(*state, "GET /api/v1/vms", "Cookie: a=b\r\nCookie: c=d\r\n", NULL, 400, "twice");
    expect(*state, "GET /api/v1/vms", "Cookie: other=a; x\r\n", NULL, 401, NULL);
}

static void a_cookie_is_found_among_others(void **state)
{
    static const struct {
        const char *header;
        enum cookie_found found;
        const char *value;
    } cases[] = {
        {NULL, COOKIE_NONE, ""},
        {"", COOKIE_NONE, ""},
        {"c=1", COOKIE_ONE, "1"},
        {" c=1 ; d=2", COOKIE_ONE, "1"},
        {"cc=2;c=1", COOKIE_ONE, "1"},
        {"cc=2; xc=3", COOKIE_NONE, ""},
        {"c", COOKIE_NONE, ""},
        {"c=", COOKIE_ONE, ""},
        {";;;c=1", COOKIE_ONE, "1"},
        {"c=1;c=1", COOKIE_BAD, ""},
        {"c=\"1\"", COOKIE_BAD, ""},
        {"c=1 2", COOKIE_BAD, ""},
        {"c=1234567", COOKIE_ONE, "1234567"},
        {"c=12345678", COOKIE_BAD, ""},
    };

    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        char out[8] = "";
        assert_int_equal(cookie_find(cases[i].header, "c", out, sizeof out), cases[i].found);
        if (cases[i].found == COOKIE_ONE)
            assert_string_equal(out, cases[i].value);
    }
}

static void expect_host(struct rig *rig, const char *host, unsigned status)
{
    CLEANUP(mem_freep)
    char *text = str_format("GET /healthz HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host);
    CLEANUP(reply_seen_clear) struct reply_seen r = {0};
    int fd = dial(rig);

    say(fd, text);
    r = listen_to(fd, false);
    if (r.status != status)
        fail_msg("Host: %s: %u instead of %u", host, r.status, status);
    close(fd);
}

/* What a name server of somebody else can make out of us, and what it cannot. */
static void only_our_names_are_answered(void **state)
{
    static const char *const ours[] = {"x",         "X:8443",          "lab.example.org",
                                       "127.0.0.1", "192.0.2.7:8443",  "[::1]:8443",
                                       "localhost", "localhost:65535", "[2001:db8::1]"};
    static const char *const others[] = {"evil.example",
                                         "evil.example:8443",
                                         "x.",
                                         "x.evil.example",
                                         "lab.example.org.",
                                         "127.0.0.1.evil.ex",
                                         "127.1",
                                         "0x7f.0.0.1",
                                         "2130706433",
                                         "[::1",
                                         "::1",
                                         "x:",
                                         "x:123456",
                                         "x:80a",
                                         "user@x",
                                         "x, evil.example",
                                         "[x]",
                                         "[127.0.0.1]"};

    for (unsigned i = 0; i < ARRAY_LEN(ours); i++)
        expect_host(*state, ours[i], 200);
    for (unsigned i = 0; i < ARRAY_LEN(others); i++)
        expect_host(*state, others[i], 421);
}

static void the_unix_socket_has_no_names(void **state)
{
    int fd = dial_unix(*state);
    struct reply_seen r;

    say(fd, "GET /api/v1/session HTTP/1.1\r\nHost: whatever\r\n" COOKIE("1") "\r\n");
    r = listen_to(fd, false);
    assert_int_equal(r.status, 200);
    assert_non_null(strstr(r.body, "\"by\":\"unix\"")); /* and no cookies */
    reply_seen_clear(&r);
    close(fd);
}

static void guesses_have_to_wait_and_good_sessions_do_not(void **state)
{
    unsigned refused = 0;

    for (unsigned i = 0; i < 12; i++) {
        CLEANUP(reply_seen_clear) struct reply_seen r = ask(*state, SIGN_IN, "", WRONG);
        assert_true(r.status == 401 || r.status == 429);
        refused += r.status == 429 && strstr(r.head, "Retry-After: ");
    }
    assert_true(refused >= 5);
    expect(*state, SIGN_IN, "", GOOD, 429, "wait");
    expect(*state, "GET /api/v1/vms", COOKIE("1"), NULL, 200, NULL);
    expect(*state, "GET /api/v1/vms", VIEWER, NULL, 200, NULL);
}

static unsigned try_wrong(int fd)
{
    CLEANUP(strbuf_clear) struct strbuf text = {0};
    CLEANUP(reply_seen_clear) struct reply_seen r = {0};

    strbuf_addf(&text,
                SIGN_IN " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                        "Content-Length: %zu\r\n\r\n" WRONG,
                strlen(WRONG));
    say(fd, text.data);
    r = listen_to(fd, false);
    return r.status;
}

static unsigned refused_of_12(int fd)
{
    unsigned refused = 0;

    for (unsigned i = 0; i < 12; i++)
        refused += try_wrong(fd) == 429;
    close(fd);
    return refused;
}

/* What is the administrator's way in is none for guesses of others. */
static void only_administrators_guess_freely_on_the_unix_socket(void **state)
{
    if (getuid() != 0) {
        print_message("another user's connection takes root\n");
        skip();
    }
    assert_int_equal(refused_of_12(dial_unix(*state)), 0);
    assert_true(refused_of_12(dial_unix_as(*state, 65533)) > 0);
    assert_int_equal(refused_of_12(dial_unix(*state)), 0);
}

static void nobody_fills_the_unix_socket(void **state)
{
    int taken[512], n = 0, root;

    if (getuid() != 0) {
        print_message("another user's connection takes root\n");
        skip();
    }
    while (n < 512 && (taken[n] = dial_unix_as(*state, 65533)) >= 0)
        n++;
    assert_true(n > 0 && n < 512);
    root = dial_unix(*state);
    assert_int_equal(refused_of_12(root), 0);
    while (n)
        close(taken[--n]);
}

static void a_delay_grows_and_ends(void **state)
{
    static const unsigned waits[] = {0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60};
    struct guesses guesses;
    int64_t now = 1000;

    guesses_init(&guesses);
    for (unsigned i = 0; i < ARRAY_LEN(waits); i++) {
        if (waits[i])
            assert_int_equal(guess_begin(&guesses, "a", 2, now), waits[i]);
        now += waits[i] * 1000;
        assert_int_equal(guess_begin(&guesses, "a", 2, now), 0);
    }
    assert_int_equal(guess_begin(&guesses, "b", 2, now), 0); /* another key */
    guess_end(&guesses, "a", GUESS_GOOD, true);
    assert_int_equal(guess_begin(&guesses, "a", 2, now), 0);
    guesses_clear(&guesses);
}

static void what_was_not_looked_at_does_not_count(void **state)
{
    struct guesses guesses;

    guesses_init(&guesses);
    for (unsigned i = 0; i < 50; i++) {
        assert_int_equal(guess_begin(&guesses, "a", 2, 1000), 0);
        guess_end(&guesses, "a", GUESS_UNKNOWN, false);
    }
    for (unsigned i = 0; i < 3 * GUESS_KEYS; i++) { /* and the table stays small */
        char key[32];
        snprintf(key, sizeof key, "k%u", i);
        assert_int_equal(guess_begin(&guesses, key, 2, 2000 + i), 0);
    }
    guesses_clear(&guesses);
}

static void an_old_password_is_asked_for(void **state)
{
    static const char change[] = "POST /api/v1/session/actions/change-password";

    expect(*state, change, COOKIE("1") CSRF("1"), "{\"old\":\"no\",\"password\":\"0123456789\"}",
           403, "/old");
    expect(*state, change, COOKIE("1") CSRF("1"),
           "{\"old\":\"" PASSWORD "\",\"password\":\"0123456789\"}", 201, "Set-Cookie");
    expect(*state, change, ADMIN, "{\"old\":\"x\",\"password\":\"0123456789\"}", 409, "no user");
}

static void a_link_signs_in_with_a_new_password(void **state)
{
    static const char use[] = "POST /api/v1/session/actions/use-link";

    expect(*state, use, "", "{\"code\":\"no\",\"password\":\"0123456789\"}", 401, "link");
    expect(*state, use, "", "{\"code\":\"the-code\",\"password\":\"0123456789\"}", 201,
           "Set-Cookie");
}

static void what_strangers_send_is_small(void **state)
{
    CLEANUP(mem_freep) char *long_one = mem_alloc(10000);
    CLEANUP(mem_freep) char *body = NULL;

    memset(long_one, 'x', 9999);
    body = str_format("{\"user\":\"a\",\"password\":\"%s\"}", long_one);
    expect(*state, SIGN_IN, "", body, 413, "too-large");
}

#define ONLY(right) "Authorization: Bearer vmmd_only_" right "\r\n"

/* Session n is that of the user whose role is n. */
static void who_may_do_less_ends_no_sessions(void **state)
{
#define SESSION_OF(n) "DELETE /api/v1/sessions/0" n "000000-0000-0000-0000-000000000000"
    expect(*state, "DELETE /api/v1/users/admin/sessions", ONLY("account-admin"), NULL, 403,
           "forbidden");
    expect(*state, SESSION_OF("3"), ONLY("account-admin"), NULL, 403, "forbidden");
    expect(*state, SESSION_OF("1"), ONLY("account-admin"), NULL, 403, "forbidden");
    expect(*state, "GET /api/v1/session", COOKIE(ANN), NULL, 200, NULL); /* it is not over */
    expect(*state, SESSION_OF("3"), ADMIN, NULL, 204, NULL);
}

static void a_webhook_shows_no_more_than_one_may_see(void **state)
{
    static const char hook[] = "{\"name\":\"w\",\"url\":\"https://ci.example.org/\"}";

    expect(*state, "POST /api/v1/webhooks", ONLY("webhook-admin"), hook, 403, "audit-read");
    expect(*state, "PATCH /api/v1/webhooks/w", ONLY("webhook-admin"), "{\"types\":null}", 403,
           "audit-read");
    expect(*state, "DELETE /api/v1/webhooks/w", ONLY("webhook-admin"), NULL, 204, NULL);
    expect(*state, "POST /api/v1/webhooks", ADMIN, hook, 201, NULL);
}

static void no_secret_is_in_the_trail(void **state)
{
    expect(*state, SIGN_IN, "", GOOD, 201, NULL);
    assert_string_equal(fake_trail.changes, "");
    expect(*state, "POST /api/v1/users/viewer/actions/set-password", ADMIN,
           "{\"password\":\"0123456789\"}", 204, NULL);
    assert_string_equal(fake_trail.changes, "");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_start, rig_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_sign_in_sets_a_cookie_that_only_this_host_gets),
        TEST(the_cookie_says_who_one_is),
        TEST(a_change_needs_what_only_our_page_knows),
        TEST(a_role_bounds_a_session_as_it_does_a_token),
        TEST(pages_of_other_sites_get_nowhere),
        TEST(a_form_is_no_json),
        TEST(a_session_that_is_over_opens_nothing),
        TEST(a_cookie_that_comes_twice_is_refused),
        cmocka_unit_test(a_cookie_is_found_among_others),
        TEST(only_our_names_are_answered),
        TEST(the_unix_socket_has_no_names),
        TEST(guesses_have_to_wait_and_good_sessions_do_not),
        TEST(only_administrators_guess_freely_on_the_unix_socket),
        TEST(nobody_fills_the_unix_socket),
        cmocka_unit_test(a_delay_grows_and_ends),
        cmocka_unit_test(what_was_not_looked_at_does_not_count),
        TEST(an_old_password_is_asked_for),
        TEST(a_link_signs_in_with_a_new_password),
        TEST(what_strangers_send_is_small),
        TEST(who_may_do_less_ends_no_sessions),
        TEST(a_webhook_shows_no_more_than_one_may_see),
        TEST(no_secret_is_in_the_trail),
    };

    return cmocka_run_group_tests_name("api/session", tests, NULL, NULL);
}
