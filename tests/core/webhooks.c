/* Webhooks: every event, in order, signed, at least once; slow and hostile receivers. The receiver
 * is a thread with a socket on the loopback, which the guard is told to allow. */
#include "tests/lib/world.h"

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/mem.h"
#include "core/base/sock.h"
#include "core/base/str.h"
#include "core/base/thread.h"
#include "core/event/event.h"
#include "core/hook/hook.h"
#include "core/hook/inside.h"
#include "core/user/token.h"
#include "net/post/guard.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/hmac.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_SEEN 512
#define PATIENCE 15000

/* What a receiver got. */
struct seen {
    char id[UUID_TEXT], type[48], signature[100];
    unsigned long long seq;
    char *body;
};

static struct receiver {
    int fd;
    unsigned port;
    pthread_t thread;
    struct lock lock;
    struct cond changed;
    struct seen seen[MAX_SEEN];
    unsigned n;
    unsigned answer;  /* status */
    bool mute;        /* does not answer at all */
    const char *more; /* headers of the answer */
} receiver;
static struct world w;
static char url[64];

static void header(const char *head, const char *name, char *out, size_t size)
{
    const char *at = strcasestr(head, name);

    out[0] = 0;
    if (at) {
        at += strcspn(at, ":") + 2;
        str_copy(out, size, at);
        out[strcspn(out, "\r\n")] = 0;
    }
}

static void serve_one(int fd)
{
    CLEANUP(strbuf_clear) struct strbuf text = {0};
    CLEANUP(mem_freep) char *reply = NULL;
    const char *end = NULL;
    char number[32];
    size_t len = 0;
    struct seen *s;

    while (!end || text.len < (size_t)(end - text.data) + 4 + len) {
        char piece[4096];
        ssize_t n = recv(fd, piece, sizeof piece, 0);
        if (n <= 0)
            return;
        strbuf_add(&text, piece, (size_t)n);
        end = strstr(text.data, "\r\n\r\n");
        if (end) {
            header(text.data, "Content-Length", number, sizeof number);
            len = strtoul(number, NULL, 10);
        }
    }
    lock_take(&receiver.lock);
    s = &receiver.seen[receiver.n];
    header(text.data, "Vmmd-Delivery", s->id, sizeof s->id);
    header(text.data, "Vmmd-Event-Type", s->type, sizeof s->type);
    header(text.data, "Vmmd-Signature", s->signature, sizeof s->signature);
    header(text.data, "Vmmd-Event:", number, sizeof number);
    s->seq = strtoull(number, NULL, 10);
    s->body = str_dup(end + 4);
    receiver.n += receiver.n + 1 < MAX_SEEN;
    reply = str_format("HTTP/1.1 %u X\r\nContent-Length: 0\r\nConnection: close\r\n%s\r\n",
                       receiver.answer, receiver.more ? receiver.more : "");
    cond_wake_all(&receiver.changed);
    while (receiver.mute)
        cond_wait(&receiver.changed, &receiver.lock);
    lock_drop(&receiver.lock);
    (void)!send(fd, reply, strlen(reply), MSG_NOSIGNAL);
}

static void *receiver_main(void *arg)
{
    for (;;) {
        int fd = accept(receiver.fd, NULL, NULL);
        if (fd < 0)
            return NULL;
        serve_one(fd);
        close(fd);
    }
}

static void receiver_start(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    struct err err = {0};

    receiver = (struct receiver){.answer = 204};
    lock_init(&receiver.lock);
    cond_init(&receiver.changed);
    receiver.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(receiver.fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(receiver.fd, 16), 0);
    assert_int_equal(getsockname(receiver.fd, (struct sockaddr *)&a, &len), 0);
    receiver.port = ntohs(a.sin_port);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/hook", receiver.port);
    assert_true(thread_start(&receiver.thread, "receiver", receiver_main, NULL, &err));
}

static void receiver_end(void)
{
    lock_take(&receiver.lock);
    receiver.mute = false;
    cond_wake_all(&receiver.changed);
    lock_drop(&receiver.lock);
    shutdown(receiver.fd, SHUT_RDWR);
    pthread_join(receiver.thread, NULL);
    close(receiver.fd);
    for (unsigned i = 0; i <= receiver.n; i++)
        free(receiver.seen[i].body);
    cond_clear(&receiver.changed);
    lock_clear(&receiver.lock);
}

static void receiver_answers(unsigned status, bool mute)
{
    lock_take(&receiver.lock);
    receiver.answer = status;
    receiver.mute = mute;
    cond_wake_all(&receiver.changed);
    lock_drop(&receiver.lock);
}

/* Waits until the receiver has got 'n' requests. */
static void await_seen(unsigned n)
{
    int64_t deadline = clock_mono_ms() + PATIENCE;

    lock_take(&receiver.lock);
    while (receiver.n < n)
        if (!cond_wait_until(&receiver.changed, &receiver.lock, deadline))
            break;
    if (receiver.n < n)
        n -= receiver.n;
    else
        n = 0;
    lock_drop(&receiver.lock); /* before a failure: the receiver must be able to end */
    if (n)
        fail_msg("%u requests more were expected", n);
}

/* Waits for a request whose body has 'piece' in it. */
static void await_body(const char *piece)
{
    int64_t deadline = clock_mono_ms() + PATIENCE;
    bool found = false, in_time = true;

    lock_take(&receiver.lock);
    for (unsigned i = 0; !found && in_time;)
        if (i < receiver.n)
            found = strstr(receiver.seen[i++].body, piece) != NULL;
        else
            in_time = cond_wait_until(&receiver.changed, &receiver.lock, deadline);
    lock_drop(&receiver.lock);
    if (!found)
        fail_msg("no body with %s came", piece);
}

static int setup(void **state)
{
    struct err err = {0};

    hook_timing = (struct hook_timing){20, 100, 24 * 3600000ll};
    receiver_start();
    assert_true(guard_init("127.0.0.0/8", NULL, &err));
    world_make(&w);
    return 0;
}

static int teardown(void **state)
{
    failpoint_arm(NULL);
    receiver_answers(204, false);
    world_remove(&w);
    receiver_end();
    return 0;
}

static void make_hook(const char *types, char secret[HOOK_SECRET_TEXT])
{
    const struct hook_spec spec = {.name = "ci", .url = url, .types = types, .enabled = true};
    struct err err = {0};
    struct uuid id;

    if (!hook_create(w.core, &spec, &world_admin, &id, secret, &err))
        fail_msg("%s", err.detail);
}

static void make_token(const char *name)
{
    char text[TOKEN_TEXT];
    struct err err = {0};
    struct uuid id;

    assert_true(token_create(w.core, name, ROLE_VIEWER, 0, &world_admin, &id, text, &err));
}

static void make_tokens(const char *prefix, unsigned n)
{
    char name[32];

    for (unsigned i = 0; i < n; i++) {
        snprintf(name, sizeof name, "%s-%u", prefix, i);
        make_token(name);
    }
}

static char *shown(const char *member)
{
    struct err err = {0};
    CLEANUP(json_decrefp) json_t *hook = hook_show(w.core, "ci", &err);
    const json_t *value = json_object_get(hook, member);

    return json_is_string(value) ? str_dup(json_string_value(value)) : json_write(value);
}

static void await_shown(const char *member, const char *value)
{
    int64_t deadline = clock_mono_ms() + PATIENCE;

    for (;;) {
        CLEANUP(mem_freep) char *now = shown(member);
        if (str_eq(now, value))
            return;
        if (clock_mono_ms() > deadline)
            fail_msg("%s is %s, not %s", member, now, value);
        (void)poll(NULL, 0, 5);
    }
}

/* Every number from the first to the last once at least, never one before its predecessor. */
static void assert_nothing_is_missing(unsigned n)
{
    for (unsigned i = 1; i < n; i++) {
        const struct seen *s = &receiver.seen[i];
        assert_in_range(s->seq, receiver.seen[i - 1].seq, receiver.seen[i - 1].seq + 1);
        if (s->seq == receiver.seen[i - 1].seq)
            assert_string_equal(s->id, receiver.seen[i - 1].id);
    }
}

static void every_event_comes_once_in_order_and_signed(void **state)
{
    char secret[HOOK_SECRET_TEXT] = "", expected[100];
    unsigned long long t;

    make_hook("token", secret);
    assert_true(str_starts(secret, "whsec_"));
    make_tokens("a", 20);
    await_seen(20);
    assert_nothing_is_missing(20);
    for (unsigned i = 0; i < 20; i++) {
        const struct seen *s = &receiver.seen[i];
        assert_string_equal(s->type, "token.created");
        assert_int_equal(sscanf(s->signature, "t=%llu,", &t), 1);
        delivery_sign(secret, (int64_t)t, s->body, expected);
        assert_string_equal(s->signature, expected);
        assert_non_null(strstr(s->body, "\"type\":\"token.created\""));
    }
}

static void a_signature_is_what_the_book_says(void **state)
{
    char out[100];

    /* printf '1700000000.{}' | openssl dgst -sha256 -hmac 'whsec_test_0123456789' */
    delivery_sign("whsec_test_0123456789", 1700000000, "{}", out);
    assert_string_equal(
        out, "t=1700000000,v1=875e3fae219931c6a6bb1177e37553968753cdb5e5fc0294caa82dbfaec6608c");
}

static void only_wanted_types_are_sent(void **state)
{
    char secret[HOOK_SECRET_TEXT] = "";

    make_hook("pool,token.revoked", secret);
    make_tokens("a", 3);
    assert_true(token_revoke(w.core, "a-1", &world_admin, &(struct err){0}));
    await_seen(1);
    assert_string_equal(receiver.seen[0].type, "token.revoked");
}

static void a_failing_receiver_is_tried_again_with_the_same_id(void **state)
{
    char secret[HOOK_SECRET_TEXT] = "";
    CLEANUP(json_decrefp) json_t *list = NULL;
    struct err err = {0};

    receiver_answers(500, false);
    make_hook("token", secret);
    make_tokens("a", 2);
    await_seen(3);
    await_shown("state", "failing");
    receiver_answers(200, false);
    await_shown("state", "ok");
    await_seen(5);
    assert_int_equal(receiver.seen[0].seq, receiver.seen[2].seq);
    assert_nothing_is_missing(receiver.n);
    list = hook_deliveries(w.core, "ci", &err);
    assert_string_equal(json_get_text(json_array_get(json_object_get(list, "items"), 0), "state"),
                        "delivered");
}

static void a_position_survives_a_restart_and_what_happened_meanwhile_is_sent(void **state)
{
    char secret[HOOK_SECRET_TEXT] = "";
    unsigned n;

    make_hook("token", secret);
    make_tokens("a", 2);
    await_seen(2);
    receiver_answers(500, false); /* from here on nothing gets through */
    make_tokens("b", 2);
    await_shown("state", "failing");
    world_close(&w);
    n = receiver.n;
    receiver_answers(200, false);
    assert_true(world_open(&w));
    make_tokens("c", 1);
    await_seen(n + 3);
    await_shown("state", "ok");
    assert_nothing_is_missing(receiver.n);
}

static unsigned twice(void)
{
    unsigned n = 0;

    for (unsigned i = 1; i < receiver.n; i++)
        n += str_eq(receiver.seen[i].id, receiver.seen[i - 1].id);
    return n;
}

static void an_answer_that_is_lost_on_us_is_asked_for_again(void **state)
{
    char secret[HOOK_SECRET_TEXT] = "";

    make_hook("token", secret);
    failpoint_arm("hook.sent=fail:1");
    make_tokens("a", 3);
    await_seen(4);
    assert_nothing_is_missing(4);
    assert_int_equal(twice(), 1);
}

/* Killed, as it were, between the answer and the saving of the position. */
static void a_crash_before_the_position_is_saved_sends_again_but_loses_nothing(void **state)
{
    char secret[HOOK_SECRET_TEXT] = "";

    make_hook("token", secret);
    make_tokens("a", 1);
    await_seen(1);
    await_shown("state", "ok");
    for (unsigned passage = 1; passage <= 3; passage++) {
        CLEANUP(mem_freep) char *spec = str_format("hook.save=fail:%u", passage);
        CLEANUP(mem_freep) char *name = str_format("b%u", passage);
        CLEANUP(mem_freep) char *last = str_format("b%u-1", passage);

        world_close(&w);
        failpoint_arm(spec);
        assert_true(world_open(&w));
        make_tokens(name, 2);
        await_body(last);
    }
    world_close(&w);
    assert_nothing_is_missing(receiver.n);
    failpoint_arm(NULL);
    assert_true(world_open(&w));
}

static void a_silent_receiver_does_not_hold_up_the_end(void **state)
{
    char secret[HOOK_SECRET_TEXT] = "";
    int64_t begin;

    receiver_answers(200, true);
    make_hook("token", secret);
    make_tokens("a", 1);
    await_seen(1);
    begin = clock_mono_ms();
    world_close(&w);
    assert_in_range(clock_mono_ms() - begin, 0, 2000);
    receiver_answers(200, false);
    assert_true(world_open(&w));
    await_seen(2);
    assert_string_equal(receiver.seen[0].id, receiver.seen[1].id);
}

static void a_receiver_that_fails_for_long_is_disabled_and_can_be_enabled(void **state)
{
    struct hook_spec on = {.enabled = true};
    char secret[HOOK_SECRET_TEXT] = "";
    struct err err = {0};

    hook_timing.give_up_ms = 100;
    receiver_answers(503, false);
    make_hook("token", secret);
    make_tokens("a", 1);
    await_shown("state", "disabled");
    await_shown("disabled_reason", "the receiver answered 503");
    world_close(&w);
    assert_true(world_open(&w));
    await_shown("state", "disabled");
    receiver_answers(200, false);
    assert_true(hook_edit(w.core, "ci", &on, &world_admin, secret, &err));
    await_shown("state", "ok");
    make_tokens("b", 1);
    await_body("b-0"); /* the last, so the receiver is at rest */
    assert_non_null(strstr(receiver.seen[receiver.n - 1].body, "b-0"));
    assert_non_null(strstr(receiver.seen[receiver.n - 2].body, "a-0"));
}

static void a_deleted_webhook_is_silent_and_its_name_is_free(void **state)
{
    char secret[HOOK_SECRET_TEXT] = "";
    struct err err = {0};

    receiver_answers(200, true);
    make_hook("token", secret);
    make_tokens("a", 3);
    await_seen(1);
    assert_true(hook_delete(w.core, "ci", &world_admin, &err));
    assert_null(hook_show(w.core, "ci", &err));
    receiver_answers(200, false);
    make_hook("token", secret);
    make_tokens("b", 1);
    await_seen(2);
    assert_string_not_equal(receiver.seen[1].id, receiver.seen[0].id);
    assert_non_null(strstr(receiver.seen[1].body, "b-0"));
}

static void redirections_are_not_followed(void **state)
{
    char secret[HOOK_SECRET_TEXT] = "";
    CLEANUP(json_decrefp) json_t *outcome = NULL;
    struct err err = {0};

    receiver.more = "Location: http://127.0.0.1:1/\r\n";
    receiver_answers(302, false);
    make_hook("pool", secret);
    outcome = hook_test(w.core, "ci", &err);
    assert_false(json_get_bool(outcome, "delivered", true));
    assert_int_equal(json_get_u64(outcome, "status", 0), 302);
    assert_non_null(strstr(json_get_text(outcome, "error"), "not followed"));
}

static void this_host_is_out_of_reach_unless_allowed(void **state)
{
    static const char *const forms[] = {"127.0.0.1",  "[::ffff:127.0.0.1]", "0x7f.1",
                                        "2130706433", "localhost",          "0.0.0.0"};
    char secret[HOOK_SECRET_TEXT] = "";
    struct err err = {0};

    make_hook("pool", secret);
    assert_true(guard_init(NULL, NULL, &err));
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        CLEANUP(mem_freep) char *there = str_format("http://%s:%u/", forms[i], receiver.port);
        const struct hook_spec spec = {.url = there, .keep_enabled = true};
        CLEANUP(json_decrefp) json_t *outcome = NULL;

        assert_true(hook_edit(w.core, "ci", &spec, &world_admin, secret, &err));
        outcome = hook_test(w.core, "ci", &err);
        assert_false(json_get_bool(outcome, "delivered", true));
    }
    assert_int_equal(receiver.n, 0);
}

static void bad_addresses_are_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "ci",
                                      "ftp://ci/",
                                      "file:///etc/passwd",
                                      "gopher://x/",
                                      "http://",
                                      "https://user:secret@ci/",
                                      "https://ci/#x",
                                      "javascript:alert(1)"};
    char secret[HOOK_SECRET_TEXT] = "";
    struct uuid id;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        const struct hook_spec spec = {.name = "x", .url = bad[i], .types = "", .enabled = true};
        struct err err = {0};
        assert_false(hook_create(w.core, &spec, &world_admin, &id, secret, &err));
        assert_int_equal(err.code, ERR_INVALID);
        assert_string_equal(err.field, "/url");
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_event_comes_once_in_order_and_signed),
        cmocka_unit_test(a_signature_is_what_the_book_says),
        TEST(only_wanted_types_are_sent),
        TEST(a_failing_receiver_is_tried_again_with_the_same_id),
        TEST(a_position_survives_a_restart_and_what_happened_meanwhile_is_sent),
        TEST(an_answer_that_is_lost_on_us_is_asked_for_again),
        TEST(a_crash_before_the_position_is_saved_sends_again_but_loses_nothing),
        TEST(a_silent_receiver_does_not_hold_up_the_end),
        TEST(a_receiver_that_fails_for_long_is_disabled_and_can_be_enabled),
        TEST(a_deleted_webhook_is_silent_and_its_name_is_free),
        TEST(redirections_are_not_followed),
        TEST(this_host_is_out_of_reach_unless_allowed),
        TEST(bad_addresses_are_refused),
    };

    return cmocka_run_group_tests_name("core/webhooks", tests, NULL, NULL);
}
