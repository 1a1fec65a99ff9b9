/* Memory images that go along when all of a VM moves: see inside.h, and docs/memory.md, "Move".
 *
 * An image is never written again, so it is copied as a layer that nobody writes to is: beside the
 * guest, compared, and without the guest noticing. A guest that has it mapped keeps the old file
 * until its VM stops. */
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/disks.h"
#include "core/move/inside.h"
#include "core/ram/image.h"
#include "core/snap/tree.h"
#include "core/vm/registry.h"

#include <stdlib.h>

/* ---- which ---- */

static void add_image(struct move *m, const struct uuid *id) REQUIRES(m->core->registry.lock);
static void add_image(struct move *m, const struct uuid *id)
{
    const struct file *file = uuid_is_zero(id) ? NULL : file_find(m->core, id);

    if (file && file->image && file->state == FILE_LIVE && uuid_eq(&file->vm, &m->vm->id) &&
        !uuid_eq(&file->pool, &m->pool) && !move_find(m, id) &&
        !ram_image_is_borrowed(m->core, file))
        move_add(m, file, NULL, -1);
}

void move_add_images(struct move *m)
{
    add_image(m, &m->vm->memory);
    for (const struct snapshot *s = m->vm->snapshots; s; s = s->next)
        add_image(m, &s->memory);
}

/* ---- rows ---- */

static void drop_facts(struct ram_image **facts)
{
    ram_image_free(*facts);
}

static bool write_image(struct store_txn *txn, const struct move *m, const struct move_file *f,
                        struct err *err)
{
    CLEANUP(drop_facts) struct ram_image *facts = ram_image_get(m->core, &f->from.id, err);

    return facts && ram_image_write_live(txn, &f->to, facts, err);
}

bool move_write_images(struct store_txn *txn, const struct move *m, struct err *err)
{
    for (size_t i = 0; i < m->n; i++)
        if (move_is_image(&m->files[i]) && !write_image(txn, m, &m->files[i], err))
            return false;
    return true;
}

/* What goes stays the operation's until it is removed, or has got another name. */
bool move_let_images_go(struct store_txn *txn, struct move *m, struct err *err)
{
    bool last;

    for (size_t i = 0; i < m->n; i++) {
        struct move_file *f = &m->files[i];
        if (!move_is_image(f))
            continue;
        if (!ram_image_let_go(txn, &f->from.id, &last, err) ||
            (last && !layer_write(txn, &f->from, "trash", job_id(m->job), err)))
            return false;
        f->kept = !last;
    }
    return true;
}

struct uuid move_file_now(const struct move *m, const struct uuid *id)
{
    const struct move_file *f = move_find(m, id);

    return f ? f->to.id : *id;
}

char *move_leaves_now(const struct move *m, const char *leaves)
{
    CLEANUP(json_decrefp) json_t *v = leaves ? json_loads(leaves, 0, NULL) : NULL;
    json_t *one;
    struct uuid id;
    size_t i;

    json_array_foreach (json_object_get(v, "disks"), i, one)
        if (uuid_parse(json_get_text(one, "file"), &id)) {
            id = move_file_now(m, &id);
            json_put_text(one, "file", UUID_STR(&id));
        }
    return v ? json_write(v) : str_dup(leaves);
}

/* ---- memory ---- */

static void apply_image(struct move *m, struct move_file *f) REQUIRES(m->core->registry.lock);
static void apply_image(struct move *m, struct move_file *f)
{
    struct file *from = file_find(m->core, &f->from.id);
    struct file *to = file_find(m->core, &f->to.id);

    if (to) {
        to->state = FILE_LIVE;
        to->job = (struct uuid){0};
        to->image = from && from->image ? ram_image_copy(from->image) : NULL;
    }
    if (from && !f->kept) {
        from->state = FILE_TRASH;
        from->job = *job_id(m->job);
    }
}

void move_apply_images(struct move *m)
{
    struct vm *vm = m->vm;
    char *leaves = move_leaves_now(m, vm->memory_leaves);

    for (size_t i = 0; i < m->n; i++)
        if (move_is_image(&m->files[i]))
            apply_image(m, &m->files[i]);
    for (struct snapshot *s = vm->snapshots; s; s = s->next)
        s->memory = move_file_now(m, &s->memory);
    vm->memory = move_file_now(m, &vm->memory);
    free(vm->memory_leaves);
    vm->memory_leaves = leaves;
}
