/* Exit codes and what is printed about a failure. */
#include "tests/lib/harness.h"

#include "cli/fault.h"
#include "cli/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void every_error_of_the_service_has_its_exit_code(void **state)
{
    static const struct {
        enum err_code code;
        enum cli_exit exit;
    } table[] = {
        {ERR_MALFORMED, CLI_INVALID},       {ERR_UNAUTHENTICATED, CLI_AUTH},
        {ERR_FORBIDDEN, CLI_AUTH},          {ERR_NOT_FOUND, CLI_NOT_FOUND},
        {ERR_METHOD, CLI_INVALID},          {ERR_EXISTS, CLI_CONFLICT},
        {ERR_WRONG_STATE, CLI_CONFLICT},    {ERR_BUSY, CLI_CONFLICT},
        {ERR_IN_USE, CLI_CONFLICT},         {ERR_CANCELLED, CLI_CONFLICT},
        {ERR_REVISION, CLI_CONFLICT},       {ERR_TOO_LARGE, CLI_INVALID},
        {ERR_MEDIA_TYPE, CLI_INVALID},      {ERR_MISDIRECTED, CLI_UNREACHABLE},
        {ERR_INVALID, CLI_INVALID},         {ERR_IDEM_MISMATCH, CLI_INVALID},
        {ERR_RATE_LIMITED, CLI_FAILED},     {ERR_INTERNAL, CLI_FAILED},
        {ERR_UNSUPPORTED, CLI_FAILED},      {ERR_HYPERVISOR, CLI_FAILED},
        {ERR_UNAVAILABLE, CLI_UNREACHABLE}, {ERR_TIMEOUT, CLI_TIMED_OUT},
        {ERR_NO_SPACE, CLI_FAILED},         {ERR_NO_MEMORY, CLI_FAILED},
    };

    assert_int_equal(ARRAY_LEN(table), ERR_COUNT - 1);
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        assert_int_equal(exit_of_status(err_status(table[i].code)), table[i].exit);
}

static void every_status_from_400_on_is_a_failure(void **state)
{
    for (int status = 400; status < 600; status++)
        assert_int_not_equal(exit_of_status(status), CLI_OK);
}

static char *printed(const struct fault *fault)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);

    fault_print(fault, f, false);
    fclose(f);
    return text;
}

static void a_problem_is_printed_with_code_pointer_and_request(void **state)
{
    static const char body[] = "{\"title\":\"t\",\"status\":422,\"code\":\"invalid\",\"detail\":"
                               "\"must be a multiple of 512\","
                               "\"request_id\":\"r-1\",\"errors\":[{\"pointer\":\"/disks/0/"
                               "size_bytes\",\"code\":\"invalid\","
                               "\"detail\":\"must be a multiple of "
                               "512\"},{\"pointer\":\"/name\",\"detail\":\"is empty\"}]}";
    struct fault fault = {0};
    char *text;

    assert_false(fault_problem(&fault, 422, body, sizeof body - 1, NULL));
    assert_int_equal(fault.exit, CLI_INVALID);
    text = printed(&fault);
    assert_string_equal(text, "vmmctl: must be a multiple of 512 [invalid]\n"
                              "  at: /disks/0/size_bytes; /name: is empty\n"
                              "  request: r-1\n");
    free(text);
}

static void whatever_stands_in_the_way_has_a_line(void **state)
{
    static const char body[] =
        "{\"code\":\"busy\",\"detail\":\"held\",\"blockers\":["
        "{\"code\":\"no-space\",\"detail\":\"the pool has\\n5 B\",\"pointer\":\"/pool\"},"
        "{\"code\":\"busy\",\"detail\":\"held\",\"pointer\":null},"
        "{\"code\":\"wrong-state\",\"detail\":\"it runs\",\"pointer\":null}]}";
    struct fault fault = {0};
    char *text;

    assert_false(fault_problem(&fault, 409, body, sizeof body - 1, NULL));
    text = printed(&fault);
    assert_string_equal(text, "vmmctl: held [busy]\n"
                              "  also: the pool has\\n5 B [no-space]\n"
                              "  also: it runs [wrong-state]\n");
    free(text);
}

static void a_reply_that_is_no_problem_is_quoted_harmlessly(void **state)
{
    static const char body[] = "<h1>\033[31mBad Gateway</h1>";
    struct fault fault = {0};
    char *text;

    assert_false(fault_problem(&fault, 502, body, sizeof body - 1, "r-2"));
    assert_int_equal(fault.exit, CLI_FAILED);
    text = printed(&fault);
    assert_non_null(strstr(text, "status 502: <h1>\\x1b[31mBad Gateway"));
    assert_null(strchr(text, 033));
    free(text);
    assert_false(fault_problem(&fault, 401, NULL, 0, NULL));
    assert_int_equal(fault.exit, CLI_AUTH);
}

static void a_huge_problem_does_not_overrun(void **state)
{
    char *body = malloc(20000);
    struct fault fault = {0};
    char *text;

    strcpy(body, "{\"code\":\"");
    memset(body + 9, 'c', 9000);
    strcpy(body + 9009, "\",\"detail\":\"");
    memset(body + 9021, 'd', 9000);
    strcpy(body + 18021, "\"}");
    assert_false(fault_problem(&fault, 500, body, strlen(body), NULL));
    text = printed(&fault);
    assert_true(strlen(text) < sizeof fault + 100);
    free(text);
    free(body);
}

static void what_is_on_the_screen_already_is_not_said_again(void **state)
{
    struct fault fault = {0};
    char *text;

    assert_false(fault_set(&fault, CLI_INTERRUPTED, "%s", ""));
    text = printed(&fault);
    assert_string_equal(text, "");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_of_the_service_has_its_exit_code),
        cmocka_unit_test(every_status_from_400_on_is_a_failure),
        cmocka_unit_test(a_problem_is_printed_with_code_pointer_and_request),
        cmocka_unit_test(whatever_stands_in_the_way_has_a_line),
        cmocka_unit_test(a_reply_that_is_no_problem_is_quoted_harmlessly),
        cmocka_unit_test(a_huge_problem_does_not_overrun),
        cmocka_unit_test(what_is_on_the_screen_already_is_not_said_again),
    };

    text_init();
    return cmocka_run_group_tests_name("cli/fault", tests, NULL, NULL);
}
