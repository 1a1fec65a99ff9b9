/* Disks and their chains of record: see core/port/store.h. A chain is rows (disk, level, file), the
 * leaf at level 0; it is always written as a whole. */
#include "core/base/mem.h"
#include "store/db.h"

static bool put_disk(struct store_txn *txn, const struct disk_record *disk, struct err *err)
{
    static const char sql[] =
        "INSERT INTO disk (id, vm, pool, position, size_bytes, format, bus, created_ms)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET vm = excluded.vm, pool = excluded.pool,"
        " position = excluded.position, size_bytes = excluded.size_bytes,"
        " format = excluded.format, bus = excluded.bus, created_ms = excluded.created_ms";
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, sql, err))
        return false;
    stmt_bind_uuid(&s, &disk->id);
    stmt_bind_uuid_or_null(&s, &disk->vm);
    stmt_bind_uuid(&s, &disk->pool);
    stmt_bind_int(&s, disk->position);
    stmt_bind_int(&s, (int64_t)disk->size_bytes);
    stmt_bind_text(&s, disk->format);
    stmt_bind_text(&s, disk->bus);
    stmt_bind_int(&s, disk->created_ms);
    return stmt_put(&s, "disk", NULL, err);
}

static bool drop_chain(struct store_txn *txn, const struct uuid *disk, struct err *err)
{
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, "DELETE FROM disk_chain WHERE disk = ?", err))
        return false;
    stmt_bind_uuid(&s, disk);
    return stmt_remove(&s, "chain of the disk", err);
}

static bool put_link(struct store_txn *txn, const struct uuid *disk, size_t level,
                     const struct uuid *file, struct err *err)
{
    static const char sql[] = "INSERT INTO disk_chain (disk, level, file) VALUES (?, ?, ?)";
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, sql, err))
        return false;
    stmt_bind_uuid(&s, disk);
    stmt_bind_int(&s, (int64_t)level);
    stmt_bind_uuid(&s, file);
    return stmt_put(&s, "chain of the disk", NULL, err);
}

bool store_disk_put(struct store_txn *txn, const struct disk_record *disk, struct err *err)
{
    if (!put_disk(txn, disk, err) || !drop_chain(txn, &disk->id, err))
        return false;
    for (size_t level = 0; level < disk->n_chain; level++)
        if (!put_link(txn, &disk->id, level, &disk->chain[level], err))
            return false;
    return true;
}

bool store_disk_remove(struct store_txn *txn, const struct uuid *id, struct err *err)
{
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, "DELETE FROM disk WHERE id = ?", err))
        return false;
    stmt_bind_uuid(&s, id);
    return stmt_remove(&s, "disk", err);
}

/* ---- reading: the chain comes from a second statement, on the same connection and so from the
 * same moment as the first ---- */

struct chain {
    struct uuid *files;
    size_t len, cap;
};

static bool read_chain(struct conn *conn, const struct uuid *disk, struct chain *chain,
                       struct err *err)
{
    static const char sql[] = "SELECT file FROM disk_chain WHERE disk = ? ORDER BY level";
    CLEANUP(stmt_end) struct stmt s = {0};
    int n;

    chain->len = 0;
    if (!stmt_begin(&s, conn, sql, err))
        return false;
    stmt_bind_uuid(&s, disk);
    while ((n = stmt_step(&s, err)) > 0) {
        if (chain->len == chain->cap) {
            chain->cap = chain->cap ? 2 * chain->cap : 8;
            chain->files = mem_resize(chain->files, chain->cap, sizeof *chain->files);
        }
        chain->files[chain->len++] = stmt_uuid(&s, 0);
    }
    return n >= 0;
}

static struct disk_record row(struct stmt *s)
{
    return (struct disk_record){
        .id = stmt_uuid(s, 0),
        .vm = stmt_uuid(s, 1),
        .pool = stmt_uuid(s, 2),
        .position = (uint32_t)stmt_int(s, 3),
        .size_bytes = (uint64_t)stmt_int(s, 4),
        .format = stmt_text(s, 5),
        .bus = stmt_text(s, 6),
        .created_ms = stmt_int(s, 7),
    };
}

bool store_disk_each(struct store *store, bool (*each)(void *ctx, const struct disk_record *),
                     void *ctx, struct err *err)
{
    static const char sql[] = "SELECT id, vm, pool, position, size_bytes, format, bus, created_ms"
                              " FROM disk ORDER BY vm, position, id";
    CLEANUP(read_end) struct read r = {0};
    struct chain chain = {0};
    int n;

    if (!read_begin(&r, store, sql, err))
        return false;
    while ((n = stmt_step(&r.stmt, err)) > 0) {
        struct disk_record disk = row(&r.stmt);
        if (!read_chain(r.conn, &disk.id, &chain, err)) {
            n = -1;
            break;
        }
        disk.chain = chain.files;
        disk.n_chain = chain.len;
        if (!each(ctx, &disk))
            break;
    }
    mem_freep(&chain.files);
    return n >= 0;
}
