/* Bulk actions at the edge: who is meant, what becomes of each, waiting and repeating. */
#include "tests/unit/api/rig.h"

#define START "POST /api/v1/vms/actions/start"
#define BOTH  "{\"vms\":[\"hello\",\"other\"]}"

static void every_vm_has_its_item(void **state)
{
    struct rig *rig = *state;
    CLEANUP(reply_seen_clear) struct reply_seen r = ask(rig, START, OPERATOR, BOTH);
    struct err err = {0};
    CLEANUP(json_decrefp) json_t *body = json_read(r.body, r.len, &err);
    const json_t *items = json_object_get(body, "items");

    assert_int_equal(r.status, 200);
    assert_int_equal(json_array_size(items), 2);
    assert_string_equal(json_get_text(json_object_get(json_array_get(items, 0), "operation"), "id"),
                        OP_ID);
    assert_string_equal(json_get_text(json_object_get(json_array_get(items, 1), "error"), "code"),
                        "not-found");
    assert_int_equal(rig->core->acts, 1);
}

static void one_of_vms_and_filter_says_which(void **state)
{
    struct rig *rig = *state;
    static const struct {
        const char *body, *piece;
    } bad[] = {
        {"{}", "\"pointer\":\"/vms\""},
        {"{\"vms\":[]}", "\"pointer\":\"/vms\""},
        {"{\"vms\":[\"\"]}", "\"pointer\":\"/vms/0\""},
        {"{\"vms\":\"hello\"}", "\"pointer\":\"/vms\""},
        {"{\"vms\":[\"hello\"],\"filter\":\"state==off\"}", "\"pointer\":\"/filter\""},
        {"{\"filter\":\"\"}", "\"pointer\":\"/filter\""},
        {"{\"filter\":\"bad\"}", "\"pointer\":\"/filter\""},
        {"{\"vms\":[\"hello\"],\"timeout_s\":5}", "\"pointer\":\"/timeout_s\""},
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        expect(rig, START, OPERATOR, bad[i].body, 422, bad[i].piece);
    assert_int_equal(rig->core->acts, 0);
    expect(rig, START, OPERATOR, "{\"filter\":\"state==off\"}", 200, OP_ID);
    expect(rig, "POST /api/v1/vms/actions/shutdown", OPERATOR,
           "{\"vms\":[\"hello\"],\"timeout_s\":5}", 200, OP_ID);
    expect(rig, START, VIEWER, BOTH, 403, "forbidden");
    expect(rig, "POST /api/v1/vms/actions/explode", OPERATOR, BOTH, 404, "not-found");
    expect(rig, "GET /api/v1/vms/actions/start", OPERATOR, NULL, 405, "method-not-allowed");
}

static void a_dry_run_shows_items_without_operations(void **state)
{
    struct rig *rig = *state;

    expect(rig, "POST /api/v1/vms/actions/start?dry_run=true", OPERATOR, BOTH, 200,
           "\"operation\":null");
    assert_true(rig->core->last_dry_run);
}

static void a_repetition_shows_what_the_first_one_began(void **state)
{
    struct rig *rig = *state;
    const char *headers = OPERATOR "Idempotency-Key: k\r\n";
    CLEANUP(reply_seen_clear) struct reply_seen first = ask(rig, START, headers, BOTH);
    CLEANUP(reply_seen_clear) struct reply_seen second = ask(rig, START, headers, BOTH);

    assert_int_equal(second.status, 200);
    assert_non_null(strstr(second.head, "Idempotency-Replayed: true"));
    assert_non_null(strstr(second.body, OP_ID));
    assert_int_equal(rig->core->acts, 1);
    expect(rig, START, headers, "{\"vms\":[\"other\"]}", 422, "idempotency-mismatch");
}

static void who_prefers_to_wait_sees_how_they_ended(void **state)
{
    struct rig *rig = *state;
    CLEANUP(reply_seen_clear) struct reply_seen r = {0};

    fake_job_becomes(rig->core, "failed", "no-space");
    r = ask(rig, START, OPERATOR "Prefer: wait=30\r\n", BOTH);
    assert_int_equal(r.status, 200);
    assert_non_null(strstr(r.body, "\"state\":\"failed\""));
}

static void what_is_refused_is_noted_once(void **state)
{
    struct rig *rig = *state;
    unsigned before = fake_trail.refused;

    expect(rig, START, OPERATOR, "{\"vms\":[\"hello\",\"other\"]}", 200, OP_ID);
    expect(rig, START "?dry_run=true", OPERATOR, "{\"vms\":[\"seen\"]}", 200, "forbidden");
    assert_int_equal(fake_trail.refused, before);
    expect(rig, START, OPERATOR, "{\"vms\":[\"hello\",\"seen\",\"seen\"]}", 200, "forbidden");
    assert_int_equal(fake_trail.refused, before + 1);
    assert_string_equal(fake_trail.principal, "token:operator");
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, rig_start, rig_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(every_vm_has_its_item),
        STORY(one_of_vms_and_filter_says_which),
        STORY(a_dry_run_shows_items_without_operations),
        STORY(a_repetition_shows_what_the_first_one_began),
        STORY(who_prefers_to_wait_sees_how_they_ended),
        STORY(what_is_refused_is_noted_once),
    };

    return cmocka_run_group_tests_name("unit/api_bulk", tests, NULL, NULL);
}
