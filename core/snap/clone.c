/* Cloning a VM: the request. What the operation does is in clone_run.c. */
#include "core/snap/clone.h"

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/disks.h"
#include "core/disk/space.h"
#include "core/model/profile.h"
#include "core/ram/expand.h"
#include "core/ram/image.h"
#include "core/snap/cloning.h"
#include "core/snap/taking.h"
#include "core/user/sight_inside.h"
#include "core/vm/kinds.h"
#include "core/vm/registry.h"
#include "core/vm/vm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct request {
    struct core *core;
    const struct clone_ask *ask;
    struct vm *from;
    struct vm_spec spec;  /* of the new VM */
    struct uuid *parents; /* a file for each of its disks */
    struct uuid snapshot; /* zero: one is to be taken */
    struct uuid memory;   /* of that snapshot, with which the new VM goes on; zero: none */
    struct layer image;   /* a copy of it that is to be made; its id is zero: none */
    struct taking_plan taking;
    struct vm_new made;
    const struct job_kind *kind;
};

static void request_clear(struct request *r)
{
    if (r->from)
        vm_put(r->core, r->from);
    vm_spec_clear(&r->spec);
    free(r->parents);
    taking_plan_clear(&r->taking);
}

/* ---- what the new VM is ---- */

/* What the disk 'id' wrote to then, or writes to now. */
static struct file *file_of(struct request *r, const struct snapshot *s, const struct uuid *id)
    REQUIRES(r->core->registry.lock);
static struct file *file_of(struct request *r, const struct snapshot *s, const struct uuid *id)
{
    struct disk *disk;

    for (size_t i = 0; s && i < s->n_disks; i++)
        if (uuid_eq(&s->disks[i].disk, id))
            return file_find(r->core, &s->disks[i].file);
    disk = s ? NULL : disk_find(r->core, id);
    return disk ? file_find(r->core, &disk->leaf) : NULL;
}

/* The disks of the configuration become new ones on the files of the old. */
static bool turn_disks(struct request *r, const struct snapshot *s, json_t *disks, struct err *err)
    REQUIRES(r->core->registry.lock);
static bool turn_disks(struct request *r, const struct snapshot *s, json_t *disks, struct err *err)
{
    json_t *one;
    size_t i;

    r->parents = mem_array(json_array_size(disks) + 1, sizeof *r->parents);
    json_array_foreach (disks, i, one) {
        struct file *file = NULL;
        struct uuid id;
        if (uuid_parse(json_get_text(one, "id"), &id))
            file = file_of(r, s, &id);
        if (!file)
            return err_set(err, ERR_INTERNAL, "a disk of the VM has no file");
        r->parents[i] = file->id;
        json_object_del(one, "id");
        json_put_text(one, "pool", r->ask->pool ? r->ask->pool : UUID_STR(&file->pool));
        json_put_text(one, "format", disk_format_names[DISK_QCOW2]);
        json_put_u64(one, "size_bytes", file->size_bytes);
    }
    return true;
}

static json_t *spec_of(struct request *r, struct err *err)
{
    CLEANUP(json_decrefp) json_t *spec = NULL;
    struct snapshot *s = NULL;
    bool ok = true;

    lock_take(&r->core->registry.lock);
    if (r->ask->snapshot) {
        s = snapshot_need(r->core, r->from, r->ask->snapshot, err);
        spec = s ? json_loads(s->spec, 0, NULL) : NULL;
        r->snapshot = s ? s->id : (struct uuid){0};
        if (s)
            r->memory = s->memory;
    } else {
        spec = model_encode(&vm_model, &r->from->spec);
    }
    ok = spec && turn_disks(r, s, json_object_get(spec, "disks"), err);
    lock_drop(&r->core->registry.lock);
    if (!ok && !err->code)
        err_set(err, ERR_INTERNAL, "the snapshot's configuration cannot be read");
    return ok ? TAKE(spec) : NULL;
}

static bool may_make(struct request *r, struct err *err)
{
    struct selectable before, after;
    bool may;

    lock_take(&r->core->registry.lock); /* 'before' borrows what an edit lets go of */
    selectable_spec(&r->from->spec, &before);
    selectable_spec(&r->spec, &after);
    may = sight_may_become(r->core, &before, &after, err);
    lock_drop(&r->core->registry.lock);
    return may;
}

static bool make_spec(struct request *r, struct err *err)
{
    CLEANUP(json_decrefp) json_t *spec = spec_of(r, err);
    json_t *nic;
    size_t i;

    if (!spec)
        return r->ask->snapshot ? err_under(err, "/snapshot") : false;
    json_put_text(spec, "name", r->ask->name);
    json_object_del(spec, "generation_id");
    json_array_foreach (json_object_get(spec, "nics"), i, nic)
        json_object_del(nic, "mac");
    return vm_spec_decode(spec, &r->spec, err) && vm_spec_check(&r->spec, err) &&
           vm_media_check(r->core, NULL, &r->spec, err) && disks_plan(r->core, &r->spec, err) &&
           may_make(r, err);
}

static bool check_depth(struct request *r, struct err *err)
{
    size_t files = 0;

    for (size_t i = 0; i < r->spec.n_disks; i++) {
        size_t n;
        free(chain_of_leaf(r->core, &r->parents[i], &n));
        files += n + 1;
    }
    return files <= FILES_OF_A_VM_MAX ||
           err_set(err, ERR_WRONG_STATE,
                   "the new VM's disks would lie on %zu files, more than QEMU can open: delete "
                   "some snapshots first",
                   files);
}

/* All that a disk lies on, as far as it can have of it. */
static uint64_t bytes_below(struct request *r, size_t disk)
{
    CLEANUP(mem_freep) struct layer *chain = NULL;
    uint64_t bytes = 0;
    size_t n;

    chain = chain_of_leaf(r->core, &r->parents[disk], &n);
    for (size_t i = 0; i < n; i++)
        bytes += layer_allocated(&chain[i]);
    return bytes < r->spec.disks[disk].size_bytes ? bytes : r->spec.disks[disk].size_bytes;
}

/* 'at' is the first of the disks in its pool. */
static bool check_room_in_pool(struct request *r, size_t at, struct err *err)
{
    const char *ref = r->spec.disks[at].pool;
    uint64_t bytes = 0;
    struct pool *pool;
    struct uuid id;

    for (size_t i = at; i < r->spec.n_disks; i++)
        if (str_eq(r->spec.disks[i].pool, ref))
            bytes += bytes_below(r, i);
    lock_take(&r->core->registry.lock);
    pool = pool_find(r->core, ref);
    id = pool ? pool->id : (struct uuid){0};
    lock_drop(&r->core->registry.lock);
    return !bytes || space_check(r->core, &id, bytes, "/pool", err);
}

/* A full one has copies of all that. */
static bool check_room(struct request *r, struct err *err)
{
    for (size_t i = 0; r->ask->full && i < r->spec.n_disks; i++) {
        size_t first = 0;
        while (!str_eq(r->spec.disks[first].pool, r->spec.disks[i].pool))
            first++;
        if (first == i && !check_room_in_pool(r, i, err))
            return false;
    }
    return true;
}

static bool check_name_is_free(struct request *r, struct err *err)
{
    return !vm_name_is_taken(r->core, r->ask->name) ||
           err_field(err, ERR_EXISTS, "/name",
                     "there is a VM named '%s' already: choose another name", r->ask->name);
}

/* ---- from what ---- */

/* Operations that leave all files of a VM's snapshots where they are. */
static bool keeps_files(const char *kind)
{
    static const char *const kinds[] = {"vm.start",  "vm.shutdown", "vm.stop",       "vm.reset",
                                        "vm.pause",  "vm.resume",   "vm.restart",    "vm.snapshot",
                                        "vm.revert", "vm.clone",    "vm.clone-full", "vm.export"};

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (str_eq(kind, kinds[i]))
            return true;
    return false;
}

bool clone_source_is_free(const struct vm *vm, struct err *err)
{
    if (!vm->listed || vm->phase != VM_DEFINED)
        return err_set(err, ERR_WRONG_STATE, "%s is being %s", vm->name,
                       vm->phase == VM_CREATING ? "created" : "deleted");
    if (!uuid_is_zero(&vm->job) && !keeps_files(vm->job_kind))
        return err_set(err, ERR_BUSY,
                       "%s is held by the operation %s (%s), which moves files: wait "
                       "for it or cancel it",
                       vm->name, UUID_STR(&vm->job), vm->job_kind);
    return true;
}

/* Without a snapshot named it is claimed instead. */
static bool source_is_free(struct request *r, struct err *err) REQUIRES(r->core->registry.lock);
static bool source_is_free(struct request *r, struct err *err)
{
    return !r->ask->snapshot || clone_source_is_free(r->from, err);
}

static bool check_source(struct request *r, struct err *err)
{
    bool ok;

    lock_take(&r->core->registry.lock);
    ok = source_is_free(r, err);
    lock_drop(&r->core->registry.lock);
    return ok;
}

/* ---- submitting ---- */

/* A file that its snapshot has left is written to by now, or will be. */
static bool still_has(struct request *r, const struct uuid *file) REQUIRES(r->core->registry.lock);
static bool still_has(struct request *r, const struct uuid *file)
{
    const struct snapshot *s;
    bool has = uuid_is_zero(&r->snapshot);

    s = has ? NULL : snapshot_get(r->from, &r->snapshot);
    for (size_t i = 0; s && i < s->n_disks; i++)
        has |= uuid_eq(&s->disks[i].file, file);
    return has && file_find(r->core, file);
}

/* In one go with the check of the source: who removes files later sees these. */
static bool enlist_disks(struct request *r, struct vm *vm, struct err *err)
{
    bool ok;

    lock_take(&r->core->registry.lock);
    ok = source_is_free(r, err);
    for (size_t i = 0; ok && i < vm->spec.n_disks; i++)
        ok = still_has(r, &r->parents[i]) || err_set(err, ERR_NOT_FOUND, "the snapshot is gone");
    for (size_t i = 0; ok && i < vm->spec.n_disks; i++)
        disk_enlist_on(r->core, vm, i, &r->parents[i]);
    lock_drop(&r->core->registry.lock);
    return ok;
}

static bool write_rows(struct store_txn *txn, void *ctx, struct err *err)
{
    struct request *r = ctx;

    return (uuid_is_zero(&r->memory) || ram_image_hold(txn, &r->memory, err)) &&
           vm_new_rows(txn, &r->made, err) &&
           (!uuid_is_zero(&r->snapshot) || taking_plan_rows(txn, &r->taking, err));
}

/* A full clone's memory lies with its disks, where those lie elsewhere; one that is archived is
 * expanded there for each clone. */
static bool plan_image(struct request *r, struct err *err)
{
    const bool expanded = ram_expand_bytes(r->core, &r->memory) > 0;

    return uuid_is_zero(&r->memory) || !(expanded || (r->ask->full && r->spec.n_disks)) ||
           clone_image_plan(r->core, &r->memory, r->spec.n_disks ? r->spec.disks[0].pool : NULL,
                            &r->image, err);
}

/* Saved from the beginning: whoever lets go of the image before it is defined sees that. */
static void give_memory(struct request *r, struct vm *vm)
{
    CLEANUP(mem_freep) char *leaves = NULL;

    if (uuid_is_zero(&r->memory))
        return;
    leaves = ram_leaves_now(r->core, &vm->id);
    ram_vm_set(r->core, vm, &r->memory, leaves);
    lock_take(&r->core->registry.lock);
    if (!uuid_is_zero(&r->image.id)) {
        r->image.vm = vm->id;
        layer_enlist(r->core, &r->image, r->made.job);
    }
    vm->run = VM_SAVED;
    vm->desired = VM_DESIRED_SAVED;
    lock_drop(&r->core->registry.lock);
}

static json_t *args_of(struct request *r)
{
    json_t *args = json_object();

    json_put_text(args, "source", UUID_STR(&r->from->id));
    if (uuid_is_zero(&r->snapshot))
        json_put(args, "take", json_deep_copy(r->taking.args));
    else
        json_put_text(args, "snapshot", UUID_STR(&r->snapshot));
    if (!uuid_is_zero(&r->image.id)) {
        json_put(args, "image", ram_image_args(&r->image));
        json_put_text(args, "pool", UUID_STR(&r->image.pool));
        json_put_bool(args, "copies", true);
    }
    if (r->ask->start)
        json_put_bool(args, "start", true);
    if (r->ask->limited)
        json_put_u64(args, "bandwidth", r->ask->bytes_per_s);
    return args;
}

static bool submit(struct request *r, const struct origin *origin, struct uuid *op, struct uuid *id,
                   struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {r->core, vm_enlist(r->core, id, &r->spec, err)};
    struct vm *vm = hold.vm;
    struct job_order order = {.kind = r->kind,
                              .object_type = "vm",
                              .object = *id,
                              .id = *op,
                              .also = write_rows,
                              .ctx = r};

    if (!vm)
        return false;
    r->made = (struct vm_new){r->core, vm, op};
    order.object_name = vm->name;
    vm_new_begin(r->core, vm, op, r->kind->name);
    if (enlist_disks(r, vm, err)) {
        give_memory(r, vm);
        order.args = args_of(r);
        if (job_submit(r->core, &order, origin, err))
            return true;
        json_decref(order.args);
        disks_delist(r->core, id);
    }
    vm_delist(r->core, vm);
    return false;
}

/* With a snapshot to be taken of it, the VM is the operation's for that long. */
static bool take_and_submit(struct request *r, const struct origin *origin, struct uuid *op,
                            struct uuid *id, struct err *err)
{
    const struct uuid claim = origin->dry_run ? (struct uuid){0} : *op;
    char name[NAME_MAX_BYTES + 1];
    bool ok;

    lock_take(&r->from->writing);
    taking_name(r->core, r->from, "clone", r->ask->name, name);
    ok = vm_claim(r->core, r->from, VM_VERB_CLONE, &claim, r->kind->name, err);
    if (ok) {
        ok = make_spec(r, err) && check_depth(r, err) && check_room(r, err) &&
             taking_plan(r->core, r->from, name, "", &r->taking, err) &&
             (origin->dry_run || submit(r, origin, op, id, err));
        if (!ok)
            vm_unclaim(r->core, r->from, &claim);
    }
    lock_drop(&r->from->writing);
    return ok;
}

bool vm_clone(struct core *core, const char *ref, const struct clone_ask *ask,
              const struct origin *origin, struct uuid *op, struct uuid *id, struct err *err)
{
    CLEANUP(request_clear)
    struct request r = {.core = core,
                        .ask = ask,
                        .from = vm_get(core, ref, err),
                        .taking = {.job = op, .args = json_object()},
                        .kind = ask->full ? &vm_clone_full_kind : &vm_clone_kind};
    const struct uuid new_op = uuid_new();
    bool ok;

    *op = *id = (struct uuid){0};
    if (!r.from || !check_source(&r, err) || !check_name_is_free(&r, err))
        return false;
    if (!origin->dry_run) {
        *op = new_op;
        *id = uuid_new();
    }
    if (!ask->snapshot)
        ok = take_and_submit(&r, origin, op, id, err);
    else
        ok = make_spec(&r, err) && check_depth(&r, err) && check_room(&r, err) &&
             plan_image(&r, err) && check_source(&r, err) &&
             (origin->dry_run || submit(&r, origin, op, id, err));
    if (!ok)
        *op = *id = (struct uuid){0};
    return ok;
}

/* ---- what stands in the way ---- */

static void look(json_t *blockers, bool ok, struct err *why)
{
    if (!ok)
        json_add_err(blockers, why);
    *why = (struct err){0};
}

/* Of what the new VM would be. What is asked for and makes no sense is no blocker. */
static bool look_at_spec(struct request *r, json_t *blockers, struct err *err)
{
    char name[NAME_MAX_BYTES + 1];
    struct err why = {0};

    if (!make_spec(r, &why)) {
        if (why.code == ERR_NOT_FOUND || why.code == ERR_INVALID) {
            *err = why;
            return false;
        }
        look(blockers, false, &why);
        return true;
    }
    look(blockers, check_depth(r, &why), &why);
    look(blockers, check_room(r, &why), &why);
    if (r->ask->snapshot) {
        look(blockers, plan_image(r, &why), &why);
        return true;
    }
    taking_name(r->core, r->from, "clone", r->ask->name, name);
    look(blockers, taking_plan(r->core, r->from, name, "", &r->taking, &why), &why);
    return true;
}

/* A full one copies all that its disks lie on, and the memory is copied or expanded. */
static uint64_t bytes_of(struct request *r)
{
    uint64_t bytes = ram_expand_bytes(r->core, &r->memory);

    for (size_t i = 0; r->ask->full && r->parents && i < r->spec.n_disks; i++)
        bytes += bytes_below(r, i);
    return bytes;
}

static json_t *plan_json(struct request *r, json_t *blockers)
{
    const uint64_t bytes = bytes_of(r);
    json_t *plan = json_object();

    json_put(plan, "blockers", blockers);
    json_put_u64(plan, "bytes", bytes);
    json_put_u64(plan, "estimate_s", bytes ? bytes / GUESSED_BYTES_S + 1 : 0);
    return plan;
}

json_t *vm_clone_plan(struct core *core, const char *ref, const struct clone_ask *ask,
                      struct err *err)
{
    const struct uuid nobody = {0};
    CLEANUP(request_clear)
    struct request r = {.core = core,
                        .ask = ask,
                        .from = vm_get(core, ref, err),
                        .taking = {.job = &nobody, .args = json_object()}};
    CLEANUP(json_decrefp) json_t *blockers = json_array();
    struct err why = {0};
    bool ok;

    if (!r.from)
        return NULL;
    lock_take(&r.from->writing);
    look(blockers, check_source(&r, &why), &why);
    look(blockers, check_name_is_free(&r, &why), &why);
    if (!ask->snapshot)
        look(blockers, vm_claim(core, r.from, VM_VERB_CLONE, &nobody, NULL, &why), &why);
    ok = look_at_spec(&r, blockers, err);
    lock_drop(&r.from->writing);
    return ok ? plan_json(&r, json_incref(blockers)) : NULL;
}
