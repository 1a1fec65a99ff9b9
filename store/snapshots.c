/* Snapshots in the database: see core/port/store.h. */
#include "core/base/mem.h"
#include "store/db.h"

static bool put_one(struct store_txn *txn, const struct snapshot_record *snapshot, struct err *err)
{
    static const char sql[] =
        "INSERT INTO snapshot (id, vm, name, notes, parent, level, spec, created_ms, memory,"
        " memory_state, memory_note) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET name = excluded.name, notes = excluded.notes,"
        " parent = excluded.parent, level = excluded.level, spec = excluded.spec,"
        " memory = excluded.memory, memory_state = excluded.memory_state,"
        " memory_note = excluded.memory_note";
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, sql, err))
        return false;
    stmt_bind_uuid(&s, &snapshot->id);
    stmt_bind_uuid(&s, &snapshot->vm);
    stmt_bind_text(&s, snapshot->name);
    stmt_bind_text(&s, snapshot->notes);
    stmt_bind_uuid_or_null(&s, &snapshot->parent);
    stmt_bind_text(&s, snapshot->level);
    stmt_bind_text(&s, snapshot->spec);
    stmt_bind_int(&s, snapshot->created_ms);
    stmt_bind_uuid_or_null(&s, &snapshot->memory);
    stmt_bind_text(&s, snapshot->memory_state ? snapshot->memory_state : "none");
    stmt_bind_text(&s, snapshot->memory_note);
    return stmt_put(&s, "snapshot", snapshot->name, err);
}

static bool drop_disks(struct store_txn *txn, const struct uuid *snapshot, struct err *err)
{
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, "DELETE FROM snapshot_disk WHERE snapshot = ?", err))
        return false;
    stmt_bind_uuid(&s, snapshot);
    return stmt_remove(&s, "disks of the snapshot", err);
}

static bool put_disk(struct store_txn *txn, const struct uuid *snapshot,
                     const struct snapshot_disk_record *disk, struct err *err)
{
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn,
                    "INSERT INTO snapshot_disk (snapshot, disk, file, position)"
                    " VALUES (?, ?, ?, ?)",
                    err))
        return false;
    stmt_bind_uuid(&s, snapshot);
    stmt_bind_uuid(&s, &disk->disk);
    stmt_bind_uuid(&s, &disk->file);
    stmt_bind_int(&s, disk->position);
    return stmt_put(&s, "disk of the snapshot", NULL, err);
}

bool store_snapshot_put(struct store_txn *txn, const struct snapshot_record *snapshot,
                        struct err *err)
{
    if (!put_one(txn, snapshot, err) || !drop_disks(txn, &snapshot->id, err))
        return false;
    for (size_t i = 0; i < snapshot->n_disks; i++)
        if (!put_disk(txn, &snapshot->id, &snapshot->disks[i], err))
            return false;
    return true;
}

bool store_snapshot_remove(struct store_txn *txn, const struct uuid *id, struct err *err)
{
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, "DELETE FROM snapshot WHERE id = ?", err))
        return false;
    stmt_bind_uuid(&s, id);
    return stmt_remove(&s, "snapshot", err);
}

/* ---- reading: the disks come from a second statement on the same connection, and so from the same
 * moment ---- */

struct disks {
    struct snapshot_disk_record *list;
    size_t n, cap;
};

static bool read_disks(struct conn *conn, const struct uuid *snapshot, struct disks *disks,
                       struct err *err)
{
    static const char sql[] = "SELECT disk, file, position FROM snapshot_disk"
                              " WHERE snapshot = ? ORDER BY position";
    CLEANUP(stmt_end) struct stmt s = {0};
    int n;

    disks->n = 0;
    if (!stmt_begin(&s, conn, sql, err))
        return false;
    stmt_bind_uuid(&s, snapshot);
    while ((n = stmt_step(&s, err)) > 0) {
        if (disks->n == disks->cap) {
            disks->cap = disks->cap ? 2 * disks->cap : 8;
            disks->list = mem_resize(disks->list, disks->cap, sizeof *disks->list);
        }
        disks->list[disks->n++] =
            (struct snapshot_disk_record){.disk = stmt_uuid(&s, 0),
                                          .file = stmt_uuid(&s, 1),
                                          .position = (uint32_t)stmt_int(&s, 2)};
    }
    return n >= 0;
}

bool store_snapshot_each(struct store *store,
                         bool (*each)(void *ctx, const struct snapshot_record *), void *ctx,
                         struct err *err)
{
    static const char sql[] =
        "SELECT id, vm, name, notes, parent, level, spec, created_ms,"
        " memory, memory_state, memory_note FROM snapshot ORDER BY created_ms, rowid";
    CLEANUP(read_end) struct read r = {0};
    struct disks disks = {0};
    int n;

    if (!read_begin(&r, store, sql, err))
        return false;
    while ((n = stmt_step(&r.stmt, err)) > 0) {
        struct snapshot_record snapshot = {
            .id = stmt_uuid(&r.stmt, 0),
            .vm = stmt_uuid(&r.stmt, 1),
            .name = stmt_text(&r.stmt, 2),
            .notes = stmt_text(&r.stmt, 3),
            .parent = stmt_uuid(&r.stmt, 4),
            .level = stmt_text(&r.stmt, 5),
            .spec = stmt_text(&r.stmt, 6),
            .created_ms = stmt_int(&r.stmt, 7),
            .memory = stmt_uuid(&r.stmt, 8),
            .memory_state = stmt_text(&r.stmt, 9),
            .memory_note = stmt_text(&r.stmt, 10),
        };
        if (!read_disks(r.conn, &snapshot.id, &disks, err)) {
            n = -1;
            break;
        }
        snapshot.disks = disks.list;
        snapshot.n_disks = disks.n;
        if (!each(ctx, &snapshot))
            break;
    }
    mem_freep(&disks.list);
    return n >= 0;
}
