/* Looking into the pools: see scan.h.
 *
 * A copy may be older than the disks: it is written after the change. Two things give that away,
 * and a VM of which they are true is doubtful, since starting it would write to a file that others
 * need: an image that no copy names says in its header that it lies on the VM's leaf, or the VM's
 * commit log says that a disk went on in a file that no copy names. Both are advice, and cost at
 * most a question to the administrator. */
#include "core/base/commitlog.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/rebuild/scan.h"

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX   256
#define ORPHANS_MAX 100000

/* ---- what is there ---- */

static int root_dir(const struct scan *scan, const char *id)
{
    for (size_t i = 0; i < scan->n_roots; i++)
        if (str_eq(scan->roots[i].id, id))
            return scan->roots[i].dir;
    return -1;
}

static void open_pools(struct scan *scan)
{
    for (struct scan_pool *p = scan->pools; p; p = p->hh.next) {
        int root = root_dir(scan, p->as->root);
        struct err err = {0};
        if (root >= 0)
            p->dir = fs_open(root, UUID_STR(&p->id), O_RDONLY | O_DIRECTORY, 0, &err);
        if (p->dir < 0)
            scan_find(scan, NULL, "the pool %s cannot be reached in the root %s: %s", p->name,
                      p->as->root,
                      root < 0 ? "the root is not in vmmd.conf, or not mounted" : err.detail);
    }
}

static void look_for_files(struct scan *scan)
{
    for (struct scan_file *f = scan->files; f; f = f->hh.next) {
        const struct scan_pool *pool = scan_pool_find(scan, &f->as->pool);
        char name[SCAN_NAME_BYTES];
        struct stat st;
        scan_file_name(f->as, name);
        f->missing = !pool || pool->dir < 0 ||
                     fstatat(pool->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode);
    }
}

/* ---- what VMs lack ---- */

struct walk {
    struct scan *scan;
    struct scan_vm *vm;
};

static void lack(struct walk *w, const struct scan_file *file)
{
    const struct scan_pool *pool = scan_pool_find(w->scan, &file->as->pool);
    char name[SCAN_NAME_BYTES];

    scan_file_name(file->as, name);
    w->vm->verdict = SCAN_INCOMPLETE;
    scan_find(w->scan, w->vm->findings, "%s is missing in the pool %s", name,
              pool ? pool->name : "?");
}

static bool look_down(void *ctx, const struct uuid *id, bool is_leaf)
{
    struct walk *w = ctx;
    const struct scan_file *file = scan_file_find(w->scan, id);

    for (unsigned depth = 0; file && depth <= DEPTH_MAX; depth++) {
        if (file->missing)
            lack(w, file);
        file = scan_file_find(w->scan, &file->as->parent);
    }
    return true;
}

static void judge_memory(struct scan *scan, struct scan_vm *vm)
{
    const struct scan_file *file = scan_file_find(scan, &vm->copy.memory);

    vm->memory_lost = file && file->missing;
    if (vm->memory_lost)
        scan_find(scan, vm->findings, "it was saved, and will be off: its memory is gone");
}

/* ---- who needs what ---- */

static bool need(void *ctx, const struct uuid *id, bool is_leaf)
{
    struct walk *w = ctx;
    struct scan_file *file = scan_file_find(w->scan, id);

    if (file && !file->needed_by)
        file->needed_by = w->vm;
    for (unsigned depth = 0; file && depth <= DEPTH_MAX; depth++) {
        file->needed = true;
        file = scan_file_find(w->scan, &file->as->parent);
    }
    return true;
}

/* Of those that are made, and with 'all' of those that might be. */
static void mark_needed(struct scan *scan, bool all)
{
    for (struct scan_file *f = scan->files; f; f = f->hh.next) {
        f->needed = false;
        f->needed_by = NULL;
    }
    for (struct scan_vm *vm = scan->vms; vm; vm = vm->hh.next) {
        struct walk w = {scan, vm};
        if (scan_takes(scan, vm) || (all && vm->verdict != SCAN_REFUSED))
            (void)scan_each_root_file(vm, need, &w);
    }
}

/* ---- what nobody names ---- */

static bool is_known(const struct scan *scan, const char *entry)
{
    char text[UUID_TEXT], name[SCAN_NAME_BYTES];
    const struct scan_file *file;
    struct uuid id;

    str_copy(text, sizeof text, entry);
    file = uuid_parse(text, &id) ? scan_file_find(scan, &id) : NULL;
    if (!file || !file->needed)
        return false;
    scan_file_name(file->as, name);
    return strcmp(name, entry) == 0;
}

static void add_orphan(struct scan *scan, const struct scan_pool *pool, const char *name)
{
    struct stat st = {0};

    if (scan->n_orphans == ORPHANS_MAX || fstatat(pool->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    scan->orphans = mem_resize(scan->orphans, scan->n_orphans + 1, sizeof *scan->orphans);
    scan->orphans[scan->n_orphans++] = (struct scan_orphan){
        .pool = pool->id, .name = str_dup(name), .bytes = (uint64_t)st.st_blocks * 512};
}

static void list_orphans_of(struct scan *scan, const struct scan_pool *pool)
{
    int fd = pool->dir < 0 ? -1 : openat(pool->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);

    if (!list)
        closep(&fd);
    for (struct dirent *e; list && (e = readdir(list));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            !is_known(scan, e->d_name))
            add_orphan(scan, pool, e->d_name);
    if (list)
        closedir(list);
}

static void list_orphans(struct scan *scan)
{
    for (size_t i = 0; i < scan->n_orphans; i++)
        free(scan->orphans[i].name);
    scan->n_orphans = 0;
    for (const struct scan_pool *p = scan->pools; p; p = p->hh.next)
        list_orphans_of(scan, p);
}

/* Directories of pools that no copy describes. */
static void list_strange_pools(struct scan *scan)
{
    for (size_t i = 0; i < scan->n_roots; i++) {
        int fd = scan->roots[i].dir < 0
                     ? -1
                     : openat(scan->roots[i].dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *list = fd < 0 ? NULL : fdopendir(fd);
        struct uuid id;
        if (!list)
            closep(&fd);
        for (struct dirent *e; list && (e = readdir(list));)
            if (uuid_parse(e->d_name, &id) && !scan_pool_find(scan, &id))
                scan_find(scan, NULL, "the pool root %s has a pool %s that no copy describes",
                          scan->roots[i].id, e->d_name);
        if (list)
            closedir(list);
    }
}

/* ---- copies that are older than the disks ---- */

/* The id in the name of the file that a qcow2 says it lies on. */
static bool backing_of(const struct scan *scan, const struct scan_orphan *orphan, struct uuid *out)
{
    struct err err = {0};
    CLEANUP(closep)
    int fd = fs_open(scan_pool_find(scan, &orphan->pool)->dir, orphan->name,
                     O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, &err);
    struct {
        char magic[4];
        uint32_t version;
        uint64_t offset;
        uint32_t size;
    } __attribute__((packed)) head;
    char name[1024] = "", text[UUID_TEXT], *last;
    size_t size;

    if (fd < 0 || pread(fd, &head, sizeof head, 0) != (ssize_t)sizeof head ||
        memcmp(head.magic, "QFI\xfb", 4) != 0)
        return false;
    size = be32toh(head.size);
    if (!be64toh(head.offset) || size >= sizeof name || be64toh(head.offset) > INT32_MAX ||
        pread(fd, name, size, (off_t)be64toh(head.offset)) != (ssize_t)size)
        return false;
    last = strrchr(name, '/');
    str_copy(text, sizeof text, last ? last + 1 : name);
    return uuid_parse(text, out);
}

static void doubt(struct scan *scan, struct scan_vm *vm, const char *why, const char *file)
{
    if (vm->verdict == SCAN_REFUSED)
        return;
    vm->verdict = SCAN_DOUBTFUL;
    scan_find(scan, vm->findings, "its copy seems to be older than its disks: %s %s", why, file);
}

static void doubt_by_images(struct scan *scan)
{
    struct scan_file *below;
    struct uuid id;

    for (size_t i = 0; i < scan->n_orphans; i++) {
        if (!backing_of(scan, &scan->orphans[i], &id))
            continue;
        below = scan_file_find(scan, &id);
        if (below && below->leaf_of)
            doubt(scan, below->leaf_of, "on one of them lies", scan->orphans[i].name);
    }
}

static bool is_orphan(const struct scan *scan, const char *id)
{
    for (size_t i = 0; id && i < scan->n_orphans; i++)
        if (str_starts(scan->orphans[i].name, id))
            return true;
    return false;
}

static void doubt_by_log(struct scan *scan, struct scan_vm *vm)
{
    CLEANUP(mem_freep) char *path = str_format("vm/%s/" COMMITLOG_NAME, UUID_STR(&vm->id));
    CLEANUP(json_decrefp) json_t *record = NULL;
    struct err err = {0};
    CLEANUP(closep) int fd = fs_open(scan->state, path, O_RDONLY, 0, &err);
    const json_t *leaf;
    uint64_t sequence;
    size_t i;

    if (fd < 0 || !commitlog_last(fd, &sequence, &record, &err) || !record)
        return;
    json_array_foreach (json_object_get(record, "leaves"), i, leaf) {
        const char *id = json_get_text(leaf, "file");
        struct uuid file;
        if (id && uuid_parse(id, &file) && is_orphan(scan, id))
            doubt(scan, vm, "a disk went on in", id);
    }
}

void scan_look(struct scan *scan)
{
    open_pools(scan);
    look_for_files(scan);
    for (struct scan_vm *vm = scan->vms; vm; vm = vm->hh.next) {
        struct walk w = {scan, vm};
        if (vm->verdict == SCAN_REFUSED)
            continue;
        judge_memory(scan, vm);
        (void)scan_each_root_file(vm, look_down, &w);
    }
    mark_needed(scan, true);
    list_orphans(scan);
    doubt_by_images(scan);
    for (struct scan_vm *vm = scan->vms; vm; vm = vm->hh.next)
        doubt_by_log(scan, vm);
    mark_needed(scan, false);
    list_orphans(scan);
    list_strange_pools(scan);
}
