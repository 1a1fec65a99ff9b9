/* Operations: listing, waiting, cancelling, and what a crowd of them does. */
#include "tests/lib/world.h"

#include "backends/fake/fake.h"
#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/job/job.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define SOON_MS 20000

static struct world w;

static int setup(void **state)
{
    world_make(&w);
    return 0;
}

static int teardown(void **state)
{
    atomic_store(&fake_memory_held, false);
    world_remove(&w);
    return 0;
}

static void they_are_listed_newest_first_and_by_vm(void **state)
{
    CLEANUP(json_decrefp) json_t *all = NULL, *page = NULL, *rest = NULL, *of_a = NULL;
    struct err err = {0};
    json_t *newest;

    world_create(&w, "a", "");
    world_create(&w, "b", "");
    for (int64_t made_ms = clock_wall_ms(); clock_wall_ms() == made_ms;)
        ; /* what is asked for within one millisecond is in no order */
    assert_string_equal(world_act(&w, "b", VM_VERB_START), "succeeded");
    all = world_list(&w, &schema_operation, (struct query_ask){0}, &err);
    assert_int_equal(json_array_size(json_object_get(all, "items")), 3);
    newest = json_array_get(json_object_get(all, "items"), 0);
    assert_string_equal(json_get_text(newest, "kind"), "vm.start");
    assert_string_equal(json_get_text(json_object_get(newest, "object"), "name"), "b");
    page = world_list(&w, &schema_operation, (struct query_ask){.page_size = 2}, &err);
    rest = world_list(
        &w, &schema_operation,
        (struct query_ask){.page_size = 2, .page_token = json_get_text(page, "next_page_token")},
        &err);
    assert_int_equal(json_array_size(json_object_get(rest, "items")), 1);
    of_a = world_list(&w, &schema_operation,
                      (struct query_ask){.filter = "object.name==a,state==succeeded"}, &err);
    assert_int_equal(json_array_size(json_object_get(of_a, "items")), 1);
}

static size_t listed(const char *filter)
{
    struct err err = {0};
    CLEANUP(json_decrefp)
    json_t *list = world_list(&w, &schema_operation, (struct query_ask){.filter = filter}, &err);

    assert_non_null(list);
    return json_array_size(json_object_get(list, "items"));
}

/* What is under way is found by an index of its own, whichever way it is asked for. */
static void what_is_under_way_is_listed_apart_from_what_has_ended(void **state)
{
    static const char not_ended[] = "state!=succeeded,state!=failed,state!=cancelled";
    const int64_t deadline_ms = clock_mono_ms() + SOON_MS;
    struct err err = {0};
    struct uuid op;

    world_create(&w, "a", "\"disks\":[{\"size_bytes\":1048576}]");
    assert_string_equal(world_act(&w, "a", VM_VERB_START), "succeeded");
    assert_int_equal(listed(not_ended), 0);
    assert_int_equal(listed("state==succeeded"), 2);
    assert_int_equal(listed("state!=failed,state!=cancelled"), 2);
    atomic_store(&fake_memory_held, true); /* so that a save does not end */
    assert_true(vm_act(w.core, "a", VM_VERB_SAVE, NULL, &world_admin, &op, &err));
    world_await(&w, "a", "state", "saving");
    assert_int_equal(listed(not_ended), 1);
    while (listed("state==running") == 0) { /* it may still be queued */
        assert_true(clock_left_ms(deadline_ms) > 0);
        (void)poll(NULL, 0, 5);
    }
    assert_int_equal(listed("state==succeeded"), 2);
    atomic_store(&fake_memory_held, false);
    json_decref(world_end_of(&w, &op));
    assert_int_equal(listed(not_ended), 0);
}

static void a_wrong_page_token_is_refused(void **state)
{
    CLEANUP(query_clear) struct query q = {0};
    CLEANUP(strbuf_clear) struct strbuf text = {0};
    struct err err = {0};

    assert_null(
        world_list(&w, &schema_operation, (struct query_ask){.page_token = "../etc"}, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_true(query_parse(&schema_operation, &(struct query_ask){.page_size = 2}, &q, &err));
    assert_false(job_list(w.core, "nobody", &q, &text, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
}

static void what_has_ended_cannot_be_cancelled(void **state)
{
    struct uuid op, unknown = uuid_new();
    struct err err = {0};

    assert_true(world_try_create(&w, "a", "", &op, &err));
    json_decref(world_end_of(&w, &op));
    assert_false(job_cancel(w.core, &op, &world_admin, &err));
    assert_int_equal(err.code, ERR_WRONG_STATE);
    err = (struct err){0};
    assert_false(job_cancel(w.core, &unknown, &world_admin, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
}

static void fifty_vms_are_made_at_once_and_all_of_them_exist(void **state)
{
    CLEANUP(json_decrefp) json_t *list = NULL;
    struct uuid ops[50];
    struct err err = {0};
    char name[16];

    for (unsigned i = 0; i < 50; i++) {
        snprintf(name, sizeof name, "vm%02u", i);
        assert_true(world_try_create(&w, name, "", &ops[i], &err));
    }
    for (unsigned i = 0; i < 50; i++) {
        CLEANUP(json_decrefp) json_t *job = world_end_of(&w, &ops[i]);
        assert_string_equal(json_get_text(job, "state"), "succeeded");
    }
    list = world_list(&w, &schema_vm, (struct query_ask){0}, &err);
    assert_int_equal(json_array_size(json_object_get(list, "items")), 50);
}

static void two_who_start_the_same_vm_do_not_both_win(void **state)
{
    struct uuid first, second;
    struct err err = {0};
    bool again;

    world_create(&w, "a", "");
    assert_true(vm_act(w.core, "a", VM_VERB_START, NULL, &world_admin, &first, &err));
    again = vm_act(w.core, "a", VM_VERB_START, NULL, &world_admin, &second, &err);
    assert_false(again);
    assert_true(err.code == ERR_BUSY || err.code == ERR_WRONG_STATE);
    CLEANUP(json_decrefp) json_t *job = world_end_of(&w, &first);
    assert_string_equal(json_get_text(job, "state"), "succeeded");
}

static void a_stop_ends_whatever_the_vm_was_doing(void **state)
{
    static const enum vm_verb verbs[] = {VM_VERB_PAUSE, VM_VERB_RESET, VM_VERB_SHUTDOWN};

    world_create(&w, "a", "");
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        struct uuid op;
        struct err err = {0};
        const char *stopped;

        assert_string_equal(world_act(&w, "a", VM_VERB_START), "succeeded");
        assert_true(vm_act(w.core, "a", verbs[i], NULL, &world_admin, &op, &err));
        stopped = world_act(&w, "a", VM_VERB_STOP);
        assert_true(str_eq(stopped, "succeeded") || str_eq(stopped, "wrong-state"));
        json_decref(world_end_of(&w, &op));
        world_await(&w, "a", "run.state", "off");
        world_await(&w, "a", "job", "null");
    }
}

#define STORY(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(they_are_listed_newest_first_and_by_vm),
        STORY(what_is_under_way_is_listed_apart_from_what_has_ended),
        STORY(a_wrong_page_token_is_refused),
        STORY(what_has_ended_cannot_be_cancelled),
        STORY(fifty_vms_are_made_at_once_and_all_of_them_exist),
        STORY(two_who_start_the_same_vm_do_not_both_win),
        STORY(a_stop_ends_whatever_the_vm_was_doing),
    };

    return cmocka_run_group_tests_name("core/jobs", tests, NULL, NULL);
}
