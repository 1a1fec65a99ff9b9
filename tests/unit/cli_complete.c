/* Completion: what is offered at each place of a command line, and that Tab is never answered by a
 * message or a wait. */
#include "tests/unit/cli_line.h"

#include "cli/complete.h"

static char *offered;
static char wanted[32];

/* Words are separated by |; the last one is the unfinished one. */
static const char *offers(const char *line)
{
    CLEANUP(mem_freep) char *copy = str_dup(line);
    CLEANUP(place_clear) struct place place = {0};
    const char *words[16];
    char *rest = copy, *word;
    struct strbuf b = {0};
    size_t n = 0;

    while ((word = strsep(&rest, "|")))
        words[n++] = word;
    place_find(words, n, &place);
    offer_known(&place, &b, wanted);
    free(offered);
    offered = strbuf_take(&b);
    return offered;
}

/* The values alone, with blanks between. */
static const char *values(const char *line)
{
    CLEANUP(mem_freep) char *all = str_dup(offers(line));
    static char out_values[4096];
    char *rest = all, *one;
    size_t used = 0;

    out_values[0] = 0;
    while ((one = strsep(&rest, "\n")))
        if (*one && used < sizeof out_values - 100)
            used += (size_t)snprintf(out_values + used, sizeof out_values - used, "%s%.*s",
                                     used ? " " : "", (int)strcspn(one, "\t"), one);
    return out_values;
}

static void each_place_has_its_offers(void **state)
{
    static const struct {
        const char *line, *values, *wanted;
    } cases[] = {
        {"sc", "screenshot", ""},
        {"st", "start stop", ""},
        {"__", "", ""},
        {"vm|re", "resume reset rename", ""},
        {"vm|start|", "", "VM"},
        {"vm|start|web|", "", "VM"},
        {"start|", "", "VM"},
        {"vm|show|web|", "", ""},
        {"vm|list|--no-h", "--no-headers", ""},
        {"vm|list|-o|js", "json jsonl", ""},
        {"vm|list|--output=c", "--output=csv", ""},
        {"--output|json|vm|li", "list", ""},
        {"vm|create|--firmware|", "bios uefi", ""},
        {"vm|create|--set|firmware.t", "firmware.type=", ""},
        {"vm|create|--set|firmware.type=u", "firmware.type=uefi", ""},
        {"vm|create|--set=firmware.type=u", "--set=firmware.type=uefi", ""},
        {"vm|create|-f|", ":files", ""},
        {"vm|create|--cdrom|deb", "", "ISO"},
        {"op|wait|", "", "ID"},
        {"api|P", "POST PATCH", ""},
        {"help|pool|", "list show create edit files delete", ""},
        {"nonsense|st", "", ""},
        {"vm|nonsense|st", "", ""},
        {"vm|list|--nonsense=x", "", ""},
        {"vm|start|--|--no", "", "VM"},
        {"completion|z", "zsh", ""},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_string_equal(values(cases[i].line), cases[i].values);
        assert_string_equal(wanted, cases[i].wanted);
    }
}

static void an_offer_says_what_it_is(void **state)
{
    assert_string_equal(offers("vm|rename|web|x"), "");
    assert_string_equal(offers("vm|ren"), "rename\tgive a VM another name\n");
}

static void names_come_from_the_service(void **state)
{
    static const struct step steps[] = {
        {.line = "GET /api/v1/vms?page_size=1000 HTTP",
         .status = 200,
         .wants = "Authorization: Bearer vmmd_1_secret\r\n",
         .body = "{\"items\":[" VM("web", "running") "," VM("$(rm)", "off") "," VM(
             "db", "off") "," VM("web2", "\\u001b[2J") "],\"next_page_token\":null}"}};

    setenv("VMMD_SOCKET", socket_path, 1);
    assert_int_equal(RUN("__complete|--|vm|start|w", steps), CLI_OK);
    assert_string_equal(out, "web\trunning\nweb2\t\\x1b[2J\n");
    assert_string_equal(err_text, "");
    unsetenv("VMMD_SOCKET");
}

static void a_service_that_refuses_is_not_mentioned(void **state)
{
    static const struct step steps[] = {
        {.line = "GET /api/v1/pools", .status = 401, .body = "{\"code\":\"unauthorized\"}"}};

    setenv("VMMD_SOCKET", socket_path, 1);
    assert_int_equal(RUN("__complete|--|pool|show|", steps), CLI_OK);
    assert_string_equal(out, "");
    assert_string_equal(err_text, "");
    unsetenv("VMMD_SOCKET");
}

static void a_wrong_connection_is_not_mentioned(void **state)
{
    assert_int_equal(run("__complete|--|--url|nonsense|vm|start|", NULL, 0), CLI_OK);
    assert_string_equal(out, "");
    assert_string_equal(err_text, "");
}

static int forget(void **state)
{
    mem_freep(&offered);
    return tear_down(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_place_has_its_offers),
        cmocka_unit_test(an_offer_says_what_it_is),
        cmocka_unit_test(names_come_from_the_service),
        cmocka_unit_test(a_service_that_refuses_is_not_mentioned),
        cmocka_unit_test(a_wrong_connection_is_not_mentioned),
    };

    return cmocka_run_group_tests_name("cli/complete", tests, set_up, forget);
}
