/* One verb for many VMs: each item for itself, all in one transaction. */
#include "tests/lib/world.h"

#include "core/base/failpoint.h"
#include "core/base/str.h"
#include "core/event/audit.h"
#include "core/event/event.h"
#include "core/vm/bulk.h"

#include <stdio.h>
#include <string.h>

static struct world w;

static int setup(void **state)
{
    world_make(&w);
    world_create(&w, "a", "\"labels\":{\"ci\":\"true\"}");
    world_create(&w, "b", "\"labels\":{\"ci\":\"true\"}");
    world_create(&w, "c", "");
    return 0;
}

static int teardown(void **state)
{
    world_remove(&w);
    return 0;
}

static json_t *act_as(const struct origin *origin, enum vm_verb verb, const char *refs,
                      struct err *err)
{
    CLEANUP(json_decrefp) json_t *list = json_loads(refs, 0, NULL);

    return vm_act_all(w.core, list, verb, NULL, origin, err);
}

static json_t *act(enum vm_verb verb, const char *refs)
{
    struct err err = {0};
    json_t *done = act_as(&world_admin, verb, refs, &err);

    if (!done)
        fail_msg("%s", err.detail);
    return done;
}

static const json_t *item(const json_t *done, size_t i)
{
    return json_array_get(json_object_get(done, "items"), i);
}

static const char *error_of(const json_t *done, size_t i)
{
    return json_get_text(json_object_get(item(done, i), "error"), "code");
}

/* The final state of the i-th item's operation. */
static void assert_succeeds(const json_t *done, size_t i)
{
    struct uuid op;

    assert_null(error_of(done, i));
    assert_true(uuid_parse(json_get_text(item(done, i), "operation"), &op));
    CLEANUP(json_decrefp) json_t *end = world_end_of(&w, &op);
    assert_string_equal(json_get_text(end, "state"), "succeeded");
}

static void each_vm_gets_an_operation_of_its_own(void **state)
{
    CLEANUP(json_decrefp) json_t *done = act(VM_VERB_START, "[\"b\",\"a\",\"c\"]");

    for (size_t i = 0; i < 3; i++)
        assert_succeeds(done, i);
    assert_string_equal(json_get_text(json_object_get(item(done, 0), "vm"), "name"), "b");
    assert_string_equal(json_get_text(json_object_get(item(done, 0), "vm"), "id"),
                        world_vm(&w, "b", "id"));
    for (const char *const *name = (const char *const[]){"a", "b", "c", NULL}; *name; name++)
        assert_string_equal(world_vm(&w, *name, "run.state"), "running");
}

static void what_cannot_be_is_said_and_the_others_go_on(void **state)
{
    CLEANUP(json_decrefp) json_t *done = NULL;
    const json_t *missing;

    assert_string_equal(world_act(&w, "b", VM_VERB_START), "succeeded");
    done = act(VM_VERB_START, "[\"a\",\"b\",\"nobody\",\"c\"]");
    assert_succeeds(done, 0);
    assert_string_equal(error_of(done, 1), "wrong-state");
    assert_true(json_is_null(json_object_get(item(done, 1), "operation")));
    assert_string_equal(error_of(done, 2), "not-found");
    missing = json_object_get(item(done, 2), "vm");
    assert_string_equal(json_get_text(missing, "name"), "nobody");
    assert_true(json_is_null(json_object_get(missing, "id")));
    assert_succeeds(done, 3);
}

static void a_vm_named_twice_is_refused_before_anything_begins(void **state)
{
    CLEANUP(json_decrefp) json_t *twice = json_pack("[s,s,s]", "c", "a", world_vm(&w, "c", "id"));
    struct err err = {0};

    assert_null(vm_act_all(w.core, twice, VM_VERB_START, NULL, &world_admin, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_string_equal(err.field, "/vms/2");
    assert_string_equal(world_vm(&w, "a", "job"), "null");
    assert_string_equal(world_vm(&w, "a", "run.state"), "off");
}

static void a_dry_run_says_what_would_be_refused(void **state)
{
    struct origin trying = world_admin;
    CLEANUP(json_decrefp) json_t *done = NULL;
    struct err err = {0};

    trying.dry_run = true;
    done = act_as(&trying, VM_VERB_PAUSE, "[\"a\",\"nobody\"]", &err);
    assert_string_equal(error_of(done, 0), "wrong-state");
    json_decref(done);
    done = act_as(&trying, VM_VERB_START, "[\"a\",\"nobody\"]", &err);
    assert_null(error_of(done, 0));
    assert_true(json_is_null(json_object_get(item(done, 0), "operation")));
    assert_string_equal(error_of(done, 1), "not-found");
    assert_string_equal(world_vm(&w, "a", "run.state"), "off");
}

static void they_are_deleted_with_their_disks(void **state)
{
    CLEANUP(json_decrefp) json_t *done = NULL;

    world_create(&w, "d", "\"disks\":[{\"size_bytes\":1048576},{\"size_bytes\":1048576}]");
    world_create(&w, "e", "\"disks\":[{\"size_bytes\":1048576}]");
    assert_int_equal(world_files(&w), 3);
    done = act(VM_VERB_DELETE, "[\"e\",\"a\",\"d\"]");
    for (size_t i = 0; i < 3; i++)
        assert_succeeds(done, i);
    assert_int_equal(world_files(&w), 0);
    assert_false(world_has_vm(&w, "a"));
    assert_true(world_has_vm(&w, "b"));
}

static void deleting_in_opposite_orders_ends(void **state)
{
    CLEANUP(json_decrefp) json_t *one = act(VM_VERB_DELETE, "[\"a\",\"b\",\"c\"]");
    CLEANUP(json_decrefp) json_t *two = act(VM_VERB_DELETE, "[\"c\",\"b\",\"a\"]");

    for (size_t i = 0; i < 3; i++) {
        assert_succeeds(one, i);
        assert_non_null(error_of(two, i)); /* held, or gone already */
    }
}

static void a_write_that_fails_begins_nothing(void **state)
{
#ifdef VMMD_FAILPOINTS
    struct err err = {0};

    failpoint_arm("job.batch=fail");
    assert_null(act_as(&world_admin, VM_VERB_START, "[\"a\",\"b\"]", &err));
    assert_int_not_equal(err.code, ERR_NONE);
    err = (struct err){0};
    failpoint_arm("job.batch=fail");
    assert_null(act_as(&world_admin, VM_VERB_DELETE, "[\"a\",\"b\"]", &err));
    failpoint_arm(NULL);
    assert_string_equal(world_vm(&w, "a", "job"), "null");
    assert_string_equal(world_vm(&w, "b", "state"), "off");
    assert_string_equal(world_act(&w, "a", VM_VERB_START), "succeeded");
    assert_string_equal(world_delete(&w, "b"), "succeeded");
#else
    skip();
#endif
}

static void the_same_key_shows_the_same_items_after_a_restart(void **state)
{
    CLEANUP(json_decrefp) json_t *done = NULL, *note = NULL;
    struct origin origin = world_admin;
    struct uuid object;
    struct err err = {0};
    char type[16];
    bool found;

    origin.idempotency_key = "all-1";
    done = act_as(&origin, VM_VERB_START, "[\"a\",\"nobody\"]", &err);
    assert_succeeds(done, 0);
    world_close(&w);
    assert_true(world_open(&w));
    assert_true(core_idem_find(w.core, &origin, &found, type, &object, &err) && found);
    assert_string_equal(type, "batch");
    note = core_idem_note(w.core, &origin, &err);
    assert_true(json_equal(note, done));
}

static void where_all_are_refused_the_key_is_not_used_up(void **state)
{
    struct origin origin = world_admin;
    struct uuid object;
    struct err err = {0};
    char type[16];
    bool found = true;

    origin.idempotency_key = "all-2";
    json_decref(act_as(&origin, VM_VERB_PAUSE, "[\"a\",\"b\"]", &err));
    assert_true(core_idem_find(w.core, &origin, &found, type, &object, &err));
    assert_false(found);
}

static void a_filter_names_them_in_order(void **state)
{
    CLEANUP(json_decrefp) json_t *ids = NULL;
    struct err err = {0};

    ids = vm_matching(w.core, "label.ci==true", 10, &err);
    assert_int_equal(json_array_size(ids), 2);
    assert_string_equal(json_string_value(json_array_get(ids, 0)), world_vm(&w, "a", "id"));
    json_decref(ids);
    ids = vm_matching(w.core, "name~=z*", 10, &err);
    assert_int_equal(json_array_size(ids), 0);
    assert_null(vm_matching(w.core, "name~=*", 2, &err));
    assert_string_equal(err.field, "/filter");
    assert_non_null(strstr(err.detail, "3 VMs match"));
    err = (struct err){0};
    assert_null(vm_matching(w.core, "nonsense==1", 10, &err));
    assert_string_equal(err.field, "/filter");
}

static void a_filter_looks_at_more_vms_than_at_one_time(void **state)
{
    CLEANUP(json_decrefp) json_t *ids = NULL, *done = NULL;
    struct err err = {0};
    char name[16];

    for (unsigned i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "many%03u", i);
        world_create(&w, name, "");
    }
    ids = vm_matching(w.core, "name~=many*", VM_BULK_MAX, &err);
    assert_int_equal(json_array_size(ids), 300);
    done = vm_act_all(w.core, ids, VM_VERB_START, NULL, &world_admin, &err);
    for (size_t i = 0; i < 300; i++)
        assert_succeeds(done, i);
}

static void the_audit_trail_has_one_record_of_all(void **state)
{
    static const struct audit_note note = {.operation = "startVms",
                                           .principal = "token:anna",
                                           .from = "uid 0",
                                           .path = "/api/v1/vms/actions/start",
                                           .request_id = "r-1",
                                           .role = ROLE_OPERATOR};
    uint64_t before = event_newest(w.core), newest;
    struct event_line lines[16];
    struct err err = {0};
    unsigned records = 0;
    ssize_t n;
    bool gap;

    audit_begin(&note);
    CLEANUP(json_decrefp) json_t *done = act(VM_VERB_START, "[\"a\",\"b\"]");
    audit_end(w.core, true);
    n = event_wait(w.core, before, 0, lines, ARRAY_LEN(lines), &gap, &newest, &err);
    for (ssize_t i = 0; i < n; i++) {
        if (str_eq(lines[i].type, "audit.change")) {
            records++;
            assert_non_null(strstr(lines[i].json, "\"result\":\"accepted\""));
            assert_non_null(strstr(lines[i].json, "\"jobs\":2"));
        }
        event_line_clear(&lines[i]);
    }
    assert_int_equal(records, 1);
    assert_succeeds(done, 1);
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(each_vm_gets_an_operation_of_its_own),
        STORY(what_cannot_be_is_said_and_the_others_go_on),
        STORY(a_vm_named_twice_is_refused_before_anything_begins),
        STORY(a_dry_run_says_what_would_be_refused),
        STORY(they_are_deleted_with_their_disks),
        STORY(deleting_in_opposite_orders_ends),
        STORY(a_write_that_fails_begins_nothing),
        STORY(the_same_key_shows_the_same_items_after_a_restart),
        STORY(where_all_are_refused_the_key_is_not_used_up),
        STORY(a_filter_names_them_in_order),
        STORY(a_filter_looks_at_more_vms_than_at_one_time),
        STORY(the_audit_trail_has_one_record_of_all),
    };

    return cmocka_run_group_tests_name("core/bulk", tests, NULL, NULL);
}
