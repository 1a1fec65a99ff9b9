/* Contexts: what stands in the file, what of it counts, and what changing it leaves alone. */
#include "tests/unit/cli_line.h"

#include "cli/config.h"

#include <sys/stat.h>

static char *file;

static void write_config(const char *text)
{
    FILE *f = fopen(file, "we");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(chmod(file, 0600), 0);
}

static void expect_config(const char *text)
{
    char now[4096] = "";
    FILE *f = fopen(file, "re");
    struct stat st;

    assert_non_null(f);
    now[fread(now, 1, sizeof now - 1, f)] = 0;
    assert_int_equal(fstat(fileno(f), &st), 0);
    fclose(f);
    assert_string_equal(now, text);
    assert_int_equal(st.st_mode & 0777, 0600);
}

/* As run(), without the --socket that would win over the file. */
static int alone(const char *line, const struct step *steps, unsigned n)
{
    CLEANUP(mem_freep) char *copy = str_dup(line);
    char *argv[24] = {"vmmctl"}, *rest = copy, *word;
    size_t out_len, err_len;
    int argc = 1, code;
    FILE *o, *e;

    free(out);
    free(err_text);
    o = open_memstream(&out, &out_len);
    e = open_memstream(&err_text, &err_len);
    while ((word = strsep(&rest, "|")))
        argv[argc++] = word;
    service_start(socket_path, steps, n);
    interrupt_init();
    interrupt_clear();
    code = cli_main(argc, argv, o, e, input);
    fclose(o);
    fclose(e);
    service_end();
    return code;
}

static void a_context_is_added_used_and_removed_and_the_rest_stays(void **state)
{
    write_config("# mine\nsocket = /old.sock\n");
    assert_int_equal(alone("context|add|lab|--url|https://lab:8443/", NULL, 0), CLI_OK);
    expect_config("# mine\nsocket = /old.sock\n\n[context lab]\nurl = https://lab:8443\n");
    assert_int_equal(alone("context|add|home|--socket|/h.sock|--use", NULL, 0), CLI_OK);
    expect_config("context = home\n# mine\nsocket = /old.sock\n\n[context lab]\nurl = "
                  "https://lab:8443\n\n[context home]\nsocket = /h.sock\n");
    assert_int_equal(alone("context|list|--no-headers", NULL, 0), CLI_OK);
    assert_string_equal(out, "lab   false  https://lab:8443  false\n"
                             "home  true   /h.sock           false\n");
    assert_int_equal(alone("context|add|lab|--url|https://lab:9", NULL, 0), CLI_OK);
    assert_int_equal(alone("context|use|lab", NULL, 0), CLI_OK);
    expect_config("context = lab\n# mine\nsocket = /old.sock\n\n[context home]\nsocket = "
                  "/h.sock\n\n[context lab]\nurl = https://lab:9\n");
    assert_int_equal(alone("context|remove|lab", NULL, 0), CLI_OK);
    expect_config("# mine\nsocket = /old.sock\n\n[context home]\nsocket = /h.sock\n\n");
    assert_int_equal(alone("context|use|lab", NULL, 0), CLI_NOT_FOUND);
    assert_int_equal(alone("context|use|home", NULL, 0), CLI_OK);
    assert_int_equal(alone("context|show|-o|yaml", NULL, 0), CLI_OK);
    assert_non_null(strstr(out, "name: home"));
    assert_int_equal(alone("context|use|none", NULL, 0), CLI_OK);
    assert_int_equal(alone("context|show", NULL, 0), CLI_NOT_FOUND);
}

static void a_context_brings_its_own_token_and_no_other(void **state)
{
    CLEANUP(mem_freep)
    char *text = str_format("token = vmmd_top\nsocket = %s\ncontext = b\n[context a]\nsocket = "
                            "%s\ntoken = vmmd_a\n[ context  \"b\" ]\nsocket = %s\n",
                            socket_path, socket_path, socket_path);
    static const struct step a[] = {{.line = "GET /api/v1/pools",
                                     .status = 200,
                                     .body = "{\"items\":[]}",
                                     .wants = "Authorization: Bearer vmmd_a\r\n"}};
    char *argv[] = {"vmmctl", "pool", "list"};
    struct connection c;
    struct fault fault;
    struct args args;

    write_config(text);
    unsetenv("VMMD_TOKEN");
    assert_int_equal(alone("--context|a|pool|list", a, 1), CLI_OK);
    setenv("VMMD_CONTEXT", "a", 1);
    assert_int_equal(alone("pool|list", a, 1), CLI_OK);
    unsetenv("VMMD_CONTEXT");
    assert_true(args_parse(3, argv, &args, &fault) && connection_load(&args, &c, &fault));
    assert_string_equal(c.context, "b");
    assert_null(c.token);
    connection_clear(&c);
    setenv("VMMD_SOCKET", socket_path, 1); /* what the file has chosen does not count then */
    assert_true(connection_load(&args, &c, &fault));
    assert_null(c.context);
    assert_string_equal(c.token, "vmmd_top");
    unsetenv("VMMD_SOCKET");
    connection_clear(&c);
    args_clear(&args);
    assert_int_equal(alone("--context|c|pool|list", NULL, 0), CLI_USAGE);
    assert_non_null(strstr(err_text, "there is no context 'c'"));
    assert_non_null(strstr(err_text, "a, b"));
    setenv("VMMD_TOKEN", "vmmd_1_secret", 1);
}

static void what_is_no_context_names_its_line(void **state)
{
    static const char *const wrong[] = {"[server]\n", "[context]\n", "[context a b]\n",
                                        "[context ../x]\n", "[context a\n"};

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        write_config(wrong[i]);
        assert_int_equal(alone("pool|list", NULL, 0), CLI_USAGE);
        assert_non_null(strstr(err_text, "line 1: expected [context NAME]"));
    }
    write_config("socket = /x\n");
    assert_int_equal(alone("context|add|none|--url|https://x", NULL, 0), CLI_USAGE);
    assert_int_equal(alone("context|add|a b|--url|https://x", NULL, 0), CLI_USAGE);
    assert_int_equal(alone("context|add|a|--url|http://x", NULL, 0), CLI_USAGE);
    assert_int_equal(alone("context|add|a", NULL, 0), CLI_USAGE);
    expect_config("socket = /x\n");
    assert_int_equal(chmod(file, 0644), 0);
    assert_int_equal(alone("context|list", NULL, 0), CLI_USAGE);
    assert_int_equal(chmod(file, 0600), 0);
}

static void names_of_contexts_are_completed(void **state)
{
    write_config("[context lab]\nurl = https://a\n[context home]\nurl = https://b\n");
    assert_int_equal(alone("__complete|--|context|use|", NULL, 0), CLI_OK);
    assert_string_equal(out, "lab\t\nhome\t\n");
    assert_int_equal(alone("__complete|--|--context|h", NULL, 0), CLI_OK);
    assert_string_equal(out, "home\t\n");
}

static void a_login_without_a_person_trusts_nobody(void **state)
{
    write_config("");
    assert_int_equal(alone("login|127.0.0.1:1", NULL, 0), CLI_UNREACHABLE);
    assert_int_equal(alone("login|http://lab", NULL, 0), CLI_USAGE);
    assert_int_equal(alone("login|https://a@b", NULL, 0), CLI_USAGE);
    assert_int_equal(alone("login|[::1]:1", NULL, 0), CLI_USAGE); /* needs a name */
    assert_int_equal(alone("login|lab|--url|https://x", NULL, 0), CLI_USAGE);
    expect_config("");
}

static int set_up_file(void **state)
{
    set_up(state);
    file = str_format("%s/config", dir);
    setenv("VMMD_CONFIG", file, 1);
    return 0;
}

static int tear_down_file(void **state)
{
    free(file);
    unsetenv("VMMD_CONFIG");
    return tear_down(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_context_is_added_used_and_removed_and_the_rest_stays),
        cmocka_unit_test(a_context_brings_its_own_token_and_no_other),
        cmocka_unit_test(what_is_no_context_names_its_line),
        cmocka_unit_test(names_of_contexts_are_completed),
        cmocka_unit_test(a_login_without_a_person_trusts_nobody),
    };

    (void)run;
    return cmocka_run_group_tests_name("cli/context", tests, set_up_file, tear_down_file);
}
