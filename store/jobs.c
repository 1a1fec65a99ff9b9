/* Jobs in the database: see core/port/store.h. */
#include "store/db.h"

#include <string.h>

#define COLUMNS                                                                                    \
    "id, kind, object_type, object, object_name, principal, request_id, args, state, step, "       \
    "result, error_code, error_field, error_detail, done, total, created_ms, started_ms, ended_ms"
#define ENDED "('succeeded', 'failed', 'cancelled')"

static void bind(struct stmt *s, const struct job_record *job)
{
    stmt_bind_uuid(s, &job->id);
    stmt_bind_text(s, job->kind);
    stmt_bind_text(s, job->object_type);
    stmt_bind_uuid_or_null(s, &job->object);
    stmt_bind_text(s, job->object_name);
    stmt_bind_text(s, job->principal);
    stmt_bind_text(s, job->request_id);
    stmt_bind_text(s, job->args);
    stmt_bind_text(s, job->state);
    stmt_bind_text(s, job->step);
    stmt_bind_text(s, job->result);
    stmt_bind_text(s, job->error_code);
    stmt_bind_text(s, job->error_field);
    stmt_bind_text(s, job->error_detail);
    stmt_bind_int(s, (int64_t)job->done);
    stmt_bind_int(s, (int64_t)job->total);
    stmt_bind_int(s, job->created_ms);
    stmt_bind_int(s, job->started_ms);
    stmt_bind_int(s, job->ended_ms);
}

/* What the job is about does not change after the first put, only how far it got. */
bool store_job_put(struct store_txn *txn, const struct job_record *job, struct err *err)
{
    static const char sql[] =
        "INSERT INTO job (" COLUMNS ")"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET state = excluded.state, step = excluded.step,"
        " args = excluded.args, result = excluded.result, error_code = excluded.error_code,"
        " error_field = excluded.error_field, error_detail = excluded.error_detail,"
        " done = excluded.done, total = excluded.total, started_ms = excluded.started_ms,"
        " ended_ms = excluded.ended_ms";
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, sql, err))
        return false;
    bind(&s, job);
    return stmt_put(&s, "operation", NULL, err);
}

static struct job_record row(struct stmt *s)
{
    return (struct job_record){
        .id = stmt_uuid(s, 0),
        .kind = stmt_text(s, 1),
        .object_type = stmt_text(s, 2),
        .object = stmt_uuid(s, 3),
        .object_name = stmt_text(s, 4),
        .principal = stmt_text(s, 5),
        .request_id = stmt_text(s, 6),
        .args = stmt_text(s, 7),
        .state = stmt_text(s, 8),
        .step = stmt_text(s, 9),
        .result = stmt_text(s, 10),
        .error_code = stmt_text(s, 11),
        .error_field = stmt_text(s, 12),
        .error_detail = stmt_text(s, 13),
        .done = (uint64_t)stmt_int(s, 14),
        .total = (uint64_t)stmt_int(s, 15),
        .created_ms = stmt_int(s, 16),
        .started_ms = stmt_int(s, 17),
        .ended_ms = stmt_int(s, 18),
    };
}

bool store_job_get(struct store *store, const struct uuid *id,
                   bool (*each)(void *ctx, const struct job_record *), void *ctx, struct err *err)
{
    static const char sql[] = "SELECT " COLUMNS " FROM job WHERE id = ?";
    CLEANUP(read_end) struct read r = {0};
    struct job_record job;
    int n;

    if (!read_begin(&r, store, sql, err))
        return false;
    stmt_bind_uuid(&r.stmt, id);
    n = stmt_step(&r.stmt, err);
    if (n < 0)
        return false;
    if (n == 0)
        return err_set(err, ERR_NOT_FOUND, "there is no operation %s", UUID_STR(id));
    job = row(&r.stmt);
    (void)each(ctx, &job);
    return true;
}

/* One statement a combination, so that each walks the index made for it. */
#define LIST(where)                                                                                \
    "SELECT " COLUMNS " FROM job WHERE (created_ms, id) < (?, ?)" where                            \
    " ORDER BY created_ms DESC, id DESC LIMIT ?"
static const char all_jobs[] = LIST("");
static const char open_jobs[] = LIST(" AND state NOT IN " ENDED);
static const char object_jobs[] = LIST(" AND object = ?");
static const char open_object_jobs[] = LIST(" AND state NOT IN " ENDED " AND object = ?");

static const char *list_sql(const struct job_filter *filter)
{
    if (filter->object)
        return filter->open_only ? open_object_jobs : object_jobs;
    return filter->open_only ? open_jobs : all_jobs;
}

bool store_job_each(struct store *store, const struct job_filter *filter,
                    bool (*each)(void *ctx, const struct job_record *), void *ctx, struct err *err)
{
    CLEANUP(read_end) struct read r = {0};
    struct uuid before_id = filter->before_id;
    int n;

    if (!filter->before_ms)
        memset(&before_id, 0xff, sizeof before_id);
    if (!read_begin(&r, store, list_sql(filter), err))
        return false;
    stmt_bind_int(&r.stmt, filter->before_ms ? filter->before_ms : INT64_MAX);
    stmt_bind_uuid(&r.stmt, &before_id);
    if (filter->object)
        stmt_bind_uuid(&r.stmt, filter->object);
    stmt_bind_int(&r.stmt, filter->limit);
    while ((n = stmt_step(&r.stmt, err)) > 0) {
        const struct job_record job = row(&r.stmt);
        if (!each(ctx, &job))
            break;
    }
    return n >= 0;
}

/* A job that a file's row still names stays: recovery asks for it. */
bool store_job_trim(struct store_txn *txn, unsigned keep, bool *more, struct err *err)
{
    static const char sql[] =
        "DELETE FROM job WHERE id IN (SELECT id FROM job WHERE state IN " ENDED
        " AND NOT EXISTS (SELECT 1 FROM file WHERE file.job = job.id)"
        " ORDER BY created_ms DESC, id DESC LIMIT ?2 OFFSET ?1)";
    CLEANUP(stmt_end) struct stmt s = {0};

    if (!stmt_begin(&s, txn->conn, sql, err))
        return false;
    stmt_bind_int(&s, keep);
    return stmt_trim(&s, "operation", more, err);
}
