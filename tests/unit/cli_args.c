/* The command line: what is accepted, and what the one line says about what is not. */
#include "tests/lib/harness.h"

#include "cli/args.h"
#include "core/base/str.h"

#include <string.h>

#define MAX_WORDS 16

static struct args args;
static struct fault fault;

/* Splits at blanks. */
static bool parse(const char *line)
{
    static char copy[256];
    char *argv[MAX_WORDS] = {"vmmctl"}, *rest = copy, *word;
    int argc = 1;

    args_clear(&args);
    memset(&fault, 0, sizeof fault);
    str_copy(copy, sizeof copy, line);
    while ((word = strsep(&rest, " ")))
        if (*word)
            argv[argc++] = word;
    return args_parse(argc, argv, &args, &fault);
}

static int clear(void **state)
{
    args_clear(&args);
    return 0;
}

static void flags_may_stand_anywhere(void **state)
{
    static const char *const lines[] = {"vm create web --memory 1G -o json --start",
                                        "--output json vm create --memory=1G web --start",
                                        "-ojson vm --output=json create --start --memory 1G web",
                                        "vm create --start --memory 1G -o json -- web",
                                        "-o json --timeout 5s vm create web --start --memory 1G"};

    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        assert_true(parse(lines[i]));
        assert_string_equal(args.command->verb, "create");
        assert_int_equal(args.n_words, 1);
        assert_string_equal(args.words[0], "web");
        assert_string_equal(args_text(&args, "memory"), "1G");
        assert_string_equal(args_text(&args, "output"), "json");
        assert_true(args_has(&args, "start"));
        assert_false(args_has(&args, "yes"));
    }
}

static void a_repeated_flag_keeps_every_value_and_the_last_one_counts(void **state)
{
    assert_true(parse("vm create web --disk size=1G --memory 1G --disk size=2G --memory 2G"));
    assert_string_equal(args_nth(&args, "disk", 0), "size=1G");
    assert_string_equal(args_nth(&args, "disk", 1), "size=2G");
    assert_null(args_nth(&args, "disk", 2));
    assert_string_equal(args_text(&args, "memory"), "2G");
}

static void shortcuts_are_their_long_form(void **state)
{
    assert_true(parse("rm web db --yes"));
    assert_string_equal(args.noun->name, "vm");
    assert_string_equal(args.command->verb, "delete");
    assert_int_equal(args.n_words, 2);
    assert_true(parse("pause web"));
    assert_string_equal(args.noun->name, "vm");
    assert_string_equal(args.command->verb, "pause");
    assert_true(parse("context rm lab"));
    assert_string_equal(args.command->verb, "remove");
    assert_true(parse("template ls"));
    assert_string_equal(args.command->verb, "list");
    assert_true(parse("vm help") && args.help);
    assert_true(parse("host"));
    assert_string_equal(args.command->verb, "show");
    assert_true(parse("console web --escape ^A"));
    assert_null(args.command->verb);
}

static void words_behind_two_dashes_are_no_flags(void **state)
{
    assert_true(parse("vm show -- --help"));
    assert_false(args.help);
    assert_string_equal(args.words[0], "--help");
    assert_true(parse("screenshot web -f -"));
    assert_string_equal(args_text(&args, "file"), "-");
}

static void wrong_lines_get_one_helpful_line(void **state)
{
    static const struct {
        const char *line, *says;
    } cases[] = {
        {"", "a command is needed"},
        {"vm", "needs a verb: create, list"},
        {"vmm list", "did you mean 'vm'?"},
        {"vm lst", "did you mean 'list'?"},
        {"vm destroy web", "did you mean 'delete'? (it has: create"},
        {"vm info web", "did you mean 'show'?"},
        {"context destroy lab", "it has: list"},
        {"images", "did you mean 'media'?"},
        {"reboot web", "did you mean 'reset'?"},
        {"pasue web", "did you mean 'pause'?"},
        {"vm create web --memry 1G", "did you mean '--memory'?"},
        {"vm list --memory 1G", "unknown flag --memory"},
        {"vm create web --memory", "--memory needs a value: --memory SIZE"},
        {"vm create web --start=yes", "--start takes no value"},
        {"vm create web db", "'db' is one word too many"},
        {"vm show", "VM is missing: vmmctl vm show VM"},
        {"api GET", "PATH is missing: vmmctl api METHOD PATH"},
        {"help vm stpo", NULL},
        {"vm stpo --help", "did you mean 'stop'?"},
        {"--unknown vm list", "unknown flag --unknown"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (!cases[i].says) {
            assert_true(parse(cases[i].line)); /* 'help' judges its words itself */
            continue;
        }
        assert_false(parse(cases[i].line));
        assert_int_equal(fault.exit, CLI_USAGE);
        if (!strstr(fault.detail, cases[i].says))
            fail_msg("'%s': %s", cases[i].line, fault.detail);
        assert_null(strchr(fault.detail, '\n'));
    }
}

static void help_needs_no_complete_line(void **state)
{
    static const char *const lines[] = {
        "--help",  "vm --help", "vm start --help", "-h vm start", "vm start --memory -h",
        "start -h"};

    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        assert_true(parse(lines[i]));
        assert_true(args.help);
    }
}

static void quantities_are_checked_where_they_are_read(void **state)
{
    int64_t ms;
    uint64_t bytes;

    assert_true(parse("console web --timeout 5m --history 64K"));
    assert_true(args_duration(&args, "timeout", 0, &ms, &fault));
    assert_int_equal(ms, 300000);
    assert_true(args_size(&args, "history", 0, &bytes, &fault));
    assert_int_equal(bytes, 65536);
    assert_true(parse("console web --timeout soon --history much"));
    assert_false(args_duration(&args, "timeout", 0, &ms, &fault));
    assert_int_equal(fault.exit, CLI_USAGE);
    assert_false(args_size(&args, "history", 0, &bytes, &fault));
    assert_true(parse("console web"));
    assert_true(args_duration(&args, "timeout", 42, &ms, &fault));
    assert_int_equal(ms, 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_may_stand_anywhere),
        cmocka_unit_test(a_repeated_flag_keeps_every_value_and_the_last_one_counts),
        cmocka_unit_test(shortcuts_are_their_long_form),
        cmocka_unit_test(words_behind_two_dashes_are_no_flags),
        cmocka_unit_test(wrong_lines_get_one_helpful_line),
        cmocka_unit_test(help_needs_no_complete_line),
        cmocka_unit_test(quantities_are_checked_where_they_are_read),
    };

    return cmocka_run_group_tests_name("cli/args", tests, NULL, clear);
}
