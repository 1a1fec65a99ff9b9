/* What lies in a pool: every file with whose it is, and what is nobody's. See pool.h. Nothing here
 * deletes: a file that vmmd does not know may be somebody's only copy. */
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/disks.h"
#include "core/disk/file.h"
#include "core/disk/pool.h"
#include "core/model/page.h"
#include "core/snap/tree.h"
#include "core/user/sight_inside.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ORPHANS_MAX 10000 /* shown of one pool */

/* A file that is known, copied. */
struct known {
    struct layer layer;
    struct uuid disk, snapshot, job;
    bool is_seen; /* core/user/sight.h */
    bool is_leaf, is_frozen;
    enum file_state state;
    char name[FILE_NAME_BYTES];
    UT_hash_handle hh;
};

static void find_snapshot(struct core *core, struct known *k) REQUIRES(core->registry.lock);
static void find_snapshot(struct core *core, struct known *k)
{
    struct vm *vm;

    HASH_FIND(by_id, core->registry.vms_by_id, &k->layer.vm, sizeof k->layer.vm, vm);
    for (struct snapshot *s = vm ? vm->snapshots : NULL; s; s = s->next) {
        if (k->layer.role == FILE_MEMORY && uuid_eq(&s->memory, &k->layer.id)) {
            k->snapshot = s->id;
            return;
        }
        for (size_t i = 0; i < s->n_disks; i++)
            if (uuid_eq(&s->disks[i].file, &k->layer.id)) {
                k->snapshot = s->id;
                k->disk = s->disks[i].disk;
                k->is_frozen = true;
                return;
            }
    }
}

static struct known *know(struct core *core, const struct file *file) REQUIRES(core->registry.lock);
static struct known *know(struct core *core, const struct file *file)
{
    struct known *k = mem_alloc(sizeof *k);

    k->layer = layer_of_file(core, file);
    k->state = file->state;
    k->job = file->job;
    layer_name(&k->layer, k->name);
    for (struct disk *d = disks_of(core, &file->vm); d; d = d->next)
        if (uuid_eq(&d->leaf, &file->id)) {
            k->disk = d->id;
            k->is_leaf = true;
        }
    if (!k->is_leaf)
        find_snapshot(core, k);
    return k;
}

static const char *kind_of(const struct known *k)
{
    if (k->state != FILE_LIVE && !k->is_leaf && !k->is_frozen)
        return "operation";
    if (k->layer.role == FILE_MEMORY)
        return "memory";
    return k->is_leaf ? "disk" : k->is_frozen ? "snapshot" : "base";
}

static void put_id(json_t *v, const char *member, const struct uuid *id)
{
    json_put_text(v, member, uuid_is_zero(id) ? NULL : UUID_STR(id));
}

static void put_stat(json_t *v, int dir, const char *name)
{
    struct stat st;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        json_put(v, "file_bytes", json_null());
        json_put(v, "modified_at", json_null());
        return;
    }
    json_put_u64(v, "file_bytes", (uint64_t)st.st_blocks * 512);
    json_put_time(v, "modified_at",
                  st.st_mtim.tv_sec * INT64_C(1000) + st.st_mtim.tv_nsec / 1000000);
}

static json_t *view_known(const struct known *k, int dir)
{
    json_t *v = json_object();

    json_put_text(v, "name", k->name);
    json_put_text(v, "kind", kind_of(k));
    put_id(v, "vm", &k->layer.vm);
    put_id(v, "disk", &k->disk);
    put_id(v, "snapshot", &k->snapshot);
    json_put_text(v, "format",
                  k->layer.role == FILE_MEMORY ? NULL : disk_format_names[k->layer.format]);
    json_put_u64(v, "size_bytes", k->layer.size_bytes);
    put_stat(v, dir, k->name);
    return v;
}

static json_t *view_orphan(const char *name, int dir)
{
    json_t *v = json_object();

    json_put_text(v, "name", name);
    json_put_text(v, "kind", "orphan");
    json_put(v, "vm", json_null());
    json_put(v, "disk", json_null());
    json_put(v, "snapshot", json_null());
    json_put(v, "format", json_null());
    json_put(v, "size_bytes", json_null());
    put_stat(v, dir, name);
    return v;
}

/* Whose it is may be nobody: then it is the pool's. */
static bool is_seen(struct core *core, const struct file *file) REQUIRES(core->registry.lock);
static bool is_seen(struct core *core, const struct file *file)
{
    return uuid_is_zero(&file->vm) || sight_vm_id(core, &file->vm, RIGHT_VM_READ);
}

/* The pool's directory, opened anew, and its files; -1 on failure. */
static int look(struct core *core, const char *ref, struct known **known, struct err *err)
{
    struct pool *pool;
    struct file *file, *next;
    int dir = -1;

    lock_take(&core->registry.lock);
    pool = pool_named(core, ref);
    if (!pool)
        pool_missing_fail(ref, err);
    else if (pool->dir < 0)
        err_set(err, ERR_UNAVAILABLE, "the pool %s cannot be reached", pool->name);
    else
        dir = fs_open(pool->dir, ".", O_RDONLY | O_DIRECTORY, 0, err);
    if (dir < 0) {
        lock_drop(&core->registry.lock);
        return -1;
    }
    HASH_ITER (by_id, core->registry.files, file, next) {
        struct known *k;
        if (!uuid_eq(&file->pool, &pool->id))
            continue;
        k = know(core, file);
        k->is_seen = is_seen(core, file);
        HASH_ADD_STR(*known, name, k);
    }
    lock_drop(&core->registry.lock);
    return dir;
}

/* A name is what somebody else chose: shown only when it is text. */
static void list_orphans(int dir, struct known *known, struct page *page)
{
    int fd = fcntl(dir, F_DUPFD_CLOEXEC, 0);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    unsigned n = 0;

    if (!d) {
        closep(&fd);
        return;
    }
    for (struct dirent *e; n < ORPHANS_MAX && (e = readdir(d));) {
        struct known *k;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        HASH_FIND_STR(known, e->d_name, k);
        if (k || !str_is_utf8(e->d_name, strlen(e->d_name)))
            continue;
        page_offer(page, view_orphan(e->d_name, dir));
        n++;
    }
    closedir(d);
}

bool pool_files(struct core *core, const char *ref, const struct query *query, struct strbuf *out,
                struct err *err)
{
    CLEANUP(page_clear) struct page page = {.query = query};
    struct known *known = NULL, *k, *next;
    CLEANUP(closep) int dir = look(core, ref, &known, err);

    if (dir >= 0)
        list_orphans(dir, known, &page);
    HASH_ITER (hh, known, k, next) {
        if (k->is_seen)
            page_offer(&page, view_known(k, dir));
        HASH_DELETE(hh, known, k);
        free(k);
    }
    if (dir < 0)
        return false;
    page_write(&page, NULL, NULL, out);
    return true;
}
