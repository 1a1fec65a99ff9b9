/* What goes on and on: the event stream and the console. */
#include "tests/unit/cli_line.h"

#define EVENT(n)                                                                                   \
    "id: " #n "\nevent: vm.state\ndata: {\"seq\":" #n ",\"at\":\"T\",\"type\":\"vm.state\","       \
    "\"object\":{\"type\":\"vm\",\"id\":\"id-1\"},\"data\":{\"n\":" #n "}}\n\n"

static void events_go_on_behind_the_last_one_after_a_break(void **state)
{
    static const struct step steps[] = {
        {.line = "GET /api/v1/events?wait=0",
         .status = 200,
         .body = "{\"items\":[],\"next_after\":40,\"reset\":true}"},
        {.line = "GET /api/v1/events?types=vm",
         .status = 200,
         .wants = "Last-Event-ID: 40\r\n",
         .body = EVENT(41) EVENT(42) "id: 43\ndata: half",
         .open = true},
        {.line = "GET /api/v1/events?types=vm",
         .status = 200,
         .wants = "Last-Event-ID: 42\r\n",
         .body = EVENT(43) EVENT(44),
         .open = true},
    };

    assert_int_equal(RUN("event|watch|--types|vm|--count|3", steps), CLI_OK);
    assert_string_equal(out, "T 41 vm.state vm/id-1 {\"n\":41}\n"
                             "T 42 vm.state vm/id-1 {\"n\":42}\n"
                             "T 43 vm.state vm/id-1 {\"n\":43}\n");
}

static void lost_events_are_said(void **state)
{
    static const struct step steps[] = {{.line = "GET /api/v1/events",
                                         .status = 200,
                                         .wants = "Last-Event-ID: 5\r\n",
                                         .body = "event: reset\nid: 90\ndata: {}\n\n" EVENT(91),
                                         .open = true}};

    assert_int_equal(RUN("event|watch|--after|5|--count|1|-q", steps), CLI_OK);
    assert_string_equal(out, "91\n");
    assert_int_equal(RUN("event|watch|--after|5|--count|1|-o|json", steps), CLI_OK);
    assert_non_null(strstr(err_text, "going on from 90"));
}

/* ---- console ---- */

/* A pipe that holds 'text' becomes vmmctl's standard input; returns the one before. */
static int type(const char *text)
{
    int ends[2], before = input;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(write(ends[1], text, strlen(text)), strlen(text));
    close(ends[1]);
    input = ends[0];
    return before;
}

static void stop_typing(int before)
{
    close(input);
    input = before;
}

static void the_console_sends_input_and_ends_at_a_match(void **state)
{
    static const struct step steps[] = {
        {.line = "GET /api/v1/vms/web/serial?offset=end",
         .status = 200,
         .head = "Vmmd-Serial-End: 100\r\n"},
        {.line = "POST /api/v1/vms/web/serial", .status = 204, .wants = "\r\n\r\nuname -r\n"},
        {.line = "GET /api/v1/vms/web/serial?offset=90",
         .status = 200,
         .body = "old\r\n6.1",
         .head = "Vmmd-Serial-Next: 98\r\n",
         .after = 3},
        {.line = "GET /api/v1/vms/web/serial?offset=98",
         .status = 200,
         .body = ".0\r\nvm# ",
         .head = "Vmmd-Serial-Next: 106\r\n"},
    };
    int before = type("uname -r\n");

    assert_int_equal(RUN("console|web|--history|10|--until|^6\\.1\\.0$", steps), CLI_OK);
    stop_typing(before);
    assert_string_equal(out, "old\r\n6.1.0\r\nvm# ");
}

static void the_console_ends_in_time_without_a_match(void **state)
{
    static const struct step steps[] = {
        {.line = "GET /api/v1/vms/web/serial?offset=end",
         .status = 200,
         .head = "Vmmd-Serial-End: 0\r\n"},
        {.line = "GET /api/v1/vms/web/serial?offset=0",
         .status = 200,
         .body = "x",
         .head = "Vmmd-Serial-Next: 1\r\n"},
        {.line = "GET /api/v1/vms/web/serial?offset=1", .status = 200, .after = MAX_STEPS},
    };

    assert_int_equal(RUN("console|web|--until|never|--timeout|200ms", steps), CLI_TIMED_OUT);
    assert_int_equal(RUN("console|web|--timeout|200ms", steps), CLI_OK);
    assert_string_equal(out, "x");
}

static void input_to_a_vm_that_is_off_is_a_failure_in_a_pipe(void **state)
{
    static const struct step steps[] = {
        {.line = "GET /api/v1/vms/web/serial?offset=end",
         .status = 200,
         .head = "Vmmd-Serial-End: 0\r\n"},
        {.line = "GET /api/v1/vms/web/serial?offset=0", .status = 200, .after = MAX_STEPS},
        {.line = "POST /api/v1/vms/web/serial",
         .status = 409,
         .after = 3,
         .body = "{\"code\":\"wrong-state\",\"detail\":\"it is off\"}"},
    };
    int before = type("x\n");

    assert_int_equal(RUN("console|web", steps), CLI_CONFLICT);
    stop_typing(before);
}

static void a_signal_ends_the_console(void **state)
{
    static const struct step steps[] = {
        {.line = "GET /api/v1/vms/web/serial?offset=end",
         .status = 200,
         .head = "Vmmd-Serial-End: 0\r\n"},
        {.line = "GET /api/v1/vms/web/serial?offset=0",
         .status = 200,
         .signal = SIGTERM,
         .body = "",
         .head = "Vmmd-Serial-Next: 0\r\n"},
        {.line = "GET /api/v1/vms/web/serial?offset=0",
         .status = 200,
         .after = MAX_STEPS,
         .may_miss = true},
    };

    assert_int_equal(RUN("console|web", steps), CLI_INTERRUPTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_go_on_behind_the_last_one_after_a_break),
        cmocka_unit_test(lost_events_are_said),
        cmocka_unit_test(the_console_sends_input_and_ends_at_a_match),
        cmocka_unit_test(the_console_ends_in_time_without_a_match),
        cmocka_unit_test(input_to_a_vm_that_is_off_is_a_failure_in_a_pipe),
        cmocka_unit_test(a_signal_ends_the_console),
    };

    return cmocka_run_group_tests_name("cli/stream", tests, set_up, tear_down);
}
