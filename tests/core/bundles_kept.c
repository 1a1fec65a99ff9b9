/* Imports that keep a bundle's ids: whatever the bundle says, nothing that another VM has, and no
 * file that lies in the pool already, becomes the new VM's. */
#include "tests/core/bundling.h"

#include "core/disk/disks.h"
#include "core/job/job.h"
#include "core/snap/tree.h"
#include "core/user/granting.h"
#include "core/user/sight.h"
#include "core/user/user.h"

static const struct import_ask keep = {.bundle = "web", .pool = "main", .keep = true};

static json_t *at(json_t *v, const char *list, size_t i)
{
    return json_array_get(json_object_get(v, list), i);
}

static void write_document(const char *name, const json_t *v)
{
    CLEANUP(mem_freep) char *path = in_bundle(name, "bundle.json");

    assert_int_equal(json_dump_file(v, path, 0), 0);
}

/* The document with one id in the place of another, wherever that is. */
static json_t *with_id(const json_t *v, const char *old, const char *new)
{
    CLEANUP(mem_freep) char *text = json_dumps(v, 0);

    assert_int_equal(strlen(old), strlen(new));
    for (char *p = text; (p = strstr(p, old));)
        memcpy(p, new, strlen(new));
    return json_loads(text, 0, NULL);
}

/* Its only one. */
static struct uuid disk_of(const char *vm)
{
    struct uuid owner, id;

    assert_true(uuid_parse(world_vm(&w, vm, "id"), &owner));
    lock_take(&w.core->registry.lock);
    id = disks_of(w.core, &owner)->id;
    lock_drop(&w.core->registry.lock);
    return id;
}

static void export_and_delete(void)
{
    assert_string_equal(export_to("web", "main", NULL), "succeeded");
    assert_string_equal(world_delete(&w, "web"), "succeeded");
}

/* "a" is of disks alone: one of them is called as another VM's is. */
static void a_snapshot_takes_no_disk_of_another_vm(void **state)
{
    CLEANUP(json_decrefp) json_t *v = NULL;
    CLEANUP(mem_freep) char *old = NULL;
    struct uuid theirs;
    json_t *s, *one;
    size_t i;

    world_create(&w, "victim", "\"disks\":[{\"size_bytes\":1048576}]");
    theirs = disk_of("victim");
    export_and_delete();
    v = document("web");
    s = at(json_object_get(v, "vm"), "snapshots", 0);
    assert_string_equal(json_get_text(s, "name"), "a");
    old = str_dup(json_get_text(at(json_object_get(s, "spec"), "disks", 0), "id"));
    json_put_text(at(json_object_get(s, "spec"), "disks", 0), "id", UUID_STR(&theirs));
    json_array_foreach (json_object_get(s, "disks"), i, one)
        if (str_eq(json_get_text(one, "disk"), old))
            json_put_text(one, "disk", UUID_STR(&theirs));
    write_document("web", v);
    assert_string_equal(import_as(&keep), "exists");
    assert_false(world_has_vm(&w, "web"));
    assert_int_equal(world_files(&w), 1);
}

/* Also where an earlier daemon has let one in. */
static void nobody_goes_back_to_a_disk_of_another_vm(void **state)
{
    struct err err = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {w.core, vm_get(w.core, "web", &err)};
    struct uuid disk;

    world_create(&w, "victim", "\"disks\":[{\"size_bytes\":1048576}]");
    disk = disk_of("victim");
    lock_take(&w.core->registry.lock);
    snapshot_find(hold.vm, "a")->disks[0].disk = disk;
    lock_drop(&w.core->registry.lock);
    assert_string_equal(world_revert(&w, "web", "a"), "wrong-state");
    assert_string_equal(world_act(&w, "victim", VM_VERB_START), "succeeded");
    assert_string_equal(world_revert(&w, "web", "c"), "succeeded");
}

static void as_a_stranger(struct who *who)
{
    const struct user_spec spec = {.name = "ann", .role = ROLE_NONE};
    const struct grant_spec grant = {.label = "team=ann", .role = ROLE_OPERATOR};
    const struct grant_spec pool = {.pool = "main", .rights = RIGHT_BIT(RIGHT_STORAGE_READ)};
    struct err err = {0};
    struct uuid id, ignored;

    assert_true(user_create(w.core, &spec, &world_admin, &id, &err));
    assert_true(grant_create(w.core, "ann", &grant, &world_admin, &ignored, &err));
    assert_true(grant_create(w.core, "ann", &pool, &world_admin, &ignored, &err));
    assert_true(user_is(w.core, &id, who, &err));
    sight_begin(who, RIGHT_VM_CREATE);
}

/* Whoever imports may not see the VM whose snapshot it is. */
static void a_snapshot_of_another_vm_stays_its(void **state)
{
    CLEANUP(json_decrefp) json_t *victims = NULL, *v = NULL, *changed = NULL;
    struct err err = {0};
    json_t *plan = NULL;
    struct who who = {0};
    struct uuid op;

    world_create(&w, "victim", "\"disks\":[{\"size_bytes\":1048576}]");
    assert_string_equal(world_take(&w, "victim", "mine"), "succeeded");
    victims = snapshot_show(w.core, "victim", "mine", &err);
    export_and_delete();
    v = document("web");
    changed = with_id(v, json_get_text(at(json_object_get(v, "vm"), "snapshots", 0), "id"),
                      json_get_text(victims, "id"));
    json_object_set_new(changed, "extras", json_array());
    write_document("web", changed);
    assert_string_equal(import_as(&keep), "exists");
    as_a_stranger(&who);
    assert_false(vm_import(w.core, &keep, &world_admin, &op, &plan, &err));
    sight_end();
    who_clear(&who);
    assert_int_equal(err.code, ERR_EXISTS);
}

/* As recovery.md says of those that no disk knows: they may be all that is left of a VM. */
static void a_file_that_lies_there_is_not_written_over(void **state)
{
    static const char all[] = "all that is left";
    CLEANUP(mem_freep) char *path = NULL;
    char found[sizeof all] = "";
    int fd;

    export_and_delete();
    path = file_of("web", 0);
    lock_take(&w.core->registry.lock);
    fd = openat(w.core->registry.pools->dir, strrchr(path, '/') + 1, O_RDWR | O_CREAT | O_EXCL,
                0600);
    lock_drop(&w.core->registry.lock);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, all, sizeof all), sizeof all);
    assert_string_equal(import_as(&keep), "exists");
    assert_int_equal(pread(fd, found, sizeof found, 0), sizeof found);
    assert_string_equal(found, all);
    close(fd);
}

static void an_id_is_enlisted_once(void **state)
{
    struct vm_spec spec = {.name = str_dup("other")};
    struct err err = {0};
    struct uuid id;

    assert_true(uuid_parse(world_vm(&w, "web", "id"), &id));
    assert_null(vm_enlist(w.core, &id, &spec, &err));
    assert_int_equal(err.code, ERR_EXISTS);
    assert_string_equal(err.field, "/identity");
    assert_false(world_has_vm(&w, "other"));
}

/* Two bundles of VMs with other ids, that have a snapshot in common. */
static void of_two_at_once_one_has_a_snapshot(void **state)
{
    const struct import_ask asks[] = {
        {.bundle = "one", .pool = "main", .name = "first", .keep = true},
        {.bundle = "two", .pool = "main", .name = "second", .keep = true}};
    CLEANUP(json_decrefp) json_t *one = NULL, *two = NULL, *changed = NULL;
    unsigned succeeded = 0, exist = 0;
    struct err err[2] = {0};
    json_t *plan = NULL;
    struct uuid ops[2];
    bool ok[2];

    assert_string_equal(export_to("web", "main", "one"), "succeeded");
    assert_string_equal(import_named("one", "web2"), "succeeded");
    assert_string_equal(export_to("web2", "main", "two"), "succeeded");
    assert_string_equal(world_delete(&w, "web"), "succeeded");
    assert_string_equal(world_delete(&w, "web2"), "succeeded");
    one = document("one");
    two = document("two");
    changed = with_id(two, json_get_text(at(json_object_get(two, "vm"), "snapshots", 0), "id"),
                      json_get_text(at(json_object_get(one, "vm"), "snapshots", 0), "id"));
    json_object_set_new(changed, "extras", json_array());
    write_document("two", changed);
    for (size_t i = 0; i < ARRAY_LEN(asks); i++)
        ok[i] = vm_import(w.core, &asks[i], &world_admin, &ops[i], &plan, &err[i]);
    for (size_t i = 0; i < ARRAY_LEN(asks); i++) {
        const char *outcome = world_outcome(&w, ok[i], &ops[i], &err[i]);
        succeeded += str_eq(outcome, "succeeded");
        exist += str_eq(outcome, "exists");
    }
    assert_int_equal(succeeded, 1);
    assert_int_equal(exist, 1);
    assert_int_not_equal(world_has_vm(&w, "first"), world_has_vm(&w, "second"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_snapshot_takes_no_disk_of_another_vm),     T(nobody_goes_back_to_a_disk_of_another_vm),
        T(a_snapshot_of_another_vm_stays_its),         T(an_id_is_enlisted_once),
        T(a_file_that_lies_there_is_not_written_over), T(of_two_at_once_one_has_a_snapshot),
    };

    return cmocka_run_group_tests_name("core/bundles_kept", tests, NULL, NULL);
}
