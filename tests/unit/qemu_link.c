/* A conversation with a worker: many callers, replies in any order, a peer that goes away. */
#include "tests/unit/qemu_peer.h"

#include "backends/qemu/link.h"

#include <poll.h>

#define CALLERS 8
#define ROUNDS  25

/* ---- a sink that notes ---- */

static struct {
    struct lock lock;
    struct cond more;
    uint64_t seqs[64];
    unsigned n;
    uint64_t serial_end;
    bool gone;
} noted;

static void note_event(void *ctx, uint64_t seq, const json_t *event)
{
    lock_take(&noted.lock);
    noted.seqs[noted.n++] = seq;
    cond_wake_all(&noted.more);
    lock_drop(&noted.lock);
}

static void note_serial(void *ctx, unsigned port, uint64_t end_bytes)
{
    lock_take(&noted.lock);
    noted.serial_end = end_bytes;
    cond_wake_all(&noted.more);
    lock_drop(&noted.lock);
}

static void note_gone(void *ctx)
{
    lock_take(&noted.lock);
    noted.gone = true;
    cond_wake_all(&noted.more);
    lock_drop(&noted.lock);
}

static const struct link_sink sink = {note_event, note_serial, note_gone, NULL};

static void wait_gone(void)
{
    int64_t deadline_ms = clock_mono_ms() + WAIT_MS;

    lock_take(&noted.lock);
    while (!noted.gone && cond_wait_until(&noted.more, &noted.lock, deadline_ms))
        ;
    assert_true(noted.gone);
    lock_drop(&noted.lock);
}

/* ---- a pair: the link, and the bare other end ---- */

static struct {
    struct link *link;
    int far;
    struct frame_reader reader;
} pair;

static int pair_up(void **state)
{
    struct err err = {0};
    int ends[2];

    memset(&noted, 0, sizeof noted);
    lock_init(&noted.lock);
    cond_init(&noted.more);
    assert_true(sock_pair(SOCK_STREAM, ends, &err));
    pair.link = link_new(ends[0], 3);
    pair.far = ends[1];
    pair.reader = (struct frame_reader){.sock = ends[1]};
    return 0;
}

static int pair_down(void **state)
{
    link_free(pair.link);
    close(pair.far);
    frame_reader_clear(&pair.reader);
    return 0;
}

static void far_send(int type, uint32_t id, const void *data, size_t len)
{
    struct frame_header head = {.length = (uint32_t)len, .type = (uint16_t)type, .id = id};
    struct err err = {0};

    assert_true(frame_send(pair.far, &head, data, NULL, &err));
}

static void far_event(uint64_t seq)
{
    CLEANUP(mem_freep)
    char *text = str_format("{\"seq\":%llu,\"event\":\"X\"}", (unsigned long long)seq);

    far_send(WORKER_EVENT, 0, text, strlen(text));
}

static struct frame_header far_read(char *payload, size_t cap)
{
    struct frame frame;
    struct err err = {0};

    if (!frame_read(&pair.reader, &frame, &err))
        fail_msg("%s", err.detail);
    str_copy(payload, cap, frame.payload);
    return frame.head;
}

/* ---- many callers ---- */

struct caller {
    pthread_t thread;
    unsigned number, right;
};

static void *ask(void *arg)
{
    struct caller *c = arg;

    for (unsigned i = 0; i < ROUNDS; i++) {
        CLEANUP(mem_freep) char *question = str_format("{\"n\":%u}", c->number * 1000 + i);
        CLEANUP(json_decrefp) json_t *reply = NULL;
        struct err err = {0};
        if (link_call(pair.link, WORKER_QMP, question, strlen(question), NULL, 0, WAIT_MS, &reply,
                      &err) &&
            json_get_u64(reply, "n", 0) == c->number * 1000 + i)
            c->right++;
    }
    return NULL;
}

/* Collects one question of each caller, answers them from the last to the first. */
static void answer_backwards(void)
{
    struct frame_header heads[CALLERS];
    char questions[CALLERS][64];

    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < CALLERS; i++)
            heads[i] = far_read(questions[i], sizeof questions[i]);
        for (unsigned i = CALLERS; i-- > 0;)
            far_send(WORKER_OK, heads[i].id, questions[i], strlen(questions[i]));
    }
}

static void replies_out_of_order_reach_their_callers(void **state)
{
    struct caller callers[CALLERS] = {0};
    struct err err = {0};

    assert_true(link_watch(pair.link, &sink, &err));
    for (unsigned i = 0; i < CALLERS; i++) {
        callers[i].number = i + 1;
        assert_true(thread_start(&callers[i].thread, "caller", ask, &callers[i], &err));
    }
    answer_backwards();
    for (unsigned i = 0; i < CALLERS; i++) {
        pthread_join(callers[i].thread, NULL);
        assert_int_equal(callers[i].right, ROUNDS);
    }
}

struct doomed {
    pthread_t thread;
    struct err err;
    bool ok;
};

static void *ask_in_vain(void *arg)
{
    struct doomed *d = arg;

    d->ok = link_call(pair.link, WORKER_QMP, "{}", 2, NULL, 0, 60000, NULL, &d->err);
    return NULL;
}

static void a_hang_up_fails_every_pending_call(void **state)
{
    struct doomed doomed[CALLERS] = {0};
    struct err err = {0};
    char text[16];

    assert_true(link_watch(pair.link, &sink, &err));
    for (unsigned i = 0; i < CALLERS; i++)
        assert_true(thread_start(&doomed[i].thread, "doomed", ask_in_vain, &doomed[i], &err));
    for (unsigned i = 0; i < CALLERS; i++)
        far_read(text, sizeof text);
    shutdown(pair.far, SHUT_RDWR);
    for (unsigned i = 0; i < CALLERS; i++) {
        pthread_join(doomed[i].thread, NULL);
        assert_false(doomed[i].ok);
        assert_int_equal(doomed[i].err.code, ERR_UNAVAILABLE);
    }
    wait_gone();
    assert_false(link_call(pair.link, WORKER_QMP, "{}", 2, NULL, 0, 60000, NULL, &err));
    assert_int_equal(err.code, ERR_UNAVAILABLE);
}

static void a_broken_frame_ends_the_conversation(void **state)
{
    const struct frame_header wild = {.length = FRAME_MAX_PAYLOAD + 1, .type = WORKER_OK};
    struct err err = {0};

    assert_true(link_watch(pair.link, &sink, &err));
    assert_int_equal(write(pair.far, &wild, sizeof wild), sizeof wild);
    wait_gone();
}

/* ---- deadlines ---- */

static void a_late_reply_is_dropped_and_disturbs_nobody(void **state)
{
    struct frame_header first;
    struct caller caller = {.number = 5};
    struct err err = {0};
    char text[64];

    assert_true(link_watch(pair.link, &sink, &err));
    assert_false(link_call(pair.link, WORKER_QMP, "{}", 2, NULL, 0, 20, NULL, &err));
    assert_int_equal(err.code, ERR_TIMEOUT);
    first = far_read(text, sizeof text);
    assert_int_equal(first.epoch, 3);
    assert_true(thread_start(&caller.thread, "caller", ask, &caller, &err));
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct frame_header head = far_read(text, sizeof text);
        far_send(WORKER_OK, first.id, "{\"n\":0}", 7);
        far_send(WORKER_OK, head.id, text, strlen(text));
    }
    pthread_join(caller.thread, NULL);
    assert_int_equal(caller.right, ROUNDS);
}

static void without_a_watcher_a_silent_worker_times_out_too(void **state)
{
    struct err err = {0};

    assert_false(link_call(pair.link, WORKER_HELLO, "{}", 2, NULL, 0, 20, NULL, &err));
    assert_int_equal(err.code, ERR_TIMEOUT);
}

static void a_workers_refusal_keeps_its_code_and_words(void **state)
{
    struct peer peer = {.refuse = WORKER_QMP};
    struct link *link = link_new(peer_start(&peer), 1);
    struct err err = {0};

    assert_false(link_qmp(link, "cont", NULL, NULL, 0, WAIT_MS, NULL, &err));
    assert_int_equal(err.code, ERR_HYPERVISOR);
    assert_string_equal(err.detail, "qemu: no such thing");
    link_free(link);
    peer_stop(&peer);
}

static void a_reply_that_is_not_json_is_the_workers_fault(void **state)
{
    struct doomed doomed = {0};
    struct err err = {0};
    char text[16];

    assert_true(link_watch(pair.link, &sink, &err));
    assert_true(thread_start(&doomed.thread, "doomed", ask_in_vain, &doomed, &err));
    far_send(WORKER_OK, far_read(text, sizeof text).id, "{{{", 3);
    pthread_join(doomed.thread, NULL);
    assert_false(doomed.ok);
    assert_int_equal(doomed.err.code, ERR_HYPERVISOR);
}

struct asked {
    pthread_t thread;
    struct err err;
    json_t *reply; /* NULL: it failed */
};

static void *ask_for_a_property(void *arg)
{
    struct asked *a = arg;

    if (!link_qmp(pair.link, "qom-get", NULL, NULL, 0, WAIT_MS, &a->reply, &a->err))
        a->reply = NULL;
    return NULL;
}

/* What the worker passes on as QEMU's answer; the caller's. */
static json_t *reply_to(const char *text)
{
    struct asked asked = {0};
    struct err err = {0};
    char request[64];

    assert_true(thread_start(&asked.thread, "asked", ask_for_a_property, &asked, &err));
    far_send(WORKER_OK, far_read(request, sizeof request).id, text, strlen(text));
    pthread_join(asked.thread, NULL);
    return asked.reply;
}

static void a_property_is_a_bare_value(void **state)
{
    static const char *const none[] = {"", "1,2", "1] [2", "]", "tru", "\"a"};
    CLEANUP(json_decrefp) json_t *text = NULL;
    CLEANUP(json_decrefp) json_t *number = NULL;
    CLEANUP(json_decrefp) json_t *object = NULL;
    struct err err = {0};

    assert_true(link_watch(pair.link, &sink, &err));
    text = reply_to("\"pc-q35-7.2-machine\"");
    assert_string_equal(json_string_value(text), "pc-q35-7.2-machine");
    number = reply_to("-17");
    assert_int_equal(json_integer_value(number), -17);
    object = reply_to("{\"a\":[1]}");
    assert_int_equal(json_object_size(object), 1);
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        assert_null(reply_to(none[i]));
}

/* ---- events ---- */

static void assert_seqs(const uint64_t *should, unsigned n)
{
    int64_t deadline_ms = clock_mono_ms() + WAIT_MS;

    lock_take(&noted.lock);
    while (noted.n < n && cond_wait_until(&noted.more, &noted.lock, deadline_ms))
        ;
    assert_int_equal(noted.n, n);
    assert_memory_equal(noted.seqs, should, n * sizeof *should);
    lock_drop(&noted.lock);
}

static void early_events_come_first_and_doubles_are_dropped(void **state)
{
    const uint64_t should[] = {1, 2, 3, 4};
    struct err err = {0};
    struct doomed answered = {0};
    char text[16];

    far_event(1);
    far_event(2);
    assert_true(thread_start(&answered.thread, "caller", ask_in_vain, &answered, &err));
    far_send(WORKER_OK, far_read(text, sizeof text).id, "{}", 2);
    pthread_join(answered.thread, NULL);
    assert_true(answered.ok);
    far_event(2);
    far_event(3);
    assert_true(link_watch(pair.link, &sink, &err));
    far_event(1);
    far_event(4);
    assert_seqs(should, 4);
}

static void hello_asks_for_what_was_not_seen(void **state)
{
    struct peer peer = {.hello = "{\"version\":1,\"phase\":\"ready\",\"events\":9}",
                        .replay_from = 5,
                        .replay_to = 9};
    const uint64_t seen = 6, should[] = {7, 8, 9};
    struct link *link = link_new(peer_start(&peer), 1);
    CLEANUP(json_decrefp) json_t *reply = NULL;
    struct err err = {0};

    reply = link_hello(link, &seen, WAIT_MS, &err);
    assert_non_null(reply);
    assert_int_equal(json_get_u64(peer.heard, "events_after", 0), 6);
    assert_true(link_watch(link, &sink, &err));
    assert_seqs(should, 3);
    link_free(link);
    peer_stop(&peer);
}

static void a_newcomer_gets_only_what_happens_from_now_on(void **state)
{
    struct peer peer = {.hello = "{\"version\":1,\"phase\":\"ready\",\"events\":9}",
                        .replay_from = 8,
                        .replay_to = 10};
    const uint64_t should[] = {10};
    struct link *link = link_new(peer_start(&peer), 1);
    CLEANUP(json_decrefp) json_t *reply = NULL;
    struct err err = {0};

    reply = link_hello(link, NULL, WAIT_MS, &err);
    assert_non_null(reply);
    assert_true(link_watch(link, &sink, &err));
    assert_seqs(should, 1);
    link_free(link);
    peer_stop(&peer);
}

static void a_worker_of_another_version_is_not_spoken_to(void **state)
{
    struct peer peer = {.hello = "{\"version\":2,\"phase\":\"ready\",\"events\":0}"};
    struct link *link = link_new(peer_start(&peer), 1);
    struct err err = {0};

    assert_null(link_hello(link, NULL, WAIT_MS, &err));
    assert_int_equal(err.code, ERR_UNAVAILABLE);
    link_free(link);
    peer_stop(&peer);
}

static void the_logs_growth_is_told(void **state)
{
    const uint64_t end = 12345;
    int64_t deadline_ms = clock_mono_ms() + WAIT_MS;
    struct err err = {0};

    assert_true(link_watch(pair.link, &sink, &err));
    far_send(WORKER_SERIAL, 0, &end, 3); /* cut short: ignored */
    far_send(WORKER_SERIAL, 0, &end, sizeof end);
    lock_take(&noted.lock);
    while (!noted.serial_end && cond_wait_until(&noted.more, &noted.lock, deadline_ms))
        ;
    assert_int_equal(noted.serial_end, end);
    lock_drop(&noted.lock);
}

#define LINK_TEST(f) cmocka_unit_test_setup_teardown(f, pair_up, pair_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LINK_TEST(replies_out_of_order_reach_their_callers),
        LINK_TEST(a_hang_up_fails_every_pending_call),
        LINK_TEST(a_broken_frame_ends_the_conversation),
        LINK_TEST(a_late_reply_is_dropped_and_disturbs_nobody),
        LINK_TEST(without_a_watcher_a_silent_worker_times_out_too),
        LINK_TEST(a_workers_refusal_keeps_its_code_and_words),
        LINK_TEST(a_reply_that_is_not_json_is_the_workers_fault),
        LINK_TEST(a_property_is_a_bare_value),
        LINK_TEST(early_events_come_first_and_doubles_are_dropped),
        LINK_TEST(hello_asks_for_what_was_not_seen),
        LINK_TEST(a_newcomer_gets_only_what_happens_from_now_on),
        LINK_TEST(a_worker_of_another_version_is_not_spoken_to),
        LINK_TEST(the_logs_growth_is_told),
    };

    return cmocka_run_group_tests_name("qemu/link", tests, NULL, NULL);
}
