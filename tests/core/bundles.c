/* Bundles on the fake backend: what is in one, when it is there and when not, what a stranger's can
 * make of the host, and that a VM made of one is what it was. That a real guest goes on from one is
 * shown in tests/integration/bundles.c. */
#include "tests/core/bundling.h"

#include "core/base/failpoint.h"
#include "core/bundle/document.h"

static json_t *list(void)
{
    struct err err = {0};
    CLEANUP(strbuf_clear) struct strbuf text = {0};
    CLEANUP(query_clear) struct query query = {0};
    const struct query_ask ask = {.page_size = 100};

    assert_true(query_parse(&schema_bundle, &ask, &query, &err));
    bundle_list(w.core, &query, &text);
    return json_loadb(text.data, text.len, 0, NULL);
}

/* A member of the only bundle's entry as text. */
static const char *shown(const char *key)
{
    static char text[256];
    CLEANUP(json_decrefp) json_t *all = list();
    const json_t *items = json_object_get(all, "items"),
                 *v = json_object_get(json_array_get(items, 0), key);

    assert_int_equal(json_array_size(items), 1);
    text[0] = 0;
    if (json_is_string(v))
        str_copy(text, sizeof text, json_string_value(v));
    else if (json_is_integer(v))
        snprintf(text, sizeof text, "%lld", (long long)json_integer_value(v));
    else if (json_is_boolean(v))
        str_copy(text, sizeof text, json_is_true(v) ? "true" : "false");
    return text;
}

static unsigned count(void)
{
    CLEANUP(json_decrefp) json_t *all = list();

    return (unsigned)json_array_size(json_object_get(all, "items"));
}

static void a_bundle_has_all_that_a_vm_is(void **state)
{
    assert_string_equal(export_to("web", "main", NULL), "succeeded");
    assert_string_equal(shown("name"), "web");
    assert_string_equal(shown("state"), "complete");
    assert_string_equal(shown("vm"), "web");
    assert_string_equal(shown("disks"), "2");
    assert_string_equal(shown("snapshots"), "3");
    assert_string_equal(shown("memory"), "true");
    assert_string_equal(shown("saved"), "true");
    assert_string_equal(world_vm(&w, "web", "state"), "saved");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
}

static void the_present_state_alone_has_fewer_files(void **state)
{
    const struct bundle_ask ask = {.pool = "main"};
    uint64_t all, present;

    assert_string_equal(export_to("web", "main", NULL), "succeeded");
    assert_true(str_to_u64(shown("size_bytes"), &all));
    assert_true(bundle_remove(w.core, "web", &world_admin, &(struct err){0}));
    assert_int_equal(count(), 0);
    assert_string_equal(export_as("web", &ask), "succeeded");
    assert_string_equal(shown("snapshots"), "0");
    assert_string_equal(shown("saved"), "true");
    assert_true(str_to_u64(shown("size_bytes"), &present));
    assert_true(present < all);
}

static void a_name_is_taken_once(void **state)
{
    assert_string_equal(export_to("web", "main", "x"), "succeeded");
    assert_string_equal(export_to("web", "main", "x"), "exists");
    assert_string_equal(export_to("web", "main", "../x"), "invalid");
    assert_string_equal(export_to("web", "main", ".x"), "invalid");
    assert_string_equal(export_to("web", "nowhere", "y"), "not-found");
    assert_int_equal(count(), 1);
}

static void a_dry_run_says_what_stands_in_the_way(void **state)
{
    const struct bundle_ask ask = {.pool = "main", .snapshots = true};
    struct origin dry = world_admin;
    struct err err = {0};
    json_t *plan = NULL;
    struct uuid op;

    dry.dry_run = true;
    assert_true(vm_export(w.core, "web", &ask, &dry, &op, &plan, &err));
    assert_int_equal(json_array_size(json_object_get(plan, "blockers")), 0);
    assert_true(json_get_u64(plan, "bytes", 0) > 0);
    json_decref(plan);
    assert_int_equal(count(), 0);
    assert_string_equal(export_to("web", "main", NULL), "succeeded");
    assert_true(vm_export(w.core, "web", &ask, &dry, &op, &plan, &err));
    assert_int_equal(json_array_size(json_object_get(plan, "blockers")), 1);
    json_decref(plan);
}

static void a_folder_that_lacks_something_is_broken(void **state)
{
    CLEANUP(mem_freep) char *file = NULL, *other = NULL, *text = NULL;

    assert_string_equal(export_to("web", "main", NULL), "succeeded");
    file = file_of("web", 0);
    other = in_bundle("web", "other");
    assert_int_equal(link(file, other), 0);
    assert_string_equal(shown("state"), "broken"); /* a name elsewhere */
    assert_int_equal(unlink(other), 0);
    assert_string_equal(shown("state"), "complete");
    assert_int_equal(truncate(file, 3), 0);
    assert_string_equal(shown("state"), "broken");
    assert_int_equal(unlink(file), 0);
    assert_int_equal(symlink("/etc/passwd", file), 0);
    assert_string_equal(shown("state"), "broken");
    text = in_bundle("web", "bundle.json");
    assert_int_equal(unlink(text), 0);
    assert_string_equal(shown("state"), "broken");
    assert_true(bundle_remove(w.core, "web", &world_admin, &(struct err){0}));
    assert_int_equal(count(), 0);
    assert_int_equal(access("/etc/passwd", F_OK), 0);
}

static void a_folder_where_the_document_is_goes_too(void **state)
{
    CLEANUP(mem_freep) char *text = NULL;

    assert_string_equal(export_to("web", "main", NULL), "succeeded");
    text = in_bundle("web", "bundle.json");
    assert_int_equal(unlink(text), 0);
    assert_int_equal(mkdir(text, 0755), 0);
    assert_string_equal(shown("state"), "broken");
    assert_true(bundle_remove(w.core, "web", &world_admin, &(struct err){0}));
    assert_int_equal(count(), 0);
}

/* Every list reads the documents of all folders. */
static void a_document_without_end_is_not_read(void **state)
{
    CLEANUP(mem_freep) char *path = NULL, *blanks = mem_alloc(17 << 20);
    FILE *file;

    assert_string_equal(export_to("web", "main", NULL), "succeeded");
    path = in_bundle("web", "bundle.json");
    memset(blanks, ' ', 17 << 20);
    file = fopen(path, "ae");
    assert_int_equal(fwrite(blanks, 1, 17 << 20, file), 17 << 20);
    assert_int_equal(fclose(file), 0);
    assert_string_equal(shown("state"), "broken");
}

/* ... and so none is made. */
static void a_document_without_end_is_not_made(void **state)
{
    CLEANUP(mem_freep) char *notes = mem_alloc(BUNDLE_MAX + 1);
    CLEANUP(json_decrefp) json_t *vm = json_object();
    const struct bundle b = {.vm = vm};
    struct err err = {0};

    assert_true(bundle_fits(&b, &err));
    memset(notes, 'n', BUNDLE_MAX);
    json_put_text(vm, "notes", notes);
    assert_false(bundle_fits(&b, &err));
    assert_int_equal(err.code, ERR_UNSUPPORTED);
}

/* What an export that could not remove its folder has left goes at the next start; that of
 * somebody unknown, who may be writing still, stays. */
static void what_an_export_left_goes_at_a_start(void **state)
{
    CLEANUP(mem_freep) char *own = NULL, *other = NULL, *in_own = NULL;
    CLEANUP(json_decrefp) json_t *v = NULL;
    CLEANUP(mem_freep) char *name = NULL;

    assert_string_equal(export_to("web", "main", NULL), "succeeded");
    v = document("web");
    name = str_format(".%s.part", json_get_text(v, "operation"));
    own = in_bundle(name, "");
    in_own = in_bundle(name, "half.raw");
    other = in_bundle(".00000000-0000-4000-8000-000000000001.part", "");
    assert_int_equal(mkdir(own, 0755), 0);
    assert_int_equal(close(open(in_own, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)), 0);
    assert_int_equal(mkdir(other, 0755), 0);
    world_restart(&w);
    assert_int_equal(access(own, F_OK), -1);
    assert_int_equal(access(other, F_OK), 0);
    assert_int_equal(count(), 1);
}

/* ---- made of one ---- */

static json_t *import_plan(const struct import_ask *ask)
{
    struct origin dry = world_admin;
    struct err err = {0};
    json_t *plan = NULL;
    struct uuid op;

    dry.dry_run = true;
    assert_true(vm_import(w.core, ask, &dry, &op, &plan, &err));
    return plan;
}

/* What a plan finds of this code: "blocks", "changes" or "". */
static const char *effect_of(const json_t *plan, const char *code)
{
    const json_t *one;
    size_t i;

    json_array_foreach (json_object_get(plan, "findings"), i, one)
        if (str_eq(json_get_text(one, "code"), code))
            return json_get_text(one, "effect");
    return "";
}

/* The whole tree is there, and all of it can be gone back to. */
static void its_states_are_there(const char *vm)
{
    static const char *const names[] = {"a", "b", "c"};
    struct err err = {0};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        CLEANUP(json_decrefp) json_t *s = snapshot_show(w.core, vm, names[i], &err);
        assert_non_null(s);
        assert_string_equal(json_get_text(s, "consistency"), i == 1 ? "running" : "disk");
    }
    assert_string_equal(world_act(&w, vm, VM_VERB_START), "succeeded");
    assert_string_equal(world_revert(&w, vm, "b"), "succeeded");
    assert_string_equal(world_vm(&w, vm, "state"), "running");
    assert_string_equal(world_revert(&w, vm, "c"), "succeeded");
    assert_string_equal(world_act(&w, vm, VM_VERB_STOP), "succeeded");
    assert_string_equal(world_drop(&w, vm, "b"), "succeeded");
}

static void a_vm_of_a_bundle_is_what_it_was(void **state)
{
    unsigned files = world_files(&w);
    char id[64], generation[64];

    assert_string_equal(export_to("web", "main", NULL), "succeeded");
    assert_string_equal(import_named("web", "web2"), "succeeded");
    assert_int_equal(world_files(&w), 2 * files);
    assert_string_equal(world_vm(&w, "web2", "state"), "saved");
    str_copy(id, sizeof id, world_vm(&w, "web", "id"));
    assert_string_not_equal(id, world_vm(&w, "web2", "id"));
    str_copy(generation, sizeof generation, world_vm(&w, "web", "generation_id"));
    assert_string_not_equal(generation, world_vm(&w, "web2", "generation_id"));
    world_restart(&w);
    assert_string_equal(world_delete(&w, "web"), "succeeded");
    assert_int_equal(world_files(&w), files);
    its_states_are_there("web2");
    assert_string_equal(world_delete(&w, "web2"), "succeeded");
    assert_int_equal(world_files(&w), 0);
}

/* How many snapshots the VM has, once no operation holds it. */
static unsigned snapshots_of(const char *vm)
{
    struct err err = {0};
    CLEANUP(strbuf_clear) struct strbuf text = {0};
    CLEANUP(query_clear) struct query query = {0};
    CLEANUP(json_decrefp) json_t *all = NULL;
    const struct query_ask ask = {.page_size = 100};

    world_settle(&w, vm);
    assert_true(query_parse(&schema_snapshot, &ask, &query, &err));
    assert_true(snapshot_list(w.core, vm, &query, &text, &err));
    all = json_loadb(text.data, text.len, 0, NULL);
    return (unsigned)json_array_size(json_object_get(all, "items"));
}

static void one_that_runs_goes_on_and_is_saved_in_its_bundle(void **state)
{
    const struct bundle_ask ask = {
        .pool = "main", .snapshots = true, .consistency = CONSISTENCY_RUNNING};

    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    assert_string_equal(world_act(&w, "web", VM_VERB_STOP), "succeeded");
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded"); /* without an image */
    assert_string_equal(export_as("web", &ask), "succeeded");
    assert_string_equal(world_vm(&w, "web", "run.state"), "running");
    assert_int_equal(snapshots_of("web"), 3); /* and not the one for the export */
    assert_string_equal(shown("saved"), "true");
    assert_string_equal(shown("snapshots"), "3");
    assert_string_equal(import_named("web", "web2"), "succeeded");
    assert_string_equal(world_vm(&w, "web2", "state"), "saved");
    its_states_are_there("web2");
}

static void one_that_runs_is_exported_without_its_memory(void **state)
{
    const struct bundle_ask ask = {.pool = "main", .consistency = CONSISTENCY_DISK};

    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    assert_string_equal(export_as("web", &ask), "succeeded");
    assert_int_equal(snapshots_of("web"), 3);
    assert_string_equal(shown("saved"), "false");
    assert_string_equal(shown("snapshots"), "0");
    assert_string_equal(import_named("web", "web2"), "succeeded");
    assert_string_equal(world_vm(&w, "web2", "state"), "off");
    assert_string_equal(world_act(&w, "web2", VM_VERB_START), "succeeded");
}

static void an_imported_vm_is_exported_again(void **state)
{
    assert_string_equal(export_to("web", "main", "one"), "succeeded");
    assert_string_equal(import_named("one", "web2"), "succeeded");
    assert_string_equal(export_to("web2", "main", "two"), "succeeded");
    assert_string_equal(import_named("two", "web3"), "succeeded");
    its_states_are_there("web3");
}

static void one_that_comes_back_may_keep_its_ids(void **state)
{
    const struct import_ask ask = {.bundle = "web", .pool = "main", .keep = true};
    char id[64];

    str_copy(id, sizeof id, world_vm(&w, "web", "id"));
    assert_string_equal(export_to("web", "main", NULL), "succeeded");
    assert_string_equal(import_as(&ask), "exists");
    assert_string_equal(world_delete(&w, "web"), "succeeded");
    assert_string_equal(import_as(&ask), "succeeded");
    assert_string_equal(world_vm(&w, "web", "id"), id);
    world_restart(&w);
    its_states_are_there("web");
}

static void it_goes_to_another_pool_without_its_memory_and_starts(void **state)
{
    const struct import_ask ask = {
        .bundle = "web", .pool = "away", .name = "web2", .drop_memory = true, .start = true};
    CLEANUP(json_decrefp) json_t *plan = NULL, *s = NULL;
    struct err err = {0};
    struct uuid id;

    assert_true(pool_create(w.core, "away", "second", &world_admin, &id, &err));
    assert_string_equal(export_to("web", "away", NULL), "succeeded");
    plan = import_plan(&ask);
    assert_string_equal(effect_of(plan, "memory-dropped"), "changes");
    assert_int_equal(json_array_size(json_object_get(plan, "blockers")), 0);
    assert_string_equal(import_as(&ask), "succeeded");
    assert_string_equal(world_vm(&w, "web2", "state"), "running");
    s = snapshot_show(w.core, "web2", "b", &err);
    assert_string_equal(json_get_text(s, "consistency"), "disk");
    assert_string_equal(world_revert(&w, "web2", "b"), "succeeded");
}

static void what_differs_is_said_beforehand(void **state)
{
    const struct import_ask same = {.bundle = "web", .pool = "main", .keep = true};
    const struct import_ask other = {.bundle = "web", .pool = "main", .name = "web2"};
    CLEANUP(json_decrefp) json_t *plan = NULL, *fine = NULL;
    unsigned files = world_files(&w);

    assert_string_equal(export_to("web", "main", NULL), "succeeded");
    plan = import_plan(&same);
    assert_string_equal(effect_of(plan, "name"), "blocks");
    assert_string_equal(effect_of(plan, "identity"), "blocks");
    assert_int_equal(json_array_size(json_object_get(plan, "blockers")), 2);
    fine = import_plan(&other);
    assert_int_equal(json_array_size(json_object_get(fine, "findings")), 0);
    assert_int_equal(world_files(&w), files);
    assert_false(world_has_vm(&w, "web2"));
    assert_string_equal(import_named("web", NULL), "exists");
    assert_string_equal(import_named("none", NULL), "not-found");
    assert_string_equal(import_named("../web", NULL), "not-found");
}

static char *medium(void)
{
    return str_format("%s/root-main/media/install.iso", w.dir);
}

static void put_medium(void)
{
    CLEANUP(mem_freep) char *path = medium();
    CLEANUP(closep) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

    assert_int_equal(write(fd, "iso", 3), 3);
}

/* Off with the medium in its drive, a snapshot of its disks with it too; then saved. */
static void export_with_a_medium(void)
{
    CLEANUP(mem_freep) char *path = medium();

    put_medium();
    world_create(&w, "cd", "\"cdroms\":[{\"media\":\"install.iso\"}]," DISKS);
    assert_string_equal(world_take(&w, "cd", "off"), "succeeded");
    assert_string_equal(export_to("cd", "main", "off"), "succeeded");
    assert_string_equal(world_act(&w, "cd", VM_VERB_START), "succeeded");
    assert_string_equal(world_act(&w, "cd", VM_VERB_SAVE), "succeeded");
    assert_string_equal(export_to("cd", "main", "saved"), "succeeded");
    assert_int_equal(unlink(path), 0);
}

/* An empty drive is fine for a boot, and for nobody who goes on from a memory. */
static void a_medium_that_is_missing_is_said(void **state)
{
    const struct import_ask saved = {.bundle = "saved", .pool = "main", .name = "cd2"};
    const struct import_ask dropped = {
        .bundle = "saved", .pool = "main", .name = "cd2", .drop_memory = true};
    const struct import_ask off = {.bundle = "off", .pool = "main", .name = "cd3"};
    CLEANUP(json_decrefp) json_t *plan = NULL, *without = NULL, *of_off = NULL;

    export_with_a_medium();
    plan = import_plan(&saved);
    assert_string_equal(effect_of(plan, "memory"), "blocks");
    assert_string_equal(import_as(&saved), "unsupported");
    without = import_plan(&dropped);
    assert_string_equal(effect_of(without, "memory"), "");
    assert_string_equal(effect_of(without, "media"), "changes");
    assert_string_equal(import_as(&dropped), "succeeded");
    assert_string_equal(world_act(&w, "cd2", VM_VERB_START), "succeeded");
    of_off = import_plan(&off);
    assert_int_equal(json_array_size(json_object_get(of_off, "findings")), 2);
    assert_string_equal(import_as(&off), "succeeded");
}

#ifdef VMMD_FAILPOINTS
/* Whether a change of the medium was made was never known, and it was saved then. */
static void export_with_an_unknown_medium(void)
{
    CLEANUP(json_decrefp) json_t *patch = json_loads("{\"cdroms\":[{}]}", 0, NULL), *vm = NULL;
    struct err err = {0};
    struct etag etag;

    put_medium();
    world_create(&w, "cd", "\"cdroms\":[{\"media\":\"install.iso\"}]," DISKS);
    assert_string_equal(world_act(&w, "cd", VM_VERB_START), "succeeded");
    failpoint_arm("vm.live.media.done=fail");
    vm = vm_edit(w.core, "cd", patch, NULL, &world_admin, &etag, &err);
    failpoint_arm(NULL);
    assert_non_null(vm);
    assert_string_equal(world_act(&w, "cd", VM_VERB_SAVE), "succeeded");
    assert_string_equal(export_to("cd", "main", "saved"), "succeeded");
}

static void a_drive_of_which_nothing_is_known_is_said(void **state)
{
    const struct import_ask saved = {.bundle = "saved", .pool = "main", .name = "cd2"};
    const struct import_ask dropped = {
        .bundle = "saved", .pool = "main", .name = "cd2", .drop_memory = true};
    CLEANUP(json_decrefp) json_t *plan = NULL;
    const json_t *blocker;

    export_with_an_unknown_medium();
    plan = import_plan(&saved);
    blocker = json_array_get(json_object_get(plan, "blockers"), 0);
    assert_non_null(strstr(json_get_text(blocker, "detail"), "not known"));
    assert_string_equal(import_as(&saved), "unsupported");
    assert_string_equal(import_as(&dropped), "succeeded");
}
#endif

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_bundle_has_all_that_a_vm_is),
        T(the_present_state_alone_has_fewer_files),
        T(a_name_is_taken_once),
        T(a_dry_run_says_what_stands_in_the_way),
        T(a_folder_that_lacks_something_is_broken),
        T(a_folder_where_the_document_is_goes_too),
        T(a_document_without_end_is_not_read),
        T(a_document_without_end_is_not_made),
        T(what_an_export_left_goes_at_a_start),
        T(a_medium_that_is_missing_is_said),
#ifdef VMMD_FAILPOINTS
        T(a_drive_of_which_nothing_is_known_is_said),
#endif
        T(a_vm_of_a_bundle_is_what_it_was),
        T(an_imported_vm_is_exported_again),
        T(one_that_comes_back_may_keep_its_ids),
        T(it_goes_to_another_pool_without_its_memory_and_starts),
        T(what_differs_is_said_beforehand),
        T(one_that_runs_goes_on_and_is_saved_in_its_bundle),
        T(one_that_runs_is_exported_without_its_memory),
    };

    return cmocka_run_group_tests_name("core/bundles", tests, NULL, NULL);
}
