/* Snapshots in memory: see tree.h. */
#include "core/snap/tree.h"

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/vm/registry.h"

#include <stdlib.h>
#include <string.h>

void snapshot_free(struct snapshot *s)
{
    free(s->name);
    free(s->notes);
    free(s->spec);
    free(s->memory_note);
    free(s->disks);
    free(s);
}

struct snapshot *snapshot_get(struct vm *vm, const struct uuid *id)
{
    struct snapshot *s = vm->snapshots;

    while (s && !uuid_eq(&s->id, id))
        s = s->next;
    return s;
}

struct snapshot *snapshot_find(struct vm *vm, const char *ref)
{
    struct snapshot *s = vm->snapshots;
    struct uuid id;

    if (uuid_parse(ref, &id))
        return snapshot_get(vm, &id);
    while (s && strcmp(s->name, ref) != 0)
        s = s->next;
    return s;
}

struct snapshot *snapshot_need(struct core *core, struct vm *vm, const char *ref, struct err *err)
{
    struct snapshot *s = snapshot_find(vm, ref);

    if (!s)
        err_set(err, ERR_NOT_FOUND, "%s has no snapshot '%.64s'", vm->name, ref);
    return s;
}

void snapshot_enlist(struct vm *vm, struct snapshot *snapshot)
{
    struct snapshot **at = &vm->snapshots;

    while (*at)
        at = &(*at)->next;
    *at = snapshot;
}

void snapshot_delist(struct vm *vm, struct snapshot *snapshot)
{
    struct snapshot **at = &vm->snapshots;

    while (*at != snapshot)
        at = &(*at)->next;
    *at = snapshot->next;
    snapshot_free(snapshot);
}

unsigned snapshots_with_file(struct vm *vm, const struct uuid *file)
{
    unsigned n = 0;

    for (struct snapshot *s = vm->snapshots; s; s = s->next)
        for (size_t i = 0; i < s->n_disks; i++)
            n += uuid_eq(&s->disks[i].file, file);
    return n;
}

static const char *const memory_states[] = {"none", "streaming", "ready", "lost", NULL};

const char *snapshot_level(const struct snapshot *s)
{
    return s->memory_state == SNAPSHOT_STREAMING || s->memory_state == SNAPSHOT_READY ? "running"
                                                                                      : "disk";
}

const char *snapshot_memory_text(const struct snapshot *s)
{
    return memory_states[s->memory_state];
}

static enum snapshot_memory memory_state_of(const char *text)
{
    for (int i = 0; memory_states[i]; i++)
        if (str_eq(memory_states[i], text))
            return (enum snapshot_memory)i;
    return SNAPSHOT_NO_MEMORY;
}

void snapshot_record_fill(const struct snapshot *s, struct snapshot_record *record)
{
    *record = (struct snapshot_record){.id = s->id,
                                       .vm = s->vm,
                                       .name = s->name,
                                       .notes = s->notes,
                                       .parent = s->parent,
                                       .level = snapshot_level(s),
                                       .spec = s->spec,
                                       .created_ms = s->created_ms,
                                       .memory = s->memory,
                                       .memory_state = memory_states[s->memory_state],
                                       .memory_note = s->memory_note,
                                       .disks = s->disks,
                                       .n_disks = s->n_disks};
}

static bool remove_branch(struct store_txn *txn, struct vm *vm, const struct uuid *id,
                          struct err *err)
{
    for (struct snapshot *s = vm->snapshots; s; s = s->next)
        if (uuid_eq(&s->parent, id) && !remove_branch(txn, vm, &s->id, err))
            return false;
    return uuid_is_zero(id) || store_snapshot_remove(txn, id, err);
}

bool snapshots_remove_rows(struct store_txn *txn, struct vm *vm, struct err *err)
{
    const struct uuid root = {0};

    return remove_branch(txn, vm, &root, err);
}

static bool load(void *ctx, const struct snapshot_record *r)
{
    struct core *core = ctx;
    struct err err = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, &r->vm, &err)};
    struct snapshot *s;

    if (!hold.vm) {
        log_error("the snapshot %s belongs to a VM that cannot be read", r->name);
        return true;
    }
    s = mem_alloc(sizeof *s);
    *s = (struct snapshot){.id = r->id,
                           .vm = r->vm,
                           .parent = r->parent,
                           .name = str_dup(r->name),
                           .notes = str_dup(r->notes),
                           .spec = str_dup(r->spec),
                           .created_ms = r->created_ms,
                           .memory = r->memory,
                           .memory_state = memory_state_of(r->memory_state),
                           .memory_note = str_dup(r->memory_note),
                           .disks =
                               r->n_disks ? mem_dup(r->disks, r->n_disks * sizeof *r->disks) : NULL,
                           .n_disks = r->n_disks};
    lock_take(&core->registry.lock);
    snapshot_enlist(hold.vm, s);
    lock_drop(&core->registry.lock);
    return true;
}

bool snapshots_load(struct core *core, struct err *err)
{
    return store_snapshot_each(core->store, load, core, err);
}
