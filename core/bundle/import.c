/* A VM of a bundle: the request, and what differs here. What the operation does is in unpack.c. */
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/bundle/inside.h"
#include "core/core/parts.h"
#include "core/disk/disks.h"
#include "core/disk/media.h"
#include "core/disk/space.h"
#include "core/host/host.h"
#include "core/model/profile.h"
#include "core/snap/snap.h"
#include "core/vm/kinds.h"
#include "core/vm/registry.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct request {
    struct core *core;
    const struct import_ask *ask;
    struct opened bundle;
    struct vm_spec spec; /* of the VM; empty when it is not possible here */
    json_t *findings, *blockers;
    struct err first; /* of what stands in the way */
    struct vm_new made;
};

static void request_clear(struct request *r)
{
    opened_clear(&r->bundle);
    vm_spec_clear(&r->spec);
    json_decref(r->findings);
    json_decref(r->blockers);
}

/* ---- findings ---- */

static void find(struct request *r, const char *code, const char *effect, const char *detail,
                 const char *remedy)
{
    json_t *one = json_object();

    json_put_text(one, "code", code);
    json_put_text(one, "effect", effect);
    json_put_text(one, "detail", detail);
    json_put_text(one, "remedy", remedy);
    json_array_append_new(r->findings, one);
}

/* '*why' is used up. */
static void look(struct request *r, const char *code, bool ok, struct err *why, const char *remedy)
{
    if (!ok)
        find(r, code, "blocks", why->detail, remedy);
    bundle_block(r->blockers, &r->first, ok, why);
}

static bool medium_is_there(struct request *r, const char *name)
{
    struct err none = {0};
    CLEANUP(closep) int fd = media_open(r->core, name, &none);

    return fd >= 0;
}

/* Drives whose medium is not here are empty. */
static void look_at_media(struct request *r, json_t *spec)
{
    json_t *drive;
    size_t i;

    json_array_foreach (json_object_get(spec, "cdroms"), i, drive) {
        const char *name = json_get_text(drive, "media");
        CLEANUP(mem_freep) char *detail = NULL;
        if (!name || medium_is_there(r, name))
            continue;
        detail = str_format("there is no ISO file '%.127s' here: CD drive %zu is empty", name, i);
        find(r, "media", "changes", detail, "put the file into the folder media of a pool root");
        json_object_del(drive, "media");
    }
}

/* Of its disks alone: with a memory it is memory_fits() that says it. */
static void look_at_snapshots_media(struct request *r, const struct copy_snapshot *s)
{
    const json_t *drive;
    size_t i;

    if (!uuid_is_zero(&s->memory))
        return;
    json_array_foreach (json_object_get(s->spec, "cdroms"), i, drive) {
        const char *name = json_get_text(drive, "media");
        CLEANUP(mem_freep) char *detail = NULL;
        if (!name || medium_is_there(r, name))
            continue;
        detail = str_format("there is no ISO file '%.127s' here: gone back to the snapshot %.63s "
                            "the VM starts once it is there, or CD drive %zu is emptied",
                            name, s->name, i);
        find(r, "media", "changes", detail, "put the file into the folder media of a pool root");
    }
}

static bool make_spec(struct request *r, struct err *err)
{
    const struct vm_copy *copy = &r->bundle.bundle.copy;
    CLEANUP(json_decrefp) json_t *spec = json_deep_copy(copy->spec);
    struct uuid ids[VM_DISKS_MAX] = {{{0}}};
    json_t *one;
    size_t i;

    if (r->ask->name)
        json_put_text(spec, "name", r->ask->name);
    json_object_del(spec, "generation_id");
    json_array_foreach (json_object_get(spec, "disks"), i, one)
        if (i < VM_DISKS_MAX && uuid_parse(json_get_text(one, "id"), &ids[i]))
            json_object_del(one, "id");
    look_at_media(r, spec);
    for (i = 0; i < copy->n_snapshots; i++)
        look_at_snapshots_media(r, &copy->snapshots[i]);
    if (!vm_spec_decode(spec, &r->spec, err)) {
        r->spec = (struct vm_spec){0};
        return false;
    }
    for (i = 0; i < r->spec.n_disks; i++)
        r->spec.disks[i].id = ids[i];
    return vm_spec_check(&r->spec, err);
}

static bool name_is_free(struct request *r, struct err *err)
{
    const char *name =
        r->ask->name ? r->ask->name : json_get_text(r->bundle.bundle.copy.spec, "name");
    struct err none = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {r->core, vm_get(r->core, name, &none)};

    return !hold.vm ||
           err_field(err, ERR_EXISTS, "/name", "there is a VM named '%.63s' already", name);
}

/* A file that no disk knows may be all that is left of a VM (docs/recovery.md). */
static bool file_is_there(const struct layer *layer)
{
    char name[FILE_NAME_BYTES];

    layer_name(layer, name);
    return layer->dir >= 0 && faccessat(layer->dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool ids_are_free(struct request *r, struct err *err)
{
    const struct vm_copy *copy = &r->bundle.bundle.copy;
    struct err none = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {r->core, vm_get_id(r->core, &copy->id, &none)};
    bool taken = hold.vm != NULL;

    lock_take(&r->core->registry.lock);
    taken = taken || bundle_clashes(r->core, copy);
    for (size_t i = 0; i < copy->n_files; i++)
        taken = taken || file_find(r->core, &copy->files[i].id);
    lock_drop(&r->core->registry.lock);
    if (taken)
        return err_field(err, ERR_EXISTS, "/identity",
                         "the VM, or a disk, file or snapshot of it, is on this host");
    for (size_t i = 0; i < copy->n_files; i++)
        if (opened_takes(&r->bundle, i) && file_is_there(&r->bundle.layers[i]))
            return err_field(err, ERR_EXISTS, "/identity",
                             "the file %s is in the pool already, and no disk knows it",
                             UUID_STR(&copy->files[i].id));
    return true;
}

/* A guest that goes on has its media in its drives: none can be taken out meanwhile. */
static bool has_media(struct request *r, const struct vm_spec *spec, struct err *err)
{
    for (size_t i = 0; i < spec->n_cdroms; i++) {
        const char *name = spec->cdroms[i].media;
        if (str_eq(name, MEDIA_UNKNOWN))
            return err_set(err, ERR_UNSUPPORTED,
                           "what was in CD drive %zu when the guest's memory was written is not "
                           "known, as a change of it had failed: only drop_memory imports the VM",
                           i);
        if (name && !medium_is_there(r, name))
            return err_set(err, ERR_UNSUPPORTED,
                           "the guest's memory was written with the ISO file '%.127s' in CD drive "
                           "%zu, which is not here: put it into the folder media of a pool root",
                           name, i);
    }
    return true;
}

/* What the machine that wrote it said of itself, as for a start from it. */
static bool memory_fits(struct request *r, const struct copy_memory *m, struct err *err)
{
    const struct backend *backend = core_backend(r->spec.backend);
    CLEANUP(vm_spec_freep) struct vm_spec *spec = mem_alloc(sizeof *spec);
    char reason[256];
    enum vm_accel accel;

    if (!model_decode(&vm_model, m->spec, MODEL_STORED, spec, err)) {
        *spec = (struct vm_spec){0};
        return false;
    }
    return has_media(r, spec, err) &&
           host_choose_accel(r->core, (enum vm_accel)spec->accel, &accel, reason, err) &&
           (!backend->memory_fits || backend->memory_fits(m->made, spec, accel, err));
}

static void look_at_memories(struct request *r)
{
    const struct vm_copy *copy = &r->bundle.bundle.copy;
    struct err why = {0};

    if (r->bundle.turn.drop_memory && copy->n_memories)
        find(r, "memory-dropped", "changes",
             "the guest's memory is left behind: the VM is off, its snapshots are of its disks",
             "without drop_memory it comes along");
    for (size_t i = 0; !r->bundle.turn.drop_memory && i < copy->n_memories && !why.code; i++)
        if (!memory_fits(r, &copy->memories[i], &why)) {
            look(r, "memory", false, &why,
                 "drop_memory imports the VM off, and its snapshots with their disks alone");
            return;
        }
}

static bool has_room(struct request *r, struct err *err)
{
    const struct vm_copy *copy = &r->bundle.bundle.copy;

    for (size_t i = 0; i < copy->n_disks; i++)
        if (!space_check_disk(r->core, &r->bundle.turn.pool, copy->disks[i].size_bytes, "/pool",
                              err))
            return false;
    return space_check(r->core, &r->bundle.turn.pool, r->bundle.bytes, "/pool", err);
}

static void look_at_all(struct request *r)
{
    struct err why = {0};
    bool possible = make_spec(r, &why);

    look(r, "configuration", possible, &why, "change the host, or the VM before its export");
    look(r, "name", name_is_free(r, &why), &why, "give it another name");
    look(r, "identity", ids_are_free(r, &why), &why, "let it have new ids: identity new");
    if (possible)
        look_at_memories(r);
    look(r, "room", has_room(r, &why), &why, "make room, or name another pool");
}

static json_t *plan_json(const struct request *r)
{
    const uint64_t rate = r->ask->bytes_per_s ? r->ask->bytes_per_s : BUNDLE_GUESSED_BYTES_S;
    json_t *plan = json_object();

    json_put(plan, "blockers", json_incref(r->blockers));
    json_put(plan, "findings", json_incref(r->findings));
    json_put_text(plan, "bundle", r->ask->bundle);
    json_put_text(plan, "root", r->bundle.root);
    json_put_u64(plan, "files", r->bundle.bundle.n_files);
    json_put_u64(plan, "bytes", r->bundle.bytes);
    json_put_u64(plan, "estimate_s", r->bundle.bytes / rate + 1);
    return plan;
}

/* ---- submitting ---- */

/* A file, and before it what it lies on: in memory a parent comes first. */
static bool enlist_file(struct request *r, size_t at, struct err *err)
    REQUIRES(r->core->registry.lock);
static bool enlist_file(struct request *r, size_t at, struct err *err)
{
    const struct vm_copy *copy = &r->bundle.bundle.copy;
    const struct layer *path[FILE_CHAIN_MAX + 1];
    const struct copy_file *f = &copy->files[at];
    size_t depth = 0;

    while (f && depth <= FILE_CHAIN_MAX) {
        const struct file *there = file_find(r->core, &f->id);
        if (there && !uuid_eq(&there->vm, &copy->id))
            return err_field(err, ERR_EXISTS, "/identity", "a file of it is on this host by now");
        if (there)
            break;
        path[depth++] = &r->bundle.layers[f - copy->files];
        f = uuid_is_zero(&f->parent) ? NULL : vm_copy_file(copy, &f->parent);
    }
    while (depth--)
        layer_enlist(r->core, path[depth], r->made.job);
    return true;
}

static bool enlist_disks(struct request *r, const struct vm *vm, struct err *err)
    REQUIRES(r->core->registry.lock);
static bool enlist_disks(struct request *r, const struct vm *vm, struct err *err)
{
    const struct vm_copy *copy = &r->bundle.bundle.copy;

    for (size_t i = 0; i < copy->n_disks; i++) {
        const struct copy_disk *d = &copy->disks[i];
        struct disk *disk;
        if (disk_find(r->core, &d->id))
            return err_field(err, ERR_EXISTS, "/identity", "a disk of it is on this host by now");
        disk = mem_alloc(sizeof *disk);
        *disk = (struct disk){.id = d->id,
                              .vm = vm->id,
                              .pool = d->pool,
                              .position = d->position,
                              .size_bytes = d->size_bytes,
                              .format = d->format,
                              .bus = d->bus,
                              .leaf = d->leaf,
                              .created_ms = vm->created_ms};
        disk_index_add(r->core, disk);
    }
    return true;
}

static bool enlist(struct request *r, const struct vm *vm, struct err *err)
{
    bool ok = true;

    lock_take(&r->core->registry.lock);
    for (size_t i = 0; ok && i < r->bundle.bundle.n_files; i++)
        ok = !opened_takes(&r->bundle, i) || enlist_file(r, i, err);
    ok = ok && enlist_disks(r, vm, err);
    lock_drop(&r->core->registry.lock);
    return ok;
}

static json_t *args_of(const struct request *r)
{
    json_t *args = json_object();

    json_put_text(args, "bundle", r->ask->bundle);
    json_put_text(args, "document", r->bundle.text_digest);
    json_put_text(args, "pool", UUID_STR(&r->bundle.turn.pool));
    json_put_bool(args, "keep", r->bundle.turn.keep);
    json_put_bool(args, "drop_memory", r->bundle.turn.drop_memory);
    if (r->ask->start)
        json_put_bool(args, "start", true);
    if (r->ask->limited)
        json_put_u64(args, "bandwidth", r->ask->bytes_per_s);
    return args;
}

static bool write_rows(struct store_txn *txn, void *ctx, struct err *err)
{
    struct request *r = ctx;

    return vm_new_rows(txn, &r->made, err) && FAILPOINT("import.rows", err);
}

static bool submit(struct request *r, const struct origin *origin, const struct uuid *op,
                   struct err *err)
{
    const struct uuid id = r->bundle.bundle.copy.id;
    CLEANUP(vm_drop) struct vm_hold hold = {r->core, vm_enlist(r->core, &id, &r->spec, err)};
    struct vm *vm = hold.vm;
    struct job_order order = {.kind = &vm_import_kind,
                              .object_type = "vm",
                              .object = id,
                              .id = *op,
                              .also = write_rows,
                              .ctx = r};

    if (!vm)
        return false;
    r->made = (struct vm_new){r->core, vm, op};
    order.object_name = vm->name;
    vm_new_begin(r->core, vm, op, vm_import_kind.name);
    if (enlist(r, vm, err)) {
        order.args = args_of(r);
        if (job_submit(r->core, &order, origin, err))
            return true;
        json_decref(order.args);
    }
    disks_delist(r->core, &id);
    vm_delist(r->core, vm);
    return false;
}

bool vm_import(struct core *core, const struct import_ask *ask, const struct origin *origin,
               struct uuid *op, json_t **plan, struct err *err)
{
    CLEANUP(request_clear)
    struct request r = {
        .core = core,
        .ask = ask,
        .findings = json_array(),
        .blockers = json_array(),
        .bundle = {
            .core = core,
            .dir = -1,
            .turn = {.job = uuid_new(), .keep = ask->keep, .drop_memory = ask->drop_memory}}};
    char root[NAME_MAX_BYTES + 1];

    *op = (struct uuid){0};
    if (!bundle_pool(core, ask->pool, &r.bundle.turn.pool, root, err) ||
        !opened_read(&r.bundle, ask->bundle, err))
        return false;
    look_at_all(&r);
    if (origin->dry_run) {
        *plan = plan_json(&r);
        return true;
    }
    if (r.first.code) {
        *err = r.first;
        return false;
    }
    if (!submit(&r, origin, &r.bundle.turn.job, err))
        return false;
    *op = r.bundle.turn.job;
    return true;
}
