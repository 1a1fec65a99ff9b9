/* Memory images in the database: see core/port/store.h. */
#include "store/db.h"

bool store_memory_put(struct store_txn *txn, const struct memory_record *memory, struct err *err)
{
    static const char sql[] =
        "INSERT INTO memory (file, made, spec, leaves, way, held_bytes, pause_us, took_ms,"
        " created_ms, packed_bytes, plain_bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (file) DO UPDATE SET made = excluded.made, spec = excluded.spec,"
        " leaves = excluded.leaves, way = excluded.way, held_bytes = excluded.held_bytes,"
        " pause_us = excluded.pause_us, took_ms = excluded.took_ms,"
        " packed_bytes = excluded.packed_bytes, plain_bytes = excluded.plain_bytes";
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, sql, err))
        return false;
    stmt_bind_uuid(&s, &memory->file);
    stmt_bind_text(&s, memory->made);
    stmt_bind_text(&s, memory->spec);
    stmt_bind_text(&s, memory->leaves);
    stmt_bind_text(&s, memory->way);
    stmt_bind_int(&s, (int64_t)memory->held_bytes);
    stmt_bind_int(&s, (int64_t)memory->pause_us);
    stmt_bind_int(&s, (int64_t)memory->took_ms);
    stmt_bind_int(&s, memory->created_ms);
    stmt_bind_int(&s, (int64_t)memory->packed_bytes);
    stmt_bind_int(&s, (int64_t)memory->plain_bytes);
    return stmt_put(&s, "memory image", NULL, err);
}

bool store_memory_each(struct store *store, bool (*each)(void *ctx, const struct memory_record *),
                       void *ctx, struct err *err)
{
    static const char sql[] =
        "SELECT file, made, spec, leaves, way, held_bytes, pause_us, took_ms, created_ms,"
        " packed_bytes, plain_bytes FROM memory ORDER BY created_ms, rowid";
    CLEANUP(read_end) struct read r = {0};
    int n;

    if (!read_begin(&r, store, sql, err))
        return false;
    while ((n = stmt_step(&r.stmt, err)) > 0) {
        const struct memory_record memory = {
            .file = stmt_uuid(&r.stmt, 0),
            .made = stmt_text(&r.stmt, 1),
            .spec = stmt_text(&r.stmt, 2),
            .leaves = stmt_text(&r.stmt, 3),
            .way = stmt_text(&r.stmt, 4),
            .held_bytes = (uint64_t)stmt_int(&r.stmt, 5),
            .pause_us = (uint64_t)stmt_int(&r.stmt, 6),
            .took_ms = (uint64_t)stmt_int(&r.stmt, 7),
            .created_ms = stmt_int(&r.stmt, 8),
            .packed_bytes = (uint64_t)stmt_int(&r.stmt, 9),
            .plain_bytes = (uint64_t)stmt_int(&r.stmt, 10),
        };
        if (!each(ctx, &memory))
            break;
    }
    return n >= 0;
}

bool store_memory_release(struct store_txn *txn, const struct uuid *file, bool *trashed,
                          struct err *err)
{
    static const char sql[] =
        "UPDATE file SET state = 'trash', job = NULL WHERE id = ?1 AND role = 'memory'"
        " AND NOT EXISTS (SELECT 1 FROM vm WHERE memory = ?1)"
        " AND NOT EXISTS (SELECT 1 FROM snapshot WHERE memory = ?1)";
    CLEANUP(stmt_end) struct stmt s = {0};

    *trashed = false;
    if (!stmt_begin(&s, txn->conn, sql, err))
        return false;
    stmt_bind_uuid(&s, file);
    if (!stmt_put(&s, "memory image", NULL, err))
        return false;
    *trashed = stmt_changes(&s) == 1;
    return true;
}

bool store_memory_hold(struct store_txn *txn, const struct uuid *file, struct err *err)
{
    static const char sql[] =
        "SELECT 1 FROM file WHERE id = ? AND role = 'memory' AND state = 'live'";
    CLEANUP(stmt_end) struct stmt s = {0};
    int n;

    if (!stmt_begin(&s, txn->conn, sql, err))
        return false;
    stmt_bind_uuid(&s, file);
    n = stmt_step(&s, err);
    return n > 0 || (n == 0 && err_set(err, ERR_NOT_FOUND, "the memory image is gone"));
}

bool store_memory_forget(struct store_txn *txn, const struct uuid *vm, struct err *err)
{
    static const char sql[] = "UPDATE snapshot SET memory = NULL WHERE vm = ?";
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, sql, err))
        return false;
    stmt_bind_uuid(&s, vm);
    return stmt_put(&s, "snapshot", NULL, err);
}
