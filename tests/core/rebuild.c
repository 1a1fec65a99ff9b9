/* The database made anew of the disaster copies, on the fake backend: what the API said before it
 * says afterwards; what contradicts itself, is missing or is too old is not believed, and the rest
 * is made all the same. With the real daemon and a real guest: tests/integration/recover.c. */
#include "tests/core/recovering.h"

#include "core/base/commitlog.h"
#include "core/core/parts.h"
#include "core/disk/pool.h"
#include "core/job/job.h"
#include "core/move/move.h"
#include "core/snap/clone.h"
#include "core/snap/snap.h"
#include "core/template/template.h"
#include "core/vm/registry.h"

#define DISKS "\"disks\":[{\"size_bytes\":1048576,\"format\":\"raw\"},{\"size_bytes\":2097152}]"

/* ---- doing things ---- */

static void ends_well(bool submitted, const struct uuid *op, const struct err *err)
{
    CLEANUP(json_decrefp) json_t *job = NULL;

    if (!submitted)
        fail_msg("%s", err->detail);
    job = world_end_of(&w, op);
    if (!str_eq(json_get_text(job, "state"), "succeeded"))
        fail_msg("%s", json_get_text(json_object_get(job, "error"), "detail"));
}

static void take(const char *vm, const char *name, enum consistency consistency)
{
    const struct snapshot_ask ask = {.name = name, .notes = "why", .consistency = consistency};
    struct err err = {0};
    struct uuid op;

    ends_well(snapshot_take(w.core, vm, &ask, &world_admin, &op, &err), &op, &err);
}

static void revert(const char *vm, const char *name)
{
    struct err err = {0};
    struct uuid op;

    ends_well(snapshot_revert_to(w.core, vm, name, false, &world_admin, &op, &err), &op, &err);
}

static void clone_of(const char *vm, const char *snapshot, const char *name)
{
    const struct clone_ask ask = {.name = name, .snapshot = snapshot};
    struct err err = {0};
    struct uuid op, id;

    ends_well(vm_clone(w.core, vm, &ask, &world_admin, &op, &id, &err), &op, &err);
}

static void move(const char *vm, const char *pool)
{
    const struct move_request request = {.pool = pool, .format = -1};
    CLEANUP(json_decrefp) json_t *plan = NULL;
    struct err err = {0};
    struct uuid op;

    ends_well(vm_move_storage(w.core, vm, &request, &world_admin, &op, &plan, &err), &op, &err);
}

static void make_pool(const char *name, const char *root)
{
    struct err err = {0};
    struct uuid id;

    assert_true(pool_create(w.core, name, root, &world_admin, &id, &err));
}

static void make_template(const char *name)
{
    CLEANUP(json_decrefp)
    json_t *body =
        json_pack("{s:s,s:s,s:{s:i}}", "name", name, "notes", "ours", "spec", "vcpus", 2);
    struct err err = {0};
    struct uuid id;

    assert_true(template_create(w.core, body, &world_admin, &id, &err));
}

/* ---- what the API says ---- */

/* What comes of time and of operations, which are not in the copies; pictures lie in the state
 * directory. */
static json_t *lasting(json_t *v)
{
    static const char *const passing[] = {
        "run",        "state",     "operation",      "last_operation",
        "job",        "etag",      "state_revision", "modified_at",
        "free_bytes", "low_space", "file_bytes",     "has_screenshot"};

    for (size_t i = 0; i < ARRAY_LEN(passing); i++)
        json_object_del(v, passing[i]);
    return v;
}

/* Every VM is whole, and nothing but what copies name lies in the pools. */
static void all_is_well(const json_t *report)
{
    const json_t *vm;
    size_t i;

    json_array_foreach (json_object_get(report, "vms"), i, vm) {
        CLEANUP(mem_freep) char *text = json_dumps(vm, 0);
        if (!str_eq(json_get_text(vm, "verdict"), "whole"))
            fail_msg("%s", text);
    }
    assert_int_equal(json_array_size(json_object_get(report, "orphans")), 0);
    assert_int_equal(json_array_size(json_object_get(report, "findings")), 0);
}

static void put_items(json_t *all, const char *what, json_t *list)
{
    json_t *item;
    size_t i;

    json_array_foreach (json_object_get(list, "items"), i, item)
        lasting(item);
    json_object_set_new(all, what, json_incref(json_object_get(list, "items")));
    json_decref(list);
}

static json_t *text_list(struct strbuf *text)
{
    json_t *list = json_loadb(text->data, text->len, 0, NULL);

    assert_non_null(list);
    strbuf_clear(text);
    return list;
}

static void put_vm(json_t *all, const char *name)
{
    CLEANUP(mem_freep) char *key = str_format("%s's snapshots", name);
    CLEANUP(query_clear) struct query q = {0};
    struct query_ask ask = {.page_size = 100};
    struct strbuf text = {0};
    struct err err = {0};
    struct etag etag;

    json_object_set_new(all, name, lasting(vm_show(w.core, name, &etag, &err)));
    assert_true(query_parse(&schema_snapshot, &ask, &q, &err));
    assert_true(snapshot_list(w.core, name, &q, &text, &err));
    put_items(all, key, text_list(&text));
}

static json_t *all_that_is_said(void)
{
    json_t *all = json_object();
    CLEANUP(query_clear) struct query q = {0};
    struct query_ask ask = {.page_size = 100, .order = "name"};
    struct strbuf text = {0};
    struct err err = {0};
    struct vm **vms;
    size_t n;

    put_items(all, "disks", world_list(&w, &schema_disk, (struct query_ask){.order = "id"}, &err));
    put_items(all, "pools",
              world_list(&w, &schema_pool, (struct query_ask){.order = "name"}, &err));
    assert_true(query_parse(&schema_template, &ask, &q, &err));
    template_list(w.core, &q, &text);
    put_items(all, "templates", text_list(&text));
    vms = vm_get_all(w.core, &n);
    for (size_t i = 0; i < n; i++)
        put_vm(all, vms[i]->name);
    vm_put_all(w.core, vms);
    return all;
}

static void is_as_before(const json_t *before)
{
    CLEANUP(json_decrefp) json_t *now = all_that_is_said();
    const char *key;
    json_t *was;

    json_object_foreach ((json_t *)before, key, was)
        if (!json_equal(was, json_object_get(now, key))) {
            char *a = json_dumps(was, JSON_SORT_KEYS);
            char *b = json_dumps(json_object_get(now, key), JSON_SORT_KEYS | JSON_ENCODE_ANY);
            print_message("was: %s\nis:  %s\n", a, b);
            free(a);
            free(b);
            fail_msg("%s is not as it was", key);
        }
    assert_int_equal(json_object_size(now), json_object_size(before));
}

/* ---- stories ---- */

static void a_zoo(void)
{
    make_pool("fast", "second");
    make_pool("empty", "main");
    make_template("small");
    world_create(&w, "plain", "\"labels\":{\"team\":\"x\"},\"notes\":\"no disk\"");
    world_create(&w, "web", DISKS);
    take("web", "one", CONSISTENCY_DISK);
    take("web", "two", CONSISTENCY_DISK);
    revert("web", "one");
    take("web", "three", CONSISTENCY_DISK);
    clone_of("web", "two", "linked");
    take("linked", "mine", CONSISTENCY_DISK);
    world_create(&w, "ran", ONE);
    act("ran", VM_VERB_START);
    take("ran", "memory", CONSISTENCY_RUNNING);
    act("ran", VM_VERB_STOP);
    clone_of("ran", "memory", "goes-on");
    world_create(&w, "moved", ONE);
    take("moved", "before", CONSISTENCY_DISK);
    move("moved", "fast");
    world_create(&w, "saved", ONE);
    act("saved", VM_VERB_START);
    act("saved", VM_VERB_SAVE);
}

static void every_snapshot_can_be_reverted_to_and_every_vm_starts(void)
{
    static const char *const vms[] = {"plain", "web", "linked", "ran", "moved", "saved"};

    revert("web", "two");
    revert("web", "three");
    revert("linked", "mine");
    revert("moved", "before");
    revert("ran", "memory");
    assert_string_equal(world_vm(&w, "ran", "run.state"), "saved");
    for (size_t i = 0; i < ARRAY_LEN(vms); i++)
        act(vms[i], VM_VERB_START);
}

static void every_vm_snapshot_pool_and_template_is_as_before(void **state)
{
    CLEANUP(json_decrefp) json_t *before = NULL;
    CLEANUP(json_decrefp) json_t *report = NULL;
    unsigned files;

    a_zoo();
    before = all_that_is_said();
    files = world_files(&w);
    lose_database();
    report = come_back();
    all_is_well(report);
    is_as_before(before);
    assert_int_equal(world_files(&w), files);
    assert_string_equal(world_vm(&w, "saved", "run.state"), "saved");
    assert_string_equal(world_vm(&w, "web", "run.state"), "off");
    every_snapshot_can_be_reverted_to_and_every_vm_starts();
}

static void the_copies_beside_the_disks_are_enough(void **state)
{
    CLEANUP(json_decrefp) json_t *before = NULL;
    CLEANUP(mem_freep) char *dir = str_format("%s/state", w.dir);
    struct err err = {0};

    a_zoo();
    before = all_that_is_said();
    close_world();
    remove_below("state");
    assert_true(fs_mkdirs(dir, 0700, &err));
    json_object_del(before, "plain"); /* has no disk that it could lie beside */
    json_object_del(before, "plain's snapshots");
    json_decref(come_back());
    is_as_before(before);
    act("saved", VM_VERB_START);
}

static void no_daemon_begins_with_nothing_where_there_are_copies(void **state)
{
    world_create(&w, "web", ONE);
    lose_database();
    assert_false(world_open(&w));
    json_decref(come_back());
    act("web", VM_VERB_START);
}

static void a_look_changes_nothing(void **state)
{
    CLEANUP(json_decrefp) json_t *report = NULL;

    world_create(&w, "web", ONE);
    close_world();
    report = recover(false, false);
    is_judged(report, "web", "whole", NULL);
    assert_true(world_open(&w));
    act("web", VM_VERB_START);
}

static void a_file_that_no_copy_names_is_never_removed(void **state)
{
    CLEANUP(json_decrefp) json_t *report = NULL;
    CLEANUP(json_decrefp) json_t *pools = NULL;
    CLEANUP(mem_freep) char *path = NULL;
    struct uuid stray = uuid_new();
    struct err err = {0};

    world_create(&w, "web", ONE);
    pools = world_list(&w, &schema_pool, (struct query_ask){0}, &err);
    path = str_format("%s/root-main/%s/%s.raw", w.dir, json_get_text(item(pools, "items", 0), "id"),
                      UUID_STR(&stray));
    lose_database();
    close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    report = come_back();
    assert_int_equal(orphans_in(report), 1);
    assert_int_equal(access(path, F_OK), 0);
    close_world();
    assert_true(world_open(&w));
    assert_int_equal(access(path, F_OK), 0);
    unlink(path);
}

static void a_deleted_vm_does_not_come_back(void **state)
{
    CLEANUP(json_decrefp) json_t *report = NULL;

    world_create(&w, "web", ONE);
    world_create(&w, "gone", ONE);
    assert_string_equal(world_delete(&w, "gone"), "succeeded");
    lose_database();
    report = come_back();
    assert_int_equal(json_array_size(json_object_get(report, "vms")), 1);
    all_is_well(report);
}

/* A copy from before a snapshot: its leaf is what others lie on by now. */
static void a_copy_that_is_older_than_the_disks_is_doubtful(void **state)
{
    CLEANUP(json_decrefp) json_t *report = NULL;
    CLEANUP(json_decrefp) json_t *doubted = NULL;
    CLEANUP(json_decrefp) json_t *asked = NULL;
    char id[UUID_TEXT];
    json_t *old;

    world_create(&w, "web", ONE);
    world_create(&w, "other", ONE);
    id_of("web", id);
    close_world(); /* all copies are written */
    old = read_copy(id);
    assert_true(world_open(&w));
    take("web", "late", CONSISTENCY_DISK);
    lose_database();
    forget_roots();
    write_copy(id, old);
    doubted = recover(false, false);
    is_judged(doubted, "web", "doubtful", "older than its disks");
    assert_false(json_is_true(json_object_get(vm_in(doubted, "web"), "made")));
    asked = recover(false, true);
    assert_true(json_is_true(json_object_get(vm_in(asked, "web"), "made")));
    report = come_back();
    assert_false(world_has_vm(&w, "web"));
    act("other", VM_VERB_START);
    assert_int_equal(world_files(&w), 3);
}

static void write_log(const char *vm_id, const struct uuid *file)
{
    CLEANUP(mem_freep) char *path = str_format("%s/state/vm/%s", w.dir, vm_id);
    CLEANUP(mem_freep) char *text = str_format("{\"leaves\":[{\"file\":\"%s\"}]}", UUID_STR(file));
    CLEANUP(closep) int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct err err = {0};
    CLEANUP(closep) int log = commitlog_open(dir, &err);

    assert_true(log >= 0 && commitlog_write(log, 7, text, &err));
}

/* A pivot that the database was lost before it knew of. */
static void a_disk_that_went_on_in_another_file_is_doubtful(void **state)
{
    CLEANUP(json_decrefp) json_t *copy = NULL;
    CLEANUP(json_decrefp) json_t *before = NULL;
    CLEANUP(json_decrefp) json_t *after = NULL;
    CLEANUP(mem_freep) char *path = NULL;
    struct uuid file = uuid_new();
    char id[UUID_TEXT];

    world_create(&w, "web", ONE);
    id_of("web", id);
    lose_database();
    copy = read_copy(id);
    write_log(id, &file);
    before = recover(false, false); /* the file is gone: it was an earlier pivot */
    is_judged(before, "web", "whole", NULL);
    path = str_format("%s/root-main/%s/%s.raw", w.dir,
                      json_get_text(item(copy, "files", 0), "pool"), UUID_STR(&file));
    close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    after = recover(false, false);
    is_judged(after, "web", "doubtful", "went on in");
}

static void a_missing_disk_keeps_its_vm(void **state)
{
    CLEANUP(json_decrefp) json_t *copy = NULL;
    CLEANUP(json_decrefp) json_t *report = NULL;
    CLEANUP(mem_freep) char *path = NULL;
    char id[UUID_TEXT];

    world_create(&w, "web", ONE);
    id_of("web", id);
    lose_database();
    copy = read_copy(id);
    path =
        str_format("%s/root-main/%s/%s.qcow2", w.dir, json_get_text(item(copy, "files", 0), "pool"),
                   json_get_text(item(copy, "files", 0), "id"));
    assert_int_equal(unlink(path), 0);
    report = come_back();
    is_judged(report, "web", "incomplete", "is missing");
    assert_true(world_has_vm(&w, "web"));
}

static void a_vm_whose_memory_is_missing_is_off(void **state)
{
    CLEANUP(json_decrefp) json_t *copy = NULL;
    CLEANUP(json_decrefp) json_t *report = NULL;
    CLEANUP(mem_freep) char *path = NULL;
    char id[UUID_TEXT];

    world_create(&w, "web", ONE);
    id_of("web", id);
    act("web", VM_VERB_START);
    act("web", VM_VERB_SAVE);
    lose_database();
    copy = read_copy(id);
    path = str_format("%s/root-main/%s/%s.mem", w.dir,
                      json_get_text(item(copy, "files", 0), "pool"), json_get_text(copy, "memory"));
    assert_int_equal(unlink(path), 0);
    report = come_back();
    is_judged(report, "web", "incomplete", "will be off");
    assert_string_equal(world_vm(&w, "web", "run.state"), "off");
    act("web", VM_VERB_START);
}

/* What was used up must not be resumed again, whenever the database is lost. */
static void a_vm_that_went_on_is_not_saved_any_more(void **state)
{
    world_create(&w, "web", ONE);
    act("web", VM_VERB_START);
    act("web", VM_VERB_SAVE);
    act("web", VM_VERB_START);
    act("web", VM_VERB_STOP);
    lose_database();
    json_decref(come_back());
    assert_string_equal(world_vm(&w, "web", "run.state"), "off");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(every_vm_snapshot_pool_and_template_is_as_before),
        STORY(the_copies_beside_the_disks_are_enough),
        STORY(no_daemon_begins_with_nothing_where_there_are_copies),
        STORY(a_look_changes_nothing),
        STORY(a_file_that_no_copy_names_is_never_removed),
        STORY(a_deleted_vm_does_not_come_back),
        STORY(a_copy_that_is_older_than_the_disks_is_doubtful),
        STORY(a_disk_that_went_on_in_another_file_is_doubtful),
        STORY(a_missing_disk_keeps_its_vm),
        STORY(a_vm_whose_memory_is_missing_is_off),
        STORY(a_vm_that_went_on_is_not_saved_any_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
