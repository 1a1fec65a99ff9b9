/* What core needs of a database. Implemented by store/ (SQLite), one file a table family; core
 * never sees SQL. Blocking. A write is durable when store_commit() has returned true, not before:
 * many callers share one flush to the disk (group commit).
 *
 * If the disk cannot be flushed, the store is poisoned: every later call fails with INTERNAL and
 * the daemon ends itself, since memory and disk may differ from here on. A full disk does not
 * poison: the write fails with NO_SPACE, nothing of it is kept, and the next one may succeed.
 *
 * Every call may also fail with INTERNAL (I/O, a value no table takes), every write with NO_SPACE
 * or UNAVAILABLE (another program holds the database locked). */
#pragma once
#include "core/base/err.h"
#include "core/base/histogram.h"
#include "core/base/id.h"

#include <stddef.h>
#include <stdint.h>

struct store;
struct store_txn;

/* Opens or makes 'vmmd.db' in 'dir', takes the lock of the state directory (BUSY: another daemon
 * has it), applies migrations, checks the file and raises the epoch. 'dir' is borrowed for the
 * call. UNSUPPORTED: a newer vmmd has used the file. */
struct store *store_open(const char *dir, struct err *err) MUST_USE;
void store_close(struct store *store);           /* when no other thread uses it; NULL is fine */
uint32_t store_epoch(const struct store *store); /* of this opening: fences older daemons off */
bool store_is_poisoned(struct store *store);
struct store_facts {
    uint64_t commits, flushes;      /* transactions, and the flushes to the disk that they shared */
    struct histogram_seen flush;    /* histogram_flushes */
    uint64_t file_bytes, wal_bytes; /* of the database and of its log */
};
void store_facts(struct store *store, struct store_facts *out);

/* One transaction of the calling thread, which is the only writer until it ends: keep it short, and
 * do nothing in it that waits for another thread. No other transaction may be open in this thread,
 * and no lock that comes after the store in the lock order may be held. What a transaction has
 * written is seen by readers, its own thread included, once it is committed. */
struct store_txn *store_begin(struct store *store, struct err *err) MUST_USE;
/* Ends it whatever comes out; '*txn' is NULL afterwards. Blocks until the change is on the disk. */
bool store_commit(struct store_txn **txn, struct err *err) MUST_USE;
void store_rollback(struct store_txn **txn); /* for CLEANUP(store_rollback); NULL is fine */

/* What all families have in common:
 * - put inserts the row or replaces the one with the same id. EXISTS: a name (err->field "/name")
 * or something else unique is taken. NOT_FOUND: it refers to a row that does not exist, so rows go
 * in parents first: pool, VM, job before file; file before disk.
 * - remove of a row that is not there is success. IN_USE: others refer to it.
 * - After a failed put or remove the caller rolls back: part of it may have been done.
 * - each, get: the callback returns false to end the walk, which is no failure. It must not call
 * the store. Texts are borrowed on put and valid only during the callback. */

/* ---- VMs, by name. A VM in phase "deleting" has given its name away. ---- */
struct vm_record {
    struct uuid id;
    const char *name;
    const char *spec;          /* JSON of struct vm_spec (model vm_model) */
    const char *active;        /* the same as it was started with, NULL when off */
    const char *phase;         /* "creating", "defined", "deleting" */
    const char *run;           /* last observed, vm_run_text() */
    const char *reason;        /* vm_reason_text() */
    const char *desired;       /* vm_desired_text() */
    const char *detail;        /* last words of a crash, or NULL */
    const char *restarts;      /* JSON of struct restarts (core/model/restarts.h), or NULL */
    struct uuid stands_on;     /* the snapshot it goes on from; zero: none */
    struct uuid memory;        /* the image that a saved VM goes on with; zero: none */
    const char *memory_leaves; /* JSON: which files its disks wrote to at that instant, or NULL */
    uint32_t slot;             /* uid slot while live; UINT32_MAX when none */
    uint64_t revision;         /* of the configuration */
    uint64_t state_revision;
    int64_t created_ms, updated_ms, state_since_ms;
};
bool store_vm_put(struct store_txn *txn, const struct vm_record *vm, struct err *err) MUST_USE;
/* Only the observed part: active, run, reason, desired, detail, restarts, memory and its leaves,
 * slot, state_revision, state_since_ms. Cheaper than the whole; NOT_FOUND if there is no such row.
 */
bool store_vm_put_state(struct store_txn *txn, const struct vm_record *vm,
                        struct err *err) MUST_USE;
bool store_vm_remove(struct store_txn *txn, const struct uuid *id, struct err *err) MUST_USE;
bool store_vm_each(struct store *store, bool (*each)(void *ctx, const struct vm_record *),
                   void *ctx, struct err *err) MUST_USE;

/* ---- Pools, by name ---- */
struct pool_record {
    struct uuid id;
    const char *name;
    const char *root; /* id of the configured root */
    int64_t created_ms;
    uint64_t quota_bytes;       /* 0: none */
    uint64_t reserve_bytes;     /* POOL_RESERVE_USUAL: as for every pool */
    const char *default_format; /* of new disks; NULL: qcow2 */
    bool low_space;             /* was said to be short of space */
};
#define POOL_RESERVE_USUAL UINT64_C(4503599627370496) /* and above */
bool store_pool_put(struct store_txn *txn, const struct pool_record *pool,
                    struct err *err) MUST_USE;
bool store_pool_remove(struct store_txn *txn, const struct uuid *id, struct err *err) MUST_USE;
bool store_pool_each(struct store *store, bool (*each)(void *ctx, const struct pool_record *),
                     void *ctx, struct err *err) MUST_USE;

/* ---- Files: every image file has a row before it exists (durability.md). The parents are the
 * chain of record (storage.md); a parent is put before its children. ---- */
struct file_record {
    struct uuid id;
    struct uuid pool;
    const char *name;  /* "<uuid>.<ext>" below the pool's directory */
    const char *role;  /* "disk", "memory" */
    const char *state; /* "creating", "live", "trash" */
    const char *format;
    uint64_t size_bytes; /* as the guest sees it */
    struct uuid parent;  /* shows where this one has nothing; zero: a base */
    struct uuid vm;      /* zero when none */
    struct uuid job;     /* that makes or unmakes it; zero when none */
};
bool store_file_put(struct store_txn *txn, const struct file_record *file,
                    struct err *err) MUST_USE;
bool store_file_remove(struct store_txn *txn, const struct uuid *id, struct err *err) MUST_USE;
bool store_file_each(struct store *store, bool (*each)(void *ctx, const struct file_record *),
                     void *ctx, struct err *err) MUST_USE;

/* ---- Disks ---- */
struct disk_record {
    struct uuid id;
    struct uuid vm; /* zero when attached to none */
    struct uuid pool;
    uint32_t position; /* among the VM's disks */
    uint64_t size_bytes;
    const char *format; /* of its first file */
    const char *bus;
    struct uuid leaf; /* the file it writes to; put before it */
    int64_t created_ms;
};
bool store_disk_put(struct store_txn *txn, const struct disk_record *disk,
                    struct err *err) MUST_USE;
bool store_disk_remove(struct store_txn *txn, const struct uuid *id, struct err *err) MUST_USE;
bool store_disk_each(struct store *store, bool (*each)(void *ctx, const struct disk_record *),
                     void *ctx, struct err *err) MUST_USE;

/* ---- Jobs ("operations" in the API) ---- */
struct job_record {
    struct uuid id;
    const char *kind;        /* "vm.start" */
    const char *object_type; /* "vm", or NULL */
    struct uuid object;
    const char *object_name; /* as it was then */
    const char *principal;
    const char *request_id;
    const char *args;   /* JSON */
    const char *state;  /* queued, running, cancelling, succeeded, failed, cancelled, interrupted */
    const char *step;   /* name of the step reached, or NULL */
    const char *result; /* JSON, or NULL */
    const char *error_code, *error_field, *error_detail; /* or NULL */
    uint64_t done, total;
    int64_t created_ms, started_ms, ended_ms; /* 0 when not yet */
};
/* A later put changes only how far the job got: args, state, step, result, error, done, total,
 * started_ms, ended_ms. */
bool store_job_put(struct store_txn *txn, const struct job_record *job, struct err *err) MUST_USE;
/* NOT_FOUND. The record's texts live during the callback. */
bool store_job_get(struct store *store, const struct uuid *id,
                   bool (*each)(void *ctx, const struct job_record *), void *ctx,
                   struct err *err) MUST_USE;
/* Newest first, at most 'limit', older than '*before' (created_ms, id) when 'before' is given;
 * 'object' narrows to one VM when given; 'open_only' to those that have not ended. */
struct job_filter {
    const struct uuid *object;
    bool open_only;
    int64_t before_ms; /* 0: from the newest on */
    struct uuid before_id;
    unsigned limit;
};
bool store_job_each(struct store *store, const struct job_filter *filter,
                    bool (*each)(void *ctx, const struct job_record *), void *ctx,
                    struct err *err) MUST_USE;
/* Old rows go some at a time, since a large transaction keeps others waiting and takes memory:
 * '*more' is set when there may be others. */
#define STORE_TRIM_ROWS 500
/* Removes ended jobs beyond the newest 'keep', but none that a file still names. */
bool store_job_trim(struct store_txn *txn, unsigned keep, bool *more, struct err *err) MUST_USE;

/* ---- Events: numbered without gaps in the order of their commits ---- */
struct event_record {
    uint64_t seq; /* given by the store */
    int64_t at_ms;
    const char *type;        /* "vm.state" */
    const char *object_type; /* "vm" */
    struct uuid object;
    const char *data; /* JSON object */
};
/* '*seq' (may be NULL) is its number, which counts once the transaction is committed. */
bool store_event_add(struct store_txn *txn, const struct event_record *event, uint64_t *seq,
                     struct err *err) MUST_USE;
/* Events with seq > 'after', in order, at most 'limit'. */
bool store_event_each(struct store *store, uint64_t after, unsigned limit,
                      bool (*each)(void *ctx, const struct event_record *), void *ctx,
                      struct err *err) MUST_USE;
/* The oldest and newest number kept; both 0 when there is none. */
bool store_event_bounds(struct store *store, uint64_t *oldest, uint64_t *newest,
                        struct err *err) MUST_USE;
/* Keeps the newest 'keep'. Numbers are never given again. */
bool store_event_trim(struct store_txn *txn, unsigned keep, bool *more, struct err *err) MUST_USE;

/* ---- Webhooks ---- */
struct webhook_record {
    struct uuid id;
    const char *name, *url;
    const char *types;  /* "vm,operation.state": as in GET /events; "" for all */
    const char *secret; /* deliveries are signed with it */
    bool enabled;
    const char *disabled_why; /* or NULL */
    uint64_t position;        /* number of the last event that is done with */
    uint32_t attempts;        /* at the next one, which fails since: */
    int64_t failing_ms;       /* 0: it does not */
    const char *recent;       /* JSON array of the last deliveries */
    int64_t created_ms;
    const char *created_by;
};
/* A later put leaves 'position' and 'recent' as they are. */
bool store_webhook_put(struct store_txn *txn, const struct webhook_record *hook,
                       struct err *err) MUST_USE;
/* Only how far it got: position, attempts, failing_ms, recent. No failure if the row is gone. */
bool store_webhook_move(struct store_txn *txn, const struct webhook_record *hook,
                        struct err *err) MUST_USE;
bool store_webhook_remove(struct store_txn *txn, const struct uuid *id, struct err *err) MUST_USE;
bool store_webhook_each(struct store *store, bool (*each)(void *ctx, const struct webhook_record *),
                        void *ctx, struct err *err) MUST_USE;

/* ---- Templates, by name ---- */
struct template_record {
    struct uuid id;
    const char *name;
    const char *content; /* JSON of what clients say of it: core/template */
    uint64_t revision;
    int64_t created_ms, updated_ms;
    const char *created_by;
};
/* A later put leaves created_ms and created_by as they are. */
bool store_template_put(struct store_txn *txn, const struct template_record *t,
                        struct err *err) MUST_USE;
bool store_template_remove(struct store_txn *txn, const struct uuid *id, struct err *err) MUST_USE;
bool store_template_each(struct store *store,
                         bool (*each)(void *ctx, const struct template_record *), void *ctx,
                         struct err *err) MUST_USE;

#include "core/port/store_audit.h"
#include "core/port/store_memory.h"
#include "core/port/store_rebuild.h"
#include "core/port/store_snap.h"
#include "core/port/store_who.h"
