/* Exporting a disk of a snapshot as an image of any format (docs/storage.md):
 *
 *   1 job, row of an empty overlay 'creating' on the snapshot's file, which belongs to nobody: what
 *     it lies on is lent from here on (core/disk/lent.h)          one transaction, at the request
 *   2 overlay and an empty image of the format, under a name with a dot, are made
 *   3 a QEMU that runs no guest mirrors what the overlay shows into the image; flushed
 *   4 * the image gets its name
 *   5 the overlay and what else was needed go
 *
 * Entered again before 4 it begins anew. The QEMU belongs to no VM: it has the operation's id, so
 * that the VM may run meanwhile. */
#include "core/snap/export.h"

#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/disk/disks.h"
#include "core/disk/file.h"
#include "core/disk/lent.h"
#include "core/disk/space.h"
#include "core/port/image.h"
#include "core/snap/cloning.h"
#include "core/snap/convert.h"
#include "core/snap/helper.h"
#include "core/snap/tree.h"
#include "core/vm/kinds.h"
#include "core/vm/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STEM_MAX (EXPORT_NAME_MAX - 16) /* room for a number and the format */

/* ---- the request ---- */

struct request {
    struct core *core;
    struct vm *vm;
    const struct export_ask *ask;
    struct layer overlay;
    const struct uuid *job;
    char root[NAME_MAX_BYTES + 1];
    char name[EXPORT_NAME_MAX + 1];
};

/* The overlay is in memory from here on, so that the snapshot's file stays. */
static bool enlist(struct request *r, const char *ref, struct err *err)
    REQUIRES(r->core->registry.lock);
static bool enlist(struct request *r, const char *ref, struct err *err)
{
    struct snapshot *s = snapshot_need(r->core, r->vm, ref, err);
    struct file *below, *file;
    struct pool *pool;

    if (!s || !clone_source_is_free(r->vm, err))
        return false;
    if (r->ask->disk >= s->n_disks)
        return err_field(err, ERR_NOT_FOUND, "/disk", "the snapshot has %zu disks", s->n_disks);
    below = file_find(r->core, &s->disks[r->ask->disk].file);
    pool = below ? pool_find(r->core, UUID_STR(&below->pool)) : NULL;
    if (!pool)
        return err_set(err, ERR_INTERNAL, "a disk of the snapshot has no file");
    str_copy(r->root, sizeof r->root, r->ask->root ? r->ask->root : pool->root);
    snprintf(r->name, STEM_MAX + 1, "%s-%s-%u", r->vm->name, s->name, r->ask->disk);
    r->overlay = layer_of_file(r->core, below);
    r->overlay.parent = below->id;
    r->overlay.id = uuid_new();
    r->overlay.vm = (struct uuid){0};
    r->overlay.format = DISK_QCOW2;
    if (uuid_is_zero(r->job))
        return true; /* a dry run */
    file = mem_alloc(sizeof *file);
    *file = (struct file){.id = r->overlay.id,
                          .pool = r->overlay.pool,
                          .parent = r->overlay.parent,
                          .format = r->overlay.format,
                          .size_bytes = r->overlay.size_bytes,
                          .job = *r->job,
                          .removing = true}; /* by the operation, not before */
    file_index_add(r->core, file);
    return true;
}

static void delist(struct request *r)
{
    struct file *file;

    lock_take(&r->core->registry.lock);
    file = file_find(r->core, &r->overlay.id);
    if (file)
        file_index_drop(r->core, file);
    lock_drop(&r->core->registry.lock);
}

/* "web-clean-0.vhdx", or "web-clean-0-2.vhdx" … */
static bool choose_name(struct request *r, struct err *err)
{
    CLEANUP(closep) int dir = export_folder(r->core, r->root, err);
    const char *ext = disk_format_names[r->ask->format];
    char stem[STEM_MAX + 1];

    if (dir < 0)
        return false;
    str_copy(stem, sizeof stem, r->name);
    for (unsigned n = 1; n < 1000; n++) {
        if (n == 1)
            snprintf(r->name, sizeof r->name, "%s.%s", stem, ext);
        else
            snprintf(r->name, sizeof r->name, "%s-%u.%s", stem, n, ext);
        if (faccessat(dir, r->name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
            return true;
    }
    return err_set(err, ERR_EXISTS, "there are too many exports of this disk: delete some");
}

static bool check_room(struct request *r, struct err *err)
{
    CLEANUP(closep) int dir = export_folder(r->core, r->root, err);
    CLEANUP(mem_freep) struct layer *chain = NULL;
    uint64_t needed = 0;
    size_t n;

    if (dir < 0)
        return false;
    chain = chain_of_leaf(r->core, &r->overlay.parent, &n);
    for (size_t i = 0; i < n; i++)
        needed += layer_allocated(&chain[i]);
    if (needed > r->overlay.size_bytes) /* what lies on top of others takes their place */
        needed = r->overlay.size_bytes;
    return space_check_root(r->core, r->root, dir, needed, err) || err_prefix(err, "the export");
}

static bool write_rows(struct store_txn *txn, void *ctx, struct err *err)
{
    const struct request *r = ctx;

    return layer_write(txn, &r->overlay, "creating", r->job, err) && FAILPOINT("export.rows", err);
}

static json_t *args_of(const struct request *r)
{
    json_t *args = json_object();

    json_put_text(args, "overlay", UUID_STR(&r->overlay.id));
    json_put_text(args, "root", r->root);
    json_put_text(args, "name", r->name);
    json_put_text(args, "format", disk_format_names[r->ask->format]);
    json_put_text(args, "backend", vm_backend_names[r->vm->backend]);
    return args;
}

static bool submit(struct request *r, const struct origin *origin, struct err *err)
{
    struct job_order order = {.kind = &snapshot_export_kind,
                              .object_type = "vm",
                              .object = r->vm->id,
                              .object_name = VM_NAME(r->core, r->vm),
                              .id = *r->job,
                              .args = args_of(r),
                              .also = write_rows,
                              .ctx = r};

    if (job_submit(r->core, &order, origin, err))
        return true;
    json_decref(order.args);
    return false;
}

bool snapshot_export(struct core *core, const char *ref, const char *snapshot,
                     const struct export_ask *ask, const struct origin *origin, struct uuid *op,
                     struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get(core, ref, err)};
    struct request r = {.core = core, .vm = hold.vm, .ask = ask, .job = op};
    bool ok;

    *op = (struct uuid){0};
    if (!hold.vm)
        return false;
    if (!origin->dry_run)
        *op = uuid_new();
    lock_take(&r.core->registry.lock);
    ok = enlist(&r, snapshot, err);
    lock_drop(&r.core->registry.lock);
    if (!ok) {
        *op = (struct uuid){0};
        return false;
    }
    ok =
        choose_name(&r, err) && check_room(&r, err) && (origin->dry_run || submit(&r, origin, err));
    if (!ok) {
        delist(&r);
        *op = (struct uuid){0};
    }
    return ok;
}

/* ---- the operation ---- */

struct work {
    struct core *core;
    struct job *job;
    struct uuid overlay, image; /* 'image' is what QEMU calls it */
    int format, vm_backend;
    int dir; /* of the exports */
    const char *name;
    char part[UUID_TEXT + 8]; /* its name until it is whole */
};

static void work_clear(struct work *w)
{
    closep(&w->dir);
}

static int word_of(const char *const *words, const char *text)
{
    for (int i = 0; text && words[i]; i++)
        if (str_eq(words[i], text))
            return i;
    return -1;
}

static bool begin(struct work *w, struct err *err)
{
    const json_t *args = job_args(w->job);

    w->dir = -1;
    w->vm_backend = word_of(vm_backend_names, json_get_text(args, "backend"));
    w->format = word_of(disk_format_names, json_get_text(args, "format"));
    w->name = json_get_text(args, "name");
    w->image = *job_id(w->job);
    snprintf(w->part, sizeof w->part, ".%s.part", UUID_STR(job_id(w->job)));
    if (w->vm_backend < 0 || w->format < 0 || !w->name ||
        !uuid_parse(json_get_text(args, "overlay"), &w->overlay))
        return err_set(err, ERR_INTERNAL, "the operation does not say what to export");
    w->dir = export_folder(w->core, json_get_text(args, "root"), err);
    return w->dir >= 0;
}

static bool overlay_layer(struct work *w, struct layer *out, struct err *err)
{
    struct file *file;

    lock_take(&w->core->registry.lock);
    file = file_find(w->core, &w->overlay);
    if (file) {
        file->removing = true; /* after a restart as well: nobody else removes it */
        *out = layer_of_file(w->core, file);
    }
    lock_drop(&w->core->registry.lock);
    return file || err_set(err, ERR_INTERNAL, "the export's overlay is not known");
}

/* Empty, of its size; -1 on failure. */
static int make_part(struct work *w, uint64_t size_bytes, struct err *err)
{
    int fd = fs_open(w->dir, w->part, O_RDWR | O_CREAT | O_TRUNC, 0640, err);

    if (fd >= 0 && !image_create(fd, (enum disk_format)w->format, size_bytes, NULL, err))
        closep(&fd);
    return fd;
}

static bool fill(struct work *w, const struct layer *overlay, int fd, struct err *err)
{
    struct vm *shadow = helper_shadow(w->core, job_id(w->job), w->vm_backend);
    struct machine *helper = helper_start(w->core, shadow, &overlay->id,
                                          helper_in_memory(w->dir, overlay->size_bytes), err);
    const struct convert order = {.core = w->core,
                                  .job = w->job,
                                  .shadow = shadow,
                                  .helper = helper,
                                  .image = w->image,
                                  .format = w->format,
                                  .size_bytes = overlay->size_bytes,
                                  .fd = fd,
                                  .full = "the pool root of the export is full",
                                  .cancelled = "nothing was exported"};
    bool ok = false;

    if (helper) {
        ok = FAILPOINT_AROUND("export.mirror", convert_run(&order, err), err);
        helper_stop(w->core, shadow, helper);
    } else {
        closep(&fd);
    }
    helper_shadow_free(w->core, shadow);
    return ok;
}

/* Step 4. A name that was taken meanwhile is not replaced. */
static bool publish(struct work *w, struct err *err)
{
    CLEANUP(closep) int fd = fs_open(w->dir, w->part, O_RDONLY, 0, err);

    if (fd < 0 || !fs_sync(fd, "the export", err) || !FAILPOINT("export.publish", err))
        return false;
    if (linkat(w->dir, w->part, w->dir, w->name, 0) < 0)
        return errno == EEXIST ? err_set(err, ERR_EXISTS, "there is an export '%s' by now", w->name)
                               : err_errno(err, errno, "name the export");
    return fs_sync(w->dir, "the folder of the exports", err);
}

/* The image has its name already: entered again after step 4. */
static bool is_published(struct work *w)
{
    struct stat part, whole;

    return fstatat(w->dir, w->part, &part, AT_SYMLINK_NOFOLLOW) == 0 &&
           fstatat(w->dir, w->name, &whole, AT_SYMLINK_NOFOLLOW) == 0 &&
           part.st_ino == whole.st_ino;
}

static bool run(struct core *core, struct job *job, struct err *err)
{
    CLEANUP(work_clear) struct work w = {.core = core, .job = job};
    json_t *result = json_object();
    struct layer overlay;
    int fd;

    json_put_text(result, "export", json_get_text(job_args(job), "name"));
    job_set_result(job, result);
    if (!begin(&w, err))
        return false;
    if (is_published(&w))
        return true;
    if (!overlay_layer(&w, &overlay, err) || !layer_make(core, &overlay, err))
        return false;
    fd = make_part(&w, overlay.size_bytes, err);
    return fd >= 0 && fill(&w, &overlay, fd, err) && publish(&w, err);
}

static void forget_overlay(struct work *w)
{
    struct file *file;

    lock_take(&w->core->registry.lock);
    file = file_find(w->core, &w->overlay);
    if (file) {
        file->job = (struct uuid){0};
        file->removing = false;
    }
    lock_drop(&w->core->registry.lock);
    files_settle_nobodys(w->core);
}

static void settle(struct core *core, struct job *job, bool ok)
{
    CLEANUP(work_clear) struct work w = {.core = core, .job = job};
    struct err err = {0};

    if (!begin(&w, &err) || !fs_remove(w.dir, w.part, &err) ||
        !fs_remove_tree(core->vms_fd, UUID_STR(job_id(job)), &err))
        log_warn("what an export needed was not removed: %s", err.detail);
    forget_overlay(&w);
}

const struct job_kind snapshot_export_kind = {.name = "snapshot.export",
                                              .lane = JOB_LANE_COPY,
                                              .cancellable = true,
                                              .run = run,
                                              .settle = settle};
