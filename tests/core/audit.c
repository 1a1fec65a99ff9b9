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
    };

    return cmocka_run_group_tests_name("core/audit", tests, NULL, NULL);
}
