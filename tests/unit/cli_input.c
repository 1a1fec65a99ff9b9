/* Keys, text, pointer: what is sent, once. */
#include "tests/unit/cli_line.h"

#define ACT "POST /api/v1/vms/web/actions/"

static void keys_are_sent_one_chord_after_the_other(void **state)
{
    static const struct step steps[] = {
        {.line = ACT "send-key",
         .status = 204,
         .wants = "\r\n\r\n{\"keys\":[\"ctrl\",\"alt\",\"delete\"]}"},
        {.line = ACT "send-key", .status = 204, .wants = "{\"keys\":[\"ctrl\",\"-\"]}"},
        {.line = ACT "send-key", .status = 204, .wants = "{\"keys\":[\"+\"]}"},
    };
    static const struct step held[] = {
        {.line = ACT "send-key", .status = 204, .wants = "{\"keys\":[\"f2\"],\"hold_ms\":2000}"}};

    assert_int_equal(RUN("vm|key|web|ctrl-alt+delete|ctrl--|+", steps), CLI_OK);
    assert_int_equal(RUN("vm|key|web|f2|--hold|2s", held), CLI_OK);
    assert_int_equal(run("vm|key|web", NULL, 0), CLI_USAGE);
}

static void a_key_is_never_pressed_twice(void **state)
{
    static const struct step steps[] = {{.line = ACT "send-key", .status = 0}};

    assert_int_equal(RUN("vm|key|web|a", steps), CLI_UNREACHABLE);
}

static void a_long_text_is_typed_in_pieces_of_whole_characters(void **state)
{
    char text[2051], line[2200];
    static const struct step steps[] = {
        {.line = ACT "type", .status = 204, .wants = "aaa\",\"layout\":\"de\"}"},
        {.line = ACT "type",
         .status = 204,
         .wants = "{\"text\":\"\xc3\xa4\\n\",\"layout\":\"de\"}"},
    };

    memset(text, 'a', 2047);
    memcpy(text + 2047, "\xc3\xa4", 3); /* ä: it would be cut by the limit of 2048 */
    snprintf(line, sizeof line, "vm|type|web|%s|--enter|--layout|de", text);
    assert_int_equal(RUN(line, steps), CLI_OK);
}

static void the_text_is_a_word_or_a_file(void **state)
{
    assert_int_equal(run("vm|type|web", NULL, 0), CLI_USAGE);
    assert_int_equal(run("vm|type|web|a|-f|-", NULL, 0), CLI_USAGE);
    assert_int_equal(run("vm|type|web|\xff", NULL, 0), CLI_USAGE);
}

static void a_click_presses_and_lets_go(void **state)
{
    static const struct step steps[] = {
        {.line = ACT "pointer", .status = 204, .wants = "{\"x\":0.5,\"y\":0.25,\"head\":1}"},
        {.line = ACT "pointer", .status = 204, .wants = "{\"buttons\":[\"left\"]}"},
        {.line = ACT "pointer", .status = 204, .wants = "{\"buttons\":[]}"},
    };
    static const struct step drag[] = {
        {.line = ACT "pointer",
         .status = 204,
         .wants = "{\"dx\":-3.0,\"dy\":4.0,\"buttons\":[\"left\"]}"}};

    assert_int_equal(RUN("vm|pointer|web|--at|0.5,0.25|--head|1|--click|left", steps), CLI_OK);
    assert_int_equal(RUN("vm|pointer|web|--by|-3,4|--hold|left", drag), CLI_OK);
    assert_int_equal(run("vm|pointer|web", NULL, 0), CLI_USAGE);
    assert_int_equal(run("vm|pointer|web|--at|0.5", NULL, 0), CLI_USAGE);
    assert_int_equal(run("vm|pointer|web|--at|1,inf", NULL, 0), CLI_USAGE);
}

static void an_nmi_has_no_body(void **state)
{
    static const struct step steps[] = {
        {.line = ACT "nmi", .status = 409, .body = "{\"detail\":\"web is off\",\"code\":\"x\"}"}};

    assert_int_equal(RUN("vm|nmi|web", steps), CLI_CONFLICT);
    assert_non_null(strstr(err_text, "web is off"));
}

static void another_medium_is_a_patch_of_the_drives_as_they_were(void **state)
{
    static const struct step steps[] = {
        {.line = "GET /api/v1/vms/web HTTP",
         .status = 200,
         .head = "ETag: \"7.1\"\r\n",
         .body = "{\"cdroms\":[{\"media\":\"a.iso\"},{\"media\":\"b.iso\"}]}"},
        {.line = "PATCH /api/v1/vms/web HTTP",
         .status = 200,
         .wants = "{\"cdroms\":[{\"media\":\"a.iso\"},{\"media\":null}]}",
         .body = "{\"pending_reason\":\"the guest keeps the tray locked\"}"},
    };
    static const struct step insert[] = {
        {.line = "GET /api/v1/vms/web HTTP",
         .status = 200,
         .body = "{\"cdroms\":[{\"media\":null}]}"},
        {.line = "PATCH /api/v1/vms/web HTTP",
         .status = 200,
         .wants = "{\"cdroms\":[{\"media\":\"c.iso\"}]}",
         .body = "{}"},
    };
    static const struct step none[] = {
        {.line = "GET /api/v1/vms/web HTTP", .status = 200, .body = "{\"cdroms\":[]}"}};

    assert_int_equal(RUN("vm|eject|web|--drive|1", steps), CLI_OK);
    assert_non_null(strstr(err_text, "next start: the guest keeps the tray locked"));
    assert_int_equal(RUN("insert|web|c.iso", insert), CLI_OK);
    assert_int_equal(RUN("insert|web|c.iso", none), CLI_CONFLICT);
    assert_non_null(strstr(err_text, "web has 0 CD drives"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_sent_one_chord_after_the_other),
        cmocka_unit_test(a_key_is_never_pressed_twice),
        cmocka_unit_test(a_long_text_is_typed_in_pieces_of_whole_characters),
        cmocka_unit_test(the_text_is_a_word_or_a_file),
        cmocka_unit_test(a_click_presses_and_lets_go),
        cmocka_unit_test(an_nmi_has_no_body),
        cmocka_unit_test(another_medium_is_a_patch_of_the_drives_as_they_were),
    };

    return cmocka_run_group_tests_name("cli/input", tests, set_up, tear_down);
}
