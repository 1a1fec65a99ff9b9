/* Making a bundle of a VM: the operation (docs/bundles.md).
 *
 *   1 job, VM claimed; of one that runs the rows of taking a snapshot           at the request
 *   2 of one that runs: the snapshot is taken, as an operation of its own would; step "copy"; room
 *     put by; the folder ".<operation>.part", an earlier attempt's removed
 *   3 each file copied and compared
 *   4 bundle.json in it; all flushed
 *   5 * the folder gets its name
 *
 *   6 of one that runs: step "release", VM free; the deletion of the snapshot is submitted
 *
 * Entered again before 5 it begins anew, with the snapshot that it has; after it finds a bundle
 * that names the operation. */
#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/bundle/inside.h"
#include "core/core/parts.h"
#include "core/disk/disks.h"
#include "core/disk/space.h"
#include "core/snap/taking.h"
#include "core/vm/kinds.h"
#include "core/vm/registry.h"
#include "core/vm/save.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct work {
    struct core *core;
    struct job *job;
    struct vm *vm;
    struct uuid pool;
    const char *root, *name;
    int folder, dir; /* of all bundles; of the one that is made */
    char part[BUNDLE_NAME_BYTES];
    struct bundle bundle;
    struct pace pace;
    uint64_t done, total;
    struct taking taking; /* args NULL: the VM does not run */
};

static void work_clear(struct work *w)
{
    taking_clear(&w->taking);
    bundle_clear(&w->bundle);
    closep(&w->folder);
    closep(&w->dir);
    if (w->vm)
        vm_put(w->core, w->vm);
}

static bool begin(struct work *w, struct err *err)
{
    const json_t *args = job_args(w->job);

    w->folder = w->dir = -1;
    w->root = json_get_text(args, "root");
    w->name = json_get_text(args, "name");
    bundle_part_name(job_id(w->job), w->part);
    w->vm = vm_get_id(w->core, job_object(w->job), err);
    if (!w->vm)
        return false;
    w->taking = (struct taking){
        .core = w->core, .job = w->job, .vm = w->vm, .args = json_object_get(args, "take")};
    if (!w->root || !w->name || !uuid_parse(json_get_text(args, "pool"), &w->pool))
        return err_set(err, ERR_INTERNAL, "the operation does not say where the bundle goes");
    w->folder = bundles_folder(w->core, w->root, err);
    return w->folder >= 0;
}

/* Entered again after step 5. */
static bool is_published(const struct work *w)
{
    struct err none = {0};
    CLEANUP(closep) int dir = fs_open(w->folder, w->name, O_RDONLY | O_DIRECTORY, 0, &none);
    CLEANUP(bundle_clear) struct bundle there = {0};
    CLEANUP(mem_freep) char *text = NULL;
    size_t len;

    text = dir < 0 ? NULL : bundle_text(dir, &len, &none);
    return text && bundle_read(text, len, &there, &none) &&
           uuid_eq(&there.operation, job_id(w->job));
}

/* ---- files ---- */

static bool tell(void *ctx, uint64_t bytes, struct err *err)
{
    struct work *w = ctx;

    w->done += bytes;
    job_progress(w->job, w->done, w->total);
    return pace_wait(&w->pace, bytes, err);
}

/* 'digest' is the caller's. */
static bool copy_into(struct work *w, int from, const char *name, size_t block, uint64_t *bytes,
                      char **digest, struct err *err)
{
    CLEANUP(closep) int to = fs_open(w->dir, name, O_RDWR | O_CREAT | O_EXCL, 0640, err);
    unsigned char sum[COPY_DIGEST_BYTES];
    struct stat st;

    if (to < 0 ||
        !FAILPOINT_AROUND("bundle.copy", file_copy(from, to, block, tell, w, sum, err), err))
        return false;
    if (fstat(to, &st) < 0)
        return err_errno(err, errno, "the copy cannot be looked at");
    *bytes = (uint64_t)st.st_size;
    *digest = mem_alloc(DIGEST_TEXT);
    str_hex(sum, sizeof sum, *digest);
    return true;
}

static bool copy_file(struct work *w, size_t i, struct err *err)
{
    const struct copy_file *file = &w->bundle.copy.files[i];
    struct bundle_file *out = &w->bundle.files[w->bundle.n_files++];
    char name[BUNDLE_NAME_BYTES];
    CLEANUP(closep) int from = -1;
    struct layer layer;

    out->file = file->id;
    if (!bundle_layer(w->core, &file->id, &layer, err))
        return false;
    from = layer_open(&layer, O_RDONLY, err);
    bundle_file_name(file, name);
    return from >= 0 &&
           copy_into(w, from, name, copy_block(layer.role), &out->bytes, &out->digest, err);
}

/* What is not there is not missed: no firmware has written, no picture was taken. */
static bool copy_extra(struct work *w, int vm_dir, int kind, const struct uuid *source,
                       const struct uuid *snapshot, struct err *err)
{
    struct bundle_extra *out = &w->bundle.extras[w->bundle.n_extras];
    CLEANUP(closep) int from = -1;
    char name[BUNDLE_NAME_BYTES];
    struct err missing = {0};

    bundle_extra_name(kind, source, name);
    from = fs_open(vm_dir, name, O_RDONLY, 0, &missing);
    bundle_extra_name(kind, snapshot, name);
    if (from < 0) {
        if (missing.code != ERR_NOT_FOUND)
            *err = missing;
        return missing.code == ERR_NOT_FOUND;
    }
    out->kind = kind;
    out->snapshot = *snapshot;
    w->bundle.n_extras++;
    return copy_into(w, from, name, COPY_PAGE_BYTES, &out->bytes, &out->digest, err);
}

static bool copy_extras(struct work *w, struct err *err)
{
    CLEANUP(closep) int vm_dir = vm_dir_open(w->core, w->vm, true, err);
    const struct vm_copy *copy = &w->bundle.copy;
    const struct uuid own = {0};

    if (vm_dir < 0)
        return false;
    w->bundle.extras =
        mem_array(BUNDLE_EXTRA_KINDS * (copy->n_snapshots + 1), sizeof *w->bundle.extras);
    for (int kind = 0; kind < BUNDLE_EXTRA_KINDS; kind++) {
        if (kind != BUNDLE_PICTURE &&
            !copy_extra(w, vm_dir, kind, w->taking.args ? &w->taking.id : &own, &own, err))
            return false;
        for (size_t i = 0; i < copy->n_snapshots; i++)
            if (!copy_extra(w, vm_dir, kind, &copy->snapshots[i].id, &copy->snapshots[i].id, err))
                return false;
    }
    return true;
}

static bool copy_all(struct work *w, struct err *err)
{
    const size_t n = w->bundle.copy.n_files;

    w->bundle.files = mem_array(n + 1, sizeof *w->bundle.files);
    for (size_t i = 0; i < n; i++)
        if (!copy_file(w, i, err))
            return false;
    return copy_extras(w, err);
}

/* ---- steps ---- */

static bool choose(struct work *w, struct err *err)
{
    const struct bundle_choice choice = {
        .snapshots = json_get_bool(job_args(w->job), "snapshots", true), .as = w->taking.id};
    bool ok;

    lock_take(&w->vm->writing);
    ok = bundle_choose(w->core, w->vm, &choice, &w->bundle, err);
    lock_drop(&w->vm->writing);
    w->bundle.made_ms = (uint64_t)clock_wall_ms();
    w->bundle.operation = *job_id(w->job);
    return ok;
}

static bool make_folder(struct work *w, struct err *err)
{
    const uint64_t bytes = bundle_bytes(w->core, &w->bundle);

    w->total = 2 * bytes; /* each is read again */
    if (!bundle_folder_remove(w->folder, w->part, err) ||
        !space_reserve(w->core, &w->pool, job_id(w->job), bytes, "/pool", err) ||
        !FAILPOINT("bundle.folder", err))
        return false;
    w->dir = fs_dir(w->folder, w->part, 0750, err);
    return w->dir >= 0;
}

static bool write_document(struct work *w, struct err *err)
{
    CLEANUP(json_decrefp) json_t *json = bundle_json(&w->bundle);
    CLEANUP(mem_freep) char *text = json_dumps(json, JSON_INDENT(1));

    return FAILPOINT("bundle.document", err) &&
           fs_publish(w->dir, BUNDLE_DOCUMENT, text, strlen(text), 0640, err);
}

/* A name that was taken meanwhile is not replaced. */
static bool publish(struct work *w, struct err *err)
{
    if (!FAILPOINT("bundle.publish", err))
        return false;
    if (renameat2(w->folder, w->part, w->folder, w->name, RENAME_NOREPLACE) < 0)
        return errno == EEXIST ? err_set(err, ERR_EXISTS, "there is a bundle '%s' by now", w->name)
                               : err_errno(err, errno, "name the bundle");
    return fs_sync(w->folder, "the folder of the bundles", err) &&
           FAILPOINT("bundle.published", err);
}

/* ---- of one that runs ---- */

/* Whatever becomes of the snapshot from now on, it is not this operation's any more. */
static bool is_released(struct work *w, struct err *err)
{
    return str_eq(job_step_reached(w->job), "release") &&
           !err_set(err, ERR_CANCELLED, "the export had ended before");
}

static bool is_live(const struct vm *vm, void *ctx)
{
    return vm_run_is_live(vm->run);
}

/* Of one that was off when it was asked for, its files are copied as they are. */
static bool take(struct work *w, struct err *err)
{
    struct taking *t = &w->taking;

    if (!t->args)
        return !vm_is(w->core, w->vm, is_live, NULL) ||
               err_set(err, ERR_WRONG_STATE, "%s was started meanwhile: export it again",
                       VM_NAME(w->core, w->vm));
    if (str_eq(job_step_reached(w->job), "copy"))
        return uuid_parse(json_get_text(t->args, "snapshot"), &t->id) ||
               err_set(err, ERR_INTERNAL, "the operation has no snapshot");
    return !taking_has_lost(t, err) && taking_begin(t, err) &&
           (taking_is_done(t) || (taking_prepare(t, err) && taking_finish(t, err))) &&
           FAILPOINT("bundle.step", err) && job_step(w->job, "copy", err);
}

static bool has_snapshot(const struct vm *vm, void *ctx)
{
    return snapshot_get((struct vm *)vm, ctx) != NULL;
}

/* By an operation of its own, since that takes a while. One that cannot be submitted is not
 * missed: the snapshot can be deleted as any other. */
static void drop_snapshot(struct work *w, const struct uuid *snapshot)
{
    static const struct origin self = {
        .principal = "vmmd", .role = ROLE_ADMIN, .route = "snapshot of an export"};
    struct err err = {0};
    struct uuid op;

    if (!vm_is(w->core, w->vm, has_snapshot, (void *)(uintptr_t)snapshot))
        return;
    if (!snapshot_delete(w->core, UUID_STR(&w->vm->id), UUID_STR(snapshot), NULL, &self, &op, &err))
        log_warn("the snapshot that was taken of %s for an export stays: %s",
                 VM_NAME(w->core, w->vm), err.detail);
}

/* What is left of taking it: nothing of one that was not recorded. */
static void release(struct work *w)
{
    struct taking *t = &w->taking;
    struct err err = {0};
    struct uuid snapshot;

    if (!uuid_parse(json_get_text(t->args, "snapshot"), &snapshot))
        return;
    if (!vm_is(w->core, w->vm, has_snapshot, &snapshot)) {
        if (!job_step_reached(w->job) || str_eq(job_step_reached(w->job), "switch"))
            if (!taking_has_lost(t, &err) && taking_begin(t, &err))
                taking_undo(t);
        return;
    }
    if (taking_is_given_up(t, &err) || !job_step(w->job, "release", &err))
        return;
    vm_unclaim(w->core, w->vm, job_id(w->job));
    drop_snapshot(w, &snapshot);
}

/* ---- all of it ---- */

static bool is_saved(const struct vm *vm, void *ctx)
{
    return vm->run == VM_SAVED;
}

static bool make(struct work *w, struct err *err)
{
    if (vm_is(w->core, w->vm, is_saved, NULL) && !save_end_machine(w->core, w->vm, err))
        return false;
    if (!take(w, err) || !choose(w, err) || !make_folder(w, err))
        return false;
    pace_begin_at_once(&w->pace, w->core, w->vm, w->job);
    return copy_all(w, err) && write_document(w, err) && publish(w, err);
}

static void set_result(struct work *w)
{
    json_t *result = json_object();

    json_put_text(result, "bundle", w->name);
    json_put_text(result, "root", w->root);
    job_set_result(w->job, result);
}

static bool run(struct core *core, struct job *job, struct err *err)
{
    CLEANUP(work_clear) struct work w = {.core = core, .job = job, .folder = -1, .dir = -1};

    if (!begin(&w, err))
        return false;
    set_result(&w);
    return is_published(&w) || (!is_released(&w, err) && make(&w, err));
}

static void settle(struct core *core, struct job *job, bool ok)
{
    CLEANUP(work_clear) struct work w = {.core = core, .job = job, .folder = -1, .dir = -1};
    struct err err = {0};

    if (begin(&w, &err) && !ok) {
        if (!bundle_folder_remove(w.folder, w.part, &err))
            log_warn("%s/%s of the pool root %s stays until the next start: %s", BUNDLE_FOLDER,
                     w.part, w.root, err.detail);
        if (is_published(&w)) /* it has failed all the same: its name was not flushed */
            err_ignore(bundle_folder_remove(w.folder, w.name, &err), &err);
    }
    space_release(core, job_id(job));
    if (!w.vm)
        return;
    if (w.taking.args)
        release(&w);
    vm_unclaim(core, w.vm, job_id(job));
}

/* Once the snapshot is let go of the VM is its deletion's. */
static void adopt(struct core *core, struct job *job)
{
    CLEANUP(work_clear) struct work w = {.core = core, .job = job, .folder = -1, .dir = -1};
    struct err err = {0};

    if (!begin(&w, &err) || !w.taking.args ||
        (!is_released(&w, &err) && !taking_is_given_up(&w.taking, &err)))
        vm_adopt(core, job);
}

const struct job_kind vm_export_kind = {.name = "vm.export",
                                        .lane = JOB_LANE_COPY,
                                        .cancellable = true,
                                        .limitable = true,
                                        .shares = true,
                                        .run = run,
                                        .settle = settle,
                                        .adopt = adopt};
