/* A store in a directory of its own with a transaction that is open, and rows that others refer to.
 */
#pragma once
#include "tests/lib/harness.h"

#include "core/port/store.h"

struct rows {
    char *dir;
    struct store *store;
    struct store_txn *txn; /* open unless a test ended it */
};

void rows_open(struct rows *r);
void rows_close(struct rows *r);  /* and removes the directory */
void rows_commit(struct rows *r); /* ends the transaction and begins the next */
struct pool_record rows_pool(struct rows *r, const char *name);
struct file_record rows_file(struct rows *r, const struct uuid *pool, const char *name);
