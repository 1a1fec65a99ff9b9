/* The life of a VM on the fake backend: every verb, every refusal, and what the API would show. */
#include "tests/lib/world.h"

#include "backends/fake/fake.h"
#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/pool.h"
#include "core/event/event.h"
#include "core/job/job.h"
#include "core/vm/registry.h"

#include <stdlib.h>
#include <string.h>

static struct world w;

static int setup(void **state)
{
    world_make(&w);
    return 0;
}

static int teardown(void **state)
{
    world_remove(&w);
    return 0;
}

static void a_vm_is_created_with_its_disks_and_deleted_with_them(void **state)
{
    world_create(&w, "web",
                 "\"disks\":[{\"size_bytes\":1073741824},"
                 "{\"size_bytes\":1048576,\"format\":\"raw\"}]");
    assert_string_equal(world_vm(&w, "web", "state"), "off");
    assert_int_equal(world_files(&w), 2);
    assert_string_equal(world_delete(&w, "web"), "succeeded");
    assert_false(world_has_vm(&w, "web"));
    assert_int_equal(world_files(&w), 0);
}

static void the_verbs_do_what_they_say(void **state)
{
    world_create(&w, "web", "");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    assert_string_equal(world_vm(&w, "web", "state"), "running");
    assert_string_equal(world_vm(&w, "web", "desired"), "running");
    assert_string_equal(world_act(&w, "web", VM_VERB_PAUSE), "succeeded");
    assert_string_equal(world_vm(&w, "web", "run.state"), "paused");
    assert_string_equal(world_vm(&w, "web", "run.reason"), "user");
    assert_string_equal(world_act(&w, "web", VM_VERB_RESUME), "succeeded");
    assert_string_equal(world_act(&w, "web", VM_VERB_RESET), "succeeded");
    assert_string_equal(world_act(&w, "web", VM_VERB_SHUTDOWN), "succeeded");
    assert_string_equal(world_vm(&w, "web", "run.state"), "off");
    assert_string_equal(world_vm(&w, "web", "run.reason"), "guest-shutdown");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    assert_string_equal(world_act(&w, "web", VM_VERB_STOP), "succeeded");
    assert_string_equal(world_vm(&w, "web", "run.state"), "off");
}

static void what_the_state_forbids_is_refused(void **state)
{
    world_create(&w, "web", "");
    assert_string_equal(world_act(&w, "web", VM_VERB_STOP), "wrong-state");
    assert_string_equal(world_act(&w, "web", VM_VERB_PAUSE), "wrong-state");
    assert_string_equal(world_act(&w, "nobody", VM_VERB_START), "not-found");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "wrong-state");
    assert_string_equal(world_delete(&w, "web"), "wrong-state");
    assert_string_equal(
        world_vm(&w, "web", "actions"),
        "[\"shutdown\",\"stop\",\"reset\",\"pause\",\"save\",\"snapshot\","
        "\"revert\",\"delete-snapshot\",\"archive-snapshot\",\"unarchive-"
        "snapshot\",\"clone\",\"export\",\"flatten\",\"move-storage\",\"add-disk\",\"import-disk\","
        "\"remove-disk\",\"grow-disk\",\"send-key\",\"type\","
        "\"pointer\",\"nmi\"]");
}

static void assert_shown_is_fresh(void)
{
    struct err err = {0};
    struct etag one, two;
    size_t len;
    CLEANUP(mem_freep) char *text = vm_show_text(w.core, "web", &one, &len, &err);
    CLEANUP(json_decrefp) json_t *shown = json_loads(text, 0, NULL);
    CLEANUP(json_decrefp) json_t *fresh = vm_show(w.core, "web", &two, &err);

    assert_int_equal(strlen(text), len);
    assert_true(json_equal(shown, fresh));
}

static void what_is_kept_as_text_is_what_is_true(void **state)
{
    static const enum vm_verb verbs[] = {VM_VERB_START, VM_VERB_PAUSE,    VM_VERB_RESUME,
                                         VM_VERB_RESET, VM_VERB_SHUTDOWN, VM_VERB_START,
                                         VM_VERB_STOP};
    CLEANUP(json_decrefp) json_t *patch = json_pack("{s:i}", "vcpus", 2);
    struct err err = {0};
    struct etag etag;

    world_create(&w, "web", "");
    assert_shown_is_fresh();
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        assert_string_equal(world_act(&w, "web", verbs[i]), "succeeded");
        assert_shown_is_fresh();
        json_decref(vm_edit(w.core, "web", patch, NULL, &world_admin, &etag, &err));
        assert_shown_is_fresh();
    }
}

static void a_name_is_taken_once(void **state)
{
    struct err err = {0};
    struct uuid op;

    world_create(&w, "web", "");
    assert_false(world_try_create(&w, "web", "", &op, &err));
    assert_int_equal(err.code, ERR_EXISTS);
    assert_string_equal(err.field, "/name");
}

static void a_disk_that_cannot_be_had_is_refused_before_anything_exists(void **state)
{
    static const struct {
        const char *disk;
        enum err_code code;
    } bad[] = {
        {"{\"size_bytes\":1000001}", ERR_INVALID},
        {"{\"size_bytes\":1048577}", ERR_INVALID},
        {"{\"size_bytes\":1048576,\"pool\":\"none\"}", ERR_NOT_FOUND},
        {"{\"size_bytes\":70368744177664}", ERR_NO_SPACE},
        {"{\"size_bytes\":1048576,\"format\":\"vmdk\"}", ERR_INVALID},
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        CLEANUP(json_decrefp) json_t *list = NULL;
        struct err err = {0};
        struct uuid op;
        char *more = str_format("\"disks\":[%s]", bad[i].disk);

        assert_false(world_try_create(&w, "web", more, &op, &err));
        assert_int_equal(err.code, bad[i].code);
        assert_true(str_starts(err.field, "/disks/0"));
        free(more);
        list = world_list(&w, &schema_vm, (struct query_ask){0}, &err);
        assert_int_equal(json_array_size(json_object_get(list, "items")), 0);
        assert_int_equal(world_files(&w), 0);
    }
}

static void an_edit_of_a_running_vm_is_pending_until_the_next_start(void **state)
{
    CLEANUP(json_decrefp) json_t *patch = json_pack("{s:i,s:s}", "vcpus", 4, "notes", "busy");
    CLEANUP(json_decrefp) json_t *vm = NULL;
    const struct etag stale = {7, 0};
    struct err err = {0};
    struct etag etag;

    world_create(&w, "web", "");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    vm = vm_edit(w.core, "web", patch, NULL, &world_admin, &etag, &err);
    assert_non_null(vm);
    assert_int_equal(etag.revision, 2);
    assert_string_equal(world_vm(&w, "web", "pending"), "{\"vcpus\":4}");
    assert_null(vm_edit(w.core, "web", patch, &stale, &world_admin, &etag, &err));
    assert_int_equal(err.code, ERR_REVISION);
    assert_string_equal(world_act(&w, "web", VM_VERB_STOP), "succeeded");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    assert_string_equal(world_vm(&w, "web", "pending"), "null");
}

static void a_dry_run_changes_nothing(void **state)
{
    struct origin origin = world_admin;
    struct err err = {0};
    struct uuid op;

    origin.dry_run = true;
    world_create(&w, "web", "");
    assert_true(vm_act(w.core, "web", VM_VERB_START, NULL, &origin, &op, &err));
    assert_true(uuid_is_zero(&op));
    assert_string_equal(world_vm(&w, "web", "state"), "off");
    assert_string_equal(world_vm(&w, "web", "job"), "null");
    assert_true(vm_delete(w.core, "web", NULL, &origin, &op, &err));
    assert_true(world_has_vm(&w, "web"));
    assert_false(vm_act(w.core, "web", VM_VERB_PAUSE, NULL, &origin, &op, &err));
    assert_int_equal(err.code, ERR_WRONG_STATE);
}

static void the_serial_log_shows_what_the_guest_says_and_takes_input(void **state)
{
    char text[512];
    uint64_t offset = 0, end;
    struct err err = {0};
    ssize_t n;

    world_create(&w, "web", "");
    n = vm_serial_read(w.core, "web", 0, &offset, text, sizeof text, 0, &end, &err);
    assert_int_equal(n, 0);
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    n = vm_serial_read(w.core, "web", 0, &offset, text, sizeof text, 5000, &end, &err);
    assert_true(n > 0);
    offset = end;
    assert_true(vm_serial_write(w.core, "web", 0, "hello\n", 6, &world_admin, &err));
    for (struct strbuf all = {0};; offset += (uint64_t)n) {
        n = vm_serial_read(w.core, "web", 0, &offset, text, sizeof text, 5000, &end, &err);
        assert_true(n > 0);
        strbuf_add(&all, text, (size_t)n);
        if (strstr(all.data, "hello")) {
            strbuf_clear(&all);
            break;
        }
    }
}

static void the_screen_is_a_png_while_it_runs(void **state)
{
    struct err err = {0};
    char *png = NULL;
    size_t len;

    world_create(&w, "web", "");
    assert_false(vm_screenshot(w.core, "web", 0, &png, &len, &err));
    assert_int_equal(err.code, ERR_WRONG_STATE);
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    assert_true(vm_screenshot(w.core, "web", 0, &png, &len, &err));
    assert_memory_equal(png, "\x89PNG\r\n\x1a\n", 8);
    free(png);
}

static void a_pool_with_disks_stays(void **state)
{
    struct err err = {0};

    world_create(&w, "web", "\"disks\":[{\"size_bytes\":1048576}]");
    assert_false(pool_delete(w.core, "main", &world_admin, &err));
    assert_int_equal(err.code, ERR_IN_USE);
    assert_string_equal(world_delete(&w, "web"), "succeeded");
    assert_true(pool_delete(w.core, "main", &world_admin, &err));
    assert_null(pool_show(w.core, "main", &err));
}

static void events_tell_the_story_without_gaps(void **state)
{
    struct event_line lines[64];
    uint64_t newest, before = event_newest(w.core);
    struct err err = {0};
    unsigned states = 0;
    ssize_t n;
    bool gap;

    world_create(&w, "web", "");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    assert_string_equal(world_act(&w, "web", VM_VERB_STOP), "succeeded");
    n = event_wait(w.core, before, 0, lines, 64, &gap, &newest, &err);
    assert_true(n > 6);
    assert_false(gap);
    for (ssize_t i = 0; i < n; i++) {
        assert_int_equal(lines[i].seq, before + 1 + (uint64_t)i);
        states += strcmp(lines[i].type, "vm.state") == 0;
        event_line_clear(&lines[i]);
    }
    assert_int_equal(states, 3); /* starting, running, off */
    n = event_wait(w.core, newest + 100, 0, lines, 64, &gap, &newest, &err);
    assert_true(n == 0 && gap);
}

static json_t *disaster_copy(const char *vm_id)
{
    CLEANUP(mem_freep) char *path = str_format("%s/state/vm/%s/config.json", w.dir, vm_id);

    return json_load_file(path, 0, NULL);
}

static void a_disaster_copy_follows_every_change_and_goes_with_the_vm(void **state)
{
    CLEANUP(json_decrefp) json_t *patch = json_pack("{s:s}", "notes", "second");
    CLEANUP(json_decrefp) json_t *first = NULL, *second = NULL, *vm = NULL;
    struct err err = {0};
    struct etag etag;
    char id[UUID_TEXT];

    world_create(&w, "web", "\"notes\":\"first\",\"disks\":[{\"size_bytes\":1048576}]");
    str_copy(id, sizeof id, world_vm(&w, "web", "id"));
    first = world_copy_of(&w, id, 1);
    assert_string_equal(json_get_text(json_object_get(first, "spec"), "notes"), "first");
    assert_int_equal(json_array_size(json_object_get(first, "disks")), 1);
    vm = vm_edit(w.core, "web", patch, NULL, &world_admin, &etag, &err);
    assert_non_null(vm);
    second = world_copy_of(&w, id, 2);
    assert_string_equal(json_get_text(json_object_get(second, "spec"), "notes"), "second");
    assert_int_equal(json_get_u64(second, "revision", 0), 2);
    assert_string_equal(world_delete(&w, "web"), "succeeded");
    assert_null(disaster_copy(id));
}

/* Reads events after '*after' until one tells that 'web' came to 'state'. */
static void await_told(uint64_t *after, const char *state)
{
    bool told = false, gap;

    while (!told) {
        struct event_line lines[8];
        struct err err = {0};
        uint64_t newest;
        ssize_t n = event_wait(w.core, *after, 10000, lines, 8, &gap, &newest, &err);

        assert_true(n > 0);
        for (ssize_t i = 0; i < n; i++) {
            CLEANUP(json_decrefp) json_t *event = json_loads(lines[i].json, 0, NULL);
            const char *to = json_get_text(json_object_get(event, "data"), "to");
            bool is_it = strcmp(state, "defined") == 0 ? strcmp(lines[i].type, "vm.defined") == 0
                                                       : str_eq(to, state);
            if (!told)
                *after = lines[i].seq;
            told = told || is_it;
            event_line_clear(&lines[i]);
        }
    }
}

static void who_hears_of_a_change_sees_it(void **state)
{
    uint64_t after = event_newest(w.core);
    struct err err = {0};
    struct uuid op;

    assert_true(world_try_create(&w, "web", "", &op, &err));
    await_told(&after, "defined");
    assert_string_equal(world_vm(&w, "web", "state"), "off");
    json_decref(world_end_of(&w, &op));
    for (unsigned i = 0; i < 30; i++) {
        assert_true(vm_act(w.core, "web", VM_VERB_START, NULL, &world_admin, &op, &err));
        await_told(&after, "running");
        assert_string_equal(world_vm(&w, "web", "run.state"), "running");
        json_decref(world_end_of(&w, &op));
        assert_true(vm_act(w.core, "web", VM_VERB_STOP, NULL, &world_admin, &op, &err));
        await_told(&after, "off");
        assert_string_equal(world_vm(&w, "web", "run.state"), "off");
        json_decref(world_end_of(&w, &op));
    }
}

static void a_repeated_request_finds_its_operation(void **state)
{
    struct origin origin = world_admin;
    struct uuid op, found_op;
    struct err err = {0};
    bool found;
    char type[16];

    origin.idempotency_key = "k1";
    world_create(&w, "web", "");
    assert_true(vm_act(w.core, "web", VM_VERB_START, NULL, &origin, &op, &err));
    assert_true(core_idem_find(w.core, &origin, &found, type, &found_op, &err));
    assert_true(found);
    assert_string_equal(type, "operation");
    assert_true(uuid_eq(&op, &found_op));
    origin.body_sha256[0] ^= 1;
    assert_false(core_idem_find(w.core, &origin, &found, type, &found_op, &err));
    assert_int_equal(err.code, ERR_IDEM_MISMATCH);
}

static void lists_page_and_filter(void **state)
{
    CLEANUP(json_decrefp) json_t *one = NULL, *two = NULL, *off = NULL;
    struct err err = {0};
    char name[8];

    for (unsigned i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "vm%u", i);
        world_create(&w, name, i % 2 ? "\"labels\":{\"ci\":\"yes\"}" : "");
    }
    one = world_list(&w, &schema_vm, (struct query_ask){.page_size = 3}, &err);
    assert_int_equal(json_array_size(json_object_get(one, "items")), 3);
    two = world_list(
        &w, &schema_vm,
        (struct query_ask){.page_size = 3, .page_token = json_get_text(one, "next_page_token")},
        &err);
    assert_int_equal(json_array_size(json_object_get(two, "items")), 2);
    assert_null(json_get_text(two, "next_page_token"));
    off =
        world_list(&w, &schema_vm, (struct query_ask){.filter = "label.ci==yes,state==off"}, &err);
    assert_int_equal(json_array_size(json_object_get(off, "items")), 2);
    assert_null(world_list(&w, &schema_vm, (struct query_ask){.filter = "nonsense"}, &err));
    assert_int_equal(err.code, ERR_INVALID);
}

static bool has_ended(const struct vm *vm, void *ctx)
{
    return vm->run != VM_STARTING;
}

static bool ended_early;

/* As if QEMU ended between its last answer and where its start ends. */
static void ends_at_once(const struct uuid *id, const struct machine_owner *owner)
{
    const struct machine_event event = {
        .kind = MACHINE_EXITED, .run = VM_CRASHED, .reason = VM_REASON_EXIT};
    struct err err = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {w.core, vm_get_id(w.core, id, &err)};

    fake_has_started = NULL;
    owner->event(owner->ctx, id, &event);
    ended_early = vm_wait(w.core, hold.vm, has_ended, NULL, clock_mono_ms() + 300);
}

static void one_that_ends_while_it_arrives_can_be_started_again(void **state)
{
    world_create(&w, "web", "");
    fake_has_started = ends_at_once;
    assert_string_not_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    assert_false(ended_early); /* a machine that comes after its end would stay for ever */
    assert_string_equal(world_vm(&w, "web", "run.state"), "crashed");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    assert_string_equal(world_vm(&w, "web", "run.state"), "running");
    assert_string_equal(world_act(&w, "web", VM_VERB_STOP), "succeeded");
}

static void everything_is_there_after_a_restart(void **state)
{
    world_create(&w, "web", "\"disks\":[{\"size_bytes\":1048576}],\"notes\":\"keep\"");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    world_close(&w);
    assert_true(world_open(&w));
    assert_string_equal(world_vm(&w, "web", "notes"), "keep");
    assert_string_equal(world_vm(&w, "web", "run.state"),
                        "crashed"); /* fakes die with the daemon */
    assert_int_equal(world_files(&w), 1);
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
}

static void a_second_daemon_on_the_same_state_is_refused(void **state)
{
    struct world second = {.dir = w.dir};

    assert_false(world_open(&second));
}

#define STORY(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(a_vm_is_created_with_its_disks_and_deleted_with_them),
        STORY(the_verbs_do_what_they_say),
        STORY(what_the_state_forbids_is_refused),
        STORY(what_is_kept_as_text_is_what_is_true),
        STORY(a_name_is_taken_once),
        STORY(a_disk_that_cannot_be_had_is_refused_before_anything_exists),
        STORY(an_edit_of_a_running_vm_is_pending_until_the_next_start),
        STORY(a_dry_run_changes_nothing),
        STORY(the_serial_log_shows_what_the_guest_says_and_takes_input),
        STORY(the_screen_is_a_png_while_it_runs),
        STORY(a_pool_with_disks_stays),
        STORY(events_tell_the_story_without_gaps),
        STORY(a_disaster_copy_follows_every_change_and_goes_with_the_vm),
        STORY(who_hears_of_a_change_sees_it),
        STORY(a_repeated_request_finds_its_operation),
        STORY(lists_page_and_filter),
        STORY(one_that_ends_while_it_arrives_can_be_started_again),
        STORY(everything_is_there_after_a_restart),
        STORY(a_second_daemon_on_the_same_state_is_refused),
    };

    return cmocka_run_group_tests_name("core/life", tests, NULL, NULL);
}
