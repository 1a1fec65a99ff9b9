/* GET /metrics and the limits that it counts. The format as a whole is checked by a strict parser
 * in tests/contract. */
#include "tests/unit/api/rig.h"

#include "api/openmetrics.h"

#define WRONG "Authorization: Bearer vmmd_wrong\r\n"

static int start_limited(void **state)
{
    struct api_config config = patient;

    config.changes_per_s = 1;
    config.changes_burst = 3;
    config.auth_failures_per_min = 2;
    return rig_start_with(state, &config);
}

static int start_wary(void **state)
{
    struct api_config config = patient;

    config.strangers_each = 2;
    config.stranger_ms = 100;
    return rig_start_with(state, &config);
}

static void values_are_escaped(void **state)
{
    CLEANUP(strbuf_clear) struct strbuf out = {0};
    const struct openmetrics_label labels[] = {{"a", "x\"y\\z\nw\xff"}, {"b", ""}, {0}};

    openmetrics_family(&out, "m", "gauge", "", "Help.");
    openmetrics_sample(&out, "m", "", labels, 7);
    openmetrics_seconds(&out, "m", "_total", NULL, 1000001);
    openmetrics_end(&out);
    assert_string_equal(out.data, "# TYPE m gauge\n# HELP m Help.\n"
                                  "m{a=\"x\\\"y\\\\z\\nw?\",b=\"\"} 7\nm_total 1.000001\n# EOF\n");
}

static void a_scrape_has_the_story(void **state)
{
    static const char *const lines[] = {
        "\nvmmd_vms{state=\"running\"} 1\n",
        "\nvmmd_vm_uptime_seconds{vm=\"00000000-0000-0000-0000-000000000000\",name=\"hello\"} "
        "5.678000\n",
        "name=\"a\\\"b\\\\c\\nd?\"",
        "\nvmmd_operations_total{kind=\"vm.start\",state=\"failed\"} 1\n",
        "\nvmmd_operation_duration_seconds_bucket{kind=\"vm.start\",le=\"0.25\"} 2\n",
        "\nvmmd_http_connections_accepted_total{door=\"tls\"} 3\n",
        "vmmd_http_request_duration_seconds_count{route=\"/api/v1/vms/{id}\",method=\"GET\",status="
        "\"2xx\"} 1\n",
        "vmmd_http_request_duration_seconds_count{route=\"none\",method=\"none\",status=\"4xx\"} "
        "1\n",
        "\nprocess_threads "};
    CLEANUP(reply_seen_clear) struct reply_seen r = {0};
    size_t len;

    expect(*state, "GET /api/v1/vms/hello", VIEWER, NULL, 200, NULL);
    expect(*state, "GET /nowhere", VIEWER, NULL, 404, NULL);
    r = ask(*state, "GET /metrics", VIEWER, NULL);
    assert_int_equal(r.status, 200);
    assert_non_null(strstr(r.head, "application/openmetrics-text; version=1.0.0"));
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        if (!strstr(r.body, lines[i]))
            fail_msg("no %s in %s", lines[i], r.body);
    len = strlen(r.body);
    assert_string_equal(r.body + len - 6, "# EOF\n");
}

static void who_changes_too_fast_is_told_to_wait(void **state)
{
    static const char body[] = "{\"name\":\"x\"}";

    for (unsigned i = 0; i < 3; i++)
        expect(*state, "POST /api/v1/vms?dry_run=true", OPERATOR, body, 200, NULL);
    expect(*state, "POST /api/v1/vms?dry_run=true", OPERATOR, body, 429, "Retry-After: 1\r\n");
    expect(*state, "POST /api/v1/vms?dry_run=true", OPERATOR, body, 429, "\"rate-limited\"");
    expect(*state, "POST /api/v1/vms?dry_run=true", ADMIN, body, 200, NULL); /* another principal */
    expect(*state, "GET /api/v1/vms/hello", OPERATOR, NULL, 200, NULL);      /* reading goes on */
    expect(*state, "GET /metrics", VIEWER, NULL, 200,
           "vmmd_http_requests_limited_total{limit=\"changes\"} 2\n");
}

static void who_guesses_tokens_is_hung_up_on_but_locks_nobody_out(void **state)
{
    int fd;

    expect(*state, "GET /api/v1/vms", WRONG, NULL, 401, NULL);
    expect(*state, "GET /api/v1/vms", WRONG, NULL, 401, NULL);
    expect(*state, "GET /api/v1/vms", WRONG, NULL, 429, "Retry-After: 30\r\n");
    expect(*state, "GET /api/v1/vms", WRONG, NULL, 429, "Connection: close\r\n");
    expect(*state, "GET /api/v1/vms", VIEWER, NULL, 200, NULL);
    for (unsigned i = 0; i < 5; i++) { /* no rate on the unix socket */
        CLEANUP(reply_seen_clear) struct reply_seen r = {0};

        fd = dial_unix(*state);
        say(fd, "GET /api/v1/vms HTTP/1.1\r\nHost: x\r\n" WRONG "\r\n");
        r = listen_to(fd, false);
        assert_int_equal(r.status, 401);
        close(fd);
    }
    expect(*state, "GET /metrics", VIEWER, NULL, 200, "vmmd_http_authentications_failed_total 9\n");
}

/* One request on an open connection; its status. */
static unsigned ask_on(int fd, const char *headers)
{
    CLEANUP(reply_seen_clear) struct reply_seen r = {0};
    CLEANUP(mem_freep)
    char *text = str_format("GET /api/v1/version HTTP/1.1\r\nHost: x\r\n%s\r\n", headers);

    say(fd, text);
    r = listen_to(fd, false);
    return r.status;
}

static void only_a_few_strangers_stay(void **state)
{
    int known[4], strangers[5];
    unsigned stayed = 0;

    for (unsigned i = 0; i < 4; i++) {
        known[i] = dial(*state);
        assert_int_equal(ask_on(known[i], VIEWER), 200);
    }
    for (unsigned i = 0; i < 5; i++)
        strangers[i] = dial(*state);
    for (unsigned closed = 0; closed < 3;) { /* three are hung up on, the others are not */
        struct pollfd p[5];

        for (unsigned i = 0; i < 5; i++)
            p[i] = (struct pollfd){.fd = strangers[i], .events = POLLIN};
        assert_true(poll(p, 5, PATIENCE) > 0);
        for (unsigned i = 0; i < 5; i++)
            if (p[i].revents) {
                assert_int_equal(hear(strangers[i]), -1);
                close(strangers[i]);
                strangers[i] = -1;
                closed++;
            }
    }
    for (unsigned i = 0; i < 5; i++)
        if (strangers[i] >= 0) {
            assert_int_equal(ask_on(strangers[i], VIEWER), 200);
            close(strangers[i]);
            stayed++;
        }
    assert_int_equal(stayed, 2);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(ask_on(known[i], VIEWER), 200);
        close(known[i]);
    }
    expect(*state, "GET /metrics", VIEWER, NULL, 200,
           "vmmd_http_connections_ended_total{reason=\"unauthenticated\"} 3\n");
}

static void a_stream_is_counted_while_it_is_followed(void **state)
{
    struct rig *rig = *state;
    int fd = dial(rig);

    fake_event(rig->core, "vm.state");
    say(fd, "GET /api/v1/events?after=0 HTTP/1.1\r\nHost: x\r\n" VIEWER "\r\n");
    free(hear_until(fd, "id: 1\n"));
    expect(rig, "GET /metrics", VIEWER, NULL, 200, "\nvmmd_event_streams 1\n");
    close(fd);
}

#define TEST(f, start) cmocka_unit_test_setup_teardown(f, start, rig_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_escaped),
        TEST(a_scrape_has_the_story, rig_start),
        TEST(who_changes_too_fast_is_told_to_wait, start_limited),
        TEST(who_guesses_tokens_is_hung_up_on_but_locks_nobody_out, start_limited),
        TEST(only_a_few_strangers_stay, start_wary),
        TEST(a_stream_is_counted_while_it_is_followed, rig_start),
    };

    return cmocka_run_group_tests_name("api/metrics", tests, NULL, NULL);
}
