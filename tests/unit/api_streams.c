/* Replies without an end: event streams and followed consoles, and the list form of events. */
#include "tests/unit/api/rig.h"

#include "api/stream.h"

#define EVENTS "/api/v1/events"

/* Opens a stream; returns once its head has come. */
static int open_stream(struct rig *rig, const char *path, const char *headers)
{
    CLEANUP(strbuf_clear) struct strbuf text = {0};
    CLEANUP(mem_freep) char *head = NULL;
    int fd = dial(rig);

    strbuf_addf(&text, "GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n", path, headers);
    say(fd, text.data);
    head = hear_until(fd, "\r\n\r\n");
    assert_non_null(strstr(head, "200 OK"));
    return fd;
}

static void await(int fd, const char *mark)
{
    free(hear_until(fd, mark));
}

static void events_come_as_they_happen(void **state)
{
    struct rig *rig = *state;
    int fd = open_stream(rig, EVENTS, VIEWER);

    await(fd, "retry: 2000\nid: 0\n\n");
    fake_event(rig->core, "vm.state");
    await(fd, "id: 1\nevent: vm.state\ndata: {\"seq\":1,\"type\":\"vm.state\"}\n\n");
    fake_event(rig->core, "operation.state");
    await(fd, "id: 2\nevent: operation.state\n");
    close(fd);
}

static void a_stream_begins_with_what_is_new(void **state)
{
    struct rig *rig = *state;
    CLEANUP(mem_freep) char *seen = NULL;
    int fd;

    fake_event(rig->core, "vm.old");
    fd = open_stream(rig, EVENTS, VIEWER);
    fake_event(rig->core, "vm.new");
    seen = hear_until(fd, "event: vm.new\n");
    assert_null(strstr(seen, "vm.old"));
    close(fd);
}

static void a_reconnecting_client_gets_what_it_missed(void **state)
{
    struct rig *rig = *state;
    CLEANUP(mem_freep) char *seen = NULL;
    int fd;

    for (int i = 0; i < 40; i++) /* more than one batch */
        fake_event(rig->core, "vm.state");
    fake_event(rig->core, "vm.last");
    fd = open_stream(rig, EVENTS "?after=39", VIEWER "Last-Event-ID: 2\r\n");
    seen = hear_until(fd, "event: vm.last\n");
    assert_null(strstr(seen, "{\"seq\":2,"));
    assert_non_null(strstr(seen, "{\"seq\":3,"));
    assert_non_null(strstr(seen, "{\"seq\":40,"));
    close(fd);
    fd = open_stream(rig, EVENTS "?after=40", VIEWER);
    await(fd, "id: 41\nevent: vm.last\n");
    close(fd);
    expect(rig, "GET " EVENTS, VIEWER "Last-Event-ID: x\r\n", NULL, 400, NULL);
    expect(rig, "GET " EVENTS "?after=x", VIEWER, NULL, 422, "?after");
}

static void a_number_that_is_too_old_or_unknown_gives_reset(void **state)
{
    struct rig *rig = *state;
    int fd;

    rig->core->oldest = 100;
    fake_event(rig->core, "vm.state");
    fd = open_stream(rig, EVENTS "?after=5", VIEWER);
    await(fd, "id: 100\nevent: reset\ndata: {\"newest\":100}\n\n");
    fake_event(rig->core, "vm.next");
    await(fd, "id: 101\nevent: vm.next\n"); /* and goes on from there */
    close(fd);
    fd = open_stream(rig, EVENTS "?after=7000", VIEWER);
    await(fd, "event: reset\n");
    close(fd);
}

static void types_narrow_by_their_first_words(void **state)
{
    struct rig *rig = *state;
    CLEANUP(mem_freep) char *seen = NULL;
    int fd = open_stream(rig, EVENTS "?types=operation,vm.state", VIEWER);

    fake_event(rig->core, "vm.changed");
    fake_event(rig->core, "vms.state");
    fake_event(rig->core, "vm.state");
    fake_event(rig->core, "pool.created");
    fake_event(rig->core, "operation.state");
    seen = hear_until(fd, "event: operation.state\n");
    assert_non_null(strstr(seen, "event: vm.state\n"));
    assert_null(strstr(seen, "vm.changed"));
    assert_null(strstr(seen, "vms.state"));
    assert_null(strstr(seen, "pool.created"));
    close(fd);
}

static void a_heartbeat_carries_the_number_on(void **state)
{
    struct rig *rig = *state;
    int fd = open_stream(rig, EVENTS "?types=nothing", VIEWER);

    await(fd, ": alive\nid: 0\n\n");
    fake_event(rig->core, "vm.state");
    await(fd, ": alive\nid: 1\n\n");
    close(fd);
}

static void a_list_is_given_when_json_is_asked_for(void **state)
{
    struct rig *rig = *state;

    fake_event(rig->core, "vm.state");
    fake_event(rig->core, "pool.created");
    fake_event(rig->core, "vm.state");
    expect(rig, "GET " EVENTS, VIEWER "Accept: application/json\r\n", NULL, 200,
           "{\"items\":[{\"seq\":1,\"type\":\"vm.state\"},{\"seq\":2,");
    expect(rig, "GET " EVENTS "?wait=0&after=1&types=vm", VIEWER, NULL, 200,
           "{\"items\":[{\"seq\":3,\"type\":\"vm.state\"}],\"next_after\":3,\"reset\":false}");
    expect(rig, "GET " EVENTS "?wait=0&page_size=2", VIEWER, NULL, 200, "\"next_after\":2,");
    expect(rig, "GET " EVENTS "?wait=0&after=3", VIEWER, NULL, 200,
           "{\"items\":[],\"next_after\":3,\"reset\":false}");
    expect(rig, "GET " EVENTS "?wait=0&after=9", VIEWER, NULL, 200,
           "{\"items\":[],\"next_after\":3,\"reset\":true}");
    expect(rig, "GET " EVENTS "?wait=99", VIEWER, NULL, 422, "?wait");
}

static void *make_event(void *arg)
{
    struct core *core = arg;

    fake_await_waiters(core, 1);
    fake_event(core, "pool.created"); /* not wanted: it goes on waiting */
    fake_event(core, "vm.state");
    return NULL;
}

static void a_list_waits_for_the_first_event(void **state)
{
    struct rig *rig = *state;
    struct err err = {0};
    pthread_t thread;

    assert_true(thread_start(&thread, "maker", make_event, rig->core, &err));
    expect(rig, "GET " EVENTS "?wait=30&types=vm", VIEWER, NULL, 200,
           "{\"items\":[{\"seq\":2,\"type\":\"vm.state\"}],\"next_after\":2");
    pthread_join(thread, NULL);
}

static void a_followed_console_goes_on(void **state)
{
    struct rig *rig = *state;
    int fd;

    fake_serial(rig->core, "boot\r\n");
    fd = open_stream(rig, "/api/v1/vms/hello/serial?follow=true", OPERATOR);
    await(fd, "boot\r\n");
    fake_serial(rig->core, "login: ");
    await(fd, "login: ");
    close(fd);
    fd = open_stream(rig, "/api/v1/vms/hello/serial?follow=true&offset=end", OPERATOR);
    fake_await_waiters(rig->core, 1);
    fake_serial(rig->core, "more");
    await(fd, "4\r\nmore\r\n");
    close(fd);
}

/* What woke the streams they do not get any more. */
static void what_is_revoked_ends_its_streams_at_once(void **state)
{
    struct rig *rig = *state;
    int64_t begin = clock_mono_ms();
    int events = open_stream(rig, EVENTS, VIEWER);
    int serial = open_stream(rig, "/api/v1/vms/hello/serial?follow=true", OPERATOR);
    CLEANUP(mem_freep) char *heard = NULL;

    fake_await_waiters(rig->core, 2);
    fake_revoke(rig->core);
    fake_event(rig->core, "vm.state");
    heard = hear_until(events, "\r\n0\r\n\r\n");
    assert_null(strstr(heard, "vm.state"));
    close(events);
    await(serial, "0\r\n\r\n");
    close(serial);
    assert_true(clock_mono_ms() - begin < STREAM_SLICE_MS);
}

static void *revoke_all(void *arg)
{
    struct core *core = arg;

    fake_await_waiters(core, 1);
    fake_revoke(core);
    fake_event(core, "vm.state");
    return NULL;
}

static void expect_refused_wait(struct rig *rig, const char *line)
{
    struct err err = {0};
    pthread_t thread;

    rig->core->token_revoked = false;
    assert_true(thread_start(&thread, "revoke", revoke_all, rig->core, &err));
    expect(rig, line, OPERATOR, NULL, 401, "not good any more");
    pthread_join(thread, NULL);
}

static void what_is_revoked_ends_its_waits(void **state)
{
    expect_refused_wait(*state, "GET " EVENTS "?wait=30&types=vm");
    expect_refused_wait(*state, "GET /api/v1/vms/hello/serial?wait=30");
}

static void *narrow_and_end(void *arg)
{
    struct core *core = arg;

    fake_await_waiters(core, 1);
    fake_narrow(core);
    fake_job_becomes(core, "succeeded", "");
    return NULL;
}

/* An operation that others began is told of to who may see it in the end. */
static void a_wait_for_an_operation_ends_with_the_right(void **state)
{
    struct rig *rig = *state;
    struct err err = {0};
    pthread_t thread;

    fake_job_becomes(rig->core, "running", "");
    assert_true(thread_start(&thread, "narrow", narrow_and_end, rig->core, &err));
    expect(rig, "GET /api/v1/operations/" OP_ID "?wait=30", OPERATOR, NULL, 403, "operation-read");
    pthread_join(thread, NULL);
}

/* Others' rights are no reason to go. */
static void who_may_still_listen_goes_on(void **state)
{
    struct rig *rig = *state;
    int fd = open_stream(rig, EVENTS, VIEWER);

    fake_await_waiters(rig->core, 1);
    lock_take(&rig->core->lock);
    rig->core->accounts++;
    lock_drop(&rig->core->lock);
    fake_event(rig->core, "vm.state");
    await(fd, "event: vm.state\n");
    close(fd);
}

static void stopping_ends_streams_cleanly(void **state)
{
    struct rig *rig = *state;
    int events[3], serial;

    for (int i = 0; i < 3; i++)
        events[i] = open_stream(rig, EVENTS, VIEWER);
    serial = open_stream(rig, "/api/v1/vms/hello/serial?follow=true", OPERATOR);
    fake_await_waiters(rig->core, 4);
    api_stop(rig->api);
    rig->api = NULL;
    for (int i = 0; i < 3; i++) {
        await(events[i], "\r\n0\r\n\r\n"); /* the end of the chunks: nothing was cut off */
        assert_closed(events[i]);
    }
    await(serial, "0\r\n\r\n");
    assert_closed(serial);
}

/* With room for one connection, the next is served only once the stream's is gone. */
static void a_client_that_left_makes_room(void **state)
{
    struct rig *rig = *state;
    int64_t deadline = clock_mono_ms() + PATIENCE;
    int fd = open_stream(rig, EVENTS, VIEWER);
    bool served = false;

    fake_await_waiters(rig->core, 1);
    close(fd);
    while (!served) {
        CLEANUP(reply_seen_clear) struct reply_seen r = {0};
        assert_true(clock_mono_ms() < deadline);
        fd = dial(rig);
        say(fd, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        r = listen_to(fd, false);
        served = r.status == 200;
        assert_true(served || r.status == 503);
        close(fd);
    }
}

static int start_for_one(void **state)
{
    struct api_config config = *strict();

    config.max_connections = 1;
    return rig_start_with(state, &config);
}

static void a_client_that_takes_nothing_is_cut_off(void **state)
{
    struct rig *rig = *state;
    struct pollfd p = {.events = POLLRDHUP};
    struct err err = {0};
    char text[FAKE_SERIAL];
    int pair[2];

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    fake_serial(rig->core, text);
    assert_true(sock_pair(SOCK_STREAM, pair, &err));
    assert_int_equal(setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int)), 0);
    assert_true(api_add_unix(rig->api, pair[1]));
    say(pair[0], "GET /api/v1/vms/hello/serial?follow=true HTTP/1.1\r\nHost: x\r\n\r\n");
    p.fd = pair[0];
    assert_int_equal(poll(&p, 1, PATIENCE), 1);
    close(pair[0]);
}

#define TEST(f)   cmocka_unit_test_setup_teardown(f, rig_start, rig_stop)
#define STRICT(f) cmocka_unit_test_setup_teardown(f, rig_start_strict, rig_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(events_come_as_they_happen),
        TEST(a_stream_begins_with_what_is_new),
        TEST(a_reconnecting_client_gets_what_it_missed),
        TEST(a_number_that_is_too_old_or_unknown_gives_reset),
        TEST(types_narrow_by_their_first_words),
        STRICT(a_heartbeat_carries_the_number_on),
        TEST(a_list_is_given_when_json_is_asked_for),
        TEST(a_list_waits_for_the_first_event),
        TEST(a_followed_console_goes_on),
        TEST(what_is_revoked_ends_its_streams_at_once),
        TEST(what_is_revoked_ends_its_waits),
        TEST(a_wait_for_an_operation_ends_with_the_right),
        TEST(who_may_still_listen_goes_on),
        TEST(stopping_ends_streams_cleanly),
        cmocka_unit_test_setup_teardown(a_client_that_left_makes_room, start_for_one, rig_stop),
        STRICT(a_client_that_takes_nothing_is_cut_off),
    };

    return cmocka_run_group_tests_name("api/streams", tests, NULL, NULL);
}
