/* Chains of record: see chain.h. */
#include "tests/lib/chain.h"

#include "core/base/fs.h"
#include "core/base/id.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <endian.h>
#include <fcntl.h>
#include <glob.h>
#include <sqlite3.h>
#include <string.h>
#include <unistd.h>

#define PATIENT_MS  10000
#define OFFSET_MASK UINT64_C(0x00fffffffffffe00)
#define COMPRESSED  (UINT64_C(1) << 62)
#define ZERO        UINT64_C(1)

/* ---- the database ---- */

static sqlite3 *held;
static unsigned holds;

static sqlite3 *open_database(struct rig *r)
{
    CLEANUP(mem_freep) char *path = str_format("%s/state/vmmd.db", r->dir);
    sqlite3 *db = NULL;

    if (held)
        return held;
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK)
        fail_msg("%s: %s", path, sqlite3_errmsg(db));
    sqlite3_busy_timeout(db, PATIENT_MS);
    return db;
}

static void close_database(sqlite3 *db)
{
    if (db != held)
        sqlite3_close(db);
}

void chain_hold(struct rig *r)
{
    if (!holds++)
        held = open_database(r);
}

void chain_let_go(void)
{
    sqlite3 *db = held;

    if (--holds)
        return;
    held = NULL;
    close_database(db);
}

static sqlite3_stmt *ask(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *stmt = NULL;

    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    return stmt;
}

static bool next(sqlite3_stmt *stmt)
{
    int rc = sqlite3_step(stmt);

    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        fail_msg("the database cannot be read: %s", sqlite3_errstr(rc));
    return rc == SQLITE_ROW;
}

/* The path of a file from four columns: root, pool's id, name, format. */
static struct chain_file file_of(struct rig *r, sqlite3_stmt *row)
{
    struct chain_file file = {0};
    struct uuid pool;

    memcpy(pool.b, sqlite3_column_blob(row, 1), sizeof pool.b);
    snprintf(file.path, sizeof file.path, "%s/%s/%s/%s", r->dir,
             (const char *)sqlite3_column_text(row, 0), UUID_STR(&pool),
             (const char *)sqlite3_column_text(row, 2));
    file.is_qcow2 = strcmp((const char *)sqlite3_column_text(row, 3), "qcow2") == 0;
    return file;
}

/* From the file on that 'first' (a query with ?1, ?2, ?3) names. */
static bool follow(struct rig *r, const char *first, const char *vm, const char *snapshot,
                   unsigned position, struct chain *out)
{
    CLEANUP(mem_freep)
    char *sql = str_format(
        "WITH RECURSIVE c(id, n) AS (%s UNION ALL"
        " SELECT f.parent, n + 1 FROM c JOIN file f ON f.id = c.id WHERE f.parent NOT NULL)"
        " SELECT p.root, p.id, f.name, f.format FROM c JOIN file f ON f.id = c.id"
        " JOIN pool p ON p.id = f.pool ORDER BY n",
        first);
    sqlite3 *db = open_database(r);
    sqlite3_stmt *rows = ask(db, sql);

    sqlite3_bind_text(rows, 1, vm, -1, SQLITE_STATIC);
    sqlite3_bind_int64(rows, 2, position);
    if (snapshot)
        sqlite3_bind_text(rows, 3, snapshot, -1, SQLITE_STATIC);
    for (out->n = 0; next(rows); out->n++) {
        assert_true(out->n < CHAIN_MAX);
        out->files[out->n] = file_of(r, rows);
    }
    sqlite3_finalize(rows);
    close_database(db);
    return out->n > 0;
}

bool chain_of_disk(struct rig *r, const char *vm, unsigned position, struct chain *out)
{
    return follow(r,
                  "SELECT d.leaf, 0 FROM disk d JOIN vm v ON v.id = d.vm"
                  " WHERE v.name = ?1 AND v.phase = 'defined' AND d.position = ?2",
                  vm, NULL, position, out);
}

bool chain_of_snapshot(struct rig *r, const char *vm, const char *snapshot, unsigned position,
                       struct chain *out)
{
    return follow(r,
                  "SELECT k.file, 0 FROM snapshot_disk k JOIN snapshot s ON s.id = k.snapshot"
                  " JOIN vm v ON v.id = s.vm JOIN disk d ON d.id = k.disk"
                  " WHERE v.name = ?1 AND d.position = ?2 AND s.name = ?3",
                  vm, snapshot, position, out);
}

unsigned chain_disks(struct rig *r, const char *vm)
{
    sqlite3 *db = open_database(r);
    sqlite3_stmt *rows = ask(db, "SELECT count(*) FROM disk d JOIN vm v ON v.id = d.vm"
                                 " WHERE v.name = ?1 AND v.phase = 'defined'");
    unsigned n;

    sqlite3_bind_text(rows, 1, vm, -1, SQLITE_STATIC);
    assert_true(next(rows));
    n = (unsigned)sqlite3_column_int(rows, 0);
    sqlite3_finalize(rows);
    close_database(db);
    return n;
}

/* ---- files and rows ---- */

static bool has_row(sqlite3 *db, const char *path)
{
    sqlite3_stmt *rows = ask(db, "SELECT 1 FROM file WHERE name = ?1");
    bool found;

    sqlite3_bind_text(rows, 1, strrchr(path, '/') + 1, -1, SQLITE_STATIC);
    found = next(rows);
    sqlite3_finalize(rows);
    return found;
}

static char *find_file_without_row(struct rig *r, sqlite3 *db)
{
    CLEANUP(mem_freep) char *pattern = str_format("%s/{main,second}/*-*-*/*", r->dir);
    CLEANUP(mem_freep) char *media = str_format("%s/main/media/", r->dir);
    glob_t found = {0};
    char *why = NULL;

    if (glob(pattern, GLOB_NOSORT | GLOB_BRACE, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc && !why; i++)
            if (!str_starts(found.gl_pathv[i], media) && !has_row(db, found.gl_pathv[i]))
                why = str_format("every file has a row: %s has none", found.gl_pathv[i]);
    globfree(&found);
    return why;
}

static char *find_row_without_file(struct rig *r, sqlite3 *db)
{
    sqlite3_stmt *rows = ask(db, "SELECT p.root, p.id, f.name, f.format, f.state FROM file f"
                                 " JOIN pool p ON p.id = f.pool");
    char *why = NULL;

    while (!why && next(rows)) {
        struct chain_file file = file_of(r, rows);
        const char *state = (const char *)sqlite3_column_text(rows, 4);
        if (strcmp(state, "live") != 0)
            why = str_format("every file is whole: %s is '%s'", file.path, state);
        else if (access(file.path, F_OK) < 0)
            why = str_format("every row has its file: %s is not there", file.path);
    }
    sqlite3_finalize(rows);
    return why;
}

char *chain_find_strays(struct rig *r)
{
    sqlite3 *db = open_database(r);
    char *why = find_file_without_row(r, db);

    if (!why)
        why = find_row_without_file(r, db);
    close_database(db);
    return why;
}

/* ---- what a file shows ---- */

struct qcow2 {
    int fd;
    unsigned cluster_bits, entry_bytes;
    uint64_t l1, l1_entries;
};

static uint64_t read_be64(int fd, uint64_t at)
{
    uint64_t v = 0;

    if (pread(fd, &v, sizeof v, (off_t)at) != sizeof v)
        fail_msg("a qcow2 refers to what is beyond its end: %llu", (unsigned long long)at);
    return be64toh(v);
}

static struct qcow2 read_header(int fd, const char *path)
{
    struct qcow2 q = {.fd = fd, .entry_bytes = 8};
    uint64_t magic_version = read_be64(fd, 0);

    if (magic_version >> 32 != 0x514649fb)
        fail_msg("%s is not a qcow2", path);
    q.cluster_bits = (unsigned)(read_be64(fd, 16) & 0xffffffff);
    q.l1_entries = read_be64(fd, 32) & 0xffffffff;
    q.l1 = read_be64(fd, 40);
    if ((uint32_t)magic_version >= 3 && (read_be64(fd, 72) & 16))
        q.entry_bytes = 16; /* a bitmap of 32 subclusters beside each entry */
    return q;
}

enum shown { HERE, ZEROES, BELOW };

static enum shown look_up(const struct qcow2 *q, uint64_t offset, uint64_t *where)
{
    uint64_t per_table = (UINT64_C(1) << q->cluster_bits) / q->entry_bytes;
    uint64_t cluster = offset >> q->cluster_bits;
    uint64_t in_cluster = offset & ((UINT64_C(1) << q->cluster_bits) - 1);
    uint64_t table, entry, bit, at;

    if (cluster / per_table >= q->l1_entries)
        return BELOW;
    table = read_be64(q->fd, q->l1 + 8 * (cluster / per_table)) & OFFSET_MASK;
    if (!table)
        return BELOW;
    at = table + q->entry_bytes * (cluster % per_table);
    entry = read_be64(q->fd, at);
    if (entry & COMPRESSED)
        fail_msg("a compressed cluster, which no guest writes");
    *where = (entry & OFFSET_MASK) + in_cluster;
    if (q->entry_bytes == 8)
        return entry & ZERO ? ZEROES : entry & OFFSET_MASK ? HERE : BELOW;
    bit = in_cluster >> (q->cluster_bits - 5);
    entry = read_be64(q->fd, at + 8);
    return entry >> (32 + bit) & 1 ? ZEROES : entry >> bit & 1 ? HERE : BELOW;
}

static enum shown look_into(int fd, const struct chain_file *file, uint64_t offset, uint64_t *where)
{
    struct qcow2 q;

    *where = offset;
    if (!file->is_qcow2)
        return HERE;
    q = read_header(fd, file->path);
    return look_up(&q, offset, where);
}

void chain_read(const struct chain *chain, uint64_t offset, void *buf, size_t len)
{
    memset(buf, 0, len);
    for (unsigned i = 0; i < chain->n; i++) {
        const struct chain_file *file = &chain->files[i];
        CLEANUP(closep) int fd = open(file->path, O_RDONLY | O_CLOEXEC);
        enum shown shown;
        uint64_t where;

        if (fd < 0)
            fail_msg("the file that the chain of record names is not there: %s", file->path);
        shown = look_into(fd, file, offset, &where);
        if (shown == HERE && pread(fd, buf, len, (off_t)where) < 0)
            fail_msg("%s cannot be read", file->path);
        if (shown != BELOW)
            return;
    }
}
