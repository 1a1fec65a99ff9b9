/* Checking of WORKER_PIVOT: see pivot_ask.h. Pure. The record is composed anew from what was
 * checked, so that nothing else can get into the log. */
#include "vmmd/worker/pivot_ask.h"

#include "core/base/commitlog.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <stdlib.h>
#include <string.h>

static bool read_job(struct pivot_ask *ask, const json_t *job, struct err *err)
{
    const char *name = json_string_value(job);

    if (!name || !*name || strlen(name) >= PIVOT_JOB_BYTES ||
        strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") != strlen(name))
        return err_set(err, ERR_INVALID, "a block job's name is not [a-z0-9_-]{1,%d}",
                       PIVOT_JOB_BYTES - 1);
    for (unsigned i = 0; i < ask->n; i++)
        if (str_eq(ask->jobs[i], name))
            return err_set(err, ERR_INVALID, "a block job is named twice");
    str_copy(ask->jobs[ask->n++], PIVOT_JOB_BYTES, name);
    return true;
}

static bool read_jobs(struct pivot_ask *ask, const json_t *jobs, struct err *err)
{
    const json_t *one;
    size_t i;

    if (json_array_size(jobs) == 0 || json_array_size(jobs) > WORKER_PIVOT_MAX)
        return err_set(err, ERR_INVALID, "'jobs' is no array of 1 to %d names", WORKER_PIVOT_MAX);
    json_array_foreach (jobs, i, one)
        if (!read_job(ask, one, err))
            return false;
    return true;
}

/* Adds one leaf, as it was read, to 'out'. */
static bool read_leaf(const json_t *leaf, json_t *out, struct err *err)
{
    struct uuid disk, file;
    const json_t *one;
    size_t i;

    if (!uuid_parse(json_get_text(leaf, "disk"), &disk) ||
        !uuid_parse(json_get_text(leaf, "file"), &file))
        return err_set(err, ERR_INVALID, "a leaf has no 'disk' or no 'file'");
    json_array_foreach (out, i, one)
        if (str_eq(json_get_text(one, "disk"), UUID_STR(&disk)))
            return err_set(err, ERR_INVALID, "a disk is named twice");
    json_array_append_new(out,
                          json_pack("{s:s,s:s}", "disk", UUID_STR(&disk), "file", UUID_STR(&file)));
    return true;
}

static bool read_record(struct pivot_ask *ask, const json_t *record, struct err *err)
{
    CLEANUP(json_decrefp) json_t *clean = json_object();
    const json_t *leaves = json_object_get(record, "leaves"), *one;
    json_t *out = json_array();
    size_t i;

    json_put(clean, "leaves", out);
    if (!uuid_parse(json_get_text(record, "job"), &ask->job))
        return err_set(err, ERR_INVALID, "the record names no operation");
    if (json_array_size(leaves) != ask->n)
        return err_set(err, ERR_INVALID, "the record has %zu leaves for %u block jobs",
                       json_array_size(leaves), ask->n);
    json_array_foreach (leaves, i, one)
        if (!read_leaf(one, out, err))
            return false;
    json_put_text(clean, "job", UUID_STR(&ask->job));
    ask->record = json_write(clean);
    return strlen(ask->record) <= COMMITLOG_TEXT_MAX ||
           err_set(err, ERR_INVALID, "the record does not fit into the commit log");
}

struct pivot_ask *pivot_ask_read(const char *text, size_t len, struct err *err)
{
    CLEANUP(json_decrefp) json_t *root = json_read(text, len, err);
    CLEANUP(pivot_ask_freep) struct pivot_ask *ask = mem_alloc(sizeof *ask);

    if (!root)
        return NULL;
    if (!read_jobs(ask, json_object_get(root, "jobs"), err) ||
        !read_record(ask, json_object_get(root, "record"), err))
        return NULL;
    return TAKE(ask);
}

void pivot_ask_freep(struct pivot_ask **ask)
{
    if (!*ask)
        return;
    free((*ask)->record);
    free(*ask);
    *ask = NULL;
}
