/* Waiting for what a VM becomes: --wait=CONDITION and vm wait. */
#include "tests/unit/cli_line.h"

#define EVENTS(items, next) "{\"items\":[" items "],\"next_after\":" next ",\"reset\":false}"
#define NEWEST              "GET /api/v1/events?types=vm&after=9007199254740991&wait=0"

static void a_state_is_waited_for_from_event_to_event(void **state)
{
    static const struct step steps[] = {
        {.line = NEWEST, .status = 200, .body = EVENTS("", "7")},
        {.line = "GET /api/v1/vms/web HTTP", .status = 200, .body = VM("web", "running")},
        {.line = "GET /api/v1/events?types=vm&after=7&wait=20",
         .status = 200,
         .body = EVENTS("{\"seq\":8}", "8")},
        {.line = "GET /api/v1/vms/web HTTP", .status = 200, .body = VM("web", "off")},
    };

    assert_int_equal(RUN("vm|wait|web|--for|off", steps), CLI_OK);
    assert_string_equal(out, "");
    assert_string_equal(err_text, "");
}

static void a_vm_that_is_gone_is_deleted(void **state)
{
    static const struct step steps[] = {
        {.line = NEWEST, .status = 200, .body = EVENTS("", "7")},
        {.line = "GET /api/v1/vms/web HTTP", .status = 404, .body = "{\"code\":\"not-found\"}"},
    };

    assert_int_equal(RUN("vm|wait|web|--for|deleted", steps), CLI_OK);
    assert_int_equal(RUN("vm|wait|web|--for|off", steps), CLI_NOT_FOUND);
}

static void any_member_can_be_waited_for_and_the_time_is_up_with_what_is(void **state)
{
    static const struct step steps[] = {
        {.line = NEWEST, .status = 200, .body = EVENTS("", "7")},
        {.line = "GET /api/v1/vms/web HTTP", .status = 200, .body = VM("web", "running")},
        {.line = "GET /api/v1/events?types=vm&after=7&wait=1",
         .status = 200,
         .body = EVENTS("", "7"),
         .may_miss = true},
        {.line = "GET /api/v1/vms/web HTTP",
         .status = 200,
         .body = VM("web", "running"),
         .may_miss = true},
    };

    assert_int_equal(RUN("vm|wait|web|--for|vcpus==2|--timeout|0", steps), CLI_TIMED_OUT);
    assert_string_equal(err_text,
                        "vmmctl: web is still vcpus==1 in the time given, not vcpus==2\n");
    assert_int_equal(RUN("vm|wait|web|--for|vcpus==1", steps), CLI_OK);
}

static void start_ends_when_the_guest_says_so(void **state)
{
    static const struct step steps[] = {
        {.line = "GET /api/v1/vms/web/serial?offset=end&limit=1",
         .status = 200,
         .head = "Vmmd-Serial-End: 40\r\nVmmd-Serial-Next: 40\r\n"},
        {.line = "POST /api/v1/vms/web/actions/start", .status = 202, .body = OP("queued", "", "")},
        {.line = "GET /api/v1/operations/op-1?wait=",
         .status = 200,
         .body = OP("succeeded", "", "")},
        {.line = "GET /api/v1/vms/web/serial?offset=40&wait=20",
         .status = 200,
         .head = "Vmmd-Serial-Next: 46\r\n",
         .body = "web lo"},
        {.line = "GET /api/v1/vms/web/serial?offset=46&wait=20",
         .status = 200,
         .head = "Vmmd-Serial-Next: 51\r\n",
         .body = "gin: "},
    };

    assert_int_equal(RUN("start|web|--wait=serial:login: $", steps), CLI_OK);
}

static void a_wrong_condition_is_refused_before_anything_is_sent(void **state)
{
    assert_int_equal(run("start|web|--wait=runing", NULL, 0), CLI_USAGE);
    assert_non_null(strstr(err_text, "'runing' is nothing to wait for"));
    assert_int_equal(run("start|web|--wait=serial:(", NULL, 0), CLI_USAGE);
    assert_int_equal(run("start|web|--wait=off|--no-wait", NULL, 0), CLI_USAGE);
    assert_int_equal(run("op|cancel|x|--wait=off", NULL, 0), CLI_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_state_is_waited_for_from_event_to_event),
        cmocka_unit_test(a_vm_that_is_gone_is_deleted),
        cmocka_unit_test(any_member_can_be_waited_for_and_the_time_is_up_with_what_is),
        cmocka_unit_test(start_ends_when_the_guest_says_so),
        cmocka_unit_test(a_wrong_condition_is_refused_before_anything_is_sent),
    };

    return cmocka_run_group_tests_name("cli/wait", tests, set_up, tear_down);
}
