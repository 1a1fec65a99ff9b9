/* Conversations: silent, slow, late and out-of-order daemons cost a conversation, never the
 * guest's. */
#include "tests/lib/harness.h"

#include "tests/unit/worker_rig.h"

static struct rig rig;

static unsigned open_convs(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < CONV_MAX; i++)
        n += rig.w.daemon.convs[i].sock >= 0;
    return n;
}

static bool is_closed(int sock)
{
    char byte;

    return recv(sock, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
}

static void who_says_nothing_is_closed_in_time(void **state)
{
    int64_t now = clock_mono_ms(), deadline;

    rig_init(&rig);
    deadline = daemon_sweep(&rig.w, now);
    assert_in_range(deadline, now, now + 10000);
    assert_int_equal(open_convs(), 1);
    daemon_sweep(&rig.w, deadline);
    assert_int_equal(open_convs(), 0);
    assert_true(is_closed(rig.c.sock));
    rig_clear(&rig);
}

static void who_said_hello_may_be_silent_for_ever(void **state)
{
    rig_init(&rig);
    rig_hello(&rig);
    assert_true(daemon_sweep(&rig.w, INT64_MAX - 1) == INT64_MAX);
    assert_int_equal(open_convs(), 1);
    rig_clear(&rig);
}

static void strangers_cannot_crowd_the_daemon_out(void **state)
{
    int others[3 * CONV_MAX];
    uint32_t id;
    bool failed;

    rig_init(&rig);
    rig_hello(&rig);
    for (unsigned i = 0; i < ARRAY_LEN(others); i++)
        daemon_add(&rig.w, rig_pair(&others[i], O_NONBLOCK));
    assert_int_equal(open_convs(), CONV_MAX);
    assert_true(is_closed(others[0]));
    assert_false(is_closed(others[ARRAY_LEN(others) - 1]));
    id = rig_ask(&rig, WORKER_HOLD, "{\"on\":true}");
    json_decref(rig_answer(&rig, id, &failed));
    assert_false(failed);
    for (unsigned i = 0; i < ARRAY_LEN(others); i++)
        close(others[i]);
    rig_clear(&rig);
}

static void who_does_not_read_is_cut_off(void **state)
{
    char *text = mem_alloc(1 << 20);
    unsigned sent = 0;

    rig_init(&rig);
    rig_hello(&rig);
    while (open_convs() && sent < 64) {
        daemon_notify(&rig.w, WORKER_EVENT, text, 1 << 20);
        daemon_sweep(&rig.w, clock_mono_ms());
        sent++;
    }
    assert_in_range(sent, 8, 32); /* MiB: bounded, and more than any burst of answers */
    assert_int_equal(rig.w.daemon.current, 0);
    daemon_notify(&rig.w, WORKER_EVENT, text, 10); /* to nobody */
    free(text);
    rig_clear(&rig);
}

static void hello_comes_first_and_once(void **state)
{
    rig_init(&rig);
    rig_ask(&rig, WORKER_HOLD, "{\"on\":true}");
    assert_int_equal(open_convs(), 0);
    assert_false(rig.w.policy.held);
    rig_clear(&rig);

    rig_init(&rig);
    rig_hello(&rig);
    rig_ask(&rig, WORKER_HELLO, "{\"min\":1,\"max\":1}");
    assert_int_equal(open_convs(), 0);
    rig_clear(&rig);
}

static void a_version_we_do_not_speak_is_refused_with_words(void **state)
{
    static const char *const wrong[] = {"{\"min\":2,\"max\":3}",     "{}",
                                        "{\"min\":0,\"max\":0}",     "[]",
                                        "{\"min\":\"1\",\"max\":1}", "nonsense"};

    for (unsigned i = 0; i < ARRAY_LEN(wrong); i++) {
        bool failed;
        uint32_t id;
        rig_init(&rig);
        id = rig_ask(&rig, WORKER_HELLO, wrong[i]);
        json_decref(rig_answer(&rig, id, &failed));
        assert_true(failed);
        client_await_end(&rig.c);
        assert_int_equal(rig.w.daemon.epoch, 0); /* nothing was fenced off by it */
        rig_clear(&rig);
    }
}

static void epoch_zero_is_nobodys(void **state)
{
    rig_init(&rig);
    rig.c.epoch = 0;
    rig_ask(&rig, WORKER_HELLO, "{\"min\":1,\"max\":1}");
    assert_int_equal(open_convs(), 0);
    rig_clear(&rig);
}

static void a_large_frame_needs_a_hello_first(void **state)
{
    char *text = mem_alloc(100000);

    rig_init(&rig);
    memset(text, ' ', 100000);
    client_send(&rig.c, WORKER_HELLO, text, 100000, NULL, 0);
    rig_pump(&rig);
    assert_int_equal(open_convs(), 0);
    free(text);
    rig_clear(&rig);
}

static void unasked_descriptors_are_refused_and_closed(void **state)
{
    int pipes[2];
    bool failed;
    uint32_t id;
    char byte;

    rig_init(&rig);
    rig_hello(&rig);
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    id = client_send(&rig.c, WORKER_HOLD, "{\"on\":true}", 11, &pipes[1], 1);
    json_decref(rig_answer(&rig, id, &failed));
    assert_true(failed);
    assert_false(rig.w.policy.held);
    close(pipes[1]);
    assert_int_equal(read(pipes[0], &byte, 1), 0); /* the worker holds no copy */
    close(pipes[0]);
    rig_clear(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_says_nothing_is_closed_in_time),
        cmocka_unit_test(who_said_hello_may_be_silent_for_ever),
        cmocka_unit_test(strangers_cannot_crowd_the_daemon_out),
        cmocka_unit_test(who_does_not_read_is_cut_off),
        cmocka_unit_test(hello_comes_first_and_once),
        cmocka_unit_test(a_version_we_do_not_speak_is_refused_with_words),
        cmocka_unit_test(epoch_zero_is_nobodys),
        cmocka_unit_test(a_large_frame_needs_a_hello_first),
        cmocka_unit_test(unasked_descriptors_are_refused_and_closed),
    };

    return cmocka_run_group_tests_name("worker/daemon", tests, NULL, NULL);
}
