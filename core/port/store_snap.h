/* What the store keeps of snapshots. Part of store.h, which has the rules for all families. */
#pragma once
#include "core/base/err.h"
#include "core/base/id.h"

#include <stddef.h>
#include <stdint.h>

struct store;
struct store_txn;

/* A parent is put before its children; the disks go with their snapshot. */
struct snapshot_disk_record {
    struct uuid disk; /* may be gone by now */
    struct uuid file; /* what it wrote to until then */
    uint32_t position;
};
struct snapshot_record {
    struct uuid id;
    struct uuid vm;
    const char *name; /* once in a VM */
    const char *notes;
    struct uuid parent; /* zero: the VM stood on none */
    const char *level;  /* "disk", "running" */
    const char *spec;   /* JSON of the VM's configuration then */
    int64_t created_ms;
    struct uuid memory;       /* its image; zero: none */
    const char *memory_state; /* "none" (or NULL), "streaming", "ready", "lost" */
    const char *memory_note;  /* why it was lost, or NULL */
    const struct snapshot_disk_record *disks;
    size_t n_disks;
};
bool store_snapshot_put(struct store_txn *txn, const struct snapshot_record *snapshot,
                        struct err *err) MUST_USE;
bool store_snapshot_remove(struct store_txn *txn, const struct uuid *id, struct err *err) MUST_USE;
/* Oldest first. */
bool store_snapshot_each(struct store *store,
                         bool (*each)(void *ctx, const struct snapshot_record *), void *ctx,
                         struct err *err) MUST_USE;
