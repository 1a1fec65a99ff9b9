/* The files of a fake machine's disks: which one each writes to is remembered, and that is all.
 *
 * A stream is over at once, unless its limit is less than what it has to do. A copy that ends by a
 * pivot is RUNNING at the first look and READY from the second on, and stays RUNNING without space
 * while fake_full says so. A pivot does what a worker does of it: the record, then the leaves. */
#include "backends/fake/fake.h"
#include "backends/fake/inside.h"

#include "backends/qemu/record.h"
#include "core/base/commitlog.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#define JOB_BYTES (1u << 20) /* what a copy says it has to do */

_Atomic(bool) fake_full;
const struct fake_files *fake_files;

bool fake_is_there(const struct machine *m, struct err *err)
{
    return !m->ended || err_set(err, ERR_UNAVAILABLE, "the machine has ended");
}

bool fake_snapshot(struct machine *m, const struct machine_overlay *overlays, size_t n,
                   struct err *err)
{
    bool ok = FAILPOINT("fake.snapshot", err);

    lock_take(&m->lock);
    ok = ok && fake_is_there(m, err);
    for (size_t i = 0; ok && i < n; i++)
        if (overlays[i].disk < VM_DISKS_MAX)
            m->disks[overlays[i].disk].leaf = overlays[i].file;
    lock_drop(&m->lock);
    for (size_t i = 0; i < n; i++) {
        int fd = overlays[i].fd;
        closep(&fd);
    }
    return ok;
}

bool fake_is_leaf(struct machine *m, unsigned disk, const struct uuid *file, bool *yes,
                  struct err *err)
{
    bool ok;

    lock_take(&m->lock);
    ok = fake_is_there(m, err);
    *yes = ok && disk < VM_DISKS_MAX && uuid_eq(&m->disks[disk].leaf, file);
    lock_drop(&m->lock);
    return ok;
}

/* ---- block jobs ---- */

/* Where the job hangs, or would. */
static struct fake_job **find_job(struct machine *m, const struct uuid *name) REQUIRES(m->lock)
{
    struct fake_job **at = &m->jobs;

    while (*at && !uuid_eq(&(*at)->name, name))
        at = &(*at)->next;
    return at;
}

static void forget_job(struct machine *m, const struct uuid *name) REQUIRES(m->lock)
{
    struct fake_job **at = find_job(m, name), *job = *at;

    if (job)
        *at = job->next;
    free(job);
}

void fake_forget_jobs(struct machine *m)
{
    while (m->jobs)
        forget_job(m, &m->jobs->name);
}

static bool is_crawling(uint64_t bytes_per_s)
{
    return bytes_per_s && bytes_per_s < JOB_BYTES;
}

/* 'disk' is the one that a pivot will switch; -1: the job ends by itself. */
static bool begin(struct machine *m, const struct uuid *name, int disk, uint64_t bytes_per_s,
                  struct err *err) REQUIRES(m->lock)
{
    struct fake_job *job;

    if (!fake_is_there(m, err))
        return false;
    if (*find_job(m, name))
        return err_set(err, ERR_HYPERVISOR, "there is such a block job already");
    job = mem_alloc(sizeof *job);
    *job = (struct fake_job){.next = m->jobs,
                             .name = *name,
                             .disk = disk,
                             .looked = disk < 0,
                             .crawls = is_crawling(bytes_per_s)};
    m->jobs = job;
    return true;
}

static bool can_pivot(const struct machine *m, struct err *err)
{
    return m->commit_fd >= 0 || err_set(err, ERR_UNSUPPORTED, "the machine has no commit log");
}

bool fake_stream(struct machine *m, const struct machine_stream *stream, struct err *err)
{
    int fd = stream->top_fd;
    bool ok = FAILPOINT("fake.stream", err);

    closep(&fd);
    if (ok && fake_files)
        fake_files->stream(&stream->top, &stream->base);
    lock_take(&m->lock);
    ok = ok && begin(m, &stream->top, -1, stream->bytes_per_s, err);
    lock_drop(&m->lock);
    return ok;
}

bool fake_mirror(struct machine *m, const struct machine_mirror *mirror, struct err *err)
{
    const struct uuid *to = &mirror->chain->files[0];
    bool ok = FAILPOINT("fake.mirror", err);
    struct uuid from = {0};

    for (size_t i = 0; i < mirror->chain->n_fds; i++)
        closep(&mirror->chain->fds[i]);
    lock_take(&m->lock);
    if (mirror->disk < VM_DISKS_MAX)
        from = m->disks[mirror->disk].leaf;
    lock_drop(&m->lock);
    if (ok && fake_files)
        fake_files->mirror(&from, to, mirror->leaf_only);
    lock_take(&m->lock);
    ok = ok && can_pivot(m, err) && begin(m, to, (int)mirror->disk, mirror->bytes_per_s, err);
    lock_drop(&m->lock);
    return ok;
}

/* -1: no disk writes to it. */
static int disk_of_leaf(const struct machine *m, const struct uuid *leaf) REQUIRES(m->lock)
{
    for (size_t i = 0; i < VM_DISKS_MAX; i++)
        if (m->disks[i].there && uuid_eq(&m->disks[i].leaf, leaf))
            return (int)i;
    return -1;
}

bool fake_commit(struct machine *m, const struct machine_commit *commit, struct err *err)
{
    int base_fd = commit->base_fd, top_fd = commit->top_fd, disk;
    bool ok =
        FAILPOINT("fake.commit", err) && (!commit->is_leaf || commit->still || can_pivot(m, err));

    closep(&base_fd);
    closep(&top_fd);
    if (ok && fake_files)
        fake_files->commit(&commit->top, &commit->base, commit->is_leaf);
    lock_take(&m->lock);
    disk = commit->is_leaf ? disk_of_leaf(m, &commit->top) : -1;
    if (ok && commit->is_leaf && disk < 0)
        ok = err_set(err, ERR_WRONG_STATE, "no disk writes to that file");
    ok = ok && begin(m, &commit->top, disk, commit->bytes_per_s, err);
    lock_drop(&m->lock);
    return ok;
}

static void look_at(struct fake_job *job, struct machine_block_job *out)
{
    const bool full = job->disk >= 0 && fake_full, waits = full || job->crawls;

    out->total = JOB_BYTES;
    out->done = job->looked && !waits ? JOB_BYTES : JOB_BYTES / 2;
    out->no_space = full;
    out->state = !job->looked || waits ? BLOCK_JOB_RUNNING
                 : job->disk >= 0      ? BLOCK_JOB_READY
                                       : BLOCK_JOB_ENDED;
    if (job->cancelled) {
        out->state = BLOCK_JOB_ENDED;
        str_copy(out->error, sizeof out->error, "cancelled");
    }
    job->looked = !full;
}

bool fake_block_job(struct machine *m, const struct uuid *top, struct machine_block_job *out,
                    struct err *err)
{
    struct fake_job *job;
    bool ok;

    *out = (struct machine_block_job){.state = BLOCK_JOB_NONE};
    lock_take(&m->lock);
    ok = fake_is_there(m, err);
    job = *find_job(m, top);
    if (ok && job)
        look_at(job, out);
    lock_drop(&m->lock);
    return ok;
}

/* A call about one job that does nothing but find it. */
static bool touch_job(struct machine *m, const struct uuid *name, struct err *err)
{
    bool ok;

    lock_take(&m->lock);
    ok = fake_is_there(m, err) &&
         (*find_job(m, name) || err_set(err, ERR_HYPERVISOR, "there is no such block job"));
    lock_drop(&m->lock);
    return ok;
}

bool fake_block_job_limit(struct machine *m, const struct uuid *name, uint64_t bytes_per_s,
                          struct err *err)
{
    struct fake_job *job;
    bool ok;

    if (!FAILPOINT("fake.limit", err))
        return false;
    lock_take(&m->lock);
    ok = fake_is_there(m, err);
    job = *find_job(m, name);
    if (ok && job)
        job->crawls = is_crawling(bytes_per_s);
    else if (ok)
        ok = err_set(err, ERR_HYPERVISOR, "there is no such block job");
    lock_drop(&m->lock);
    return ok;
}

bool fake_block_job_resume(struct machine *m, const struct uuid *name, struct err *err)
{
    return FAILPOINT("fake.resume", err) && touch_job(m, name, err);
}

bool fake_block_job_end(struct machine *m, const struct uuid *top, bool cancel, struct err *err)
{
    struct fake_job *job;
    bool ok;

    lock_take(&m->lock);
    ok = fake_is_there(m, err);
    job = *find_job(m, top);
    if (ok && job && cancel)
        job->cancelled = true;
    else if (ok)
        forget_job(m, top);
    lock_drop(&m->lock);
    return ok;
}

/* ---- the pivot ---- */

static bool write_record(struct machine *m, json_t *taken, struct err *err) REQUIRES(m->lock)
{
    CLEANUP(json_decrefp) json_t *record = taken;
    CLEANUP(mem_freep) char *text = json_write(record);
    json_t *last = NULL;
    uint64_t sequence;
    bool ok = commitlog_last(m->commit_fd, &sequence, &last, err);

    json_decref(last);
    return ok && commitlog_write(m->commit_fd, sequence + 1, text, err);
}

static bool all_ready(struct machine *m, const struct machine_pivot *pivot, struct err *err)
    REQUIRES(m->lock)
{
    for (size_t i = 0; i < pivot->n; i++) {
        struct fake_job *job = *find_job(m, &pivot->leaves[i].name);
        if (!job || job->disk < 0 || job->cancelled || !job->looked)
            return err_set(err, ERR_WRONG_STATE, "a block job is not ready");
    }
    return true;
}

static void call_off(struct machine *m, const struct machine_pivot *pivot, const struct err *why,
                     int outcome, struct machine_pivoted *out) REQUIRES(m->lock)
{
    for (size_t i = 0; i < pivot->n; i++)
        forget_job(m, &pivot->leaves[i].name);
    out->outcome = outcome;
    str_copy(out->detail, sizeof out->detail, why->detail);
}

static void switch_all(struct machine *m, const struct machine_pivot *pivot) REQUIRES(m->lock)
{
    for (size_t i = 0; i < pivot->n; i++) {
        m->disks[(*find_job(m, &pivot->leaves[i].name))->disk].leaf = pivot->leaves[i].leaf;
        forget_job(m, &pivot->leaves[i].name);
    }
}

static void stop_for_doubt(struct machine *m) REQUIRES(m->lock)
{
    m->running = false;
    fake_enqueue(m, MACHINE_PAUSED, VM_REASON_IO_ERROR);
}

static void do_pivot(struct machine *m, const struct machine_pivot *pivot,
                     struct machine_pivoted *out) REQUIRES(m->lock)
{
    struct err why = {0}, err = {0};

    if (!all_ready(m, pivot, &why) || !FAILPOINT("fake.pivot.pending", &why)) {
        call_off(m, pivot, &why, PIVOT_CANCELLED, out);
    } else if (write_record(m, record_of_pivot(pivot), &why)) {
        switch_all(m, pivot);
    } else if (write_record(m, record_of_undone(&pivot->job), &err)) {
        call_off(m, pivot, &why, PIVOT_CANCELLED, out);
    } else {
        stop_for_doubt(m);
        call_off(m, pivot, &why, PIVOT_UNKNOWN, out);
    }
}

bool fake_pivot(struct machine *m, const struct machine_pivot *pivot, struct machine_pivoted *out,
                struct err *err)
{
    bool ok = FAILPOINT("fake.pivot", err) && can_pivot(m, err);

    *out = (struct machine_pivoted){.outcome = PIVOT_COMMITTED};
    lock_take(&m->lock);
    ok = ok && fake_is_there(m, err);
    if (ok)
        do_pivot(m, pivot, out);
    lock_drop(&m->lock);
    return ok && FAILPOINT("fake.pivot.done", err);
}

/* ---- files ---- */

bool fake_flush(struct machine *m, const struct uuid *file, const struct uuid *base,
                struct err *err)
{
    if (fake_files)
        fake_files->flush(file);
    return FAILPOINT("fake.flush", err);
}

bool fake_drop_file(struct machine *m, const struct uuid *file, struct err *err)
{
    return true;
}

/* ---- NBD: it greets, and that is all ---- */

bool fake_serve(struct machine *m, unsigned disk, int listener, struct err *err)
{
    static const char greeting[] = "NBDMAGICIHAVEOPT\0\3";
    CLEANUP(closep) int own = listener;
    CLEANUP(closep) int client = -1;

    if (!FAILPOINT("fake.serve", err))
        return false;
    client = accept4(own, NULL, NULL, SOCK_CLOEXEC);
    if (client < 0)
        return err_errno(err, errno, "take the connection");
    return fs_write_all(client, greeting, sizeof greeting - 1, err);
}
