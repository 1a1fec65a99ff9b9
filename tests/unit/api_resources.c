/* What the handlers make of core's answers: operations, waits, repetition, entity tags, dry runs,
 * problems. */
#include "tests/unit/api/rig.h"

#define VMS   "/api/v1/vms"
#define HELLO VMS "/hello"
#define OP    "/api/v1/operations/" OP_ID

static void creating_gives_an_operation(void **state)
{
    struct rig *rig = *state;
    CLEANUP(reply_seen_clear)
    struct reply_seen r = ask(rig, "POST " VMS, OPERATOR, "{\"name\":\"a\"}");

    assert_int_equal(r.status, 202);
    assert_non_null(strstr(r.head, "Location: " OP "\r\n"));
    assert_non_null(strstr(r.head, "Retry-After: 1\r\n"));
    assert_non_null(strstr(r.body, "\"state\":\"running\""));
    assert_int_equal(rig->core->creates, 1);
    assert_string_equal(rig->core->last_principal, "token:operator");
}

static void bad_bodies_are_refused_with_a_pointer(void **state)
{
    struct rig *rig = *state;
    static const struct {
        const char *body;
        unsigned status;
        const char *piece;
    } bad[] = {
        {"", 400, "a JSON body is needed"},
        {"{", 400, "malformed"},
        {"[]", 422, "object is expected"},
        {"{\"name\":\"a\",\"name\":\"b\"}", 400, "duplicate"},
        {"{}", 422, "\"pointer\":\"/name\""},
        {"{\"name\":\"../x\"}", 422, "\"pointer\":\"/name\""},
        {"{\"name\":\"-rf\"}", 422, "\"pointer\":\"/name\""},
        {"{\"name\":\"a,process=y\"}", 422, "\"pointer\":\"/name\""},
        {"{\"name\":7}", 422, "\"pointer\":\"/name\""},
        {"{\"name\":\"a\",\"vcpus\":\"2\"}", 422, "\"pointer\":\"/vcpus\""},
        {"{\"name\":\"a\",\"vcpus\":1e3}", 422, "\"pointer\":\"/vcpus\""},
        {"{\"name\":\"a\",\"vcpus\":99999999999999999999999999}", 400, "malformed"},
        {"{\"name\":\"a\",\"disks\":[{\"size_bytes\":1}]}", 422,
         "\"pointer\":\"/disks/0/size_bytes\""},
        {"{\"name\":\"a\",\"disks\":[{\"size_bytes\":9007199254740993000}]}", 422, "/disks/0"},
        {"{\"name\":\"a\",\"sudo\":true}", 422, "\"pointer\":\"/sudo\""},
        {"{\"name\":\"a\xff\"}", 400, "malformed"},
        {"{\"name\":\"hello\"}", 409, "\"code\":\"exists\""},
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        expect(rig, "POST " VMS, OPERATOR, bad[i].body, bad[i].status, bad[i].piece);
    assert_int_equal(rig->core->creates, 0);
}

static void problems_have_all_their_members(void **state)
{
    CLEANUP(reply_seen_clear) struct reply_seen r = ask(*state, "GET " VMS "/none", VIEWER, NULL);
    struct err err = {0};
    CLEANUP(json_decrefp) json_t *p = json_read(r.body, r.len, &err);

    assert_non_null(p);
    assert_string_equal(json_get_text(p, "type"), "https://vmmd.invalid/problems/not-found");
    assert_string_equal(json_get_text(p, "title"), "No such object");
    assert_int_equal(json_get_u64(p, "status", 0), 404);
    assert_string_equal(json_get_text(p, "detail"), "there is no VM 'none'");
    assert_string_equal(json_get_text(p, "instance"), VMS "/none");
    assert_string_equal(json_get_text(p, "code"), "not-found");
    assert_non_null(strstr(r.head, json_get_text(p, "request_id")));
    assert_null(json_object_get(p, "errors"));
}

struct asker {
    struct rig *rig;
    const char *line, *headers, *body;
    struct reply_seen reply;
    pthread_t thread;
};

static void *ask_aside(void *arg)
{
    struct asker *a = arg;

    a->reply = ask(a->rig, a->line, a->headers, a->body);
    return NULL;
}

/* Asks on another thread and returns once core is waiting. */
static void ask_and_wait(struct asker *a)
{
    struct err err = {0};

    assert_true(thread_start(&a->thread, "asker", ask_aside, a, &err));
    fake_await_waiters(a->rig->core, 1);
}

static void prefer_wait_gives_the_vm_when_it_is_made_in_time(void **state)
{
    struct rig *rig = *state;
    struct asker a = {
        rig, "POST " VMS, OPERATOR "Prefer: respond-async, wait=30\r\n", "{\"name\":\"a\"}", {0},
        0};

    ask_and_wait(&a);
    fake_job_becomes(rig->core, "succeeded", "");
    pthread_join(a.thread, NULL);
    assert_int_equal(a.reply.status, 201);
    assert_non_null(strstr(a.reply.head, "Location: " VMS "/" HELLO_ID "\r\n"));
    assert_non_null(strstr(a.reply.head, "ETag: \"41.7\""));
    reply_seen_clear(&a.reply);
}

static void prefer_wait_gives_the_error_when_it_failed(void **state)
{
    struct rig *rig = *state;
    struct asker a = {rig, "POST " VMS, OPERATOR "Prefer: wait=30\r\n", "{\"name\":\"a\"}", {0}, 0};

    ask_and_wait(&a);
    fake_job_becomes(rig->core, "failed", "no-space");
    pthread_join(a.thread, NULL);
    assert_int_equal(a.reply.status, 507);
    assert_non_null(strstr(a.reply.body, "\"instance\":\"" OP "\""));
    assert_non_null(strstr(a.reply.body, "\"pointer\":\"/disks/0\""));
    reply_seen_clear(&a.reply);
}

static void prefer_wait_that_ends_too_early_gives_202(void **state)
{
    struct rig *rig = *state;

    rig->core->impatient = true;
    expect(rig, "POST " HELLO "/actions/pause", OPERATOR "Prefer: wait=60\r\n", NULL, 202,
           "\"state\":\"running\"");
}

static void other_operations_end_with_themselves(void **state)
{
    struct rig *rig = *state;

    strcpy(rig->core->job_kind, "vm.pause");
    fake_job_becomes(rig->core, "succeeded", "");
    expect(rig, "POST " HELLO "/actions/pause", OPERATOR "Prefer: wait=5\r\n", NULL, 200, OP_ID);
    expect(rig, "DELETE " HELLO, OPERATOR "Prefer: wait=5\r\n", NULL, 200, OP_ID);
    fake_job_becomes(rig->core, "cancelled", "");
    expect(rig, "DELETE " HELLO, OPERATOR "Prefer: wait=5\r\n", NULL, 409, "cancelled");
    expect(rig, "DELETE " HELLO, OPERATOR "Prefer: wait=x\r\n", NULL, 202, OP_ID);
}

static void a_waiting_request_ends_when_vmmd_stops(void **state)
{
    struct rig *rig = *state;
    struct asker a = {rig, "GET " OP "?wait=60", VIEWER, NULL, {0}, 0};

    ask_and_wait(&a);
    api_stop(rig->api);
    rig->api = NULL;
    pthread_join(a.thread, NULL);
    assert_int_equal(a.reply.status, 200); /* and it gets its answer still */
    assert_non_null(strstr(a.reply.body, "\"state\":\"running\""));
    reply_seen_clear(&a.reply);
}

static void operations_are_found_waited_for_and_cancelled(void **state)
{
    struct rig *rig = *state;

    expect(rig, "GET " OP, VIEWER, NULL, 200, OP_ID);
    expect(rig, "GET " OP "?wait=61", VIEWER, NULL, 422, "?wait");
    expect(rig, "GET /api/v1/operations/nonsense", VIEWER, NULL, 404, "named by its id");
    expect(rig, "GET /api/v1/operations?state=running&vm=hello", VIEWER, NULL, 200, OP_ID);
    expect(rig, "GET /api/v1/operations?state=sleeping", VIEWER, NULL, 422, "?state");
    expect(rig, "POST " OP "/actions/cancel?dry_run=true", OPERATOR, NULL, 200, "dry_run");
    assert_string_equal(rig->core->job_state, "running");
    expect(rig, "POST " OP "/actions/cancel", OPERATOR, NULL, 202, "cancelling");
    expect(rig, "POST " OP "/actions/cancel", VIEWER, NULL, 403, NULL);
}

static void actions_take_their_arguments_only(void **state)
{
    struct rig *rig = *state;

    expect(rig, "POST " HELLO "/actions/shutdown", OPERATOR, "{\"timeout_s\":5}", 202, NULL);
    assert_string_equal(rig->core->last_args, "{\"timeout_s\":5}");
    expect(rig, "POST " HELLO "/actions/shutdown", OPERATOR, NULL, 202, NULL);
    assert_string_equal(rig->core->last_args, "none");
    expect(rig, "POST " HELLO "/actions/shutdown", OPERATOR, "{\"timeout_s\":0}", 422,
           "/timeout_s");
    expect(rig, "POST " HELLO "/actions/pause", OPERATOR, "{\"timeout_s\":5}", 422, "/timeout_s");
    expect(rig, "POST " HELLO "/actions/pause", OPERATOR, "{}", 202, NULL);
    expect(rig, "POST " HELLO "/actions/start", OPERATOR, NULL, 409, "wrong-state");
}

static void the_same_key_makes_one_thing(void **state)
{
    struct rig *rig = *state;

    expect(rig, "POST " VMS, OPERATOR "Idempotency-Key: k1\r\n", "{\"name\":\"a\"}", 202, NULL);
    expect(rig, "POST " VMS, OPERATOR "Idempotency-Key: k1\r\n", "{\"name\":\"a\"}", 202,
           "Idempotency-Replayed: true");
    assert_int_equal(rig->core->creates, 1);
    expect(rig, "POST " VMS, OPERATOR "Idempotency-Key: k1\r\n", "{\"name\":\"b\"}", 422,
           "idempotency-mismatch");
    expect(rig, "POST " HELLO "/actions/pause", OPERATOR "Idempotency-Key: k1\r\n", NULL, 422,
           "idempotency-mismatch");
    expect(rig, "POST " VMS, OPERATOR "Idempotency-Key: a b\r\n", "{\"name\":\"a\"}", 400, NULL);
    assert_int_equal(rig->core->creates, 1);
}

static void a_replayed_token_does_not_show_its_text_again(void **state)
{
    struct rig *rig = *state;
    const char *body = "{\"name\":\"ci\",\"role\":\"viewer\"}";

    expect(rig, "POST /api/v1/tokens", ADMIN "Idempotency-Key: t\r\n", body, 201,
           "\"token\":\"vmmd_viewer_secret\",\"note\":null");
    expect(rig, "POST /api/v1/tokens", ADMIN "Idempotency-Key: t\r\n", body, 201,
           "\"token\":null,\"note\":\"The token's text was shown");
    assert_int_equal(rig->core->tokens_made, 1);
    expect(rig, "POST /api/v1/tokens", ADMIN, "{\"name\":\"ci\",\"role\":\"none\"}", 422, "/role");
}

static void a_replayed_pool_is_the_same_pool(void **state)
{
    const char *body = "{\"name\":\"fast\",\"root\":\"main\"}";

    expect(*state, "POST /api/v1/pools", ADMIN "Idempotency-Key: p\r\n", body, 201,
           "Location: /api/v1/pools/" POOL_ID);
    expect(*state, "POST /api/v1/pools", ADMIN "Idempotency-Key: p\r\n", body, 201,
           "Idempotency-Replayed: true");
    expect(*state, "POST /api/v1/pools", ADMIN, "{\"name\":\"fast\",\"root\":\"/etc\"}", 422,
           "/root");
    expect(*state, "DELETE /api/v1/pools/fast", ADMIN, NULL, 409, "in-use");
}

static void dry_runs_say_so_and_change_nothing(void **state)
{
    struct rig *rig = *state;

    expect(rig, "POST " VMS "?dry_run=true", OPERATOR "Prefer: wait=9\r\n", "{\"name\":\"a\"}", 200,
           "{\"dry_run\":true,\"spec\":{\"name\":\"a\"");
    assert_int_equal(rig->core->creates, 0);
    assert_true(rig->core->last_dry_run);
    expect(rig, "PATCH " HELLO "?dry_run=true", OPERATOR, "{\"vcpus\":2}", 200,
           "{\"dry_run\":true,\"vm\":{");
    expect(rig, "DELETE " HELLO "?dry_run=true", OPERATOR, NULL, 200, "{\"dry_run\":true}");
    expect(rig, "POST " VMS "?dry_run=perhaps", OPERATOR, "{\"name\":\"a\"}", 422, "?dry_run");
}

static void entity_tags_guard_edits(void **state)
{
    struct rig *rig = *state;
    const char *patch = "{\"vcpus\":2}";

    expect(rig, "PATCH " HELLO, OPERATOR, patch, 200, "ETag: \"42.7\"");
    assert_string_equal(rig->core->last_patch, patch);
    expect(rig, "PATCH " HELLO, OPERATOR "If-Match: \"41\"\r\n", patch, 200, NULL);
    expect(rig, "PATCH " HELLO, OPERATOR "If-Match: \"41.3\"\r\n", patch, 200, NULL);
    expect(rig, "PATCH " HELLO, OPERATOR "If-Match: *\r\n", patch, 200, NULL);
    expect(rig, "PATCH " HELLO, OPERATOR "If-Match: \"40.7\"\r\n", patch, 412, "revision-conflict");
    expect(rig, "PATCH " HELLO, OPERATOR "If-Match: 41\r\n", patch, 400, NULL);
    expect(rig, "PATCH " HELLO, OPERATOR "If-Match: \"41\", \"42\"\r\n", patch, 400, NULL);
    expect(rig, "PATCH " HELLO, OPERATOR "If-Match: \"\"\r\n", patch, 400, NULL);
    expect(rig, "DELETE " HELLO, OPERATOR "If-Match: \"40\"\r\n", NULL, 412, NULL);
    expect(rig, "GET " HELLO, VIEWER "If-None-Match: \"41.7\"\r\n", NULL, 304, "ETag: \"41.7\"");
    expect(rig, "GET " HELLO, VIEWER "If-None-Match: \"1\", W/\"41.7\"\r\n", NULL, 304, NULL);
    expect(rig, "GET " HELLO, VIEWER "If-None-Match: *\r\n", NULL, 304, NULL);
    expect(rig, "GET " HELLO, VIEWER "If-None-Match: \"41.6\"\r\n", NULL, 200, HELLO_ID);
    expect(rig, "GET " HELLO, VIEWER "If-None-Match: \"41\"\r\n", NULL, 200, HELLO_ID);
}

static void patches_may_be_sent_as_either_type(void **state)
{
    CLEANUP(reply_seen_clear) struct reply_seen r = {0};
    int fd = dial(*state);

    say(fd, "PATCH " HELLO " HTTP/1.1\r\nHost: x\r\n" ADMIN
            "Content-Type: application/merge-patch+json\r\nContent-Length: 2\r\n\r\n{}");
    r = listen_to(fd, false);
    assert_int_equal(r.status, 200);
    close(fd);
}

static void the_console_can_be_read_and_typed_on(void **state)
{
    struct rig *rig = *state;
    CLEANUP(reply_seen_clear) struct reply_seen r = {0};
    int fd = dial(rig);

    fake_serial(rig->core, "login: ");
    expect(rig, "GET " HELLO "/serial", OPERATOR, NULL, 200, "login: ");
    expect(rig, "GET " HELLO "/serial?offset=2&limit=3", OPERATOR, NULL, 200,
           "Vmmd-Serial-Next: 5\r\n");
    expect(rig, "GET " HELLO "/serial?offset=end", OPERATOR, NULL, 200,
           "Vmmd-Serial-Offset: 7\r\n");
    expect(rig, "GET " HELLO "/serial?limit=0", OPERATOR, NULL, 422, "?limit");
    expect(rig, "GET " HELLO "/serial?offset=start", OPERATOR, NULL, 422, "?offset");
    expect(rig, "GET " VMS "/none/serial?follow=true", OPERATOR, NULL, 404, NULL);
    say(fd, "POST " HELLO "/serial HTTP/1.1\r\nHost: x\r\n" OPERATOR
            "Content-Type: application/octet-stream\r\nContent-Length: 5\r\n\r\nroot\n");
    r = listen_to(fd, false);
    assert_int_equal(r.status, 204);
    assert_string_equal(rig->core->typed, "root\n");
    reply_seen_clear(&r);
    say(fd, "POST " HELLO "/serial HTTP/1.1\r\nHost: x\r\n" OPERATOR
            "Content-Type: application/octet-stream\r\nContent-Length: 65537\r\n\r\n");
    r = listen_to(fd, false);
    assert_int_equal(r.status, 413);
    close(fd);
    expect(rig, "GET " HELLO "/screenshot", OPERATOR, NULL, 200, "Content-Type: image/png");
    expect(rig, "GET " HELLO "/log?source=serial&lines=7&port=1", OPERATOR, NULL, 200,
           "7 lines of serial 1");
    expect(rig, "GET " HELLO "/log", OPERATOR, NULL, 200,
           "Content-Type: text/plain; charset=utf-8");
    expect(rig, "GET " HELLO "/log?port=1", OPERATOR, NULL, 422, "?port");
    expect(rig, "GET " HELLO "/log", VIEWER, NULL, 403, "forbidden");
}

static void everything_else_answers(void **state)
{
    expect(*state, "GET /api/v1/version", VIEWER, NULL, 200, "\"api\":\"v1\"");
    expect(*state, "GET /api/v1/host", VIEWER, NULL, 200, NULL);
    expect(*state, "GET /api/v1/tokens/ci", ADMIN, NULL, 200, NULL);
    expect(*state, "DELETE /api/v1/tokens/ci", ADMIN, NULL, 204, NULL);
    expect(*state, "GET /api/v1/pools", VIEWER, NULL, 200, "next_page_token");
    expect(*state, "GET /api/v1/pools/fast", VIEWER, NULL, 200, NULL);
    expect(*state, "GET /api/v1/disks?vm=hello", VIEWER, NULL, 200, NULL);
    expect(*state, "GET /api/v1/disks/x", VIEWER, NULL, 200, NULL);
    expect(*state, "GET /ui/passwd", "", NULL, 404, NULL);
}

static char *web_dir;

static void put(const char *name, const char *text)
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", web_dir, name);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int start_with_web_dir(void **state)
{
    struct api_config config = patient;
    char path[128];

    web_dir = tmp_dir_make();
    put("index.html", "<title>vmmd</title>");
    put("secret", "x");
    snprintf(path, sizeof path, "%s/app.js", web_dir);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    config.web_dir_or_null = web_dir;
    return rig_start_with(state, &config);
}

static int stop_with_web_dir(void **state)
{
    rig_stop(state);
    tmp_dir_remove(web_dir);
    return 0;
}

static void the_trail_gets_members_but_no_texts(void **state)
{
    struct rig *rig = *state;
    unsigned done = fake_trail.done;

    expect(rig, "POST " VMS, OPERATOR,
           "{\"name\":\"a\",\"vcpus\":2,\"notes\":\"hunter2\",\"labels\":{\"k\":\"v\"},"
           "\"disks\":[{\"size_bytes\":1048576}]}",
           202, NULL);
    assert_int_equal(fake_trail.done, done + 1);
    assert_string_equal(fake_trail.changes,
                        "{\"/name\":\"a\",\"/vcpus\":2,\"/notes\":\"(7 bytes)\","
                        "\"/labels/k\":\"(1 bytes)\",\"/disks/0/size_bytes\":1048576}");
}

static void the_trail_gets_no_dry_runs_no_failures_no_reads(void **state)
{
    struct rig *rig = *state;
    unsigned done = fake_trail.done, refused = fake_trail.refused, noted;

    expect(rig, "POST " VMS "?dry_run=true", OPERATOR, "{\"name\":\"a\"}", 200, NULL);
    expect(rig, "POST " VMS, OPERATOR, "{\"name\":\"hello\"}", 409, NULL);
    expect(rig, "POST " VMS, "", "{\"name\":\"a\"}", 401, NULL);
    noted = fake_trail.noted;
    expect(rig, "GET " VMS, VIEWER, NULL, 200, NULL);
    assert_int_equal(fake_trail.noted, noted);
    assert_int_equal(fake_trail.done, done);
    assert_int_equal(fake_trail.refused, refused);
}

static void the_trail_gets_who_was_refused(void **state)
{
    struct rig *rig = *state;
    unsigned refused = fake_trail.refused;

    expect(rig, "POST " VMS, VIEWER, "{\"name\":\"a\"}", 403, NULL);
    assert_int_equal(fake_trail.refused, refused + 1);
    assert_string_equal(fake_trail.principal, "token:viewer");
    expect(rig, "GET /api/v1/events?wait=0&types=vm,audit", OPERATOR, NULL, 403, NULL);
    assert_int_equal(fake_trail.refused, refused + 2);
}

static void the_web_ui_is_served_with_a_strict_policy(void **state)
{
    expect(*state, "GET /", "", NULL, 200, "<title>vmmd</title>");
    expect(*state, "GET /ui/index.html", "", NULL, 200, "default-src 'none'; script-src 'self'");
    expect(*state, "GET /ui/secret", "", NULL, 404, NULL);
    expect(*state, "GET /ui/app.js", "", NULL, 404, NULL); /* a symbolic link */
    expect(*state, "GET /ui/app.css", "", NULL, 404, NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_start, rig_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(creating_gives_an_operation),
        TEST(bad_bodies_are_refused_with_a_pointer),
        TEST(problems_have_all_their_members),
        TEST(prefer_wait_gives_the_vm_when_it_is_made_in_time),
        TEST(prefer_wait_gives_the_error_when_it_failed),
        TEST(prefer_wait_that_ends_too_early_gives_202),
        TEST(other_operations_end_with_themselves),
        TEST(a_waiting_request_ends_when_vmmd_stops),
        TEST(operations_are_found_waited_for_and_cancelled),
        TEST(actions_take_their_arguments_only),
        TEST(the_same_key_makes_one_thing),
        TEST(a_replayed_token_does_not_show_its_text_again),
        TEST(a_replayed_pool_is_the_same_pool),
        TEST(dry_runs_say_so_and_change_nothing),
        TEST(entity_tags_guard_edits),
        TEST(patches_may_be_sent_as_either_type),
        TEST(the_console_can_be_read_and_typed_on),
        TEST(everything_else_answers),
        TEST(the_trail_gets_members_but_no_texts),
        TEST(the_trail_gets_no_dry_runs_no_failures_no_reads),
        TEST(the_trail_gets_who_was_refused),
        cmocka_unit_test_setup_teardown(the_web_ui_is_served_with_a_strict_policy,
                                        start_with_web_dir, stop_with_web_dir),
    };

    return cmocka_run_group_tests_name("api/resources", tests, NULL, NULL);
}
