/* See store_rows.h. */
#include "tests/lib/store_rows.h"

/* For calls that must succeed: says why they did not. */
static void must(bool ok, const struct err *err)
{
    if (!ok)
        fail_msg("%d %s", err->code, err->detail);
}

static void begin(struct rows *r)
{
    struct err err = {0};

    r->txn = store_begin(r->store, &err);
    must(r->txn, &err);
}

void rows_open(struct rows *r)
{
    struct err err = {0};

    r->dir = tmp_dir_make();
    r->store = store_open(r->dir, &err);
    must(r->store, &err);
    begin(r);
}

void rows_close(struct rows *r)
{
    store_rollback(&r->txn);
    store_close(r->store);
    tmp_dir_remove(r->dir);
}

void rows_commit(struct rows *r)
{
    struct err err = {0};

    must(store_commit(&r->txn, &err), &err);
    begin(r);
}

struct pool_record rows_pool(struct rows *r, const char *name)
{
    struct pool_record pool = {.id = uuid_new(), .name = name, .root = "main", .created_ms = 7};
    struct err err = {0};

    must(store_pool_put(r->txn, &pool, &err), &err);
    return pool;
}

struct file_record rows_file(struct rows *r, const struct uuid *pool, const char *name)
{
    struct file_record file = {.id = uuid_new(),
                               .pool = *pool,
                               .name = name,
                               .role = "disk",
                               .state = "creating",
                               .format = "qcow2",
                               .size_bytes = 1 << 20};
    struct err err = {0};

    must(store_file_put(r->txn, &file, &err), &err);
    return file;
}
