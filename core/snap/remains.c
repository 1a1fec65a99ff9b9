/* Files that go: the trash of operations on snapshots, new files whose operation is over, and the
 * variables of a UEFI VM that are kept with its snapshots. See tree.h. */
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/disks.h"
#include "core/disk/lent.h"
#include "core/snap/tree.h"
#include "core/vm/registry.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define VARIABLES_MAX (16u << 20)
#define LOOKS_MAX     5

/* ---- files ---- */

void files_discard(struct core *core, const struct layer *list, size_t n)
{
    lock_take(&core->registry.lock);
    for (size_t i = 0; i < n; i++) {
        struct file *file = file_find(core, &list[i].id);
        if (file)
            file->state = FILE_TRASH;
    }
    lock_drop(&core->registry.lock);
}

static bool remove_row(struct core *core, const struct uuid *file, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(core->store, err);

    return txn && store_file_remove(txn, file, err) && FAILPOINT("file.remove.row", err) &&
           store_commit(&txn, err);
}

static void settle_one(struct core *core, const struct layer *layer)
{
    struct err err = {0};
    struct file *file;

    if (!layer_unlink(layer, &err) || !remove_row(core, &layer->id, &err)) {
        log_warn("a file that nobody needs stays until the next start: %s", err.detail);
        return;
    }
    lock_take(&core->registry.lock);
    file = file_find(core, &layer->id);
    if (file)
        file_index_drop(core, file);
    lock_drop(&core->registry.lock);
}

/* 'all': at the start, new ones too; what an open operation has is left to it. A file with children
 * stays: that is no state an operation leaves, and whoever made it knows more. */
static bool is_over(struct core *core, const struct uuid *id, bool all)
{
    struct file *file;
    bool over;

    lock_take(&core->registry.lock);
    file = file_find(core, id);
    over = file && !file->children &&
           (all ? file->state != FILE_LIVE && !job_is_open(core, &file->job)
                : file->state == FILE_TRASH);
    lock_drop(&core->registry.lock);
    return over;
}

static void write_copy(struct core *core, const struct uuid *id)
{
    struct err gone = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, id, &gone)};

    if (hold.vm)
        vm_copy_now(core, hold.vm);
}

/* The VM's copy may name a file that goes, until it is written anew. */
static void settle_vm(struct core *core, const struct uuid *vm, bool all)
{
    CLEANUP(mem_freep) struct layer *layers = NULL;
    bool written = false;
    size_t n;

    layers = layers_of_vm(core, vm, &n);
    while (n--) { /* children before their parents */
        if (!is_over(core, &layers[n].id, all))
            continue;
        if (!written)
            write_copy(core, vm);
        written = true;
        settle_one(core, &layers[n]);
    }
}

void files_settle_vm(struct core *core, const struct uuid *vm)
{
    settle_vm(core, vm, false);
    files_settle_nobodys(core);
}

void files_settle(struct core *core)
{
    struct vm **vms;
    size_t n;

    vms = vm_get_all(core, &n);
    for (size_t i = 0; i < n; i++)
        if (vms[i]->phase == VM_DEFINED)
            settle_vm(core, &vms[i]->id, true);
    vm_put_all(core, vms);
    files_settle_nobodys(core);
}

/* ---- variables ---- */

static const char *const names[] = {"nvram.fd", "nvram-sb.fd"};

static void kept_name(const struct uuid *snapshot, size_t which, char out[96])
{
    snprintf(out, 96, "snapshot-%s-%s", UUID_STR(snapshot), names[which]);
}

/* *len is 0 when there is no such file. */
static bool read_whole(int dir, const char *name, char **data, size_t *len, struct err *err)
{
    struct err missing = {0};
    CLEANUP(closep) int fd = fs_open(dir, name, O_RDONLY, 0, &missing);

    *len = 0;
    if (fd >= 0)
        return fs_read_all(fd, VARIABLES_MAX, data, len, err);
    if (missing.code == ERR_NOT_FOUND)
        return true;
    *err = missing;
    return false;
}

/* The guest may be writing one: two readings that are the same are one state of the file. */
static bool read_settled(int dir, const char *name, char **data, size_t *len, struct err *err)
{
    if (!read_whole(dir, name, data, len, err))
        return false;
    for (unsigned look = 0; *len && look < LOOKS_MAX; look++) {
        CLEANUP(mem_freep) char *again = NULL;
        size_t again_len;
        bool same;
        if (!read_whole(dir, name, &again, &again_len, err))
            return false;
        same = again_len == *len && memcmp(again, *data, *len) == 0;
        mem_freep(data);
        *data = TAKE(again);
        *len = again_len;
        if (same)
            return true;
    }
    return !*len || err_set(err, ERR_BUSY,
                            "the guest is writing its firmware's variables: try again in a moment");
}

static bool copy(int dir, const char *from, int into, const char *to, struct err *err)
{
    CLEANUP(mem_freep) char *data = NULL;
    size_t len;

    return read_settled(dir, from, &data, &len, err) &&
           (!len ||
            (FAILPOINT("snapshot.variables", err) && fs_publish(into, to, data, len, 0600, err)));
}

bool nvram_keep(struct core *core, const struct vm *vm, const struct uuid *snapshot,
                struct err *err)
{
    CLEANUP(closep) int dir = vm_dir_open(core, vm, true, err);
    bool ok = dir >= 0;
    char kept[96];

    for (size_t i = 0; ok && i < ARRAY_LEN(names); i++) {
        kept_name(snapshot, i, kept);
        ok = copy(dir, names[i], dir, kept, err);
    }
    return ok;
}

bool nvram_hand_over(struct core *core, const struct vm *from, const struct uuid *snapshot,
                     const struct vm *to, struct err *err)
{
    CLEANUP(closep) int dir = vm_dir_open(core, from, true, err);
    CLEANUP(closep) int into = dir < 0 ? -1 : vm_dir_open(core, to, true, err);
    bool ok = into >= 0;
    char kept[96];

    for (size_t i = 0; ok && i < ARRAY_LEN(names); i++) {
        kept_name(snapshot, i, kept);
        ok = copy(dir, kept, into, names[i], err);
    }
    return ok;
}

bool nvram_put_back(struct core *core, const struct vm *vm, const struct uuid *snapshot,
                    struct err *err)
{
    CLEANUP(closep) int dir = vm_dir_open(core, vm, true, err);
    bool ok = dir >= 0;
    char kept[96];

    for (size_t i = 0; ok && i < ARRAY_LEN(names); i++) {
        kept_name(snapshot, i, kept);
        ok = copy(dir, kept, dir, names[i], err);
    }
    return ok;
}

bool nvram_forget(struct core *core, const struct vm *vm, const struct uuid *snapshot,
                  struct err *err)
{
    CLEANUP(closep) int dir = vm_dir_open(core, vm, true, err);
    bool ok = dir >= 0;
    char kept[96];

    for (size_t i = 0; ok && i < ARRAY_LEN(names); i++) {
        kept_name(snapshot, i, kept);
        ok = fs_remove(dir, kept, err);
    }
    return ok && picture_forget(dir, snapshot, err);
}
