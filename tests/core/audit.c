/* The audit trail: with the change, or not at all. */
#include "tests/lib/world.h"

#include "core/base/failpoint.h"
#include "core/event/audit.h"
#include "core/event/event.h"
#include "core/user/token.h"

#include <string.h>

static struct world w;
static uint64_t before; /* number of the last event when the test began */
static const struct audit_note note = {.operation = "createToken",
                                       .principal = "token:anna",
                                       .from = "192.0.2.7 port 4711",
                                       .path = "/api/v1/tokens",
                                       .request_id = "r-1",
                                       .role = ROLE_ADMIN};

static int setup(void **state)
{
    world_make(&w);
    before = event_newest(w.core);
    return 0;
}

static int teardown(void **state)
{
    world_remove(&w);
    return 0;
}

/* The records since the test began; the caller owns them. */
static json_t *records(void)
{
    struct event_line lines[64];
    json_t *out = json_array();
    struct err err = {0};
    uint64_t newest;
    bool gap;
    ssize_t n;

    for (uint64_t after = before;
         (n = event_wait(w.core, after, 0, lines, ARRAY_LEN(lines), &gap, &newest, &err)) > 0;)
        for (ssize_t i = 0; i < n; i++) {
            after = lines[i].seq;
            if (strncmp(lines[i].type, "audit.", 6) == 0)
                json_array_append_new(out, json_loads(lines[i].json, 0, NULL));
            event_line_clear(&lines[i]);
        }
    assert_int_equal(n, 0);
    return out;
}

static const char *data_of(const json_t *record, const char *member)
{
    return json_get_text(json_object_get(record, "data"), member);
}

static bool make_token(const char *name)
{
    char text[TOKEN_TEXT];
    struct err err = {0};
    struct uuid id;
    bool ok;

    audit_begin(&note);
    ok = token_create(w.core, name, ROLE_VIEWER, 0, &world_admin, &id, text, &err);
    audit_end(w.core, ok);
    return ok;
}

static void a_change_brings_its_record_along(void **state)
{
    CLEANUP(json_decrefp) json_t *all = NULL;
    const json_t *one;

    assert_true(make_token("ci"));
    all = records();
    assert_int_equal(json_array_size(all), 1);
    one = json_array_get(all, 0);
    assert_string_equal(json_get_text(one, "type"), "audit.change");
    assert_string_equal(json_get_text(json_object_get(one, "object"), "type"), "token");
    assert_string_equal(data_of(one, "principal"), "token:anna");
    assert_string_equal(data_of(one, "role"), "admin");
    assert_string_equal(data_of(one, "from"), "192.0.2.7 port 4711");
    assert_string_equal(data_of(one, "result"), "done");
    /* one transaction: token.created, then the record */
    assert_int_equal(event_newest(w.core), before + 2);
}

static void a_change_that_is_rolled_back_leaves_no_record(void **state)
{
    CLEANUP(json_decrefp) json_t *all = NULL;

    assert_true(make_token("ci"));
    assert_false(make_token("ci")); /* the name is taken */
    failpoint_arm("store.commit.before=fail");
    assert_false(make_token("other"));
    failpoint_arm(NULL);
    all = records();
    assert_int_equal(json_array_size(all), 1);
}

static void a_request_that_begins_a_job_names_it_and_its_object(void **state)
{
    CLEANUP(json_decrefp) json_t *all = NULL;
    struct err err = {0};
    struct uuid op;
    const json_t *one;

    audit_begin(&note);
    assert_true(world_try_create(&w, "web", "", &op, &err));
    audit_end(w.core, true);
    json_decref(world_end_of(&w, &op));
    all = records();
    assert_int_equal(json_array_size(all), 1);
    one = json_array_get(all, 0);
    assert_string_equal(json_get_text(json_object_get(one, "object"), "type"), "vm");
    assert_string_equal(data_of(one, "result"), "accepted");
    assert_string_equal(data_of(one, "job"), UUID_STR(&op));
}

static void a_change_without_an_event_is_recorded_by_itself(void **state)
{
    CLEANUP(json_decrefp) json_t *all = NULL;

    audit_begin(&note);
    audit_end(w.core, true);
    audit_begin(&note);
    audit_end(w.core, false); /* it failed */
    all = records();
    assert_int_equal(json_array_size(all), 1);
    assert_true(json_is_null(json_object_get(json_array_get(all, 0), "object")));
}

static void typing_is_recorded_once_a_minute(void **state)
{
    struct audit_note typing = note;
    CLEANUP(json_decrefp) json_t *all = NULL;

    typing.is_input = true;
    typing.path = "/api/v1/vms/web/serial";
    for (int i = 0; i < 50; i++) {
        audit_begin(&typing);
        audit_end(w.core, true);
    }
    all = records();
    assert_int_equal(json_array_size(all), 1);
}

static void a_flood_of_refusals_does_not_wash_the_log_away(void **state)
{
    struct audit_note other = note;
    CLEANUP(json_decrefp) json_t *all = NULL;
    struct err why = {0};

    err_set(&why, ERR_FORBIDDEN, "no");
    other.principal = "token:mallory";
    for (int i = 0; i < 1000; i++)
        audit_refusal(w.core, &other, &why);
    other.principal = "token:eve";
    audit_refusal(w.core, &other, &why); /* another's quota is its own */
    all = records();
    assert_in_range(json_array_size(all), 101, 500);
    assert_string_equal(data_of(json_array_get(all, json_array_size(all) - 1), "principal"),
                        "token:eve");
    assert_string_equal(data_of(json_array_get(all, 0), "code"), "forbidden");
}

/* The whole trail, oldest first; owned by the caller. */
static json_t *trail(void)
{
    const struct query_ask ask = {.order = "seq", .page_size = 1000};
    CLEANUP(query_clear) struct query query = {0};
    CLEANUP(strbuf_clear) struct strbuf text = {0};
    CLEANUP(json_decrefp) json_t *page = NULL;
    struct err err = {0};

    assert_true(query_parse(&schema_audit, &ask, &query, &err));
    assert_true(audit_list(w.core, &query, &text, &err));
    page = json_read(text.data, text.len, &err);
    return json_incref(json_object_get(page, "items"));
}

static void records_follow_from_each_other_without_gaps(void **state)
{
    CLEANUP(json_decrefp) json_t *all = NULL;
    struct chain_check check = {0};
    struct audit_head head;
    struct err err = {0};
    const json_t *one;
    size_t i;

    assert_true(make_token("a"));
    assert_false(make_token("a"));
    failpoint_arm("store.commit.before=fail");
    assert_false(make_token("b")); /* gone with its transaction */
    failpoint_arm(NULL);
    audit_refusal(w.core, &note, &(struct err){.code = ERR_FORBIDDEN});
    assert_true(make_token("c"));
    all = trail();
    assert_int_equal(json_array_size(all), 3);
    json_array_foreach (all, i, one) {
        if (!chain_next(&check, one, &err))
            fail_msg("%s", err.detail);
    }
    assert_string_equal(json_get_text(json_array_get(all, 1), "result"), "refused");
    assert_true(audit_head(w.core, &head, &err));
    assert_int_equal(head.seq, 3);
    assert_string_equal(head.hash, json_get_text(json_array_get(all, 2), "hash"));
}

static void what_is_said_by_the_event_is_said_by_the_record(void **state)
{
    static const char *const members[] = {"principal", "role",       "from",  "operation",
                                          "path",      "request_id", "result"};
    CLEANUP(json_decrefp) json_t *events = NULL, *all = NULL;
    const json_t *one;

    assert_true(make_token("ci"));
    events = records();
    all = trail();
    one = json_array_get(all, 0);
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        assert_string_equal(json_get_text(one, members[i]),
                            data_of(json_array_get(events, 0), members[i]));
    assert_string_equal(json_get_text(json_object_get(one, "object"), "id"),
                        json_get_text(json_object_get(json_array_get(events, 0), "object"), "id"));
}

static void only_the_order_of_the_numbers_can_be_asked_for(void **state)
{
    const struct query_ask ask = {.order = "principal", .page_size = 10};
    CLEANUP(query_clear) struct query query = {0};
    CLEANUP(strbuf_clear) struct strbuf text = {0};
    struct err err = {0};

    assert_true(query_parse(&schema_audit, &ask, &query, &err));
    assert_false(audit_list(w.core, &query, &text, &err));
    assert_int_equal(err.code, ERR_INVALID);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_change_brings_its_record_along),
        TEST(a_change_that_is_rolled_back_leaves_no_record),
        TEST(a_request_that_begins_a_job_names_it_and_its_object),
        TEST(a_change_without_an_event_is_recorded_by_itself),
        TEST(typing_is_recorded_once_a_minute),
        TEST(a_flood_of_refusals_does_not_wash_the_log_away),
        TEST(records_follow_from_each_other_without_gaps),
        TEST(what_is_said_by_the_event_is_said_by_the_record),
        TEST(only_the_order_of_the_numbers_can_be_asked_for),
    };

    return cmocka_run_group_tests_name("core/audit", tests, NULL, NULL);
}
