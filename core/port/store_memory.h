/* What the store keeps of memory images. Part of store.h, which has the rules for all families. */
#pragma once
#include "core/base/err.h"
#include "core/base/id.h"

#include <stdbool.h>
#include <stdint.h>

struct store;
struct store_txn;

/* One a file of the role "memory", put after it; it goes with its file. */
struct memory_record {
    struct uuid file;
    const char *made;   /* JSON of the backend: what it takes to go on with it */
    const char *spec;   /* JSON of the configuration as started */
    const char *leaves; /* JSON: which file each disk wrote to */
    const char *way;    /* "background", "precopy", "still" */
    uint64_t held_bytes, pause_us, took_ms;
    int64_t created_ms;
    uint64_t packed_bytes, plain_bytes; /* when archived: of the file, and of it before; or 0 */
};
bool store_memory_put(struct store_txn *txn, const struct memory_record *memory,
                      struct err *err) MUST_USE;
bool store_memory_each(struct store *store, bool (*each)(void *ctx, const struct memory_record *),
                       void *ctx, struct err *err) MUST_USE;
/* The file goes to the trash when neither a snapshot nor a VM refers to it any more, what this
 * transaction has written included; '*trashed' says whether. */
bool store_memory_release(struct store_txn *txn, const struct uuid *file, bool *trashed,
                          struct err *err) MUST_USE;
/* NOT_FOUND unless the file is live: before a row refers to it. Nobody can let it go until the
 * transaction ends. */
bool store_memory_hold(struct store_txn *txn, const struct uuid *file, struct err *err) MUST_USE;
/* No snapshot of this VM refers to a memory any more. */
bool store_memory_forget(struct store_txn *txn, const struct uuid *vm, struct err *err) MUST_USE;
