/* A new database in place of one that is lost or damaged (docs/recovery.md), and the files that
 * such a database does not know and must leave alone; whose the directory is. Part of store.h. */
#pragma once
#include "core/base/err.h"
#include "core/base/id.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct store;
struct store_txn;
struct rebuild;

/* A database is in 'dir', or one that was rebuilt waits to be put in place. An empty file is none.
 */
bool store_is_there(const char *dir);
/* The daemon that has the directory although it has ended, because a thread of it waits for storage
 * that does not answer; 0: there is none. */
pid_t store_waits_for(const char *dir);

/* Takes the lock of the state directory (BUSY: a daemon has it), finishes what an earlier rebuild
 * had committed, and changes nothing else. */
struct rebuild *store_rebuild_begin(const char *dir, struct err *err) MUST_USE;
/* The state directory, borrowed. */
int store_rebuild_dir(const struct rebuild *r);
/* An empty database beside the old one, to be filled by transactions as usual; its next opening has
 * an epoch above 'epoch'. Owned by 'r'. */
struct store *store_rebuild_open(struct rebuild *r, uint32_t epoch, struct err *err) MUST_USE;
/* Closes it and puts it in place. What was there is kept as "vmmd.db.lost-<date>" (with -wal),
 * whose name 'kept' gets ("" when there was none). Killed at any moment, or cut: the old database
 * is there as it was, or the next opening finds the new one. */
bool store_rebuild_commit(struct rebuild *r, char kept[64], struct err *err) MUST_USE;
/* Lets go of the lock; what was not committed is removed. NULL is fine. */
void store_rebuild_end(struct rebuild *r);

/* ---- Spared files: in a pool, without a row, and not to be swept ---- */
bool store_spare_put(struct store_txn *txn, const struct uuid *pool, const char *name,
                     struct err *err) MUST_USE;
bool store_spare_each(struct store *store,
                      bool (*each)(void *ctx, const struct uuid *pool, const char *name), void *ctx,
                      struct err *err) MUST_USE;
