/* The words that the models know can be stored: the CHECKs of the tables and the enums are two
 * lists of the same thing. */
#include "tests/store/with_store.h"

#include "core/model/state.h"
#include "core/model/vm.h"

static char *dir;
static struct store *store;
static struct store_txn *txn;
static struct pool_record pool = {.name = "p", .root = "main"};

static int set_up(void **state)
{
    struct err err = {0};

    dir = tmp_dir_make();
    store = open_store(dir);
    MUST(txn = store_begin(store, &err));
    pool.id = uuid_new();
    MUST(store_pool_put(txn, &pool, &err));
    return 0;
}

static int tear_down(void **state)
{
    store_rollback(&txn);
    store_close(store);
    tmp_dir_remove(dir);
    return 0;
}

static void every_run_reason_and_wish_of_a_vm_fits(void **state)
{
    struct vm_record vm = some_vm("a");
    struct err err = {0};

    for (enum vm_run run = 0; run < VM_RUN_COUNT; run++) {
        vm.run = vm_run_text(run);
        MUST(store_vm_put(txn, &vm, &err));
    }
    for (enum vm_reason reason = 0; reason < VM_REASON_COUNT; reason++) {
        vm.reason = vm_reason_text(reason);
        MUST(store_vm_put(txn, &vm, &err));
    }
    for (enum vm_desired desired = 0; desired < VM_DESIRED_COUNT; desired++) {
        vm.desired = vm_desired_text(desired);
        MUST(store_vm_put(txn, &vm, &err));
    }
}

static void every_format_and_bus_of_a_disk_fits(void **state)
{
    struct file_record file = {
        .id = uuid_new(), .pool = pool.id, .name = "x", .role = "disk", .state = "live"};
    struct disk_record disk = {.id = uuid_new(), .pool = pool.id, .leaf = file.id};
    struct err err = {0};

    for (unsigned f = 0; disk_format_names[f]; f++)
        for (unsigned b = 0; disk_bus_names[b]; b++) {
            disk.format = file.format = disk_format_names[f];
            MUST(store_file_put(txn, &file, &err));
            disk.bus = disk_bus_names[b];
            MUST(store_disk_put(txn, &disk, &err));
        }
}

static void other_words_do_not_fit(void **state)
{
    struct disk_record disk = {.id = uuid_new(), .pool = pool.id, .format = "../x", .bus = "ide"};
    struct token_record token = {.id = uuid_new(), .name = "t", .role = "root"};
    struct job_record job = some_job(1, "done");
    struct err err = {0};

    MUST_FAIL(store_disk_put(txn, &disk, &err), ERR_INTERNAL);
    MUST_FAIL(store_token_put(txn, &token, &err), ERR_INTERNAL);
    MUST_FAIL(store_job_put(txn, &job, &err), ERR_INTERNAL);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(every_run_reason_and_wish_of_a_vm_fits),
        T(every_format_and_bus_of_a_disk_fits),
        T(other_words_do_not_fit),
    };

    return cmocka_run_group_tests_name("store/words", tests, NULL, NULL);
}
