/* Copies between the files of running disks: see layers.h. Called by core through backend_qemu.
 *
 *   stream   (a writable descriptor for a file in the middle) ─► block-stream
 *   commit   (writable descriptors for what is only read) ─► block-commit
 *   mirror   the copy's files lent and made nodes ─► blockdev-mirror
 *
 * A job is named as its file's node, and is asked for and dismissed by that name. Those that end by
 * a pivot stand still when they are ready, until the worker has them switch (pivot()). */
#include "backends/qemu/layers.h"

#include "backends/qemu/argv.h"
#include "backends/qemu/disk_device.h"
#include "backends/qemu/machine.h"
#include "backends/qemu/plan.h"
#include "backends/qemu/record.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <string.h>

#define PIVOT_MS                                                                                   \
    60000 /* a disk may take long over the record; the answer comes as an event, too               \
           */

/* ---- stream ---- */

bool machine_stream(struct machine *m, const struct machine_stream *stream, struct err *err)
{
    CLEANUP(closep) int top_fd = stream->top_fd;
    char top[NODE_BYTES], base[NODE_BYTES];
    json_t *arguments;
    unsigned set;
    bool ok;

    file_node_name(&stream->top, top);
    arguments = json_pack("{s:s,s:s,s:b,s:s,s:I}", "job-id", top, "device", top, "auto-dismiss", 0,
                          "on-error", "report", "speed", (json_int_t)stream->bytes_per_s);
    if (!uuid_is_zero(&stream->base)) {
        file_node_name(&stream->base, base);
        json_put_text(arguments, "base-node", base);
        json_put_text(arguments, "backing-file", stream->base_name);
    }
    lock_take(&m->changing);
    ok = layers_set_of(m, top, &set, err) && layers_make_writable(m, top, top_fd, err);
    if (!ok)
        json_decref(arguments);
    ok = ok && FAILPOINT_AROUND("qemu.stream", layers_qmp(m, "block-stream", arguments, err), err);
    lock_drop(&m->changing);
    return ok;
}

/* ---- commit ---- */

static bool can_pivot(const struct machine *m, struct err *err)
{
    return m->can_pivot ||
           err_set(err, ERR_UNSUPPORTED,
                   "an older vmmd started the VM: stop it and start it again, then its disks can "
                   "change their files while it runs");
}

static json_t *commit_arguments(const struct machine_commit *commit)
{
    char top[NODE_BYTES], base[NODE_BYTES];
    json_t *arguments;

    file_node_name(&commit->top, top);
    file_node_name(&commit->base, base);
    arguments = json_pack("{s:s,s:s,s:s,s:b,s:b,s:s,s:I}", "job-id", top, "top-node", top,
                          "base-node", base, "auto-finalize", !commit->is_leaf, "auto-dismiss", 0,
                          "on-error", "report", "speed", (json_int_t)commit->bytes_per_s);
    if (commit->base_name)
        json_put_text(arguments, "backing-file", commit->base_name);
    return arguments;
}

/* QEMU wants to know the disk whose chain the file is in: only that one's node takes it. */
static bool commit_in_chain(struct machine *m, const json_t *arguments, struct err *err)
{
    CLEANUP(json_decrefp) json_t *all = NULL;
    const json_t *one;
    unsigned n = 0;
    size_t i;

    err_set(err, ERR_WRONG_STATE, "no disk of the running VM uses that file");
    if (!link_qmp(m->link, "query-block", NULL, NULL, 0, QMP_MS, &all, err))
        return false;
    json_array_foreach (all, i, one) {
        const char *qdev = json_get_text(one, "qdev");
        const char *node = json_get_text(json_object_get(one, "inserted"), "node-name");
        json_t *tried;
        if (!node || !qdev || !strstr(qdev, "diskdev") || n++ >= TIDY_MAX)
            continue;
        tried = json_copy((json_t *)arguments);
        json_put_text(tried, "device", node);
        if (layers_qmp(m, "block-commit", tried, err))
            return true;
    }
    return false;
}

static bool begin_commit(struct machine *m, const struct machine_commit *commit, struct err *err)
{
    CLEANUP(json_decrefp) json_t *arguments = commit_arguments(commit);
    char top[NODE_BYTES], base[NODE_BYTES], above[NODE_BYTES];
    unsigned set;

    file_node_name(&commit->top, top);
    file_node_name(&commit->base, base);
    file_node_name(&commit->above, above);
    if (!layers_set_of(m, top, &set, err) || !layers_make_writable(m, base, commit->base_fd, err) ||
        !layers_make_writable(m, above, commit->top_fd, err) || !FAILPOINT("qemu.commit", err))
        return false;
    if (!commit->is_leaf)
        return commit_in_chain(m, arguments, err) && FAILPOINT("qemu.commit.done", err);
    json_put_text(arguments, "device", top);
    return layers_qmp(m, "block-commit", json_incref(arguments), err) &&
           FAILPOINT("qemu.commit.done", err);
}

bool machine_commit(struct machine *m, const struct machine_commit *commit, struct err *err)
{
    CLEANUP(closep) int base_fd = commit->base_fd;
    CLEANUP(closep) int top_fd = commit->top_fd;
    bool ok;

    if (commit->is_leaf && !commit->still && !can_pivot(m, err))
        return false;
    lock_take(&m->changing);
    ok = begin_commit(m, commit, err);
    lock_drop(&m->changing);
    return ok;
}

/* ---- mirror ---- */

/* What lies below the copy's leaf may be open already: a file that stays where it is. */
static bool is_open(struct machine *m, const struct uuid *file)
{
    struct err none = {0};
    char name[NODE_BYTES];
    unsigned set;

    file_node_name(file, name);
    return layers_set_of(m, name, &set, &none);
}

static void drop_chain(struct machine *m, const struct plan_disk *chain)
{
    char name[NODE_BYTES];

    for (size_t i = 0; i < chain->n_fds; i++) {
        file_node_name(&chain->files[i], name);
        if (i == 0)
            layers_drop(m, name);
        else if (!is_open(m, &chain->files[i]))
            fdset_take_back_all(m, name);
    }
}

/* The copy's nodes, its leaf on top; NULL on failure. */
static json_t *lend_chain(struct machine *m, const struct plan_disk *chain, bool direct,
                          struct err *err)
{
    json_t *below = NULL;
    char name[NODE_BYTES];
    unsigned set;

    for (size_t i = chain->n_fds; i-- > 0;) {
        file_node_name(&chain->files[i], name);
        if (i && is_open(m, &chain->files[i])) {
            json_decref(below); /* it lies on its own already */
            below = json_string(name);
            continue;
        }
        if (!fdset_lend(m, chain->fds[i], name, &set, err)) {
            json_decref(below);
            return NULL;
        }
        below = disk_layer_json(name, disk_driver(chain, i), set, i > 0, direct, below);
    }
    return below;
}

/* Where nothing lies below, what an image has not allocated is zero, and in an empty copy, too. */
static bool copies_only_top(const struct machine_mirror *mirror, const struct top *top)
{
    return mirror->leaf_only ||
           (top->alone && (str_eq(top->driver, "qcow2") || str_eq(top->driver, "vpc") ||
                           str_eq(top->driver, "vhdx")));
}

static bool add_copy(struct machine *m, const struct machine_mirror *mirror, const struct top *top,
                     struct err *err)
{
    char target[NODE_BYTES];
    json_t *nodes;

    nodes = lend_chain(m, mirror->chain, top->direct && plan_is_direct(mirror->chain), err);
    if (!nodes)
        return false;
    file_node_name(&mirror->chain->files[0], target);
    return layers_qmp(m, "blockdev-add", nodes, err) && FAILPOINT("qemu.mirror", err) &&
           layers_qmp(m, "blockdev-mirror",
                      json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:b,s:b,s:I}", "job-id", target,
                                "device", top->node, "target", target, "sync",
                                copies_only_top(mirror, top) ? "top" : "full", "copy-mode",
                                "background", "on-source-error", "report", "on-target-error",
                                "enospc", "auto-finalize", 0, "auto-dismiss", 0, "speed",
                                (json_int_t)mirror->bytes_per_s),
                      err);
}

/* What an attempt that was cut off left goes first. */
static bool begin_mirror(struct machine *m, const struct machine_mirror *mirror, struct err *err)
{
    struct top top;

    if (!can_pivot(m, err) || !machine_may_write(m, mirror->chain->fds[0], err) ||
        !layers_top(m, mirror->disk, &top, err))
        return false;
    drop_chain(m, mirror->chain);
    if (add_copy(m, mirror, &top, err))
        return FAILPOINT("qemu.mirror.done", err);
    drop_chain(m, mirror->chain);
    return false;
}

bool machine_mirror(struct machine *m, const struct machine_mirror *mirror, struct err *err)
{
    bool ok;

    lock_take(&m->changing);
    ok = begin_mirror(m, mirror, err);
    lock_drop(&m->changing);
    for (size_t i = 0; i < mirror->chain->n_fds; i++)
        closep(&mirror->chain->fds[i]);
    return ok;
}

/* ---- how they stand ---- */

static const struct {
    const char *status;
    int state;
} states[] = {
    {"concluded", BLOCK_JOB_ENDED},
    {"ready", BLOCK_JOB_READY},
    {"waiting", BLOCK_JOB_PIVOTING},
    {"pending", BLOCK_JOB_PIVOTING},
};

static int state_of(const char *status)
{
    for (size_t i = 0; i < ARRAY_LEN(states); i++)
        if (str_eq(states[i].status, status))
            return states[i].state;
    return BLOCK_JOB_RUNNING;
}

static bool waits_for_space(struct machine *m, const char *id, bool *waits, struct err *err)
{
    CLEANUP(json_decrefp) json_t *jobs = NULL;
    const json_t *job;
    size_t i;

    if (!link_qmp(m->link, "query-block-jobs", NULL, NULL, 0, QMP_MS, &jobs, err))
        return false;
    json_array_foreach (jobs, i, job)
        if (str_eq(json_get_text(job, "device"), id))
            *waits = str_eq(json_get_text(job, "io-status"), "nospace");
    return true;
}

/* "paused", and "standby" when it was ready. */
static bool look_why_paused(struct machine *m, const char *id, const char *status,
                            struct machine_block_job *out, struct err *err)
{
    return (!str_eq(status, "paused") && !str_eq(status, "standby")) ||
           waits_for_space(m, id, &out->no_space, err);
}

bool machine_block_job(struct machine *m, const struct uuid *top, struct machine_block_job *out,
                       struct err *err)
{
    CLEANUP(json_decrefp) json_t *jobs = NULL;
    char id[NODE_BYTES];
    const json_t *job;
    size_t i;

    *out = (struct machine_block_job){.state = BLOCK_JOB_NONE};
    file_node_name(top, id);
    if (atomic_load(&m->pivoting)) {
        out->state = BLOCK_JOB_PIVOTING;
        return true;
    }
    if (!link_qmp(m->link, "query-jobs", NULL, NULL, 0, QMP_MS, &jobs, err))
        return false;
    json_array_foreach (jobs, i, job) {
        const char *error = json_get_text(job, "error"), *status = json_get_text(job, "status");
        if (!str_eq(json_get_text(job, "id"), id))
            continue;
        out->state = state_of(status);
        out->total = progress_bound(json_get_u64(job, "total-progress", 0), PROGRESS_MAX);
        out->done = progress_bound(json_get_u64(job, "current-progress", 0), out->total);
        str_copy(out->error, sizeof out->error, error ? error : "");
        return look_why_paused(m, id, status, out, err);
    }
    return true;
}

static bool about_job(struct machine *m, const char *command, const char *member,
                      const struct uuid *name, json_t *arguments, struct err *err)
{
    char id[NODE_BYTES];

    file_node_name(name, id);
    json_put_text(arguments, member, id);
    return layers_qmp(m, command, arguments, err);
}

bool machine_block_job_end(struct machine *m, const struct uuid *top, bool cancel, struct err *err)
{
    return about_job(m, cancel ? "job-cancel" : "job-dismiss", "id", top, json_object(), err);
}

bool machine_block_job_limit(struct machine *m, const struct uuid *name, uint64_t bytes_per_s,
                             struct err *err)
{
    return about_job(m, "block-job-set-speed", "device", name,
                     json_pack("{s:I}", "speed", (json_int_t)bytes_per_s), err);
}

bool machine_block_job_resume(struct machine *m, const struct uuid *name, struct err *err)
{
    return about_job(m, "block-job-resume", "device", name, json_object(), err);
}

/* ---- pivot ---- */

static char *write_pivot(const struct machine_pivot *pivot)
{
    CLEANUP(json_decrefp) json_t *body = NULL;
    json_t *jobs = json_array();
    char name[NODE_BYTES];

    for (size_t i = 0; i < pivot->n; i++) {
        file_node_name(&pivot->leaves[i].name, name);
        json_array_append_new(jobs, json_string(name));
    }
    body = json_pack("{s:o,s:o}", "jobs", jobs, "record", record_of_pivot(pivot));
    return json_write(body);
}

static bool read_pivoted(const json_t *reply, struct machine_pivoted *out, struct err *err)
{
    static const char *const outcomes[] = {"committed", "cancelled", "unknown"};
    const char *outcome = json_get_text(reply, "outcome"), *detail = json_get_text(reply, "detail");

    for (unsigned i = 0; i < ARRAY_LEN(outcomes); i++) {
        if (!str_eq(outcome, outcomes[i]))
            continue;
        out->outcome = i;
        out->pause_us = json_get_u64(reply, "pause_us", 0);
        str_copy(out->detail, sizeof out->detail, detail ? detail : "");
        return true;
    }
    return err_set(err, ERR_UNAVAILABLE, "the VM's worker answered something else");
}

/* It may be under way after that: the worker's event, or the next HELLO, says when it is over. */
static bool nobody_answered(const struct err *err)
{
    return err->code == ERR_TIMEOUT || err->code == ERR_UNAVAILABLE || err->code == ERR_BUSY;
}

bool machine_pivot(struct machine *m, const struct machine_pivot *pivot,
                   struct machine_pivoted *out, struct err *err)
{
    CLEANUP(mem_freep) char *text = write_pivot(pivot);
    CLEANUP(json_decrefp) json_t *reply = NULL;

    *out = (struct machine_pivoted){.outcome = PIVOT_UNKNOWN};
    if (!can_pivot(m, err) || !FAILPOINT("qemu.pivot", err))
        return false;
    atomic_store(&m->pivoting, true);
    if (!link_call(m->link, WORKER_PIVOT, text, strlen(text), NULL, 0, PIVOT_MS, &reply, err)) {
        if (!nobody_answered(err))
            atomic_store(&m->pivoting, false);
        return false;
    }
    return FAILPOINT("qemu.pivot.done", err) && read_pivoted(reply, out, err);
}
