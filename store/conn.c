/* SQLite connections: see conn.h. */
#include "store/conn.h"

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "store/stmt.h"
#include "store/vfs.h"

#define BUSY_MS 5000

/* Every connection. Temporary tables and savepoint journals stay in memory: nothing may be written
 * beside the database. */
static const char common[] = "PRAGMA foreign_keys = ON;"
                             "PRAGMA cell_size_check = ON;"
                             "PRAGMA temp_store = MEMORY;";
/* The writer. Without spilling, the WAL is written by COMMIT alone, so that a full disk is met
 * there and nowhere else. Checkpoints are made by txn.c, which wants to know how they end. */
static const char for_writer[] = "PRAGMA synchronous = FULL;"
                                 "PRAGMA cache_spill = OFF;"
                                 "PRAGMA wal_autocheckpoint = 0;"
                                 "PRAGMA journal_size_limit = 16777216;";
static const char for_reader[] = "PRAGMA query_only = ON;"
                                 "PRAGMA cache_size = -512;";

static int note_wal(void *conn, sqlite3 *db, const char *schema, int pages)
{
    ((struct conn *)conn)->wal_pages = (unsigned)pages;
    return SQLITE_OK;
}

static bool set_up(struct conn *conn, struct err *err)
{
    char mode[16];

    sqlite3_extended_result_codes(conn->db, 1);
    sqlite3_busy_timeout(conn->db, BUSY_MS);
    sqlite3_db_config(conn->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_db_config(conn->db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    if (!conn_script(conn, common, err))
        return false;
    if (!conn->poisoned)
        return conn_script(conn, for_reader, err);
    if (!conn_text(conn, "PRAGMA journal_mode = WAL", mode, sizeof mode, err))
        return false;
    if (!str_eq(mode, "wal"))
        return err_set(err, ERR_UNSUPPORTED,
                       "the file system of the state directory cannot hold a database in WAL mode");
    if (!conn_script(conn, for_writer, err))
        return false;
    sqlite3_wal_hook(conn->db, note_wal, conn);
    return true;
}

struct conn *conn_open(const char *path, const struct vfs *vfs, atomic_bool *poisoned,
                       struct err *err)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
    struct conn *conn = mem_alloc(sizeof *conn);
    int rc;

    conn->poisoned = poisoned;
    rc = sqlite3_open_v2(path, &conn->db, flags, vfs_name(vfs));
    if (rc == SQLITE_OK ? set_up(conn, err) : conn_fail(conn, rc, err))
        return conn;
    conn_close(conn);
    return NULL;
}

void conn_close(struct conn *conn)
{
    if (!conn)
        return;
    for (unsigned i = 0; i < conn->n_cached; i++)
        sqlite3_finalize(conn->cached[i].raw);
    /* A reader changes nothing, a poisoned writer nothing more: the WAL is kept for the next start.
     * Without memory there is no connection at all. */
    if (conn->db && (!conn->poisoned || atomic_load(conn->poisoned)))
        sqlite3_db_config(conn->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    if (sqlite3_close(conn->db) != SQLITE_OK)
        log_error("a database connection was closed while a statement was in use");
    mem_freep(&conn);
}

static void poison(struct conn *conn)
{
    if (conn->poisoned && !atomic_exchange(conn->poisoned, true))
        log_error("the database cannot be trusted from here on: no more is written");
}

bool conn_fail(struct conn *conn, int rc, struct err *err)
{
    const char *words = conn->db ? sqlite3_errmsg(conn->db) : sqlite3_errstr(rc);

    switch (rc & 0xff) {
    case SQLITE_FULL:
        err_set(err, ERR_NO_SPACE,
                "the file system of the state directory is full: free some space and retry");
        break;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        err_set(err, ERR_UNAVAILABLE, "another program holds the database locked");
        break;
    case SQLITE_IOERR:
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        poison(conn);
        /* fall through */
    default:
        err_set(err, ERR_INTERNAL, "the database failed: %s", sqlite3_errstr(rc));
    }
    conn->last = *err;
    log_error("database: %s (%d): %s", sqlite3_errstr(rc), rc, words);
    return false;
}

bool conn_is_idle(const struct conn *conn)
{
    return sqlite3_get_autocommit(conn->db) != 0;
}

bool conn_run(struct conn *conn, const char *sql, struct err *err)
{
    CLEANUP(stmt_end) struct stmt s = {0};

    return stmt_begin(&s, conn, sql, err) && stmt_step(&s, err) >= 0;
}

bool conn_script(struct conn *conn, const char *sql, struct err *err)
{
    int rc = sqlite3_exec(conn->db, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK || conn_fail(conn, rc, err);
}

bool conn_text(struct conn *conn, const char *sql, char *out, size_t size, struct err *err)
{
    CLEANUP(stmt_end) struct stmt s = {0};
    int n;

    out[0] = 0;
    if (!stmt_begin(&s, conn, sql, err) || (n = stmt_step(&s, err)) < 0)
        return false;
    if (n > 0 && stmt_text(&s, 0))
        str_copy(out, size, stmt_text(&s, 0));
    return true;
}

bool conn_int(struct conn *conn, const char *sql, int64_t *out, struct err *err)
{
    CLEANUP(stmt_end) struct stmt s = {0};
    int n;

    *out = 0;
    if (!stmt_begin(&s, conn, sql, err) || (n = stmt_step(&s, err)) < 0)
        return false;
    if (n > 0)
        *out = stmt_int(&s, 0);
    return n == 0 || stmt_step(&s, err) >= 0; /* a row of UPDATE … RETURNING comes before its end */
}

bool conn_checkpoint(struct conn *conn, struct err *err)
{
    int rc = sqlite3_wal_checkpoint_v2(conn->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);

    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_FULL:
        return true;
    default:
        return conn_fail(conn, rc, err);
    }
}
