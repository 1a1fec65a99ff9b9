/* Objects from files: which requests are made, in which order, and what is refused before any. */
#include "tests/unit/cli_line.h"

static char *write_file(const char *name, const char *text)
{
    char *path = str_format("%s/%s", dir, name);
    FILE *f = fopen(path, "we");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    return path;
}

static int apply(const char *text, const char *more, const struct step *steps, unsigned n)
{
    CLEANUP(mem_freep) char *path = write_file("objects.yaml", text);
    CLEANUP(mem_freep) char *line = str_format("apply|-f|%s%s", path, more);

    return run(line, steps, n);
}

static void what_cannot_be_meant_is_refused_before_any_request(void **state)
{
    static const char *const cases[][2] = {
        {"- 1\n", "document 1 is no mapping"},
        {"kind: vm\n", "document 1 has no name"},
        {"kind: 7\nname: a\n",
         "document 1 has a kind that is not known (vm, template, pool, webhook)"},
        {"name: a\n---\nname: a\n", "document 2: vm/a is described twice"},
        {"name: a\nname: b\n", "line 2"},
        {"# nothing\n", "there is nothing in it"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(apply(cases[i][0], "", NULL, 0), CLI_USAGE);
        assert_non_null(strstr(err_text, cases[i][1]));
    }
    assert_int_equal(run("apply", NULL, 0), CLI_USAGE);
    assert_int_equal(run("apply|-f|/nonexistent", NULL, 0), CLI_USAGE);
    assert_int_equal(apply("name: a\n", "|--prune|", NULL, 0), CLI_USAGE);
}

static void pools_are_made_before_the_vms_that_lie_on_them(void **state)
{
    static const struct step steps[] = {
        {.line = "GET /api/v1/pools/fast", .status = 404, .body = "{\"code\":\"not-found\"}"},
        {.line = "POST /api/v1/pools",
         .status = 201,
         .wants = "{\"name\":\"fast\",\"root\":\"main\"}",
         .body = "{}",
         .after = 1},
        {.line = "GET /api/v1/vms/a%2Fb", .status = 404, .body = "{}", .after = 2},
        {.line = "POST /api/v1/vms",
         .status = 202,
         .wants = "\"memory_bytes\":1073741824",
         .body = OP("queued", "", ""),
         .after = 3},
        {.line = "GET /api/v1/operations/op-1", .status = 200, .body = OP("succeeded", "", "")},
    };

    assert_int_equal(apply("name: a/b\nmemory: 1G\n---\nkind: pool\nname: fast\nroot: main\n", "",
                           steps, ARRAY_LEN(steps)),
                     CLI_OK);
    assert_string_equal(out, "pool/fast created\nvm/a/b created\n");
}

static void a_webhook_keeps_its_secret_and_gets_its_types(void **state)
{
    static const struct step steps[] = {
        {.line = "GET /api/v1/webhooks/ci",
         .status = 200,
         .head = "ETag: \"4\"\r\n",
         .body = "{\"name\":\"ci\",\"url\":\"https://x\",\"types\":[],\"enabled\":true,"
                 "\"state\":\"ok\"}"},
        {.line = "PATCH /api/v1/webhooks/ci?dry_run=true", .status = 200, .body = "{}"},
        {.line = "PATCH /api/v1/webhooks/ci HTTP",
         .status = 200,
         .wants = "\r\n\r\n{\"types\":[\"vm\"]}",
         .body = "{}"},
    };
    static const struct step same[] = {
        {.line = "GET /api/v1/webhooks/ci",
         .status = 200,
         .body = "{\"name\":\"ci\",\"url\":\"https://x\",\"types\":[\"vm\"],\"enabled\":true}"},
    };
    static const char document[] =
        "{kind: webhook, name: ci, url: https://x, secret: 0123456789abcdef, types: [vm]}";

    assert_int_equal(apply(document, "", steps, ARRAY_LEN(steps)), CLI_OK);
    assert_string_equal(out, "webhook/ci changed\n  types: [] -> [\"vm\"]\n");
    assert_int_equal(apply(document, "", same, 1), CLI_OK);
    assert_string_equal(out, "webhook/ci unchanged\n");
}

static void a_pool_gets_its_quota(void **state)
{
    static const struct step steps[] = {
        {.line = "GET /api/v1/pools/fast",
         .status = 200,
         .body = "{\"name\":\"fast\",\"root\":\"main\",\"quota_bytes\":0,\"reserve_bytes\":5,"
                 "\"default_format\":\"qcow2\"}"},
        {.line = "PATCH /api/v1/pools/fast?dry_run=true", .status = 200, .body = "{}"},
        {.line = "PATCH /api/v1/pools/fast HTTP",
         .status = 200,
         .wants = "\r\n\r\n{\"quota_bytes\":1073741824}",
         .body = "{}"},
    };

    assert_int_equal(
        apply("{kind: pool, name: fast, root: main, quota: 1G}", "", steps, ARRAY_LEN(steps)),
        CLI_OK);
    assert_string_equal(out, "pool/fast changed\n  quota_bytes: 0 -> 1073741824\n");
}

static void a_pool_on_another_root_and_an_unknown_member_are_said(void **state)
{
    static const struct step steps[] = {{.line = "GET /api/v1/pools/fast",
                                         .status = 200,
                                         .body = "{\"name\":\"fast\",\"root\":\"other\"}"}};

    assert_int_equal(apply("{kind: pool, name: fast, root: main}", "", steps, 1), CLI_CONFLICT);
    assert_non_null(strstr(err_text, "pool/fast: root cannot be changed any more"));
    assert_int_equal(apply("{kind: pool, name: fast, rot: main}", "", steps, 1), CLI_INVALID);
    assert_non_null(strstr(err_text, "a pool has no rot"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_be_meant_is_refused_before_any_request),
        cmocka_unit_test(pools_are_made_before_the_vms_that_lie_on_them),
        cmocka_unit_test(a_webhook_keeps_its_secret_and_gets_its_types),
        cmocka_unit_test(a_pool_gets_its_quota),
        cmocka_unit_test(a_pool_on_another_root_and_an_unknown_member_are_said),
    };

    return cmocka_run_group_tests_name("cli/apply", tests, set_up, tear_down);
}
