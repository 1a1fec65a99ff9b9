/* What somebody with grants sees of VMs, pools and what tells of them, and what he can make of it:
 * beyond the object of a request's route, which tests/core/matrix.c goes through. */
#include "tests/lib/world.h"

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/bundle/bundle.h"
#include "core/disk/pool.h"
#include "core/event/event.h"
#include "core/job/job.h"
#include "core/move/move.h"
#include "core/snap/clone.h"
#include "core/snap/snap.h"
#include "core/template/template.h"
#include "core/user/granting.h"
#include "core/user/sight.h"
#include "core/user/user.h"
#include "core/vm/bulk.h"
#include "tests/lib/world_acts.h"
#include "tests/lib/world_disks.h"

#include <stdlib.h>
#include <string.h>

static struct world w;
static struct err why; /* of MUST() */
static struct who who; /* for whom the thread works */

#define MUST(call)                                                                                 \
    do {                                                                                           \
        why = (struct err){0};                                                                     \
        if (!(call))                                                                               \
            fail_msg("%s: %s", #call, why.detail);                                                 \
    } while (0)

#define MUST_FAIL(call, expected)                                                                  \
    do {                                                                                           \
        why = (struct err){0};                                                                     \
        assert_false(call);                                                                        \
        if (why.code != (expected))                                                                \
            fail_msg("%s: %s", #call, why.detail);                                                 \
    } while (0)

#define DISK "\"disks\":[{\"size_bytes\":1048576}]"

static void nobody(void)
{
    sight_end();
    who_clear(&who);
}

/* From now on this thread works for ann, with a route of this right. */
static void as_ann(enum right right)
{
    CLEANUP(json_decrefp) json_t *ann = NULL;
    struct uuid id;

    nobody();
    MUST(ann = user_show(w.core, "ann", &why));
    assert_true(uuid_parse(json_get_text(ann, "id"), &id));
    MUST(user_is(w.core, &id, &who, &why));
    sight_begin(&who, right);
}

static void grant(struct grant_spec spec)
{
    struct uuid id;

    MUST(grant_create(w.core, "ann", &spec, &world_admin, &id, &why));
}

static void grant_label(const char *label, enum role role)
{
    grant((struct grant_spec){.label = label, .role = role});
}

static void grant_pool(const char *pool, uint64_t rights)
{
    grant((struct grant_spec){.pool = pool, .rights = rights});
}

static int setup(void **state)
{
    const struct user_spec spec = {.name = "ann", .role = ROLE_NONE};
    struct uuid id;

    world_make(&w);
    MUST(user_create(w.core, &spec, &world_admin, &id, &why));
    MUST(pool_create(w.core, "spare", "second", &world_admin, &id, &why));
    return 0;
}

static int teardown(void **state)
{
    nobody();
    world_remove(&w);
    return 0;
}

/* The names in a list, in its order, with commas. */
static const char *names_in(const json_t *list, const char *member)
{
    static char text[512];
    json_t *one;
    size_t i;

    text[0] = 0;
    json_array_foreach (json_object_get(list, "items"), i, one)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i ? "," : "",
                 json_get_text(one, member));
    return text;
}

static const char *list_of(const struct query_schema *schema, struct query_ask ask,
                           const char *member)
{
    CLEANUP(json_decrefp) json_t *list = NULL;

    MUST(list = world_list(&w, schema, ask, &why));
    return names_in(list, member);
}

static void make_three(void)
{
    world_create(&w, "a1", "\"labels\":{\"team\":\"a\"}," DISK);
    world_create(&w, "b1", "\"labels\":{\"team\":\"b\"}," DISK);
    world_create(&w, "a2", "\"labels\":{\"team\":\"a\"}");
}

static void a_list_leaves_out_what_may_not_be_seen(void **state)
{
    make_three();
    grant_label("team=a", ROLE_VIEWER);
    as_ann(RIGHT_VM_READ);
    assert_string_equal(list_of(&schema_vm, (struct query_ask){.page_size = 10}, "name"), "a1,a2");
    assert_string_equal(
        list_of(&schema_vm, (struct query_ask){.page_size = 10, .filter = "name~=*1"}, "name"),
        "a1");
    assert_string_equal(
        list_of(&schema_vm, (struct query_ask){.page_size = 10, .order = "-name"}, "name"),
        "a2,a1");
    nobody();
    assert_string_equal(list_of(&schema_vm, (struct query_ask){.page_size = 10}, "name"),
                        "a1,a2,b1");
}

/* What comes between two pages does not show in the token, nor as a page that is empty. */
static void pages_go_on_behind_what_may_be_seen(void **state)
{
    CLEANUP(json_decrefp) json_t *first = NULL, *last = NULL;

    make_three();
    world_create(&w, "a3", "\"labels\":{\"team\":\"a\"}");
    world_create(&w, "z1", "");
    grant_label("team=a", ROLE_VIEWER);
    as_ann(RIGHT_VM_READ);
    MUST(first = world_list(&w, &schema_vm, (struct query_ask){.page_size = 2}, &why));
    assert_string_equal(names_in(first, "name"), "a1,a2");
    MUST(last =
             world_list(&w, &schema_vm,
                        (struct query_ask){.page_size = 2,
                                           .page_token = json_get_text(first, "next_page_token")},
                        &why));
    assert_string_equal(names_in(last, "name"), "a3");
    assert_null(json_get_text(last, "next_page_token"));
}

static void a_page_of_hidden_vms_is_the_last(void **state)
{
    CLEANUP(json_decrefp) json_t *all = NULL;
    char name[16];

    world_create(&w, "a", "\"labels\":{\"team\":\"a\"}");
    for (int i = 0; i < 130; i++) { /* more than are looked at at once */
        snprintf(name, sizeof name, "b%03d", i);
        world_create(&w, name, "");
    }
    world_create(&w, "c", "\"labels\":{\"team\":\"a\"}");
    grant_label("team=a", ROLE_VIEWER);
    as_ann(RIGHT_VM_READ);
    MUST(all = world_list(&w, &schema_vm, (struct query_ask){.page_size = 2}, &why));
    assert_string_equal(names_in(all, "name"), "a,c");
    assert_null(json_get_text(all, "next_page_token"));
}

static void disks_and_operations_are_seen_with_their_vm(void **state)
{
    CLEANUP(json_decrefp) json_t *disks = NULL, *operations = NULL;

    make_three();
    grant_label("team=b", ROLE_VIEWER);
    as_ann(RIGHT_VM_READ);
    MUST(disks = world_list(&w, &schema_disk, (struct query_ask){.page_size = 10}, &why));
    assert_int_equal(json_array_size(json_object_get(disks, "items")), 1);
    MUST(operations = world_list(&w, &schema_operation, (struct query_ask){.page_size = 10}, &why));
    assert_int_equal(json_array_size(json_object_get(operations, "items")), 1);
}

static void a_pool_grant_is_for_the_pool_and_vms_with_disks_in_it(void **state)
{
    world_create(&w, "here", "\"disks\":[{\"size_bytes\":1048576,\"pool\":\"spare\"}]");
    world_create(&w, "there", DISK);
    world_create(&w, "both",
                 "\"disks\":[{\"size_bytes\":1048576,\"pool\":\"spare\"},"
                 "{\"size_bytes\":1048576}]");
    world_create(&w, "none", "");
    grant((struct grant_spec){.pool = "spare", .role = ROLE_VIEWER});
    as_ann(RIGHT_VM_READ);
    assert_string_equal(list_of(&schema_vm, (struct query_ask){.page_size = 10}, "name"),
                        "both,here");
    assert_string_equal(list_of(&schema_pool, (struct query_ask){.page_size = 10}, "name"),
                        "spare");
}

/* ---- events ---- */

/* The types of the events that ann may have, of one object, with commas. */
static const char *events_for(const char *object_type)
{
    static char text[1024];
    struct event_line lines[64];
    uint64_t newest = 0, after = 0;
    bool gap = false;
    ssize_t n;

    text[0] = 0;
    while ((n = event_wait(w.core, after, 0, lines, ARRAY_LEN(lines), &gap, &newest, &why)) > 0)
        for (ssize_t i = 0; i < n; i++) {
            after = lines[i].seq;
            if (sight_event(w.core, &who, &lines[i]) && str_starts(lines[i].type, object_type))
                snprintf(text + strlen(text), sizeof text - strlen(text), "%s,", lines[i].type);
            event_line_clear(&lines[i]);
        }
    return text;
}

static void events_tell_of_what_may_be_seen_to_its_end(void **state)
{
    make_three();
    grant_label("team=a", ROLE_VIEWER);
    assert_string_equal(world_take(&w, "a1", "s"), "succeeded");
    assert_string_equal(world_take(&w, "b1", "s"), "succeeded");
    assert_string_equal(world_delete(&w, "b1"), "succeeded");
    assert_string_equal(world_delete(&w, "a2"), "succeeded");
    as_ann(RIGHT_EVENT_READ);
    assert_string_equal(events_for("vm.deleted"), "vm.deleted,");
    assert_string_equal(events_for("vm.created"), "vm.created,vm.created,");
    assert_string_equal(events_for("snapshot"), "snapshot.created,");
    assert_string_equal(events_for("user"), "");
    assert_string_equal(events_for("pool"), "");
    assert_string_equal(events_for("audit"), "");
    assert_true(str_starts(events_for("operation"), "operation,"));
}

/* ---- what can be made ---- */

static bool create(const char *name, const char *more, struct err *err)
{
    struct uuid op;

    if (!world_try_create(&w, name, more, &op, err))
        return false;
    json_decref(world_end_of(&w, &op));
    return true;
}

static void a_vm_is_created_where_it_would_be_ones_own(void **state)
{
    grant_label("team=a", ROLE_OPERATOR);
    as_ann(RIGHT_VM_CREATE);
    MUST_FAIL(create("x", "", &why), ERR_FORBIDDEN);
    MUST_FAIL(create("x", "\"labels\":{\"team\":\"b\"}", &why), ERR_FORBIDDEN);
    MUST(create("x", "\"labels\":{\"team\":\"a\"}", &why));
    MUST_FAIL(create("y", "\"labels\":{\"team\":\"a\"}," DISK, &why), ERR_NOT_FOUND);
    grant_pool("spare", RIGHT_BIT(RIGHT_STORAGE_READ));
    as_ann(RIGHT_VM_CREATE);
    MUST_FAIL(create("y",
                     "\"labels\":{\"team\":\"a\"},\"disks\":[{\"size_bytes\":1048576,"
                     "\"pool\":\"main\"}]",
                     &why),
              ERR_NOT_FOUND);
    MUST(create("y", "\"labels\":{\"team\":\"a\"}," DISK, &why)); /* in the pool that she sees */
    assert_string_equal(world_vm(&w, "y", "state"), "off");
    nobody();
    assert_false(world_has_vm(&w, "z"));
}

static void a_copy_is_of_what_may_be_seen(void **state)
{
    make_three();
    grant_label("team=a", ROLE_OPERATOR);
    as_ann(RIGHT_VM_CREATE);
    MUST_FAIL(create("x", "\"copy_of\":\"b1\",\"labels\":{\"team\":\"a\"}", &why), ERR_NOT_FOUND);
    MUST(create("x", "\"copy_of\":\"a2\"", &why));
}

static void a_template_is_used_by_who_sees_it(void **state)
{
    CLEANUP(json_decrefp)
    json_t *mine = json_pack("{s:s, s:{s:s}, s:{}}", "name", "mine", "labels", "team", "a", "spec");
    CLEANUP(json_decrefp) json_t *other = json_pack("{s:s, s:{}}", "name", "other", "spec");
    struct uuid id;

    MUST(template_create(w.core, mine, &world_admin, &id, &why));
    MUST(template_create(w.core, other, &world_admin, &id, &why));
    grant_label("team=a", ROLE_OPERATOR);
    as_ann(RIGHT_VM_CREATE);
    MUST(create("x", "\"template\":\"mine\",\"labels\":{\"team\":\"a\"}", &why));
    MUST_FAIL(create("y", "\"template\":\"other\",\"labels\":{\"team\":\"a\"}", &why),
              ERR_NOT_FOUND);
    as_ann(RIGHT_TEMPLATE_READ);
    assert_string_equal(list_of(&schema_template, (struct query_ask){.page_size = 9}, "name"),
                        "mine");
}

static bool edit(const char *vm, const char *patch, struct err *err)
{
    CLEANUP(json_decrefp) json_t *json = json_loads(patch, 0, NULL);
    struct etag etag;
    json_t *shown = vm_edit(w.core, vm, json, NULL, &world_admin, &etag, err);
    bool ok = shown != NULL;

    json_decref(shown);
    return ok;
}

static void labels_do_not_carry_a_vm_over_a_border(void **state)
{
    make_three();
    grant_label("team=a", ROLE_OPERATOR);
    as_ann(RIGHT_VM_EDIT);
    MUST(edit("a1", "{\"notes\":\"hers\",\"labels\":{\"colour\":\"red\"}}", &why));
    MUST_FAIL(edit("a1", "{\"labels\":{\"team\":\"b\"}}", &why), ERR_FORBIDDEN);
    MUST_FAIL(edit("a1", "{\"labels\":{\"team\":null}}", &why), ERR_FORBIDDEN);
    MUST_FAIL(edit("b1", "{\"labels\":{\"team\":\"a\"}}", &why), ERR_NOT_FOUND);
    grant_label("team=b", ROLE_OPERATOR);
    as_ann(RIGHT_VM_EDIT);
    MUST(edit("a1", "{\"labels\":{\"team\":\"b\"}}", &why));
}

static void a_label_that_others_have_grants_for_is_not_hers_to_give(void **state)
{
    const struct user_spec bob = {.name = "bob", .role = ROLE_NONE};
    const struct grant_spec prod = {.label = "env=prod", .role = ROLE_OPERATOR};
    struct uuid id;

    make_three();
    MUST(user_create(w.core, &bob, &world_admin, &id, &why));
    MUST(grant_create(w.core, "bob", &prod, &world_admin, &id, &why));
    grant_label("team=a", ROLE_OPERATOR);
    as_ann(RIGHT_VM_EDIT);
    MUST_FAIL(edit("a1", "{\"labels\":{\"env\":\"prod\"}}", &why), ERR_FORBIDDEN);
    assert_string_equal(why.field, "/labels");
    nobody();
    MUST(edit("a1", "{\"labels\":{\"env\":\"prod\"}}", &why));
    as_ann(RIGHT_VM_EDIT);
    MUST_FAIL(edit("a1", "{\"labels\":{\"env\":\"test\"}}", &why), ERR_FORBIDDEN);
}

static void nobody_labels_himself_rights(void **state)
{
    make_three();
    grant((struct grant_spec){.label = "team=a",
                              .rights = RIGHT_BIT(RIGHT_VM_READ) | RIGHT_BIT(RIGHT_VM_EDIT)});
    grant_label("team=b", ROLE_OPERATOR);
    as_ann(RIGHT_VM_EDIT);
    MUST_FAIL(edit("a1", "{\"labels\":{\"team\":\"b\"}}", &why), ERR_FORBIDDEN);
}

/* A snapshot has the labels of its day. */
static void going_back_does_not_carry_a_vm_over_a_border(void **state)
{
    struct uuid op;

    make_three();
    assert_string_equal(world_take(&w, "b1", "then"), "succeeded");
    MUST(edit("b1", "{\"labels\":{\"team\":\"a\"}}", &why));
    grant_label("team=a", ROLE_OPERATOR);
    as_ann(RIGHT_SNAPSHOT);
    MUST_FAIL(snapshot_revert(w.core, "b1", "then", &world_admin, &op, &why), ERR_FORBIDDEN);
}

/* ... and the disks, also one in a pool for which she has more. */
static void going_back_to_a_disk_that_went_gives_no_rights(void **state)
{
    struct uuid op;

    world_create(&w, "x",
                 "\"labels\":{\"team\":\"a\"},\"disks\":[{\"size_bytes\":1048576},"
                 "{\"size_bytes\":1048576,\"pool\":\"spare\"}]");
    assert_string_equal(world_take(&w, "x", "two"), "succeeded");
    assert_true(world_disk_remove(&w));
    grant((struct grant_spec){.label = "team=a",
                              .rights = RIGHT_BIT(RIGHT_VM_READ) | RIGHT_BIT(RIGHT_SNAPSHOT)});
    grant((struct grant_spec){.pool = "spare", .role = ROLE_OPERATOR});
    as_ann(RIGHT_SNAPSHOT);
    MUST_FAIL(snapshot_revert(w.core, "x", "two", &world_admin, &op, &why), ERR_FORBIDDEN);
    nobody();
    MUST(snapshot_revert(w.core, "x", "two", &world_admin, &op, &why));
    json_decref(world_end_of(&w, &op));
}

static bool clone(const char *vm, struct clone_ask ask, struct err *err)
{
    struct uuid op, id;

    if (!vm_clone(w.core, vm, &ask, &world_admin, &op, &id, err))
        return false;
    json_decref(world_end_of(&w, &op));
    return true;
}

static void a_clone_needs_its_source_and_its_pool(void **state)
{
    make_three();
    grant_label("team=a", ROLE_OPERATOR);
    as_ann(RIGHT_VM_CREATE);
    MUST_FAIL(clone("b1", (struct clone_ask){.name = "x"}, &why), ERR_NOT_FOUND);
    MUST_FAIL(clone("a1", (struct clone_ask){.name = "x"}, &why), ERR_NOT_FOUND); /* its pool */
    grant_pool("main", RIGHT_BIT(RIGHT_STORAGE_READ));
    as_ann(RIGHT_VM_CREATE);
    MUST_FAIL(clone("a1", (struct clone_ask){.name = "x", .pool = "spare", .full = true}, &why),
              ERR_NOT_FOUND);
    MUST_FAIL(clone("a1", (struct clone_ask){.name = "b1"}, &why), ERR_EXISTS);
    MUST(clone("a1", (struct clone_ask){.name = "x"}, &why));
    assert_string_equal(world_vm(&w, "x", "labels.team"), "a");
}

static void a_bundle_goes_where_one_sees(void **state)
{
    const struct bundle_ask hidden = {.pool = "main"}, seen = {.pool = "spare"};
    struct origin dry = world_admin;
    json_t *plan = NULL;
    struct uuid op;

    make_three();
    grant_label("team=a", ROLE_OPERATOR);
    grant_pool("spare", RIGHT_BIT(RIGHT_STORAGE_READ));
    dry.dry_run = true;
    as_ann(RIGHT_DATA_READ);
    MUST_FAIL(vm_export(w.core, "a1", &hidden, &dry, &op, &plan, &why), ERR_NOT_FOUND);
    assert_string_equal(why.field, "/pool");
    MUST(vm_export(w.core, "a1", &seen, &dry, &op, &plan, &why));
    json_decref(plan);
}

static void a_disk_goes_where_nobody_gains_by_it(void **state)
{
    CLEANUP(json_decrefp)
    json_t *disk = json_pack("{s:i, s:s}", "size_bytes", 1 << 20, "pool", "spare");
    const char *none[1];
    struct move_request to = {.pool = "spare", .disks = none, .format = -1};
    json_t *plan = NULL;
    struct uuid op;

    make_three();
    grant((struct grant_spec){.label = "team=a",
                              .rights = RIGHT_BIT(RIGHT_VM_READ) | RIGHT_BIT(RIGHT_VM_EDIT)});
    as_ann(RIGHT_VM_EDIT);
    MUST_FAIL(disk_add(w.core, "a1", disk, &world_admin, &op, &why), ERR_NOT_FOUND);
    MUST_FAIL(vm_move_storage(w.core, "a1", &to, &world_admin, &op, &plan, &why), ERR_NOT_FOUND);
    grant((struct grant_spec){.pool = "spare", .role = ROLE_OPERATOR});
    as_ann(RIGHT_VM_EDIT);
    MUST_FAIL(disk_add(w.core, "a1", disk, &world_admin, &op, &why), ERR_FORBIDDEN);
    MUST_FAIL(vm_move_storage(w.core, "a1", &to, &world_admin, &op, &plan, &why), ERR_FORBIDDEN);
    nobody();
    grant_label("team=b", ROLE_OPERATOR);
    as_ann(RIGHT_VM_EDIT);
    MUST(disk_add(w.core, "b1", disk, &world_admin, &op, &why));
    json_decref(world_end_of(&w, &op));
}

static void one_verb_for_many_is_for_those_where_one_may(void **state)
{
    CLEANUP(json_decrefp) json_t *refs = json_pack("[s, s, s]", "a1", "b1", "a2"), *all = NULL;
    CLEANUP(json_decrefp) json_t *done = NULL;
    const char *const expected[] = {NULL, "not-found", "forbidden"};

    make_three();
    MUST(edit("a2", "{\"labels\":{\"team\":\"c\"}}", &why));
    grant_label("team=a", ROLE_OPERATOR);
    grant_label("team=c", ROLE_VIEWER);
    as_ann(RIGHT_VM_POWER);
    MUST(done = vm_act_all(w.core, refs, VM_VERB_START, NULL, &world_admin, &why));
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        const json_t *item = json_array_get(json_object_get(done, "items"), i);
        const char *code = json_get_text(json_object_get(item, "error"), "code");
        struct uuid op;

        assert_true(str_eq(code, expected[i]) || (!code && !expected[i]));
        if (uuid_parse(json_get_text(item, "operation"), &op))
            json_decref(world_end_of(&w, &op));
    }
    MUST(all = vm_matching(w.core, "name~=*", 10, &why));
    assert_int_equal(json_array_size(all), 2);
}

/* A clone that others made keeps a snapshot's files: how many, but not whose. */
static void refusals_do_not_name_what_may_not_be_seen(void **state)
{
    const struct snapshot_act act = {.verb = VM_VERB_DELETE_SNAPSHOT, .snapshot = "base"};
    CLEANUP(json_decrefp) json_t *plan = NULL, *whole = NULL;
    CLEANUP(mem_freep) char *text = NULL;

    make_three();
    assert_string_equal(world_take(&w, "a1", "base"), "succeeded");
    MUST(clone("a1", (struct clone_ask){.name = "secret", .snapshot = "base"}, &why));
    MUST(edit("secret", "{\"labels\":{\"team\":\"b\"}}", &why));
    MUST(whole = snapshot_plan(w.core, "a1", &act, &why));
    assert_string_equal(json_get_text(whole, "kept_for"), "secret");
    grant_label("team=a", ROLE_OPERATOR);
    as_ann(RIGHT_SNAPSHOT);
    MUST(plan = snapshot_plan(w.core, "a1", &act, &why));
    text = json_write(plan);
    assert_null(strstr(text, "secret"));
    assert_string_equal(json_get_text(plan, "kept_for"), "1 other VMs");
}

static void files_of_a_pool_are_seen_with_their_vm(void **state)
{
    const struct query_ask ask = {.page_size = 10};
    CLEANUP(query_clear) struct query query = {0};
    CLEANUP(strbuf_clear) struct strbuf text = {0};
    CLEANUP(json_decrefp) json_t *list = NULL;

    make_three();
    grant_label("team=a", ROLE_VIEWER);
    grant_pool("main", RIGHT_BIT(RIGHT_STORAGE_READ));
    as_ann(RIGHT_STORAGE_READ);
    MUST(query_parse(&schema_pool_file, &ask, &query, &why));
    MUST(pool_files(w.core, "main", &query, &text, &why));
    list = json_loads(text.data, 0, NULL);
    assert_int_equal(json_array_size(json_object_get(list, "items")), 1);
}

static void a_grant_that_is_taken_back_is_gone_at_the_next_request(void **state)
{
    struct etag etag;
    CLEANUP(json_decrefp) json_t *grants = NULL;
    json_t *vm;

    make_three();
    grant_label("team=a", ROLE_VIEWER);
    grant_label("team=c", ROLE_VIEWER);
    as_ann(RIGHT_VM_READ);
    MUST(vm = vm_show(w.core, "a1", &etag, &why));
    json_decref(vm);
    MUST(grants = grant_list(w.core, "ann", &why));
    MUST(grant_delete(w.core, "ann", json_get_text(json_array_get(grants, 0), "id"), &world_admin,
                      &why));
    as_ann(RIGHT_VM_READ);
    MUST_FAIL(vm_show(w.core, "a1", &etag, &why), ERR_NOT_FOUND);
    assert_string_equal(why.detail, "there is no VM 'a1'");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_list_leaves_out_what_may_not_be_seen),
        TEST(pages_go_on_behind_what_may_be_seen),
        TEST(a_page_of_hidden_vms_is_the_last),
        TEST(disks_and_operations_are_seen_with_their_vm),
        TEST(a_pool_grant_is_for_the_pool_and_vms_with_disks_in_it),
        TEST(events_tell_of_what_may_be_seen_to_its_end),
        TEST(a_vm_is_created_where_it_would_be_ones_own),
        TEST(a_copy_is_of_what_may_be_seen),
        TEST(a_template_is_used_by_who_sees_it),
        TEST(labels_do_not_carry_a_vm_over_a_border),
        TEST(a_label_that_others_have_grants_for_is_not_hers_to_give),
        TEST(nobody_labels_himself_rights),
        TEST(going_back_does_not_carry_a_vm_over_a_border),
        TEST(going_back_to_a_disk_that_went_gives_no_rights),
        TEST(a_clone_needs_its_source_and_its_pool),
        TEST(a_bundle_goes_where_one_sees),
        TEST(a_disk_goes_where_nobody_gains_by_it),
        TEST(one_verb_for_many_is_for_those_where_one_may),
        TEST(refusals_do_not_name_what_may_not_be_seen),
        TEST(files_of_a_pool_are_seen_with_their_vm),
        TEST(a_grant_that_is_taken_back_is_gone_at_the_next_request),
    };

    return cmocka_run_group_tests_name("core/sights", tests, NULL, NULL);
}
