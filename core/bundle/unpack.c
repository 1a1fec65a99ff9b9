/* A VM of a bundle: the operation (docs/bundles.md). Its object is the new VM.
 *
 *   1 job, rows of VM, disks and files 'creating'                 one transaction, at the request
 *   2 room put by; the VM's directory
 *   3 each file copied, compared with its digest, looked at
 *   4 variables and pictures
 *   5 * VM 'defined', files 'live', memories, snapshots           one transaction
 *   6 started, if that was asked for
 *
 * Entered again before 5 it begins with 2. The bundle may be anybody's, and may change meanwhile:
 * what is looked at is the copy. */
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/bundle/inside.h"
#include "core/core/parts.h"
#include "core/disk/disks.h"
#include "core/disk/space.h"
#include "core/port/image.h"
#include "core/ram/image.h"
#include "core/snap/tree.h"
#include "core/vm/kinds.h"
#include "core/vm/registry.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PNG_MAGIC "\x89PNG\r\n\x1a\n"

struct work {
    struct core *core;
    struct job *job;
    struct vm *vm;
    struct opened bundle;
    struct pace pace;
    uint64_t done, total;
};

static void work_clear(struct work *w)
{
    opened_clear(&w->bundle);
    if (w->vm)
        vm_put(w->core, w->vm);
}

static bool open_bundle(struct work *w, struct err *err)
{
    const json_t *args = job_args(w->job);
    const char *name = json_get_text(args, "bundle");
    struct turn *turn = &w->bundle.turn;

    *turn = (struct turn){.job = *job_id(w->job),
                          .keep = json_get_bool(args, "keep", false),
                          .drop_memory = json_get_bool(args, "drop_memory", false)};
    if (!name || !uuid_parse(json_get_text(args, "pool"), &turn->pool))
        return err_set(err, ERR_INTERNAL, "the operation does not say which bundle");
    return opened_read(&w->bundle, name, err) &&
           (str_eq(w->bundle.text_digest, json_get_text(args, "document")) ||
            err_set(err, ERR_INVALID, "the bundle %s is another one by now: import that", name));
}

/* ---- 3 ---- */

static bool tell(void *ctx, uint64_t bytes, struct err *err)
{
    struct work *w = ctx;

    w->done += bytes;
    job_progress(w->job, w->done, w->total);
    return pace_wait(&w->pace, bytes, err);
}

static bool digest_is(const unsigned char sum[COPY_DIGEST_BYTES], const char *digest,
                      const char *name, struct err *err)
{
    char text[DIGEST_TEXT];

    str_hex(sum, COPY_DIGEST_BYTES, text);
    return str_eq(text, digest) ||
           err_set(err, ERR_INVALID,
                   "%s in the bundle is not what was exported: it was damaged or changed on the "
                   "way; carry it again",
                   name);
}

/* "<an id>.<ending>", as all images have it. */
static bool is_an_image_name(const char *name)
{
    char id[UUID_TEXT];
    struct uuid parsed;

    str_copy(id, sizeof id, name);
    if (!uuid_parse(id, &parsed) || name[UUID_TEXT - 1] != '.')
        return false;
    for (int i = 0; disk_format_names[i]; i++)
        if (str_eq(name + UUID_TEXT, disk_format_names[i]))
            return true;
    return false;
}

/* A disk's file is of the format and size that is said, and leads nowhere else. */
static bool disk_is_fine(struct work *w, const struct layer *layer, int fd, struct err *err)
{
    char parent[FILE_NAME_BYTES];
    struct image_facts facts;

    if (!image_inspect(fd, layer->format, &facts, err))
        return false;
    if (facts.virtual_bytes != layer->size_bytes)
        return err_set(err, ERR_INVALID, "it is a disk of %llu bytes in place of %llu",
                       (unsigned long long)facts.virtual_bytes,
                       (unsigned long long)layer->size_bytes);
    if (facts.is_plain && layer->format == DISK_VHD) /* none of ours, and QEMUs may cut its disk */
        return err_set(err, ERR_INVALID, "it is a fixed VHD, which no export writes");
    if (!facts.has_backing)
        return true;
    if (!is_an_image_name(facts.backing))
        return err_set(err, ERR_INVALID, "it names a file below it that is none of the bundle's");
    for (size_t i = 0; i < w->bundle.bundle.n_files; i++)
        if (uuid_eq(&w->bundle.layers[i].id, &layer->parent)) {
            layer_name(&w->bundle.layers[i], parent);
            return bundle_set_parent(fd, parent, err);
        }
    return bundle_set_parent(fd, NULL, err);
}

static bool is_fine(struct work *w, size_t i, int fd, struct err *err)
{
    const struct layer *layer = &w->bundle.layers[i];
    const struct copy_memory *m;

    if (layer->role == FILE_DISK)
        return disk_is_fine(w, layer, fd, err) || err_prefix(err, "%s", w->bundle.names[i]);
    m = vm_copy_memory(&w->bundle.bundle.copy, &layer->id);
    return (m && m->packed_bytes) || ram_image_check(layer, err) ||
           err_prefix(err, "%s", w->bundle.names[i]);
}

static bool copy_one(struct work *w, size_t i, struct err *err)
{
    const struct layer *layer = &w->bundle.layers[i];
    const struct bundle_file *file = &w->bundle.bundle.files[i];
    CLEANUP(closep)
    int from = bundle_file_open(w->bundle.dir, w->bundle.names[i], file->bytes, err);
    CLEANUP(closep) int to = from < 0 ? -1 : layer_open(layer, O_RDWR | O_CREAT | O_TRUNC, err);
    unsigned char sum[COPY_DIGEST_BYTES];

    return to >= 0 &&
           FAILPOINT_AROUND("import.copy",
                            file_copy(from, to, copy_block(layer->role), tell, w, sum, err), err) &&
           digest_is(sum, file->digest, w->bundle.names[i], err) && is_fine(w, i, to, err) &&
           fs_sync(layer->dir, "the pool's directory", err);
}

static bool copy_files(struct work *w, struct err *err)
{
    for (size_t i = 0; i < w->bundle.bundle.n_files; i++)
        if (opened_takes(&w->bundle, i) && !copy_one(w, i, err))
            return false;
    return true;
}

/* ---- 4 ---- */

static bool nothing(void *ctx, uint64_t bytes, struct err *err)
{
    return true;
}

/* Under the name that it has with its snapshot's new id. */
static bool copy_extra(struct work *w, size_t i, int vm_dir, struct err *err)
{
    const struct bundle_extra *e = &w->bundle.bundle.extras[i];
    const struct uuid snapshot = turn_id(&w->bundle.turn, &e->snapshot);
    CLEANUP(closep) int from = bundle_file_open(w->bundle.dir, w->bundle.extras[i], e->bytes, err);
    CLEANUP(closep) int to = -1;
    unsigned char sum[COPY_DIGEST_BYTES];
    char name[BUNDLE_NAME_BYTES], head[sizeof PNG_MAGIC - 1];

    if (from < 0)
        return false;
    bundle_extra_name(e->kind, &snapshot, name);
    to = fs_open(vm_dir, name, O_RDWR | O_CREAT | O_TRUNC, 0600, err);
    if (to < 0 || !FAILPOINT("import.extra", err) ||
        !file_copy(from, to, COPY_PAGE_BYTES, nothing, NULL, sum, err) ||
        !digest_is(sum, e->digest, w->bundle.extras[i], err))
        return false;
    return e->kind != BUNDLE_PICTURE ||
           (pread(to, head, sizeof head, 0) == sizeof head &&
            memcmp(head, PNG_MAGIC, sizeof head) == 0) ||
           err_set(err, ERR_INVALID, "%s in the bundle is no picture", w->bundle.extras[i]);
}

static bool copy_extras(struct work *w, struct err *err)
{
    CLEANUP(closep) int vm_dir = vm_dir_make(w->core, w->vm, err);
    bool ok = vm_dir >= 0;

    for (size_t i = 0; ok && i < w->bundle.bundle.n_extras; i++)
        ok = copy_extra(w, i, vm_dir, err);
    return ok && fs_sync(vm_dir, "the VM's directory", err);
}

/* ---- 5 ---- */

/* Room for expanding an archived one is put by for all that it can be: what it was on the disk is
 * a stranger's word. */
static struct ram_image *facts_of(const struct copy_memory *m, const struct copy_file *file)
{
    struct ram_image *facts = mem_alloc(sizeof *facts);

    *facts = (struct ram_image){.made = str_dup(m->made),
                                .spec = json_write(m->spec),
                                .leaves = str_dup(m->leaves),
                                .way = MEMORY_STILL,
                                .held_bytes = m->held_bytes,
                                .pause_us = m->pause_us,
                                .took_ms = m->took_ms,
                                .created_ms = (int64_t)m->created_ms,
                                .packed_bytes = m->packed_bytes,
                                .plain_bytes = m->packed_bytes ? file->size_bytes : 0};
    for (int way = MEMORY_BACKGROUND; way <= MEMORY_STILL; way++)
        if (str_eq(ram_way_text((enum memory_way)way), m->way))
            facts->way = (enum memory_way)way;
    return facts;
}

static struct snapshot *snapshot_of(const struct work *w, const struct copy_snapshot *s)
{
    static const enum snapshot_memory states[] = {SNAPSHOT_NO_MEMORY, SNAPSHOT_READY,
                                                  SNAPSHOT_LOST}; /* as copy_memory_states */
    struct snapshot *out = mem_alloc(sizeof *out);

    *out = (struct snapshot){.id = s->id,
                             .vm = w->vm->id,
                             .parent = s->parent,
                             .name = str_dup(s->name),
                             .notes = str_dup(s->notes ? s->notes : ""),
                             .spec = json_write(s->spec),
                             .created_ms = (int64_t)s->created_ms,
                             .disks = mem_array(s->n_disks + 1, sizeof *out->disks),
                             .n_disks = s->n_disks,
                             .memory = s->memory,
                             .memory_state = states[s->memory_state],
                             .memory_note = str_dup(s->memory_note)};
    for (size_t i = 0; i < s->n_disks; i++)
        out->disks[i] = (struct snapshot_disk_record){
            .disk = s->disks[i].disk, .file = s->disks[i].file, .position = s->disks[i].position};
    return out;
}

/* What memory gets once the rows are durable. */
struct made {
    struct ram_image **facts;    /* one a file; NULL: it is no memory */
    struct snapshot **snapshots; /* NULL: it is the VM's by now */
    size_t n_facts, n_snapshots;
};

static void made_clear(struct made *m)
{
    for (size_t i = 0; i < m->n_facts; i++)
        ram_image_free(m->facts[i]);
    for (size_t i = 0; i < m->n_snapshots; i++)
        if (m->snapshots[i])
            snapshot_free(m->snapshots[i]);
    free(m->facts);
    free(m->snapshots);
}

static void make_all(const struct work *w, struct made *m)
{
    const struct vm_copy *copy = &w->bundle.bundle.copy;

    m->n_facts = copy->n_files;
    m->n_snapshots = copy->n_snapshots;
    m->facts = mem_array(m->n_facts + 1, sizeof *m->facts);
    m->snapshots = mem_array(m->n_snapshots + 1, sizeof *m->snapshots);
    for (size_t i = 0; i < m->n_facts; i++) {
        const struct copy_memory *memory = vm_copy_memory(copy, &copy->files[i].id);
        m->facts[i] =
            memory && opened_takes(&w->bundle, i) ? facts_of(memory, &copy->files[i]) : NULL;
    }
    for (size_t i = 0; i < m->n_snapshots; i++)
        m->snapshots[i] = snapshot_of(w, &copy->snapshots[i]);
}

/* Parents first, round after round: oldest first one is enough. */
static bool write_snapshots(struct store_txn *txn, const struct vm_copy *copy, const struct made *m,
                            struct err *err)
{
    CLEANUP(mem_freep) bool *done = mem_array(m->n_snapshots + 1, sizeof *done);

    for (size_t left = m->n_snapshots; left;) {
        for (size_t i = 0; i < m->n_snapshots; i++) {
            struct snapshot_record row;
            size_t p = 0;
            while (p < m->n_snapshots && !uuid_eq(&copy->snapshots[p].id, &m->snapshots[i]->parent))
                p++;
            if (done[i] || (p < m->n_snapshots && !done[p]))
                continue;
            snapshot_record_fill(m->snapshots[i], &row);
            if (!store_snapshot_put(txn, &row, err))
                return false;
            done[i] = true;
            left--;
        }
    }
    return true;
}

static bool write_all(struct work *w, const struct made *m, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(w->core->store, err);

    if (!txn)
        return false;
    for (size_t i = 0; i < m->n_facts; i++)
        if (m->facts[i] && !ram_image_write_live(txn, &w->bundle.layers[i], m->facts[i], err))
            return false;
    return write_snapshots(txn, &w->bundle.bundle.copy, m, err) &&
           vm_define_rows(w->core, txn, w->vm, err) && FAILPOINT("import.row", err) &&
           store_commit(&txn, err);
}

/* What the VM's row says of where it stands; zero and NULL: nothing. */
static void stand(struct work *w, const struct uuid *stands_on, const struct uuid *memory,
                  const char *leaves)
{
    const bool saved = !uuid_is_zero(memory);

    ram_vm_set(w->core, w->vm, memory, saved ? leaves : NULL);
    lock_take(&w->core->registry.lock);
    w->vm->stands_on = *stands_on;
    w->vm->run = saved ? VM_SAVED : VM_OFF;
    w->vm->desired = saved ? VM_DESIRED_SAVED : VM_DESIRED_OFF;
    lock_drop(&w->core->registry.lock);
}

static void follow(struct work *w, struct made *m)
{
    for (size_t i = 0; i < m->n_facts; i++)
        if (m->facts[i])
            ram_image_set_live(w->core, &w->bundle.layers[i], TAKE(m->facts[i]));
    lock_take(&w->core->registry.lock);
    for (size_t i = 0; i < m->n_snapshots; i++)
        snapshot_enlist(w->vm, TAKE(m->snapshots[i]));
    lock_drop(&w->core->registry.lock);
    vm_now_defined(w->core, w->vm);
}

/* Of two imports that keep the same id of a snapshot the second one is seen here. */
static struct lock defining = {PTHREAD_MUTEX_INITIALIZER};

static bool ids_are_still_free(struct work *w, struct err *err)
{
    bool clashes;

    lock_take(&w->core->registry.lock);
    clashes = bundle_clashes(w->core, &w->bundle.bundle.copy);
    lock_drop(&w->core->registry.lock);
    return !clashes || err_set(err, ERR_EXISTS, "a disk or snapshot of it is on this host by now");
}

static bool define(struct work *w, struct err *err)
{
    const struct vm_copy *copy = &w->bundle.bundle.copy;
    CLEANUP(made_clear) struct made m = {0};
    const struct uuid none = {0};
    bool ok;

    make_all(w, &m);
    lock_take(&w->vm->writing);
    stand(w, &copy->stands_on, &copy->memory, copy->memory_leaves);
    lock_take(&defining);
    ok = ids_are_still_free(w, err) && write_all(w, &m, err);
    if (ok)
        follow(w, &m);
    lock_drop(&defining);
    if (!ok)
        stand(w, &none, &none, NULL);
    lock_drop(&w->vm->writing);
    return ok;
}

/* ---- the operation ---- */

/* Entered again it has a part of its files already, which count as well: that must not end it. */
static bool reserve(struct work *w, struct err *err)
{
    struct err ignored = {0};
    const struct uuid *pool = &w->bundle.turn.pool;

    w->total = 2 * w->bundle.bytes; /* each is read again */
    if (!job_step_reached(w->job))
        return space_reserve(w->core, pool, job_id(w->job), w->bundle.bytes, "/pool", err) &&
               job_step(w->job, "copy", err);
    err_ignore(space_reserve(w->core, pool, job_id(w->job), w->bundle.bytes, "/pool", &ignored),
               &ignored);
    return true;
}

static bool make(struct work *w, struct err *err)
{
    if (!open_bundle(w, err) || !reserve(w, err))
        return false;
    pace_begin_at_once(&w->pace, w->core, w->vm, w->job);
    if (!copy_files(w, err) || !copy_extras(w, err))
        return false;
    if (job_cancelled(w->job))
        return err_set(err, ERR_CANCELLED, "cancelled before there was a VM");
    return define(w, err);
}

static bool run(struct core *core, struct job *job, struct err *err)
{
    CLEANUP(work_clear)
    struct work w = {.core = core, .job = job, .bundle = {.core = core, .dir = -1}};
    json_t *result;

    w.vm = vm_get_id(core, job_object(job), err);
    if (!w.vm)
        return false;
    result = json_object();
    json_put_text(result, "vm", UUID_STR(&w.vm->id));
    job_set_result(job, result);
    if (w.vm->phase != VM_DEFINED && !make(&w, err))
        return false;
    return !json_get_bool(job_args(job), "start", false) || vm_start_now(core, job, w.vm, err) ||
           err_prefix(err, "the VM was imported, but does not run");
}

static void settle(struct core *core, struct job *job, bool ok)
{
    struct err err = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, job_object(job), &err)};
    struct vm *vm = hold.vm;

    space_release(core, job_id(job));
    if (!vm)
        return;
    if (!ok && vm->phase == VM_CREATING)
        vm_new_undo(core, vm);
    else if (!ok)
        vm_start_undo(core, vm);
    vm_unclaim(core, vm, job_id(job));
}

const struct job_kind vm_import_kind = {.name = "vm.import",
                                        .lane = JOB_LANE_COPY,
                                        .cancellable = true,
                                        .limitable = true,
                                        .run = run,
                                        .settle = settle,
                                        .adopt = vm_adopt};
