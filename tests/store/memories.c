/* Memory images in the database: what is known of them comes back, and who lets go last. */
#include "tests/lib/store_rows.h"
#include "tests/store/with_store.h"

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

struct memories_seen {
    unsigned n;
    struct memory_record last;
    char made[64], way[16];
};

static bool see_memory(void *ctx, const struct memory_record *memory)
{
    struct memories_seen *seen = ctx;

    seen->n++;
    seen->last = *memory;
    str_copy(seen->made, sizeof seen->made, memory->made);
    str_copy(seen->way, sizeof seen->way, memory->way);
    return true;
}

static struct file_record put_image(const struct uuid *pool, const char *name)
{
    struct file_record file = rows_file(&rows, pool, name);
    const struct memory_record memory = {.file = file.id,
                                         .made = "{\"qemu\":\"7.2\"}",
                                         .spec = "{}",
                                         .leaves = "{\"disks\":[]}",
                                         .way = "background",
                                         .held_bytes = 4096,
                                         .pause_us = 7000,
                                         .took_ms = 900,
                                         .created_ms = 5,
                                         .packed_bytes = 1000,
                                         .plain_bytes = 4096};
    struct err err = {0};

    file.role = "memory";
    file.state = "live";
    MUST(store_file_put(rows.txn, &file, &err));
    MUST(store_memory_put(rows.txn, &memory, &err));
    return file;
}

static void a_memory_comes_back_and_goes_with_its_file(void **state)
{
    struct pool_record pool = rows_pool(&rows, "p");
    struct file_record file = put_image(&pool.id, "x.mem");
    struct memories_seen seen = {0};
    struct err err = {0};

    rows_commit(&rows);
    MUST(store_memory_each(rows.store, see_memory, &seen, &err));
    assert_int_equal(seen.n, 1);
    assert_true(uuid_eq(&seen.last.file, &file.id));
    assert_string_equal(seen.made, "{\"qemu\":\"7.2\"}");
    assert_string_equal(seen.way, "background");
    assert_int_equal(seen.last.held_bytes, 4096);
    assert_int_equal(seen.last.pause_us, 7000);
    assert_int_equal(seen.last.took_ms, 900);
    assert_int_equal(seen.last.packed_bytes, 1000);
    assert_int_equal(seen.last.plain_bytes, 4096);
    MUST(store_file_remove(rows.txn, &file.id, &err));
    rows_commit(&rows);
    seen.n = 0;
    MUST(store_memory_each(rows.store, see_memory, &seen, &err));
    assert_int_equal(seen.n, 0);
}

static struct snapshot_record put_snapshot_with(const struct uuid *vm, const struct uuid *memory)
{
    const struct snapshot_record snapshot = {.id = uuid_new(),
                                             .vm = *vm,
                                             .name = "s",
                                             .notes = "",
                                             .level = "running",
                                             .spec = "{}",
                                             .memory = *memory,
                                             .memory_state = "ready"};
    struct err err = {0};

    MUST(store_snapshot_put(rows.txn, &snapshot, &err));
    return snapshot;
}

static void who_lets_go_of_a_memory_last_puts_it_into_the_trash(void **state)
{
    struct pool_record pool = rows_pool(&rows, "p");
    struct file_record file = put_image(&pool.id, "x.mem");
    struct vm_record vm = some_vm("a");
    struct snapshot_record snapshot;
    struct err err = {0};
    bool last;

    vm.memory = file.id;
    vm.memory_leaves = "{\"disks\":[]}";
    MUST(store_vm_put(rows.txn, &vm, &err));
    snapshot = put_snapshot_with(&vm.id, &file.id);
    MUST(store_memory_hold(rows.txn, &file.id, &err));
    MUST_FAIL(store_file_remove(rows.txn, &file.id, &err), ERR_IN_USE);
    vm.memory = (struct uuid){0};
    MUST(store_vm_put_state(rows.txn, &vm, &err));
    MUST(store_memory_release(rows.txn, &file.id, &last, &err));
    assert_false(last);
    MUST(store_snapshot_remove(rows.txn, &snapshot.id, &err));
    MUST(store_memory_release(rows.txn, &file.id, &last, &err));
    assert_true(last);
    MUST_FAIL(store_memory_hold(rows.txn, &file.id, &err), ERR_NOT_FOUND);
    MUST(store_file_remove(rows.txn, &file.id, &err));
}

static void a_vm_that_goes_lets_go_of_what_its_snapshots_refer_to(void **state)
{
    struct pool_record pool = rows_pool(&rows, "p");
    struct file_record file = put_image(&pool.id, "x.mem");
    struct vm_record vm = some_vm("a");
    struct err err = {0};
    bool last;

    MUST(store_vm_put(rows.txn, &vm, &err));
    put_snapshot_with(&vm.id, &file.id);
    MUST(store_memory_forget(rows.txn, &vm.id, &err));
    MUST(store_memory_release(rows.txn, &file.id, &last, &err));
    assert_true(last);
}

static void a_disk_is_never_taken_for_a_memory(void **state)
{
    struct pool_record pool = rows_pool(&rows, "p");
    struct file_record file = rows_file(&rows, &pool.id, "x.qcow2");
    struct err err = {0};
    bool last;

    file.state = "live";
    MUST(store_file_put(rows.txn, &file, &err));
    MUST_FAIL(store_memory_hold(rows.txn, &file.id, &err), ERR_NOT_FOUND);
    MUST(store_memory_release(rows.txn, &file.id, &last, &err));
    assert_false(last);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(a_memory_comes_back_and_goes_with_its_file),
        T(who_lets_go_of_a_memory_last_puts_it_into_the_trash),
        T(a_vm_that_goes_lets_go_of_what_its_snapshots_refer_to),
        T(a_disk_is_never_taken_for_a_memory),
    };

    return cmocka_run_group_tests_name("store/memories", tests, NULL, NULL);
}
