/* Walking through the migrations: see migrate.h. The version is the header's user_version, which is
 * part of the same transaction as the step itself: a power cut leaves the old shape or the new one.
 */
#include "store/migrate.h"

#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "store/stmt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const char sql_version[] = "PRAGMA user_version";

bool migrate_check(struct conn *conn, unsigned n_steps, struct err *err)
{
    int64_t version, application, objects;

    if (!conn_int(conn, sql_version, &version, err) ||
        !conn_int(conn, "PRAGMA application_id", &application, err) ||
        !conn_int(conn, "SELECT count(*) FROM sqlite_schema", &objects, err))
        return false;
    if (application == 0 && version == 0 && objects == 0)
        return true; /* empty */
    if (application != STORE_APPLICATION_ID || version < 0)
        return err_set(err, ERR_INTERNAL, "the database belongs to another program");
    if (version <= n_steps)
        return true;
    return err_set(err, ERR_UNSUPPORTED,
                   "the database has version %lld, and this vmmd knows %u: it was used by a newer "
                   "vmmd; install that, or put back the copy that was made when it was updated",
                   (long long)version, n_steps);
}

static bool copy_to(struct conn *conn, const char *path, struct err *err)
{
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, conn, "VACUUM INTO ?", err))
        return false;
    stmt_bind_text(&s, path);
    return stmt_step(&s, err) >= 0;
}

/* Publishes "<path>.v<version>": written under another name, flushed, renamed, directory flushed.
 */
static bool keep_copy(struct conn *conn, int dir, const char *path, int64_t version,
                      struct err *err)
{
    CLEANUP(mem_freep) char *name = str_format("%s.v%lld", path, (long long)version);
    CLEANUP(mem_freep) char *part = str_format("%s.part", name);
    CLEANUP(closep) int fd = -1;

    if (unlink(part) < 0 && errno != ENOENT)
        return err_errno(err, errno, "remove an unfinished copy of the database");
    if (!copy_to(conn, part, err))
        return err_prefix(err, "copy of the database before its migration");
    fd = open(part, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fchmod(fd, 0600) < 0)
        return err_errno(err, errno, "open the copy of the database");
    if (!fs_sync(fd, "the copy of the database", err))
        return false;
    if (rename(part, name) < 0)
        return err_errno(err, errno, "rename the copy of the database");
    return fs_sync(dir, "the state directory", err);
}

static bool references_hold(struct conn *conn, struct err *err)
{
    char table[64];

    if (!conn_text(conn, "PRAGMA foreign_key_check", table, sizeof table, err))
        return false;
    return !table[0] ||
           err_set(err, ERR_INTERNAL, "a row of the table %s refers to nothing", table);
}

static bool in_transaction(struct conn *conn, const char *step, unsigned version, struct err *err)
{
    char mark[96];

    snprintf(mark, sizeof mark, "PRAGMA application_id = %d; PRAGMA user_version = %u;",
             STORE_APPLICATION_ID, version);
    return conn_script(conn, "BEGIN IMMEDIATE", err) && conn_script(conn, step, err) &&
           references_hold(conn, err) && conn_script(conn, mark, err) &&
           conn_script(conn, "COMMIT", err);
}

static bool run_step(struct conn *conn, const char *step, unsigned version, struct err *err)
{
    struct err undo = {0};
    bool ok;

    if (!conn_script(conn, "PRAGMA foreign_keys = OFF", err))
        return false;
    ok = in_transaction(conn, step, version, err);
    if (!conn_is_idle(conn))
        err_ignore(conn_script(conn, "ROLLBACK", &undo), &undo);
    if (!ok)
        return err_prefix(err, "migration %u", version);
    return conn_script(conn, "PRAGMA foreign_keys = ON", err);
}

bool migrate(struct conn *conn, int dir, const char *path, const char *const *steps,
             unsigned n_steps, struct err *err)
{
    int64_t version;

    if (!conn_int(conn, sql_version, &version, err))
        return false;
    if (version > 0 && version < n_steps && !keep_copy(conn, dir, path, version, err))
        return false;
    for (unsigned i = (unsigned)version; i < n_steps; i++) {
        if (!run_step(conn, steps[i], i + 1, err))
            return false;
        log_info("the database has version %u now", i + 1);
    }
    return true;
}
