/* The worker between main and a QEMU that is played by the test: answers find their asker,
 * power-offs follow the rules, and a QEMU gone mad ends its VM only. */
#include "tests/lib/harness.h"

#include "tests/unit/worker_rig.h"

static struct rig rig;

static void expect_answer(uint32_t id, bool want_failed, const char *key, const char *value)
{
    bool failed;
    CLEANUP(json_decrefp) json_t *body = rig_answer(&rig, id, &failed);

    assert_int_equal(failed, want_failed);
    assert_string_equal(json_get_text(body, key), value);
}

/* ---------------------------------------------------------------- requests */

static void answers_out_of_order_find_their_asker(void **state)
{
    uint32_t a, b;
    char *first, *second;

    rig_start(&rig);
    a = rig_ask(&rig, WORKER_QMP, "{\"execute\":\"query-status\"}");
    b = rig_ask(&rig, WORKER_QMP, "{\"execute\":\"query-block\"}");
    first = rig_expect_command(&rig, "query-status");
    second = rig_expect_command(&rig, "query-block");
    assert_string_not_equal(first, second);
    rig_qemu_answers(&rig, second, "\"return\":{\"is\":\"b\"}");
    rig_qemu_answers(&rig, first, "\"return\":{\"is\":\"a\"}");
    expect_answer(b, false, "is", "b");
    expect_answer(a, false, "is", "a");
    free(first);
    free(second);
    rig_clear(&rig);
}

static void qemus_refusal_keeps_its_words(void **state)
{
    uint32_t id;
    char *asked;

    rig_start(&rig);
    id = rig_ask(&rig, WORKER_QMP, "{\"execute\":\"cont\"}");
    asked = rig_expect_command(&rig, "cont");
    rig_qemu_answers(&rig, asked, "\"error\":{\"class\":\"GenericError\",\"desc\":\"not now\"}");
    expect_answer(id, true, "detail", "not now");
    free(asked);
    rig_clear(&rig);
}

static void a_successor_never_gets_its_predecessors_answer(void **state)
{
    struct client newer;
    char *old, *new;
    int sock;
    uint32_t id;
    bool failed;

    rig_start(&rig);
    rig_ask(&rig, WORKER_QMP, "{\"execute\":\"query-status\"}");
    old = rig_expect_command(&rig, "query-status");
    daemon_add(&rig.w, rig_pair(&sock, O_NONBLOCK));
    client_init(&newer, sock, 6);
    client_send(&newer, WORKER_HELLO, "{\"min\":1,\"max\":1}", 17, NULL, 0);
    rig_pump(&rig);
    json_decref(client_answer(&newer, 1, &failed));
    assert_false(failed);
    id = client_send(&newer, WORKER_QMP, "{\"execute\":\"query-status\"}", 26, NULL, 0);
    new = rig_expect_command(&rig, "query-status");
    assert_string_not_equal(old, new);
    rig_qemu_answers(&rig, old, "\"return\":{\"status\":\"old\"}"); /* to nobody */
    rig_qemu_answers(&rig, new, "\"return\":{\"status\":\"new\"}");
    {
        CLEANUP(json_decrefp) json_t *body = client_answer(&newer, id, &failed);
        assert_string_equal(json_get_text(body, "status"), "new");
    }
    free(old);
    free(new);
    close(sock);
    client_clear(&newer);
    rig_clear(&rig);
}

static void descriptors_reach_qemu_with_their_request(void **state)
{
    static const char add[] = "{\"execute\":\"add-fd\",\"arguments\":{\"fdset-id\":1}}";
    int pipes[2], got[4], n_copies;
    unsigned n = 0;
    struct err err = {0};
    char byte;

    rig_start(&rig);
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    client_send(&rig.c, WORKER_QMP, add, sizeof add - 1, pipes, 2);
    close(pipes[0]);
    rig_pump(&rig);
    assert_int_equal(sock_recv(rig.qemu, &byte, 1, got, 4, &n, &err), 1);
    assert_int_equal(byte, '{');
    assert_int_equal(n, 2);
    close(got[1]);
    close(pipes[1]);
    /* No writer is left anywhere: the worker has kept no copy. */
    n_copies = (int)read(got[0], &byte, 1);
    assert_int_equal(n_copies, 0);
    close(got[0]);
    rig_clear(&rig);
}

static void a_qemu_that_does_not_answer_is_not_flooded(void **state)
{
    unsigned sent = 0;
    bool failed = false;

    rig_start(&rig);
    while (!failed && sent < 2 * QMP_MAX_CALLS) {
        uint32_t id = rig_ask(&rig, WORKER_QMP, "{\"execute\":\"query-status\"}");
        struct pollfd p = {.fd = rig.c.sock, .events = POLLIN};
        if (poll(&p, 1, 0) == 1)
            expect_answer(id, failed = true, "code", "busy");
        sent++;
    }
    assert_int_equal(sent, QMP_MAX_CALLS + 1);
    rig_clear(&rig);
}

static void qemus_end_answers_everyone(void **state)
{
    uint32_t a, b;

    rig_start(&rig);
    a = rig_ask(&rig, WORKER_QMP, "{\"execute\":\"cont\"}");
    b = rig_ask(&rig, WORKER_QMP, "{\"execute\":\"stop\"}");
    rig_pump(&rig);
    shutdown(rig.qemu, SHUT_RDWR);
    expect_answer(a, true, "code", "unavailable");
    expect_answer(b, true, "code", "unavailable");
    assert_int_equal(rig_jail_hears(&rig), 0); /* it has some time to end by itself */
    assert_true(ending_tick(&rig.w, clock_mono_ms()) < INT64_MAX);
    rig.w.jail.init_pidfd = dup(rig.w.dir); /* any: QEMU runs, as far as the worker knows */
    ending_tick(&rig.w, INT64_MAX - 1);
    assert_int_equal(rig_jail_hears(&rig), JAIL_KILL);
    close(rig.w.jail.init_pidfd);
    rig_clear(&rig);
}

/* ---------------------------------------------------------------- power-offs */

static const char power_off[] = "{\"event\":\"SHUTDOWN\",\"data\":{\"guest\":true,\"reason\":"
                                "\"guest-shutdown\"},\"timestamp\":{\"seconds\":1,"
                                "\"microseconds\":2}}\r\n{\"event\":\"STOP\"}\r\n";

static void a_power_off_quits_qemu(void **state)
{
    rig_start(&rig);
    rig_qemu_says(&rig, power_off);
    rig_grant(&rig, "query-status");
    rig_grant(&rig, "quit");
    client_await_event(&rig.c, "SHUTDOWN");
    assert_true(ending_tick(&rig.w, clock_mono_ms()) < INT64_MAX); /* and not for ever */
    rig_clear(&rig);
}

static void a_held_power_off_waits_for_the_job(void **state)
{
    CLEANUP(json_decrefp) json_t *heard = NULL;

    rig_start(&rig);
    rig_ask(&rig, WORKER_HOLD, "{\"on\":true}");
    rig_qemu_says(&rig, power_off);
    rig_grant(&rig, "query-status"); /* after SHUTDOWN */
    rig_grant(&rig, "query-status"); /* after STOP */
    heard = rig_qemu_hears(&rig);
    assert_null(heard);
    assert_string_equal(rig.w.status, "shutdown");
    rig_ask(&rig, WORKER_HOLD, "{\"on\":false}");
    rig_grant(&rig, "quit");
    rig_clear(&rig);
}

static void a_panic_stays_to_be_looked_at(void **state)
{
    CLEANUP(json_decrefp) json_t *heard = NULL;

    rig_start(&rig);
    rig_qemu_says(&rig, "{\"event\":\"GUEST_PANICKED\",\"data\":{\"action\":\"pause\"}}\r\n");
    rig_grant(&rig, "query-status");
    heard = rig_qemu_hears(&rig);
    assert_null(heard);
    assert_true(rig.w.policy.panicked);
    rig_clear(&rig);
}

/* ---------------------------------------------------------------- a QEMU gone mad */

static void expect_killed_after(const char *text)
{
    rig_start(&rig);
    rig.w.jail.init_pidfd = dup(rig.w.dir);
    rig_qemu_says(&rig, text);
    assert_int_equal(rig.w.qmp.sock, -1);
    assert_int_equal(rig_jail_hears(&rig), JAIL_KILL);
    close(rig.w.jail.init_pidfd);
    rig_clear(&rig);
}

static void lines_that_are_not_qmp_end_the_vm(void **state)
{
    expect_killed_after("hello\n");
    expect_killed_after("[]\n");
    expect_killed_after("{\"event\":\"STOP\",\"event\":\"STOP\"}\n");
    expect_killed_after("\n");
}

static void a_line_without_end_ends_the_vm(void **state)
{
    char *piece = mem_alloc(1 << 16);
    size_t sent = 0;

    rig_start(&rig);
    rig.w.jail.init_pidfd = dup(rig.w.dir);
    memset(piece, ' ', 1 << 16);
    while (rig.w.qmp.sock >= 0 && sent <= QMP_MAX_LINE + (1u << 20)) {
        ssize_t n = send(rig.qemu, piece, 1 << 16, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        rig_pump(&rig);
    }
    assert_in_range(sent, QMP_MAX_LINE, QMP_MAX_LINE + (1u << 20));
    assert_int_equal(rig_jail_hears(&rig), JAIL_KILL);
    free(piece);
    close(rig.w.jail.init_pidfd);
    rig_clear(&rig);
}

static void answers_nobody_asked_for_are_dropped(void **state)
{
    rig_start(&rig);
    rig_qemu_says(&rig, "{\"return\":{}}\n{\"return\":{},\"id\":\"w5.999\"}\n{\"id\":7}\n{}\n"
                        "{\"QMP\":{}}\n{\"return\":{},\"id\":\"w0.0\"}\n");
    assert_true(rig.w.qmp.sock >= 0);
    rig_clear(&rig);
}

static void large_events_are_cut_and_old_ones_dropped(void **state)
{
    char text[10000];
    const json_t *event;

    rig_start(&rig);
    snprintf(text, sizeof text, "{\"event\":\"BIG\",\"data\":{\"x\":\"%08000d\"}}\n", 1);
    rig_qemu_says(&rig, text);
    event = client_await_event(&rig.c, "BIG");
    assert_true(json_get_bool(event, "truncated", false));
    for (unsigned i = 0; i < WORKER_EVENTS + 10; i++)
        rig_qemu_says(&rig, "{\"event\":\"NIC_RX_FILTER_CHANGED\"}\n");
    assert_int_equal(rig.w.events.last, WORKER_EVENTS + 11);
    json_array_clear(rig.c.events);
    events_replay(&rig.w, 0);
    while (json_array_size(rig.c.events) < 2 * WORKER_EVENTS + 10) { /* as they came, then again */
        client_wait(&rig.c);
        rig_pump(&rig);
    }
    event = json_array_get(rig.c.events, WORKER_EVENTS + 10);
    assert_int_equal(json_get_u64(event, "seq", 0), 12); /* the oldest that is kept */
    rig_clear(&rig);
}

static void qemu_cannot_speak_in_the_workers_name(void **state)
{
    rig_start(&rig);
    rig_qemu_says(&rig, "{\"event\":\"WORKER_EXITED\",\"data\":{\"cause\":\"guest-shutdown\"}}\n"
                        "{\"event\":\"WORKER_PIVOTED\",\"data\":{\"outcome\":\"committed\"}}\n"
                        "{\"event\":\"WORKER_LOG_FAILED\"}\n{\"event\":\"HONEST\"}\n");
    client_await_event(&rig.c, "HONEST");
    assert_int_equal(json_array_size(rig.c.events), 1);
    assert_int_equal(rig.w.events.last, 1);
    rig_clear(&rig);
}

/* Sends the text as often as QEMU is listened to, but not more than 'most' times. */
static unsigned say_often(const char *text, unsigned most)
{
    unsigned n = 0;

    while (n < most && (qmp_wants(&rig.w) & POLLIN)) {
        assert_true(send(rig.qemu, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL) > 0);
        rig_pump(&rig);
        n++;
    }
    return n;
}

/* Each is a record in main's database. */
static void a_flood_of_states_has_to_wait(void **state)
{
    unsigned said;

    rig_start(&rig);
    said = say_often("{\"event\":\"RESUME\"}\n{\"event\":\"STOP\"}\n", 10 * FLOOD_STATES);
    assert_in_range(said, FLOOD_STATES / 2, FLOOD_STATES);
    assert_in_range(rig.w.events.last, 2 * said - 1, 2 * said); /* none was lost */
    assert_true(rig.w.qmp.sock >= 0);
    assert_true(rig.w.flood.deaf_until_ms > 0);
    assert_true(qmp_tick(&rig.w, rig.w.flood.deaf_until_ms - 1) == rig.w.flood.deaf_until_ms);
    rig.w.flood.deaf_until_ms = 0; /* the time is over */
    assert_true(say_often("{\"event\":\"STOP\"}\n", 1) == 1);
    rig_clear(&rig);
}

/* As many as fit into what is read at once must not come through with the last that is free. */
static void a_flood_in_large_pieces_has_to_wait_as_well(void **state)
{
    static const char line[] = "{\"event\":\"RESUME\"}\n{\"event\":\"STOP\"}\n";
    struct strbuf text = {0};
    int64_t began, took;
    unsigned lines = 0;

    for (; text.len < 16384; lines += 2)
        strbuf_add(&text, line, sizeof line - 1);
    rig_start(&rig);
    began = clock_mono_ms();
    rig_qemu_says(&rig, text.data);
    took = clock_mono_ms() - began;
    assert_in_range(rig.w.events.last, FLOOD_STATES,
                    FLOOD_STATES + FLOOD_PIECE / FLOOD_STATE_BYTES +
                        FLOOD_STATES_PER_S * took / 1000 + 1);
    assert_true(rig.w.events.last < lines);
    assert_true(rig.w.flood.deaf_until_ms > 0);
    rig_clear(&rig);
    strbuf_clear(&text);
}

/* Whatever QEMU says at once, in an hour there are no more than the bound. */
static void what_was_too_much_is_paid_for(void **state)
{
    struct flood f = {0};
    unsigned taken = 0;

    for (int64_t now = 1000; now < 3601000; now += 10) {
        size_t at_once = flood_piece(&f, now) / FLOOD_STATE_BYTES;
        if (flood_is_deaf(&f, now))
            continue;
        for (size_t i = 0; i < at_once; i++)
            taken += flood_takes(&f, true, now);
    }
    assert_in_range(taken, FLOOD_STATES_PER_S * 3500,
                    FLOOD_STATES + FLOOD_STATES_PER_S * 3600 + 100);
    assert_false(flood_is_deaf(&f, 3601000 + 10000));
    (void)flood_piece(&f, 3601000 + 600000); /* after a while all is as it was */
    assert_int_equal(f.states.left, FLOOD_STATES);
}

static void a_flood_of_anything_else_is_dropped(void **state)
{
    unsigned said = 0;

    rig_start(&rig);
    while (rig.w.events.last == said && said < 10 * FLOOD_NOTES)
        said += say_often("{\"event\":\"RESET\"}\n", 1);
    assert_in_range(said, FLOOD_NOTES, 10 * FLOOD_NOTES - 1); /* a slow host gets some more */
    assert_true(rig.w.qmp.sock >= 0);
    rig_qemu_says(&rig, power_off); /* what counts comes through */
    assert_string_equal(rig.w.status, "shutdown");
    rig_clear(&rig);
}

/* It tells of each request that found its pool full, and of all of them again when it goes on. */
static void a_guest_whose_disk_is_full_is_heard(void **state)
{
    static const char line[] = "{\"event\":\"BLOCK_IO_ERROR\",\"data\":{\"device\":\"d\","
                               "\"nospace\":true,\"action\":\"stop\"}}\n";

    rig_start(&rig);
    for (unsigned tries = 0; tries < 2; tries++) {
        rig_qemu_says(&rig, "{\"event\":\"RESUME\"}\n");
        assert_int_equal(say_often(line, 2 * FLOOD_STATES), 2 * FLOOD_STATES);
        rig_qemu_says(&rig, "{\"event\":\"STOP\"}\n");
        assert_int_equal(rig.w.flood.deaf_until_ms, 0);
    }
    assert_int_equal(rig.w.events.last, 2 * (2 * FLOOD_STATES + 2)); /* these few came through */
    rig_clear(&rig);
}

/* A power-off may be told behind more than is read at once. */
static void the_last_of_many_last_words_counts(void **state)
{
    static const char line[] = "{\"event\":\"RTC_CHANGE\",\"data\":{\"offset\":1}}\n";
    struct strbuf text = {0};

    rig_start(&rig);
    while (text.len < 32768)
        strbuf_add(&text, line, sizeof line - 1);
    strbuf_add(&text, power_off, sizeof power_off - 1);
    assert_int_equal(send(rig.qemu, text.data, text.len, MSG_DONTWAIT | MSG_NOSIGNAL),
                     (ssize_t)text.len);
    shutdown(rig.qemu, SHUT_RDWR);
    ending_init_gone(&rig.w);
    assert_string_equal(policy_cause_slug(policy_cause(&rig.w.policy, 0)), "guest-shutdown");
    rig_clear(&rig);
    strbuf_clear(&text);
}

/* Distrust forces the end that is under way. */
static void last_words_that_are_not_qmp_end_it_once(void **state)
{
    uint64_t told;

    rig_start(&rig);
    told = rig.w.events.last;
    rig.w.ending.jail_closed = true;
    assert_int_equal(send(rig.qemu, "no\n", 3, MSG_DONTWAIT | MSG_NOSIGNAL), 3);
    ending_init_gone(&rig.w);
    assert_int_equal(rig.w.events.last, told + 1);
    rig_clear(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_out_of_order_find_their_asker),
        cmocka_unit_test(qemus_refusal_keeps_its_words),
        cmocka_unit_test(a_successor_never_gets_its_predecessors_answer),
        cmocka_unit_test(descriptors_reach_qemu_with_their_request),
        cmocka_unit_test(a_qemu_that_does_not_answer_is_not_flooded),
        cmocka_unit_test(qemus_end_answers_everyone),
        cmocka_unit_test(a_power_off_quits_qemu),
        cmocka_unit_test(a_held_power_off_waits_for_the_job),
        cmocka_unit_test(a_panic_stays_to_be_looked_at),
        cmocka_unit_test(lines_that_are_not_qmp_end_the_vm),
        cmocka_unit_test(a_line_without_end_ends_the_vm),
        cmocka_unit_test(answers_nobody_asked_for_are_dropped),
        cmocka_unit_test(large_events_are_cut_and_old_ones_dropped),
        cmocka_unit_test(qemu_cannot_speak_in_the_workers_name),
        cmocka_unit_test(a_flood_of_states_has_to_wait),
        cmocka_unit_test(a_flood_in_large_pieces_has_to_wait_as_well),
        cmocka_unit_test(what_was_too_much_is_paid_for),
        cmocka_unit_test(a_flood_of_anything_else_is_dropped),
        cmocka_unit_test(a_guest_whose_disk_is_full_is_heard),
        cmocka_unit_test(the_last_of_many_last_words_counts),
        cmocka_unit_test(last_words_that_are_not_qmp_end_it_once),
    };

    return cmocka_run_group_tests_name("worker/qmp", tests, NULL, NULL);
}
