/* Snapshots as the API shows them, and renaming them. See snap.h. */
#include "core/base/failpoint.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/page.h"
#include "core/ram/image.h"
#include "core/snap/snap.h"
#include "core/snap/tree.h"
#include "core/user/sight_inside.h"
#include "core/vm/registry.h"

#include <stdlib.h>
#include <string.h>

static uint64_t memory_bytes(struct core *core, const struct snapshot *s)
    REQUIRES(core->registry.lock);
static uint64_t memory_bytes(struct core *core, const struct snapshot *s)
{
    const struct file *file = file_find(core, &s->memory);
    const struct layer layer = file ? layer_of_file(core, file) : (struct layer){.dir = -1};

    return layer_allocated(&layer);
}

/* What its files take on the disk: what the VM wrote between the snapshot before and this one, and
 * the guest's memory. */
static uint64_t own_bytes(struct core *core, const struct snapshot *s)
    REQUIRES(core->registry.lock);
static uint64_t own_bytes(struct core *core, const struct snapshot *s)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < s->n_disks; i++) {
        struct file *file = file_find(core, &s->disks[i].file);
        if (file) {
            const struct layer layer = layer_of_file(core, file);
            sum += layer_allocated(&layer);
        }
    }
    return sum + memory_bytes(core, s);
}

/* How many VMs' files, or files of VMs that are gone, lie on its own. */
static unsigned clones_on(struct core *core, const struct snapshot *s)
    REQUIRES(core->registry.lock);
static unsigned clones_on(struct core *core, const struct snapshot *s)
{
    unsigned most = 0;

    for (size_t i = 0; i < s->n_disks; i++) {
        struct file *file = file_find(core, &s->disks[i].file);
        if (file && file->lent > most)
            most = file->lent;
    }
    return most;
}

/* null: it never had one. */
static json_t *memory_of(struct core *core, const struct snapshot *s) REQUIRES(core->registry.lock);
static json_t *memory_of(struct core *core, const struct snapshot *s)
{
    json_t *v;

    if (s->memory_state == SNAPSHOT_NO_MEMORY)
        return NULL;
    v = s->memory_state == SNAPSHOT_READY ? ram_image_json(core, &s->memory) : NULL;
    if (!v)
        v = json_object();
    json_put_text(v, "state", snapshot_memory_text(s));
    json_put_text(v, "note", s->memory_note);
    return v;
}

static json_t *view(struct core *core, const struct vm *vm, const struct snapshot *s, bool bytes)
    REQUIRES(core->registry.lock);
static json_t *view(struct core *core, const struct vm *vm, const struct snapshot *s, bool bytes)
{
    json_t *v = json_object();

    json_put_text(v, "id", UUID_STR(&s->id));
    json_put_text(v, "vm", UUID_STR(&s->vm));
    json_put_text(v, "name", s->name);
    json_put_text(v, "notes", s->notes);
    json_put_text(v, "parent", uuid_is_zero(&s->parent) ? NULL : UUID_STR(&s->parent));
    json_put_text(v, "consistency", snapshot_level(s));
    json_put(v, "memory", memory_of(core, s));
    json_put(v, "current", json_boolean(uuid_eq(&vm->stands_on, &s->id)));
    json_put_u64(v, "disks", s->n_disks);
    json_put_u64(v, "clones", clones_on(core, s));
    json_put_bool(v, "has_screenshot", picture_is_there(core, vm, &s->id));
    if (bytes)
        json_put_u64(v, "file_bytes", own_bytes(core, s));
    json_put_time(v, "created_at", s->created_ms);
    return v;
}

bool snapshot_vm(struct core *core, const char *text, char vm[UUID_TEXT], struct err *err)
{
    struct vm *at, *next;
    bool found = false;
    struct uuid id;

    if (!uuid_parse(text, &id))
        return err_set(err, ERR_NOT_FOUND, "'%.64s' is not the id of a snapshot", text);
    lock_take(&core->registry.lock);
    HASH_ITER (by_id, core->registry.vms_by_id, at, next) {
        if (found || !snapshot_get(at, &id) || !sight_vm(core, at, RIGHT_VM_READ))
            continue;
        uuid_text(&at->id, vm);
        found = true;
    }
    lock_drop(&core->registry.lock);
    return found || err_set(err, ERR_NOT_FOUND, "there is no snapshot %s", text);
}

json_t *snapshot_show(struct core *core, const char *ref, const char *snapshot, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get(core, ref, err)};
    struct snapshot *s;
    json_t *v = NULL;

    if (!hold.vm)
        return NULL;
    lock_take(&core->registry.lock);
    s = snapshot_need(core, hold.vm, snapshot, err);
    if (s)
        v = view(core, hold.vm, s, true);
    lock_drop(&core->registry.lock);
    return v;
}

bool snapshot_list(struct core *core, const char *ref, const struct query *query,
                   struct strbuf *out, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get(core, ref, err)};
    CLEANUP(page_clear) struct page page = {.query = query};

    if (!hold.vm)
        return false;
    lock_take(&core->registry.lock);
    for (struct snapshot *s = hold.vm->snapshots; s; s = s->next)
        page_offer(&page, view(core, hold.vm, s, true));
    lock_drop(&core->registry.lock);
    page_write(&page, NULL, NULL, out);
    return true;
}

/* ---- editing ---- */

static bool check_edit(struct core *core, struct vm *vm, struct snapshot *s, const char *name,
                       struct err *err) REQUIRES(core->registry.lock);
static bool check_edit(struct core *core, struct vm *vm, struct snapshot *s, const char *name,
                       struct err *err)
{
    struct snapshot *other = name ? snapshot_find(vm, name) : NULL;

    if (other && other != s)
        return err_field(err, ERR_EXISTS, "/name", "the VM has a snapshot '%s' already", name);
    /* An operation has chosen its names already. */
    return uuid_is_zero(&vm->job) ||
           err_set(err, ERR_BUSY, "%s is busy with the operation %s", vm->name, vm->job_kind);
}

static bool write_edit(struct core *core, const struct snapshot_record *row,
                       const struct origin *origin, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(core->store, err);
    json_t *data;

    if (!txn)
        return false;
    data = json_object();
    json_put_text(data, "name", row->name);
    json_put_text(data, "vm", UUID_STR(&row->vm));
    return idem_add(txn, origin, "snapshot", &row->id, err) && store_snapshot_put(txn, row, err) &&
           event_add(txn, "snapshot.changed", "snapshot", &row->id, data, err) &&
           FAILPOINT("snapshot.edit", err) && store_commit(&txn, err);
}

static void replace(char **text, const char *with)
{
    if (!with)
        return;
    free(*text);
    *text = str_dup(with);
}

json_t *snapshot_edit(struct core *core, const char *ref, const char *snapshot, const char *name,
                      const char *notes, const struct origin *origin, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get(core, ref, err)};
    struct snapshot_record row;
    struct snapshot *s;
    json_t *v = NULL;
    bool ok;

    if (!hold.vm)
        return NULL;
    lock_take(&hold.vm->writing);
    lock_take(&core->registry.lock);
    s = snapshot_need(core, hold.vm, snapshot, err);
    ok = s && check_edit(core, hold.vm, s, name, err);
    lock_drop(&core->registry.lock);
    if (ok) {
        snapshot_record_fill(s, &row);
        row.name = name ? name : s->name;
        row.notes = notes ? notes : s->notes;
        ok = origin->dry_run || write_edit(core, &row, origin, err);
    }
    if (ok) {
        lock_take(&core->registry.lock);
        if (!origin->dry_run) {
            replace(&s->name, name);
            replace(&s->notes, notes);
        }
        v = view(core, hold.vm, s, true);
        lock_drop(&core->registry.lock);
    }
    lock_drop(&hold.vm->writing);
    if (ok)
        events_ring(core);
    if (ok && !origin->dry_run)
        vm_copy_later(core, &hold.vm->id);
    return v;
}
