/* Commands for several VMs, what is deleted, and logs that are followed: which requests are made.
 */
#include "tests/unit/cli_line.h"

static void several_vms_run_side_by_side_and_one_failure_does_not_hide_the_others(void **state)
{
    static const struct step steps[] = {
        {.line = "POST /api/v1/vms/actions/start",
         .status = 200,
         .wants = "{\"vms\":[\"a\",\"b\"]}",
         .body =
             "{\"items\":[{\"operation\":null,\"error\":{\"code\":\"wrong-state\",\"detail\":\"it "
             "runs\"}},{\"operation\":" OP("queued", "", "") ",\"error\":null}]}"},
        {.line = "GET /api/v1/operations/op-1", .status = 200, .body = OP("succeeded", "", "")},
    };

    assert_int_equal(RUN("start|a|b", steps), CLI_CONFLICT);
    assert_string_equal(err_text, "vmmctl: a: it runs [wrong-state]\nb runs\n");
}

static void several_vms_are_deleted_by_one_request(void **state)
{
#define ITEM(op) "{\"operation\":{\"id\":\"" op "\",\"state\":\"queued\"},\"error\":null}"
    static const struct step steps[] = {
        {.line = "GET /api/v1/vms/a", .status = 200, .body = VM("a", "off")},
        {.line = "GET /api/v1/vms/b", .status = 200, .body = VM("b", "running")},
        {.line = "GET /api/v1/vms/c", .status = 404, .body = "{\"code\":\"not-found\"}"},
        {.line = "GET /api/v1/vms/d", .status = 200, .body = VM("d", "off")},
        {.line = "POST /api/v1/vms/actions/stop",
         .status = 200,
         .wants = "{\"vms\":[\"id-1\"]}",
         .body = "{\"items\":[" ITEM("op-1") "]}"},
        {.line = "GET /api/v1/operations/op-1", .status = 200, .body = OP("succeeded", "", "")},
        {.line = "POST /api/v1/vms/actions/delete",
         .status = 200,
         .wants = "{\"vms\":[\"id-1\",\"id-1\",\"id-1\"]}",
         .body = "{\"items\":[" ITEM("op-2") "," ITEM(
             "op-3") ",{\"operation\":null,\"error\":{"
                     "\"code\":\"busy\",\"detail\":\"it is held\"}}]}"},
        {.line = "GET /api/v1/operations/op-2", .status = 200, .body = OP("succeeded", "", "")},
        {.line = "GET /api/v1/operations/op-3", .status = 200, .body = OP("succeeded", "", "")},
    };
    static const struct step refused[] = {
        {.line = "GET /api/v1/vms/a", .status = 200, .body = VM("a", "running")},
        {.line = "GET /api/v1/vms/b", .status = 200, .body = VM("b", "running")},
    };

    assert_int_equal(RUN("vm|delete|a|b|c|d|--force|--yes", steps), CLI_NOT_FOUND);
    assert_non_null(strstr(err_text, "vmmctl: d: it is held [busy]\n"));
    assert_non_null(strstr(err_text, "a is deleted\nb is deleted\n"));
    assert_int_equal(RUN("vm|delete|a|b|--yes", refused), CLI_CONFLICT);
    assert_non_null(strstr(err_text, "b: b is not off"));
}

static void delete_refuses_a_running_vm_without_force(void **state)
{
    static const struct step refused[] = {
        {.line = "GET /api/v1/vms/web", .status = 200, .body = VM("web", "running")}};
    static const struct step forced[] = {
        {.line = "GET /api/v1/vms/web", .status = 200, .body = VM("web", "running")},
        {.line = "POST /api/v1/vms/id-1/actions/stop", .status = 202, .body = OP("queued", "", "")},
        {.line = "GET /api/v1/operations/op-1", .status = 200, .body = OP("succeeded", "", "")},
        {.line = "DELETE /api/v1/vms/id-1", .status = 202, .body = OP("queued", "", "")},
        {.line = "GET /api/v1/operations/op-1", .status = 200, .body = OP("succeeded", "", "")},
    };

    assert_int_equal(RUN("rm|web", refused), CLI_CONFLICT);
    assert_non_null(strstr(err_text, "--force"));
    assert_int_equal(RUN("rm|web|--force", forced), CLI_OK);
}

/* Asked for again each second, until Ctrl-C. */
static void a_log_is_followed(void **state)
{
#define LOG "GET /api/v1/vms/web/log?lines=10000 "
    static const struct step steps[] = {
        {.line = LOG, .status = 200, .body = "one\ntwo\nthr"},
        {.line = LOG, .status = 200, .body = "two\nthree\nfour\n"}, /* "one" is too long ago */
        {.line = LOG, .status = 200, .body = "new\n", .signal = SIGTERM},
    };

    assert_int_equal(RUN("vm|log|web|-n|2|--follow", steps), CLI_OK);
    assert_true(str_starts(out, "two\nthree\nfour\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(several_vms_run_side_by_side_and_one_failure_does_not_hide_the_others),
        cmocka_unit_test(several_vms_are_deleted_by_one_request),
        cmocka_unit_test(delete_refuses_a_running_vm_without_force),
        cmocka_unit_test(a_log_is_followed),
    };

    return cmocka_run_group_tests_name("cli/many", tests, set_up, tear_down);
}
