/* Every table family: what is put comes back, names are unique, references hold. */
#include "tests/lib/store_rows.h"
#include "tests/store/with_store.h"

#include <string.h>

static struct rows rows;

static int set_up(void **state)
{
    rows_open(&rows);
    return 0;
}

static int tear_down(void **state)
{
    rows_close(&rows);
    return 0;
}

/* ---- VMs ---- */

struct vms_seen {
    unsigned n, stop_at;
    struct vm_record last;
    char name[64], run[16], active[64], detail[64];
};

static bool see_vm(void *ctx, const struct vm_record *vm)
{
    struct vms_seen *seen = ctx;

    seen->last = *vm;
    str_copy(seen->name, sizeof seen->name, vm->name);
    str_copy(seen->run, sizeof seen->run, vm->run);
    str_copy(seen->active, sizeof seen->active, vm->active ? vm->active : "(none)");
    str_copy(seen->detail, sizeof seen->detail, vm->detail ? vm->detail : "(none)");
    return ++seen->n != seen->stop_at;
}

static void a_vm_comes_back_as_it_was_put(void **state)
{
    struct vm_record vm = some_vm("a");
    struct vms_seen seen = {0};
    struct err err = {0};

    vm.active = "{\"vcpus\":2}";
    vm.slot = 3;
    vm.revision = 4;
    vm.state_revision = 5;
    vm.created_ms = 6;
    vm.updated_ms = 7;
    vm.state_since_ms = 8;
    MUST(store_vm_put(rows.txn, &vm, &err));
    rows_commit(&rows);
    MUST(store_vm_each(rows.store, see_vm, &seen, &err));
    assert_int_equal(seen.n, 1);
    assert_true(uuid_eq(&seen.last.id, &vm.id));
    assert_string_equal(seen.name, "a");
    assert_string_equal(seen.run, "off");
    assert_string_equal(seen.active, "{\"vcpus\":2}");
    assert_string_equal(seen.detail, "(none)");
    assert_int_equal(seen.last.slot, 3);
    assert_int_equal(seen.last.revision, 4);
    assert_int_equal(seen.last.state_revision, 5);
    assert_int_equal(seen.last.created_ms, 6);
    assert_int_equal(seen.last.updated_ms, 7);
    assert_int_equal(seen.last.state_since_ms, 8);
}

static void put_state_touches_the_observed_part_only(void **state)
{
    struct vm_record vm = some_vm("a"), observed = vm;
    struct vms_seen seen = {0};
    struct err err = {0};

    vm.revision = 9;
    MUST(store_vm_put(rows.txn, &vm, &err));
    observed.name = "not this";
    observed.revision = 1;
    observed.run = "crashed";
    observed.reason = "oom";
    observed.detail = "last words";
    MUST(store_vm_put_state(rows.txn, &observed, &err));
    rows_commit(&rows);
    MUST(store_vm_each(rows.store, see_vm, &seen, &err));
    assert_string_equal(seen.name, "a");
    assert_int_equal(seen.last.revision, 9);
    assert_string_equal(seen.run, "crashed");
    assert_string_equal(seen.detail, "last words");
    assert_int_equal(seen.last.slot, UINT32_MAX);

    observed.id = uuid_new();
    MUST_FAIL(store_vm_put_state(rows.txn, &observed, &err), ERR_NOT_FOUND);
}

static void a_vm_name_is_unique_until_its_vm_is_being_deleted(void **state)
{
    struct vm_record a = some_vm("same"), b = some_vm("same");
    struct err err = {0};

    MUST(store_vm_put(rows.txn, &a, &err));
    MUST_FAIL(store_vm_put(rows.txn, &b, &err), ERR_EXISTS);
    assert_string_equal(err.field, "/name");
    assert_non_null(strstr(err.detail, "\"same\""));
    a.phase = "deleting";
    MUST(store_vm_put(rows.txn, &a, &err));
    MUST(store_vm_put(rows.txn, &b, &err));
}

static void a_uid_slot_belongs_to_one_vm(void **state)
{
    struct vm_record a = some_vm("a"), b = some_vm("b");
    struct err err = {0};

    a.slot = b.slot = 0;
    MUST(store_vm_put(rows.txn, &a, &err));
    MUST_FAIL(store_vm_put(rows.txn, &b, &err), ERR_EXISTS);
    assert_string_equal(err.field, "");
    b.slot = UINT32_MAX;
    MUST(store_vm_put(rows.txn, &b, &err));
}

static void a_callback_can_end_the_walk(void **state)
{
    struct vms_seen seen = {.stop_at = 2};
    struct err err = {0};

    for (int i = 0; i < 5; i++) {
        CLEANUP(mem_freep) char *name = str_format("vm%d", i);
        struct vm_record vm = some_vm(name);
        MUST(store_vm_put(rows.txn, &vm, &err));
    }
    rows_commit(&rows);
    MUST(store_vm_each(rows.store, see_vm, &seen, &err));
    assert_int_equal(seen.n, 2);
    assert_string_equal(seen.name, "vm1"); /* by name */
}

static void words_and_json_that_are_none_are_refused(void **state)
{
    struct vm_record vm = some_vm("a");
    struct err err = {0};

    vm.run = "flying";
    MUST_FAIL(store_vm_put(rows.txn, &vm, &err), ERR_INTERNAL);
    vm.run = "off";
    vm.spec = "{";
    MUST_FAIL(store_vm_put(rows.txn, &vm, &err), ERR_INTERNAL);
    vm.spec = NULL;
    MUST_FAIL(store_vm_put(rows.txn, &vm, &err), ERR_INTERNAL);
    assert_false(store_is_poisoned(rows.store));
}

static void texts_are_data_never_sql(void **state)
{
    const char *hostile = "'; DROP TABLE vm; -- \xc3\xa4\n\"%s";
    struct vm_record vm = some_vm(hostile);
    struct vms_seen seen = {0};
    struct err err = {0};

    MUST(store_vm_put(rows.txn, &vm, &err));
    rows_commit(&rows);
    MUST(store_vm_each(rows.store, see_vm, &seen, &err));
    assert_int_equal(seen.n, 1);
    assert_string_equal(seen.name, hostile);
}

/* ---- pools, files, disks ---- */

struct pools_seen {
    unsigned n;
    struct uuid id;
    char name[64], root[64];
    int64_t created_ms;
};

static bool see_pool(void *ctx, const struct pool_record *pool)
{
    struct pools_seen *seen = ctx;

    seen->n++;
    seen->id = pool->id;
    seen->created_ms = pool->created_ms;
    str_copy(seen->name, sizeof seen->name, pool->name);
    str_copy(seen->root, sizeof seen->root, pool->root);
    return true;
}

static void a_pool_comes_back_and_goes(void **state)
{
    struct pool_record pool = rows_pool(&rows, "fast"), twin = {.id = uuid_new(), .root = "main"};
    struct pools_seen seen = {0};
    struct err err = {0};

    twin.name = "fast";
    MUST_FAIL(store_pool_put(rows.txn, &twin, &err), ERR_EXISTS);
    rows_commit(&rows);
    MUST(store_pool_each(rows.store, see_pool, &seen, &err));
    assert_int_equal(seen.n, 1);
    assert_true(uuid_eq(&seen.id, &pool.id));
    assert_string_equal(seen.name, "fast");
    assert_string_equal(seen.root, "main");
    assert_int_equal(seen.created_ms, 7);
    MUST(store_pool_remove(rows.txn, &pool.id, &err));
    MUST(store_pool_remove(rows.txn, &pool.id, &err)); /* once more is no failure */
    rows_commit(&rows);
    seen.n = 0;
    MUST(store_pool_each(rows.store, see_pool, &seen, &err));
    assert_int_equal(seen.n, 0);
}

struct files_seen {
    unsigned n;
    struct file_record last;
    char name[64], state[16];
};

static bool see_file(void *ctx, const struct file_record *file)
{
    struct files_seen *seen = ctx;

    seen->n++;
    seen->last = *file;
    str_copy(seen->name, sizeof seen->name, file->name);
    str_copy(seen->state, sizeof seen->state, file->state);
    return true;
}

static void a_file_comes_back_with_its_vm_and_job(void **state)
{
    struct pool_record pool = rows_pool(&rows, "p");
    struct file_record file = rows_file(&rows, &pool.id, "x.qcow2");
    struct vm_record vm = some_vm("a");
    struct job_record job = some_job(1, "running");
    struct files_seen seen = {0};
    struct err err = {0};

    rows_commit(&rows);
    MUST(store_file_each(rows.store, see_file, &seen, &err));
    assert_true(uuid_is_zero(&seen.last.vm) && uuid_is_zero(&seen.last.job));
    MUST(store_vm_put(rows.txn, &vm, &err));
    MUST(store_job_put(rows.txn, &job, &err));
    file.vm = vm.id;
    file.job = job.id;
    file.state = "live";
    file.size_bytes = 2 << 20;
    file.parent = rows_file(&rows, &pool.id, "a.qcow2").id; /* before it by name */
    MUST(store_file_put(rows.txn, &file, &err));
    rows_commit(&rows);
    MUST(store_file_each(rows.store, see_file, &seen, &err));
    assert_int_equal(seen.n, 3);
    assert_true(uuid_eq(&seen.last.id, &file.id));
    assert_true(uuid_eq(&seen.last.parent, &file.parent));
    assert_int_equal(seen.last.size_bytes, 2 << 20);
    assert_true(uuid_eq(&seen.last.pool, &pool.id));
    assert_true(uuid_eq(&seen.last.vm, &vm.id));
    assert_true(uuid_eq(&seen.last.job, &job.id));
    assert_string_equal(seen.name, "x.qcow2");
    assert_string_equal(seen.state, "live");
}

static void references_hold_in_both_directions(void **state)
{
    struct pool_record pool = rows_pool(&rows, "p");
    struct file_record file = rows_file(&rows, &pool.id, "x.raw");
    struct vm_record vm = some_vm("a");
    struct err err = {0};

    MUST_FAIL(store_pool_remove(rows.txn, &pool.id, &err), ERR_IN_USE);
    file.vm = vm.id;
    MUST_FAIL(store_file_put(rows.txn, &file, &err), ERR_NOT_FOUND);
    MUST(store_vm_put(rows.txn, &vm, &err));
    MUST(store_file_put(rows.txn, &file, &err));
    MUST_FAIL(store_vm_remove(rows.txn, &vm.id, &err), ERR_IN_USE);
    MUST(store_file_remove(rows.txn, &file.id, &err));
    MUST(store_vm_remove(rows.txn, &vm.id, &err));
    MUST(store_pool_remove(rows.txn, &pool.id, &err));
}

struct disks_seen {
    unsigned n;
    struct disk_record last;
};

static bool see_disk(void *ctx, const struct disk_record *disk)
{
    struct disks_seen *seen = ctx;

    seen->n++;
    seen->last = *disk;
    assert_string_equal(disk->format, "qcow2");
    assert_string_equal(disk->bus, "virtio");
    return true;
}

static void a_disk_comes_back_with_its_leaf(void **state)
{
    struct pool_record pool = rows_pool(&rows, "p");
    struct disk_record disk = {.id = uuid_new(),
                               .pool = pool.id,
                               .position = 2,
                               .size_bytes = 1ull << 40,
                               .format = "qcow2",
                               .bus = "virtio",
                               .leaf = rows_file(&rows, &pool.id, "a.qcow2").id,
                               .created_ms = 5};
    struct disks_seen seen = {0};
    struct err err = {0};

    MUST(store_disk_put(rows.txn, &disk, &err));
    rows_commit(&rows);
    MUST(store_disk_each(rows.store, see_disk, &seen, &err));
    assert_int_equal(seen.n, 1);
    assert_true(uuid_eq(&seen.last.leaf, &disk.leaf));
    assert_int_equal(seen.last.position, 2);
    assert_int_equal(seen.last.size_bytes, 1ull << 40);
    assert_int_equal(seen.last.created_ms, 5);
    assert_true(uuid_is_zero(&seen.last.vm));

    disk.leaf = rows_file(&rows, &pool.id, "b.qcow2").id;
    MUST(store_disk_put(rows.txn, &disk, &err));
    rows_commit(&rows);
    MUST(store_disk_each(rows.store, see_disk, &seen, &err));
    assert_true(uuid_eq(&seen.last.leaf, &disk.leaf));
}

static void a_file_cannot_go_before_its_disk_nor_before_its_children(void **state)
{
    struct pool_record pool = rows_pool(&rows, "p");
    struct file_record base = rows_file(&rows, &pool.id, "x.qcow2"),
                       top = rows_file(&rows, &pool.id, "y.qcow2");
    struct disk_record disk = {
        .id = uuid_new(), .pool = pool.id, .format = "qcow2", .bus = "virtio", .leaf = top.id};
    struct err err = {0};

    top.parent = base.id;
    MUST(store_file_put(rows.txn, &top, &err));
    MUST(store_disk_put(rows.txn, &disk, &err));
    MUST_FAIL(store_file_remove(rows.txn, &top.id, &err), ERR_IN_USE);
    MUST_FAIL(store_file_remove(rows.txn, &base.id, &err), ERR_IN_USE);
    MUST(store_disk_remove(rows.txn, &disk.id, &err));
    MUST(store_file_remove(rows.txn, &top.id, &err));
    MUST(store_file_remove(rows.txn, &base.id, &err));
    disk.leaf = uuid_new();
    MUST_FAIL(store_disk_put(rows.txn, &disk, &err), ERR_NOT_FOUND);
}

/* ---- tokens, keys ---- */

struct tokens_seen {
    unsigned n;
    struct token_record last;
    char name[64], role[16], by[64];
};

static bool see_token(void *ctx, const struct token_record *token)
{
    struct tokens_seen *seen = ctx;

    seen->n++;
    seen->last = *token;
    str_copy(seen->name, sizeof seen->name, token->name);
    str_copy(seen->role, sizeof seen->role, token->role);
    str_copy(seen->by, sizeof seen->by, token->created_by ? token->created_by : "");
    return true;
}

static void a_token_comes_back_as_its_digest(void **state)
{
    struct token_record token = {.id = uuid_new(),
                                 .name = "ci",
                                 .role = "operator",
                                 .created_ms = 3,
                                 .expires_ms = 4,
                                 .created_by = "unix:0"};
    struct tokens_seen seen = {0};
    struct err err = {0};

    memset(token.sha256, 0xa5, sizeof token.sha256);
    MUST(store_token_put(rows.txn, &token, &err));
    rows_commit(&rows);
    MUST(store_token_each(rows.store, see_token, &seen, &err));
    assert_int_equal(seen.n, 1);
    assert_memory_equal(seen.last.sha256, token.sha256, sizeof token.sha256);
    assert_string_equal(seen.name, "ci");
    assert_string_equal(seen.role, "operator");
    assert_string_equal(seen.by, "unix:0");
    assert_int_equal(seen.last.created_ms, 3);
    assert_int_equal(seen.last.expires_ms, 4);

    token.id = uuid_new();
    memset(token.sha256, 1, sizeof token.sha256);
    MUST_FAIL(store_token_put(rows.txn, &token, &err), ERR_EXISTS);
    MUST(store_token_remove(rows.txn, &seen.last.id, &err));
    MUST(store_token_put(rows.txn, &token, &err));
}

struct idem_seen {
    unsigned n;
    struct idem_record last;
    char route[128], type[32], note[64];
};

static bool see_idem(void *ctx, const struct idem_record *idem)
{
    struct idem_seen *seen = ctx;

    seen->n++;
    seen->last = *idem;
    str_copy(seen->route, sizeof seen->route, idem->route);
    str_copy(seen->type, sizeof seen->type, idem->object_type);
    str_copy(seen->note, sizeof seen->note, idem->note ? idem->note : "none");
    return true;
}

static void a_key_is_found_by_its_principal_only(void **state)
{
    struct idem_record idem = {.principal = "token:a",
                               .key = "k",
                               .route = "POST /vms",
                               .body_sha256 = {1, 2, 3},
                               .object_type = "operation",
                               .object = uuid_new(),
                               .note = "{\"items\":[]}",
                               .created_ms = clock_wall_ms()};
    struct idem_seen seen = {0};
    struct err err = {0};
    bool found;

    MUST(store_idem_put(rows.txn, &idem, &err));
    MUST_FAIL(store_idem_put(rows.txn, &idem, &err), ERR_EXISTS);
    rows_commit(&rows);
    MUST(store_idem_get(rows.store, "token:b", "k", see_idem, &seen, &found, &err));
    assert_false(found);
    MUST(store_idem_get(rows.store, "token:a", "k", see_idem, &seen, &found, &err));
    assert_true(found);
    assert_int_equal(seen.n, 1);
    assert_string_equal(seen.route, "POST /vms");
    assert_string_equal(seen.type, "operation");
    assert_true(uuid_eq(&seen.last.object, &idem.object));
    assert_memory_equal(seen.last.body_sha256, idem.body_sha256, 32);
    assert_string_equal(seen.note, "{\"items\":[]}");
    idem.principal = "token:b";
    MUST(store_idem_put(rows.txn, &idem, &err));
}

static void a_key_can_be_used_again_after_a_day(void **state)
{
    const int64_t day_ms = 24 * 60 * 60 * 1000, now = clock_wall_ms();
    struct idem_record idem = {.principal = "p",
                               .key = "k",
                               .route = "old",
                               .object_type = "pool",
                               .created_ms = now - day_ms - 1000};
    struct idem_seen seen = {0};
    bool more = false;
    struct err err = {0};
    bool found;

    MUST(store_idem_put(rows.txn, &idem, &err));
    rows_commit(&rows);
    MUST(store_idem_get(rows.store, "p", "k", see_idem, &seen, &found, &err));
    assert_false(found);
    idem.route = "new";
    idem.created_ms = now;
    MUST(store_idem_put(rows.txn, &idem, &err));
    rows_commit(&rows);
    MUST(store_idem_get(rows.store, "p", "k", see_idem, &seen, &found, &err));
    assert_true(found);
    assert_string_equal(seen.route, "new");
    MUST(store_idem_trim(rows.txn, now, &more, &err)); /* not older than that */
    rows_commit(&rows);
    MUST(store_idem_get(rows.store, "p", "k", see_idem, &seen, &found, &err));
    assert_true(found);
    MUST(store_idem_trim(rows.txn, now + 1, &more, &err));
    rows_commit(&rows);
    MUST(store_idem_get(rows.store, "p", "k", see_idem, &seen, &found, &err));
    assert_false(found);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(a_vm_comes_back_as_it_was_put),
        T(put_state_touches_the_observed_part_only),
        T(a_vm_name_is_unique_until_its_vm_is_being_deleted),
        T(a_uid_slot_belongs_to_one_vm),
        T(a_callback_can_end_the_walk),
        T(words_and_json_that_are_none_are_refused),
        T(texts_are_data_never_sql),
        T(a_pool_comes_back_and_goes),
        T(a_file_comes_back_with_its_vm_and_job),
        T(references_hold_in_both_directions),
        T(a_disk_comes_back_with_its_leaf),
        T(a_file_cannot_go_before_its_disk_nor_before_its_children),
        T(a_token_comes_back_as_its_digest),
        T(a_key_is_found_by_its_principal_only),
        T(a_key_can_be_used_again_after_a_day),
    };

    return cmocka_run_group_tests_name("store/families", tests, NULL, NULL);
}
