/* What a move changes in the database, in one transaction, and then in memory: see inside.h. */
#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/disks.h"
#include "core/move/inside.h"
#include "core/snap/tree.h"
#include "core/vm/registry.h"

#include <stdlib.h>
#include <string.h>

bool move_write_copies(struct store_txn *txn, const struct move *m, const struct uuid *job,
                       struct err *err)
{
    for (size_t i = 0; i < m->n; i++)
        if (!layer_write(txn, &m->files[i].to, "creating", job, err))
            return false;
    return true;
}

static const struct move_file *leaf_of(const struct move *m, const struct uuid *disk)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->files[i].is_leaf && uuid_eq(&m->files[i].disk, disk))
            return &m->files[i];
    return NULL;
}

/* ---- configurations name the pools of their disks ---- */

static void change_spec(const struct move *m, struct vm_spec *spec)
{
    for (size_t i = 0; spec && i < spec->n_disks; i++) {
        const struct move_file *leaf = leaf_of(m, &spec->disks[i].id);
        if (!leaf)
            continue;
        free(spec->disks[i].pool);
        spec->disks[i].pool = str_dup(UUID_STR(&leaf->to.pool));
        if (uuid_is_zero(&leaf->to.parent))
            spec->disks[i].format = leaf->to.format;
    }
}

static bool has_moved(const struct move *m, const struct uuid *disk)
{
    bool any = false;

    for (size_t i = 0; i < m->n; i++)
        any |= uuid_eq(&m->files[i].disk, disk);
    return any;
}

/* That of a snapshot, as text; owned by the caller. It may have disks that the VM has no more. */
static char *changed_text(const struct move *m, const char *text)
{
    CLEANUP(json_decrefp) json_t *spec = json_loads(text, 0, NULL);
    json_t *disk;
    struct uuid id;
    size_t i;

    json_array_foreach (json_object_get(spec, "disks"), i, disk)
        if (uuid_parse(json_get_text(disk, "id"), &id) && has_moved(m, &id))
            json_put_text(disk, "pool", UUID_STR(&m->pool));
    return spec ? json_write(spec) : str_dup(text);
}

/* ---- rows ---- */

static bool write_files(struct store_txn *txn, const struct move *m, struct err *err)
{
    const struct uuid none = {0};

    for (size_t i = 0; i < m->n; i++)
        if (!move_is_image(&m->files[i]) && !layer_write(txn, &m->files[i].to, "live", &none, err))
            return false;
    for (size_t i = 0; i < m->n; i++)
        if (!move_is_image(&m->files[i]) &&
            !layer_write(txn, &m->files[i].from, "trash", job_id(m->job), err))
            return false;
    return move_write_images(txn, m, err);
}

static bool write_disks(struct store_txn *txn, const struct move *m, struct err *err)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->files[i].is_leaf &&
            !disk_write_moved(m->core, txn, &m->files[i].disk, &m->files[i].to, err))
            return false;
    return true;
}

/* With what it says of its disks changed; NULL when nothing of it moved. */
static struct snapshot_disk_record *changed_disks(const struct move *m, const struct snapshot *s)
{
    struct snapshot_disk_record *disks =
        s->n_disks ? mem_dup(s->disks, s->n_disks * sizeof *s->disks) : NULL;
    bool changed = false;

    for (size_t i = 0; i < s->n_disks; i++) {
        const struct move_file *f = move_find(m, &disks[i].file);
        if (!f)
            continue;
        disks[i].file = f->to.id;
        changed = true;
    }
    if (!changed)
        mem_freep(&disks);
    return disks;
}

static bool write_snapshots(struct store_txn *txn, const struct move *m, struct err *err)
{
    for (struct snapshot *s = m->vm->snapshots; s; s = s->next) {
        CLEANUP(mem_freep) struct snapshot_disk_record *disks = changed_disks(m, s);
        CLEANUP(mem_freep) char *spec = NULL;
        struct snapshot_record row;
        if (!disks && !move_find(m, &s->memory))
            continue;
        snapshot_record_fill(s, &row);
        row.memory = move_file_now(m, &s->memory);
        if (disks) {
            spec = changed_text(m, s->spec);
            row.disks = disks;
            row.spec = spec;
        }
        if (!store_snapshot_put(txn, &row, err))
            return false;
    }
    return true;
}

static json_t *event_of(const struct move *m)
{
    json_t *data = json_object();

    json_put_text(data, "name", m->vm->name);
    json_put_text(data, "pool", UUID_STR(&m->pool));
    return data;
}

/* 'spec' and 'active' are the VM's, changed; 'active' may be NULL. */
static bool write_vm(struct store_txn *txn, const struct move *m, const struct vm_spec *spec,
                     const struct vm_spec *active, struct err *err)
{
    CLEANUP(json_decrefp) json_t *json = model_encode(&vm_model, spec);
    CLEANUP(json_decrefp) json_t *active_json = active ? model_encode(&vm_model, active) : NULL;
    CLEANUP(mem_freep) char *text = json_write(json);
    CLEANUP(mem_freep) char *active_text = active ? json_write(active_json) : NULL;
    CLEANUP(mem_freep) char *leaves = NULL;
    struct vm_record record;
    struct vm_texts texts;
    bool ok;

    lock_take(&m->core->registry.lock);
    vm_record_fill(m->vm, &record, &texts);
    leaves = move_leaves_now(m, m->vm->memory_leaves);
    lock_drop(&m->core->registry.lock);
    record.spec = text;
    record.active = active_text;
    record.memory = move_file_now(m, &record.memory);
    record.memory_leaves = leaves;
    record.revision++;
    record.state_revision++;
    record.updated_ms = clock_wall_ms();
    ok = store_vm_put(txn, &record, err) &&
         event_add(txn, "vm.storage-moved", "vm", &m->vm->id, event_of(m), err);
    vm_texts_clear(&texts);
    return ok;
}

static bool write_all(struct move *m, const struct vm_spec *spec, const struct vm_spec *active,
                      struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(m->core->store, err);

    return txn && write_files(txn, m, err) && write_disks(txn, m, err) &&
           write_snapshots(txn, m, err) && write_vm(txn, m, spec, active, err) &&
           move_let_images_go(txn, m, err) && FAILPOINT("move.commit", err) &&
           store_commit(&txn, err);
}

/* ---- memory ---- */

static void apply_files(struct move *m) REQUIRES(m->core->registry.lock);
static void apply_files(struct move *m)
{
    for (size_t i = 0; i < m->n; i++) {
        struct file *from = file_find(m->core, &m->files[i].from.id);
        struct file *to = file_find(m->core, &m->files[i].to.id);
        if (move_is_image(&m->files[i]))
            continue;
        if (from)
            from->state = FILE_TRASH;
        if (to)
            to->state = FILE_LIVE;
        if (m->files[i].is_leaf)
            disk_set_leaf(m->core, &m->files[i].disk, &m->files[i].to);
    }
}

static void apply_snapshots(struct move *m) REQUIRES(m->core->registry.lock);
static void apply_snapshots(struct move *m)
{
    for (struct snapshot *s = m->vm->snapshots; s; s = s->next) {
        struct snapshot_disk_record *disks = changed_disks(m, s);
        char *spec;
        if (!disks)
            continue;
        spec = changed_text(m, s->spec);
        free(s->disks);
        free(s->spec);
        s->disks = disks;
        s->spec = spec;
    }
}

static void apply(struct move *m)
{
    struct vm *vm = m->vm;

    lock_take(&m->core->registry.lock);
    apply_files(m);
    apply_snapshots(m);
    move_apply_images(m);
    change_spec(m, &vm->spec);
    change_spec(m, vm->active);
    vm->revision++;
    vm->state_revision++;
    vm->updated_ms = clock_wall_ms();
    cond_wake_all(&m->core->registry.changed);
    lock_drop(&m->core->registry.lock);
}

bool move_commit(struct move *m, struct err *err)
{
    CLEANUP(vm_spec_freep) struct vm_spec *spec = NULL;
    CLEANUP(vm_spec_freep) struct vm_spec *active = NULL;
    bool ok;

    lock_take(&m->vm->writing);
    lock_take(&m->core->registry.lock);
    spec = vm_spec_copy(&m->vm->spec);
    active = m->vm->active ? vm_spec_copy(m->vm->active) : NULL;
    lock_drop(&m->core->registry.lock);
    change_spec(m, spec);
    change_spec(m, active);
    ok = write_all(m, spec, active, err);
    if (ok)
        apply(m);
    lock_drop(&m->vm->writing);
    if (ok) {
        events_ring(m->core);
        vm_copy_later(m->core, &m->vm->id);
    }
    return ok;
}

void move_drop_copies(struct move *m)
{
    CLEANUP(mem_freep) struct layer *list = mem_array(m->n + 1, sizeof *list);

    for (size_t i = 0; i < m->n; i++)
        list[i] = m->files[i].to;
    layers_remove(m->core, list, m->n);
}
