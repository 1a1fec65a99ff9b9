/* vmmd-worker and vmmd-jail with a real QEMU under TCG. Needs root and qemu-system-x86_64. What the
 * jail shuts in is looked at in worker_jail.c. */
#include "tests/lib/harness.h"

#include "core/base/str.h"
#include "tests/lib/worker_client.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void expect_gone(int pidfd, int within_ms)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};

    if (poll(&p, 1, within_ms) != 1)
        fail_msg("a process still lives after %d ms", within_ms);
    close(pidfd);
}

static void expect_exit_event(struct guest *g, const char *cause)
{
    const json_t *record = json_object_get(client_await_event(&g->c, "WORKER_EXITED"), "data");

    assert_string_equal(json_get_text(record, "cause"), cause);
}

/* ---------------------------------------------------------------- a guest's life */

static void a_guest_boots_and_echoes(void **state)
{
    struct guest g;
    json_t *status;
    char *text;

    guest_init(&g, false);
    guest_launch(&g, NULL);
    status = client_qmp(&g.c, "query-status");
    assert_string_equal(json_get_text(status, "status"), "prelaunch");
    json_decref(status);
    json_decref(client_qmp(&g.c, "cont"));
    guest_await_serial(&g, "BOOT\n");
    guest_type(&g, "ping, pong.");
    guest_await_serial(&g, "BOOT\nping, pong.");
    text = guest_serial(&g);
    while (g.c.serial_end < strlen(text)) /* the daemon is told how far the log goes */
        client_wait(&g.c);
    free(text);
    guest_clear(&g);
}

static void a_guests_power_off_ends_the_vm(void **state)
{
    struct guest g;
    int qemu;

    guest_boot(&g, false);
    qemu = pidfd_open(g.qemu, 0);
    client_send(&g.c, WORKER_INPUT, "q", 1, NULL, 0);
    client_await_event(&g.c, "SHUTDOWN");
    expect_exit_event(&g, "guest-shutdown");
    expect_gone(qemu, 0); /* the record is published when QEMU is gone, not before */
    guest_expect_clean_end(&g);
    guest_expect_record(&g, "guest-shutdown", 0);
    guest_clear(&g);
}

static void a_held_guest_stays_after_its_power_off(void **state)
{
    struct guest g;
    json_t *status;

    guest_boot(&g, false);
    client_tell(&g.c, WORKER_HOLD, "{\"on\":true}");
    guest_type(&g, "q");
    client_await_event(&g.c, "SHUTDOWN");
    client_await_event(&g.c, "STOP");
    status = client_qmp(&g.c, "query-status");
    assert_string_equal(json_get_text(status, "status"), "shutdown");
    json_decref(status);
    client_send(&g.c, WORKER_HOLD, "{\"on\":false}", 12, NULL, 0);
    expect_exit_event(&g, "guest-shutdown");
    guest_expect_clean_end(&g);
    guest_clear(&g);
}

static void a_reset_boots_again(void **state)
{
    struct guest g;

    guest_boot(&g, false);
    guest_type(&g, "r");
    client_await_event(&g.c, "RESET");
    guest_await_serial(&g, "BOOT\nBOOT\n");
    guest_clear(&g);
}

static void a_paused_guest_is_silent_until_it_goes_on(void **state)
{
    struct guest g;
    char *before, *after;

    guest_boot(&g, false);
    json_decref(client_qmp(&g.c, "stop"));
    client_await_event(&g.c, "STOP");
    before = guest_serial(&g);
    guest_type(&g, "typed while it is paused");
    json_decref(client_qmp(&g.c, "query-status"));
    after = guest_serial(&g);
    assert_string_equal(before, after);
    json_decref(client_qmp(&g.c, "cont"));
    guest_await_serial(&g, "typed w"); /* then comes 'h', which halts it */
    free(before);
    free(after);
    guest_clear(&g);
}

static void a_guest_that_does_not_read_gets_no_more_input(void **state)
{
    struct guest g;
    char *big = calloc(1, 65536);
    unsigned taken = 0;
    bool failed = false;

    guest_boot(&g, false);
    guest_type(&g, "h");
    memset(big, 'x', 65536);
    while (!failed && taken < 64) {
        uint32_t id = client_send(&g.c, WORKER_INPUT, big, 65536, NULL, 0);
        json_t *body = client_answer(&g.c, id, &failed);
        if (failed)
            assert_string_equal(json_get_text(body, "code"), "busy");
        taken += !failed;
        json_decref(body);
    }
    assert_true(failed);
    assert_in_range(taken, 1, 10);
    json_decref(client_qmp(&g.c, "query-status")); /* and nothing else suffers */
    free(big);
    guest_clear(&g);
}

/* ---------------------------------------------------------------- ways to end */

static void kill_answers_when_qemu_is_gone(void **state)
{
    struct guest g;
    int qemu;

    guest_boot(&g, false);
    qemu = pidfd_open(g.qemu, 0);
    client_tell(&g.c, WORKER_KILL, "{}");
    expect_gone(qemu, 0);
    guest_expect_clean_end(&g);
    guest_expect_record(&g, "killed", 0); /* it quit: what it held is written */
    guest_clear(&g);
}

static void a_qemu_that_does_not_quit_is_killed(void **state)
{
    struct guest g;
    int qemu;

    guest_boot(&g, false);
    qemu = pidfd_open(g.qemu, 0);
    kill(g.qemu, SIGSTOP);
    client_tell(&g.c, WORKER_KILL, "{}");
    expect_gone(qemu, 0);
    guest_expect_clean_end(&g);
    guest_expect_record(&g, "killed", SIGKILL);
    guest_clear(&g);
}

static void quit_is_recorded_as_the_hosts_wish(void **state)
{
    struct guest g;

    guest_boot(&g, false);
    json_decref(client_qmp(&g.c, "quit"));
    guest_expect_clean_end(&g);
    guest_expect_record(&g, "host-quit", 0);
    guest_clear(&g);
}

static void a_dead_worker_takes_its_guest_along(void **state)
{
    struct guest g;
    int qemu, jail;

    guest_boot(&g, false);
    assert_false(guest_lock_is_free(&g));
    qemu = pidfd_open(g.qemu, 0);
    jail = pidfd_open(g.s.jail, 0);
    kill(g.s.worker, SIGKILL);
    expect_gone(qemu, 1000);
    expect_gone(jail, 1000);
    spawn_wait(&g.s, WORKER_TEST_MS);
    assert_true(guest_lock_is_free(&g));
    guest_clear(&g);
}

static void the_lock_lives_as_long_as_the_jail(void **state)
{
    struct guest g;
    int jail;

    guest_boot(&g, false);
    jail = pidfd_open(g.s.jail, 0);
    kill(g.s.jail, SIGSTOP);
    kill(g.s.worker, SIGKILL);
    spawn_wait(&g.s, WORKER_TEST_MS);
    assert_false(guest_lock_is_free(&g)); /* QEMU may still write to the disks */
    kill(g.s.jail, SIGCONT);
    expect_gone(jail, WORKER_TEST_MS);
    assert_true(guest_lock_is_free(&g));
    guest_clear(&g);
}

static void a_dead_jail_leaves_a_record(void **state)
{
    struct guest g;
    int qemu;

    guest_boot(&g, false);
    qemu = pidfd_open(g.qemu, 0);
    kill(g.s.jail, SIGKILL);
    expect_exit_event(&g, "signal");
    expect_gone(qemu, 0);
    guest_expect_clean_end(&g);
    guest_expect_record(&g, "signal", SIGKILL);
    guest_clear(&g);
}

static void a_crash_of_qemu_is_recorded_with_its_signal(void **state)
{
    struct guest g;

    guest_boot(&g, false);
    kill(g.qemu, SIGSEGV);
    expect_exit_event(&g, "signal");
    guest_expect_clean_end(&g);
    guest_expect_record(&g, "signal", SIGSEGV);
    guest_clear(&g);
}

static void sigterm_ends_the_vm(void **state)
{
    struct guest g;

    guest_boot(&g, false);
    kill(g.s.worker, SIGTERM);
    guest_expect_clean_end(&g);
    guest_expect_record(&g, "killed", 0);
    guest_clear(&g);
}

static void the_next_start_finds_a_clean_directory(void **state)
{
    struct guest g;
    json_t *about;
    char *record;

    guest_boot(&g, false);
    client_tell(&g.c, WORKER_KILL, "{}");
    guest_expect_clean_end(&g);
    client_clear(&g.c);
    spawn_again(&g.s);
    client_init(&g.c, g.s.main, 6);
    about = client_hello(&g.c, 0);
    assert_string_equal(json_get_text(about, "phase"), "idle");
    assert_int_equal(json_get_u64(about, "events", 99), 0);
    json_decref(about);
    record = spawn_path(&g.s, WORKER_EXIT);
    assert_int_equal(access(record, F_OK), -1);
    free(record);
    guest_launch(&g, NULL);
    guest_clear(&g);
}

static void two_workers_of_one_vm_cannot_live(void **state)
{
    struct guest g;
    struct spawned second;
    int status;

    guest_boot(&g, false);
    second = g.s;
    spawn_again(&second);
    status = spawn_wait(&second, WORKER_TEST_MS);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 70);
    json_decref(client_qmp(&g.c, "query-status")); /* the first is as before */
    close(guest_dial(&g));
    guest_clear(&g);
}

/* ---------------------------------------------------------------- launches that fail */

static void a_failed_launch_gives_qemus_words(void **state)
{
    struct guest g;
    bool failed;
    json_t *body;

    guest_init(&g, false);
    body = guest_launch_answer(&g, "-nonsense", NULL, &failed);
    assert_true(failed);
    assert_string_equal(json_get_text(body, "code"), "hypervisor");
    assert_non_null(strstr(json_get_text(body, "detail"), "-nonsense: invalid option"));
    json_decref(body);
    expect_exit_event(&g, "launch-failed");
    guest_expect_clean_end(&g);
    guest_expect_record(&g, "launch-failed", 1 << 8);
    guest_clear(&g);
}

static void a_missing_program_is_named(void **state)
{
    static const char text[] = "{\"argv\":[\"/usr/bin/no-such-qemu\"],\"fds\":[{\"fd\":3,"
                               "\"role\":\"qmp\"}]}";
    struct guest g;
    bool failed;
    json_t *body;

    guest_init(&g, false);
    body =
        client_answer(&g.c, client_send(&g.c, WORKER_LAUNCH, text, strlen(text), NULL, 0), &failed);
    assert_true(failed);
    assert_non_null(strstr(json_get_text(body, "detail"), "/usr/bin/no-such-qemu: No such file"));
    json_decref(body);
    guest_expect_clean_end(&g);
    guest_clear(&g);
}

static void a_refused_launch_leaves_the_worker_idle(void **state)
{
    struct guest g;

    guest_init(&g, false);
    client_expect_refusal(&g.c, WORKER_LAUNCH, "{\"argv\":[\"/bin/true\"],\"fds\":[]}", "invalid");
    client_expect_refusal(&g.c, WORKER_LAUNCH, "[", "malformed");
    client_expect_refusal(&g.c, WORKER_QMP, "{\"execute\":\"cont\"}", "wrong-state");
    guest_launch(&g, NULL);
    client_expect_refusal(&g.c, WORKER_LAUNCH, "{}", "wrong-state");
    guest_clear(&g);
}

/* ---------------------------------------------------------------- daemons that come and go */

static void a_daemon_that_dies_in_mid_request_harms_nobody(void **state)
{
    static const char request[] = "{\"execute\":\"query-status\"}";
    struct guest g;
    uint32_t epoch = 6;

    guest_boot(&g, false);
    for (unsigned i = 0; i < 30; i++, epoch++) {
        struct frame_header head = {.length = sizeof request - 1, .type = WORKER_QMP, .id = 7};
        struct client c;
        char whole[sizeof head + sizeof request];
        client_init(&c, guest_dial(&g), epoch);
        json_decref(client_hello(&c, 0));
        head.epoch = epoch;
        memcpy(whole, &head, sizeof head);
        memcpy(whole + sizeof head, request, sizeof request - 1);
        assert_true(send(c.sock, whole, 1 + i * (sizeof whole - 3) / 30, 0) > 0);
        close(c.sock);
        client_clear(&c);
    }
    client_clear(&g.c);
    close(g.s.main);
    g.s.main = guest_dial(&g);
    client_init(&g.c, g.s.main, epoch);
    json_decref(client_hello(&g.c, 0));
    json_decref(client_qmp(&g.c, "query-status"));
    guest_type(&g, "still there");
    guest_await_serial(&g, "still t");
    guest_clear(&g);
}

static void the_newest_daemon_wins(void **state)
{
    static const char hello[] = "{\"min\":1,\"max\":1,\"events_after\":0}";
    struct guest g;
    struct client old, new;

    guest_boot(&g, false);
    client_init(&old, guest_dial(&g), 4); /* the guest's own conversation has epoch 5 */
    client_expect_refusal(&old, WORKER_HELLO, hello, "busy");
    client_await_end(&old);
    json_decref(client_qmp(&g.c, "query-status"));
    client_init(&new, guest_dial(&g), 6);
    json_decref(client_hello(&new, 0));
    client_await_end(&g.c);
    json_decref(client_qmp(&new, "query-status"));
    close(old.sock);
    close(new.sock);
    client_clear(&old);
    client_clear(&new);
    guest_clear(&g);
}

static void missed_events_are_told_again_once(void **state)
{
    struct guest g;
    struct client c;
    uint64_t seen;
    json_t *about;

    guest_boot(&g, false);
    seen = json_get_u64(client_await_event(&g.c, "RESUME"), "seq", 0);
    shutdown(g.s.main, SHUT_RDWR);
    client_init(&c, guest_dial(&g), 6);
    json_decref(client_hello(&c, UINT32_MAX)); /* wants none */
    for (unsigned i = 0; i < 5; i++) {
        json_decref(client_qmp(&c, "stop"));
        json_decref(client_qmp(&c, "cont"));
    }
    close(c.sock);
    client_clear(&c);
    client_init(&c, guest_dial(&g), 6);
    about = client_hello(&c, seen);
    assert_int_equal(json_get_u64(about, "events", 0), seen + 10);
    assert_string_equal(json_get_text(about, "status"), "running");
    while (json_array_size(c.events) < 10)
        client_wait(&c);
    for (unsigned i = 0; i < 10; i++) {
        const json_t *e = json_array_get(c.events, i);
        assert_int_equal(json_get_u64(e, "seq", 0), seen + 1 + i);
        assert_string_equal(json_get_text(e, "event"), i % 2 ? "RESUME" : "STOP");
    }
    json_decref(about);
    close(c.sock);
    client_clear(&c);
    guest_clear(&g);
}

static void an_end_nobody_saw_is_in_the_record(void **state)
{
    struct guest g;

    guest_boot(&g, false);
    shutdown(g.s.main, SHUT_RDWR);
    kill(g.qemu, SIGABRT);
    guest_expect_clean_end(&g);
    guest_expect_record(&g, "signal", SIGABRT);
    guest_clear(&g);
}

/* ---------------------------------------------------------------- hostile daemons */

static void the_jails_rules_hold_for_qmp_too(void **state)
{
    struct guest g;

    guest_boot(&g, false);
    client_expect_refusal(&g.c, WORKER_QMP, "{\"execute\":\"human-monitor-command\"}", "forbidden");
    client_expect_refusal(&g.c, WORKER_QMP,
                          "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"exec:true\"}}",
                          "forbidden");
    client_expect_refusal(&g.c, WORKER_QMP, "{\"execute\":\"query-x\"}", "hypervisor");
    client_expect_refusal(&g.c, WORKER_QMP, "{\"execute\":\"cont\",\"id\":\"w5.1\"}", "invalid");
    json_decref(client_qmp(&g.c, "query-status"));
    guest_clear(&g);
}

static void send_garbage(struct guest *g, unsigned seed)
{
    struct frame_header head = {.length = seed % 3 ? 0xffffffff : 4u << 20,
                                .type = (uint16_t)(seed % 8),
                                .n_fds = (uint16_t)(seed % 5 == 0 ? 999 : 0),
                                .epoch = 9};
    int sock = guest_dial(g);
    unsigned char bytes[700];

    srandom(seed);
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)random();
    if (seed % 2)
        memcpy(bytes, &head, sizeof head);
    if (send(sock, bytes, sizeof bytes, MSG_NOSIGNAL) < 0)
        fail_msg("send");
    close(sock);
}

static void garbage_ends_conversations_only(void **state)
{
    struct guest g;
    struct client c;

    guest_boot(&g, false);
    for (unsigned seed = 1; seed <= 100; seed++) {
        send_garbage(&g, seed);
        json_decref(client_qmp(&g.c, "query-status"));
    }
    client_init(&c, guest_dial(&g), 6); /* the same from one that is known */
    json_decref(client_hello(&c, 0));
    client_send(&c, 77, "?", 1, NULL, 0);
    client_expect_refusal(&c, 99, "", "unsupported");
    client_expect_refusal(&c, WORKER_HOLD, "{\"on\":1}", "invalid");
    client_expect_refusal(&c, WORKER_QMP, "[\"cont\"]", "invalid");
    c.epoch = 8; /* a frame that belongs to another daemon */
    client_send(&c, WORKER_KILL, "{}", 2, NULL, 0);
    client_await_end(&c);
    close(c.sock);
    client_clear(&c);
    client_clear(&g.c);
    close(g.s.main);
    g.s.main = guest_dial(&g);
    client_init(&g.c, g.s.main, 6);
    json_decref(client_hello(&g.c, 0));
    json_decref(client_qmp(&g.c, "query-status"));
    guest_clear(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_guest_boots_and_echoes),
        cmocka_unit_test(a_guests_power_off_ends_the_vm),
        cmocka_unit_test(a_held_guest_stays_after_its_power_off),
        cmocka_unit_test(a_reset_boots_again),
        cmocka_unit_test(a_paused_guest_is_silent_until_it_goes_on),
        cmocka_unit_test(a_guest_that_does_not_read_gets_no_more_input),
        cmocka_unit_test(kill_answers_when_qemu_is_gone),
        cmocka_unit_test(a_qemu_that_does_not_quit_is_killed),
        cmocka_unit_test(quit_is_recorded_as_the_hosts_wish),
        cmocka_unit_test(a_dead_worker_takes_its_guest_along),
        cmocka_unit_test(the_lock_lives_as_long_as_the_jail),
        cmocka_unit_test(a_dead_jail_leaves_a_record),
        cmocka_unit_test(a_crash_of_qemu_is_recorded_with_its_signal),
        cmocka_unit_test(sigterm_ends_the_vm),
        cmocka_unit_test(the_next_start_finds_a_clean_directory),
        cmocka_unit_test(two_workers_of_one_vm_cannot_live),
        cmocka_unit_test(a_failed_launch_gives_qemus_words),
        cmocka_unit_test(a_missing_program_is_named),
        cmocka_unit_test(a_refused_launch_leaves_the_worker_idle),
        cmocka_unit_test(a_daemon_that_dies_in_mid_request_harms_nobody),
        cmocka_unit_test(the_newest_daemon_wins),
        cmocka_unit_test(missed_events_are_told_again_once),
        cmocka_unit_test(an_end_nobody_saw_is_in_the_record),
        cmocka_unit_test(the_jails_rules_hold_for_qmp_too),
        cmocka_unit_test(garbage_ends_conversations_only),
    };

    return cmocka_run_group_tests_name("integration/worker", tests, NULL, NULL);
}
