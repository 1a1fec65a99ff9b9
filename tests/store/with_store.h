/* What the tests of this folder share: a store in a directory of its own, and short ways to write.
 */
#pragma once
#include "tests/lib/harness.h"

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/port/store.h"

#include <sqlite3.h>
#include <stdlib.h>

#define UNUSED __attribute__((unused))

/* For calls that must succeed: says why they did not. */
#define MUST(call)                                                                                 \
    do {                                                                                           \
        if (!(call))                                                                               \
            fail_msg(#call ": %d %s", err.code, err.detail);                                       \
    } while (0)
/* For calls that must fail with 'expected'. */
#define MUST_FAIL(call, expected)                                                                  \
    do {                                                                                           \
        err = (struct err){0};                                                                     \
        assert_false(call);                                                                        \
        assert_int_equal(err.code, expected);                                                      \
        assert_true(err.detail[0] != 0);                                                           \
    } while (0)

UNUSED static struct store *open_store(const char *dir)
{
    struct err err = {0};
    struct store *store = store_open(dir, &err);

    if (!store)
        fail_msg("store_open: %d %s", err.code, err.detail);
    return store;
}

UNUSED static struct vm_record some_vm(const char *name)
{
    return (struct vm_record){
        .id = uuid_new(),
        .name = name,
        .spec = "{}",
        .phase = "defined",
        .run = "off",
        .reason = "",
        .desired = "off",
        .slot = UINT32_MAX,
    };
}

UNUSED static struct job_record some_job(int64_t created_ms, const char *state)
{
    return (struct job_record){
        .id = uuid_new(),
        .kind = "vm.start",
        .principal = "token:ci",
        .request_id = "r-1",
        .args = "{}",
        .state = state,
        .created_ms = created_ms,
    };
}

UNUSED static bool add_event(struct store_txn *txn, const char *data, uint64_t *seq,
                             struct err *err)
{
    const struct event_record event = {.at_ms = 1, .type = "vm.state", .data = data};

    return store_event_add(txn, &event, seq, err);
}

/* One event in a transaction of its own; its number. 0 on failure, with *err. */
UNUSED static uint64_t commit_event(struct store *store, const char *data, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(store, err);
    uint64_t seq;

    return txn && add_event(txn, data, &seq, err) && store_commit(&txn, err) ? seq : 0;
}

/* Straight into the file, behind the store's back. The first column of the first row, owned. */
UNUSED static char *raw_sql(const char *dir, const char *sql)
{
    CLEANUP(mem_freep) char *path = str_format("%s/vmmd.db", dir);
    sqlite3_stmt *stmt;
    sqlite3 *db;
    char *text = NULL;
    int rc;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        text = str_dup((const char *)sqlite3_column_text(stmt, 0));
    else if (rc != SQLITE_DONE)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return text;
}

UNUSED static void assert_raw(const char *dir, const char *sql, const char *expected)
{
    CLEANUP(mem_freep) char *text = raw_sql(dir, sql);

    assert_string_equal(text ? text : "", expected);
}

/* NULL when SQLite finds nothing wrong with the database of a closed store, or its words (static).
 */
UNUSED static const char *whole(const char *dir)
{
    CLEANUP(mem_freep) char *text = raw_sql(dir, "PRAGMA integrity_check");
    static char words[256];

    if (str_eq(text, "ok"))
        return NULL;
    str_copy(words, sizeof words, text ? text : "nothing");
    return words;
}
