/* Rows of a scan: see rebuild.h. Parents come before what refers to them; a VM is put twice, since
 * its memory's file refers to it. */
#include "core/rebuild/rebuild.h"

#include "core/base/failpoint.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/state.h"
#include "core/port/store.h"

#include <string.h>

#define NO_SLOT UINT32_MAX
#define NO_ID   ((struct uuid){{0}})

struct filling {
    const struct scan *scan;
    struct store_txn *txn;
    struct err *err;
};

uint32_t rebuild_epoch(const struct scan *scan)
{
    return (uint32_t)(scan->generation >> 32 & INT32_MAX);
}

static bool put_pools(const struct filling *f)
{
    for (const struct scan_pool *p = f->scan->pools; p; p = p->hh.next) {
        const struct pool_record row = {
            .id = p->id,
            .name = p->name,
            .root = p->as->root,
            .created_ms = (int64_t)p->as->created_ms,
            .quota_bytes = p->as->quota_bytes,
            .reserve_bytes = p->as->reserve_bytes,
            .default_format = disk_format_names[p->as->default_format],
        };
        if (!store_pool_put(f->txn, &row, f->err))
            return false;
    }
    return true;
}

static bool is_saved(const struct scan_vm *vm)
{
    return !uuid_is_zero(&vm->copy.memory) && !vm->memory_lost;
}

static const char *reason_of(const struct scan_vm *vm)
{
    enum vm_reason reason;

    return is_saved(vm) && vm->copy.reason && vm_reason_parse(vm->copy.reason, &reason)
               ? vm->copy.reason
               : vm_reason_text(VM_REASON_NONE);
}

/* Nothing runs: it is off, or saved if its memory is there. */
static bool put_vm(const struct filling *f, const struct scan_vm *vm, bool with_memory)
{
    CLEANUP(json_decrefp) json_t *spec = model_encode(&vm_model, vm->spec);
    CLEANUP(mem_freep) char *text = json_write(spec);
    bool saved = with_memory && is_saved(vm);
    const struct vm_record row = {
        .id = vm->id,
        .name = vm->spec->name,
        .spec = text,
        .phase = "defined",
        .run = vm_run_text(saved ? VM_SAVED : VM_OFF),
        .reason = reason_of(vm),
        .desired = vm_desired_text(saved ? VM_DESIRED_SAVED : VM_DESIRED_OFF),
        .stands_on = vm->copy.stands_on,
        .memory = saved ? vm->copy.memory : NO_ID,
        .memory_leaves = saved ? vm->copy.memory_leaves : NULL,
        .slot = NO_SLOT,
        .revision = vm->copy.revision ? vm->copy.revision : 1,
        .state_revision = 1,
        .created_ms = (int64_t)vm->copy.created_ms,
        .updated_ms = (int64_t)vm->copy.updated_ms,
        .state_since_ms = (int64_t)vm->copy.updated_ms,
    };

    return store_vm_put(f->txn, &row, f->err);
}

static bool put_vms(const struct filling *f, bool with_memory)
{
    for (const struct scan_vm *vm = f->scan->vms; vm; vm = vm->hh.next)
        if (scan_takes(f->scan, vm) && !put_vm(f, vm, with_memory))
            return false;
    return true;
}

/* Whose a file is whose VM is not made: of the one that refers to it, else nobody's. */
static struct uuid owner_of(const struct filling *f, const struct scan_file *file)
{
    const struct scan_vm *vm = scan_vm_find(f->scan, &file->as->vm);

    if (vm && scan_takes(f->scan, vm))
        return vm->id;
    return file->needed_by ? file->needed_by->id : NO_ID;
}

static bool put_file(const struct filling *f, struct scan_file *file)
{
    char name[SCAN_NAME_BYTES];
    const struct file_record row = {.id = file->id,
                                    .pool = file->as->pool,
                                    .name = name,
                                    .role = copy_roles[file->as->role],
                                    .state = "live",
                                    .format = disk_format_names[file->as->format],
                                    .size_bytes = file->as->size_bytes,
                                    .parent = file->as->parent,
                                    .vm = owner_of(f, file)};

    scan_file_name(file->as, name);
    file->made = true;
    return store_file_put(f->txn, &row, f->err);
}

/* From the base up. The scan has seen that every chain ends. */
static bool put_chain(const struct filling *f, struct scan_file *file)
{
    struct scan_file *next, *below;

    while (!file->made) {
        next = file;
        while ((below = scan_file_find(f->scan, &next->as->parent)) && !below->made)
            next = below;
        if (!put_file(f, next))
            return false;
    }
    return true;
}

/* A memory that is not there has no row: nothing refers to it. */
static bool is_wanted(const struct scan_file *file)
{
    return file->needed && !(file->as->role == COPY_MEMORY && file->missing);
}

static bool put_files(const struct filling *f)
{
    for (struct scan_file *file = f->scan->files; file; file = file->hh.next)
        if (is_wanted(file) && !put_chain(f, file))
            return false;
    return true;
}

static bool put_memory(const struct filling *f, const struct copy_memory *m)
{
    CLEANUP(mem_freep) char *spec = json_write(m->spec);
    const struct memory_record row = {.file = m->file,
                                      .made = m->made,
                                      .spec = spec,
                                      .leaves = m->leaves,
                                      .way = m->way,
                                      .held_bytes = m->held_bytes,
                                      .pause_us = m->pause_us,
                                      .took_ms = m->took_ms,
                                      .created_ms = (int64_t)m->created_ms,
                                      .packed_bytes = m->packed_bytes,
                                      .plain_bytes = m->plain_bytes};

    return store_memory_put(f->txn, &row, f->err);
}

static bool put_disk(const struct filling *f, const struct scan_vm *vm, const struct copy_disk *d)
{
    const struct disk_record row = {.id = d->id,
                                    .vm = vm->id,
                                    .pool = scan_file_find(f->scan, &d->leaf)->as->pool,
                                    .position = d->position,
                                    .size_bytes = d->size_bytes,
                                    .format = disk_format_names[d->format],
                                    .bus = disk_bus_names[d->bus],
                                    .leaf = d->leaf,
                                    .created_ms = (int64_t)d->created_ms};

    return store_disk_put(f->txn, &row, f->err);
}

static bool put_snapshot(const struct filling *f, const struct scan_vm *vm,
                         const struct copy_snapshot *s)
{
    const struct scan_file *memory = scan_file_find(f->scan, &s->memory);
    bool lost = memory && memory->missing;
    CLEANUP(mem_freep) char *spec = json_write(s->spec);
    CLEANUP(mem_freep)
    struct snapshot_disk_record *disks = mem_array(s->n_disks + 1, sizeof *disks);
    const struct snapshot_record row = {
        .id = s->id,
        .vm = vm->id,
        .name = s->name,
        .notes = s->notes ? s->notes : "",
        .parent = s->parent,
        .level = memory && !lost ? "running" : "disk",
        .spec = spec,
        .created_ms = (int64_t)s->created_ms,
        .memory = lost ? NO_ID : s->memory,
        .memory_state = lost ? "lost" : copy_memory_states[s->memory_state],
        .memory_note =
            lost ? "its image was not there when the database was rebuilt" : s->memory_note,
        .disks = disks,
        .n_disks = s->n_disks,
    };

    for (size_t i = 0; i < s->n_disks; i++)
        disks[i] = (struct snapshot_disk_record){
            .disk = s->disks[i].disk, .file = s->disks[i].file, .position = s->disks[i].position};
    return store_snapshot_put(f->txn, &row, f->err);
}

/* Those whose parent has its row, round after round: they are no more than there are levels, and
 * oldest first one is enough. */
static bool put_snapshots(const struct filling *f, const struct scan_vm *vm)
{
    const struct vm_copy *copy = &vm->copy;
    CLEANUP(mem_freep) bool *done = mem_array(copy->n_snapshots + 1, sizeof *done);

    for (size_t left = copy->n_snapshots; left;) {
        for (size_t i = 0; i < copy->n_snapshots; i++) {
            const struct copy_snapshot *s = &copy->snapshots[i];
            size_t p = 0;
            while (p < copy->n_snapshots && !uuid_eq(&copy->snapshots[p].id, &s->parent))
                p++;
            if (done[i] || (p < copy->n_snapshots && !done[p]))
                continue;
            if (!put_snapshot(f, vm, s))
                return false;
            done[i] = true;
            left--;
        }
    }
    return true;
}

static bool put_parts(const struct filling *f, const struct scan_vm *vm)
{
    for (size_t i = 0; i < vm->copy.n_memories; i++) {
        const struct scan_file *file = scan_file_find(f->scan, &vm->copy.memories[i].file);
        if (file->made && !put_memory(f, &vm->copy.memories[i]))
            return false;
    }
    for (size_t i = 0; i < vm->copy.n_disks; i++)
        if (!put_disk(f, vm, &vm->copy.disks[i]))
            return false;
    return put_snapshots(f, vm);
}

static bool put_templates(const struct filling *f)
{
    const struct host_copy *host = &f->scan->host;

    for (size_t i = 0; i < host->n_templates; i++) {
        const struct copy_template *t = &host->templates[i];
        CLEANUP(mem_freep) char *content = json_write(t->content);
        const struct template_record row = {.id = t->id,
                                            .name = t->name,
                                            .content = content,
                                            .revision = t->revision ? t->revision : 1,
                                            .created_ms = (int64_t)t->created_ms,
                                            .updated_ms = (int64_t)t->updated_ms,
                                            .created_by = t->created_by};
        if (f->scan->takes_template[i] && !store_template_put(f->txn, &row, f->err))
            return err_prefix(f->err, "the template %s", t->name);
    }
    return true;
}

static bool put_spared(const struct filling *f)
{
    for (size_t i = 0; i < f->scan->n_orphans; i++)
        if (!store_spare_put(f->txn, &f->scan->orphans[i].pool, f->scan->orphans[i].name, f->err))
            return false;
    return true;
}

bool rebuild_fill(const struct scan *scan, struct store *store, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(store, err);
    const struct filling f = {scan, txn, err};

    if (!txn || !put_pools(&f) || !put_vms(&f, false) || !put_files(&f))
        return false;
    for (const struct scan_vm *vm = scan->vms; vm; vm = vm->hh.next)
        if (scan_takes(scan, vm) && !put_parts(&f, vm))
            return err_prefix(err, "the VM %s", vm->spec->name);
    return put_vms(&f, true) && put_templates(&f) && put_spared(&f) &&
           FAILPOINT("rebuild.fill", err) && store_commit(&txn, err);
}
