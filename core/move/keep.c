/* What was moved stays behind, if that was asked for: under a name that says what it was and that
 * no sweep takes for a file of ours. Its row goes after its name has changed. See inside.h. */
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/str.h"
#include "core/disk/disks.h"
#include "core/disk/lent.h"
#include "core/move/inside.h"

#include <errno.h>
#include <stdio.h>

static bool rename_one(const struct layer *layer, struct err *err)
{
    char name[FILE_NAME_BYTES], kept[FILE_NAME_BYTES + 8];

    layer_name(layer, name);
    snprintf(kept, sizeof kept, "moved-%s", name);
    if (layer->dir < 0)
        return err_set(err, ERR_UNAVAILABLE, "the pool that was moved from cannot be reached");
    if (renameat(layer->dir, name, layer->dir, kept) < 0 && errno != ENOENT)
        return err_errno(err, errno, "the old file cannot be renamed");
    return fs_sync(layer->dir, "the pool's directory", err);
}

static bool remove_rows(struct move *m, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(m->core->store, err);

    for (size_t i = m->n; txn && i--;) /* children before their parents */
        if (!store_file_remove(txn, &m->files[i].from.id, err))
            return false;
    return txn && store_commit(&txn, err);
}

/* The files that are still known, after a restart some are not, and that nobody needs. */
static void drop_gone(struct move *m)
{
    size_t kept = 0;

    lock_take(&m->core->registry.lock);
    for (size_t i = 0; i < m->n; i++) {
        const struct file *file = file_find(m->core, &m->files[i].from.id);
        if (file && file->state == FILE_TRASH && !file_is_lent(m->core, file))
            m->files[kept++] = m->files[i];
    }
    m->n = kept;
    lock_drop(&m->core->registry.lock);
}

bool move_keep_sources(struct move *m, struct err *err)
{
    drop_gone(m);
    for (size_t i = 0; i < m->n; i++)
        if (!FAILPOINT("move.keep", err) || !rename_one(&m->files[i].from, err))
            return false;
    if (!remove_rows(m, err))
        return false;
    lock_take(&m->core->registry.lock);
    for (size_t i = m->n; i--;) {
        struct file *file = file_find(m->core, &m->files[i].from.id);
        if (file)
            file_index_drop(m->core, file);
    }
    lock_drop(&m->core->registry.lock);
    return true;
}
