/* Putting the copies together: see scan.h.
 *
 * Who is believed: of two copies of a VM the one with the higher generation (scan.c); of pools the
 * host's copy, then the newest VM's; of a file the VM that it belongs to, then the newest one that
 * lies on it. Of two VMs that cannot both be true the one with the newer copy is made. */
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/rebuild/scan.h"
#include "core/template/template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 256

/* ---- pools ---- */

static bool name_is_taken(const struct scan *scan, const char *name)
{
    for (const struct scan_pool *p = scan->pools; p; p = p->hh.next)
        if (strcmp(p->name, name) == 0)
            return true;
    return false;
}

static void add_pool(struct scan *scan, const struct copy_pool *as, uint64_t generation)
{
    struct scan_pool *pool = scan_pool_find(scan, &as->id);

    if (pool)
        return;
    pool = mem_alloc(sizeof *pool);
    *pool = (struct scan_pool){.id = as->id, .as = as, .generation = generation, .dir = -1};
    str_copy(pool->name, sizeof pool->name, as->name);
    if (name_is_taken(scan, pool->name)) {
        snprintf(pool->name, sizeof pool->name, "%.50s-%.8s", as->name, UUID_STR(&as->id));
        if (name_is_taken(scan, pool->name))
            snprintf(pool->name, sizeof pool->name, "pool-%s", UUID_STR(&as->id));
        scan_find(scan, NULL, "two pools are called %s: one is called %s from now on", as->name,
                  pool->name);
    }
    HASH_ADD(hh, scan->pools, id, sizeof pool->id, pool);
}

static void add_pools(struct scan *scan)
{
    for (size_t i = 0; i < scan->host.n_pools; i++)
        add_pool(scan, &scan->host.pools[i], scan->host.generation);
    for (struct scan_vm *vm = scan->vms; vm; vm = vm->hh.next)
        for (size_t i = 0; i < vm->copy.n_pools; i++)
            add_pool(scan, &vm->copy.pools[i], vm->copy.generation);
}

/* ---- files ---- */

static void add_file(struct scan *scan, const struct scan_vm *vm, const struct copy_file *as)
{
    struct scan_file *file = mem_alloc(sizeof *file);

    file->id = as->id;
    file->as = as;
    file->said_by = vm;
    HASH_ADD(hh, scan->files, id, sizeof file->id, file);
}

/* Its own ones: nobody else may own them too. */
static bool add_own_files(struct scan *scan, struct scan_vm *vm)
{
    for (size_t i = 0; i < vm->copy.n_files; i++) {
        const struct copy_file *f = &vm->copy.files[i];
        if (uuid_eq(&f->vm, &vm->id) && scan_file_find(scan, &f->id)) {
            scan_refuse(scan, vm, "the file %s belongs to another VM as well", UUID_STR(&f->id));
            return false;
        }
    }
    for (size_t i = 0; i < vm->copy.n_files; i++)
        if (uuid_eq(&vm->copy.files[i].vm, &vm->id))
            add_file(scan, vm, &vm->copy.files[i]);
    return true;
}

static bool says_the_same(const struct copy_file *a, const struct copy_file *b)
{
    return uuid_eq(&a->pool, &b->pool) && uuid_eq(&a->parent, &b->parent) && a->role == b->role &&
           a->format == b->format;
}

static void add_borrowed_files(struct scan *scan, struct scan_vm *vm)
{
    for (size_t i = 0; i < vm->copy.n_files; i++) {
        const struct copy_file *f = &vm->copy.files[i];
        const struct scan_file *there = scan_file_find(scan, &f->id);
        if (!there)
            add_file(scan, vm, f);
        else if (!says_the_same(there->as, f))
            scan_find(scan, vm->findings,
                      "its copy says otherwise of the file %s than that of %s, which is believed",
                      UUID_STR(&f->id), there->said_by->spec->name);
    }
}

static void count_children(struct scan *scan)
{
    for (struct scan_file *f = scan->files; f; f = f->hh.next) {
        struct scan_file *parent = scan_file_find(scan, &f->as->parent);
        if (parent)
            parent->children++;
    }
}

/* ---- VMs ---- */

/* Ids of disks and snapshots, and names of VMs: each once. */
struct taken {
    char what[NAME_MAX_BYTES + 1];
    UT_hash_handle hh;
};

static bool take(struct taken **all, const char *what)
{
    struct taken *t;

    HASH_FIND_STR(*all, what, t);
    if (t)
        return false;
    t = mem_alloc(sizeof *t);
    str_copy(t->what, sizeof t->what, what);
    HASH_ADD_STR(*all, what, t);
    return true;
}

static void taken_clear(struct taken **all)
{
    struct taken *t, *next;

    HASH_ITER (hh, *all, t, next) {
        HASH_DELETE(hh, *all, t);
        free(t);
    }
}

/* A name never looks like an id, so one table does for both. */
static bool take_names(struct scan *scan, struct scan_vm *vm, struct taken **all)
{
    const struct vm_copy *copy = &vm->copy;

    if (!take(all, vm->spec->name)) {
        scan_refuse(scan, vm, "a VM whose copy is newer is called %s as well", vm->spec->name);
        return false;
    }
    for (size_t i = 0; i < copy->n_disks; i++)
        if (!take(all, UUID_STR(&copy->disks[i].id))) {
            scan_refuse(scan, vm, "its disk %s is another VM's as well",
                        UUID_STR(&copy->disks[i].id));
            return false;
        }
    for (size_t i = 0; i < copy->n_snapshots; i++)
        if (!take(all, UUID_STR(&copy->snapshots[i].id))) {
            scan_refuse(scan, vm, "its snapshot %s is another VM's as well",
                        copy->snapshots[i].name);
            return false;
        }
    return true;
}

struct walk {
    struct scan *scan;
    struct scan_vm *vm;
};

static bool freeze(void *ctx, const struct uuid *id, bool is_leaf)
{
    const struct walk *w = ctx;
    struct scan_file *file = scan_file_find(w->scan, id);

    if (!is_leaf && file)
        file->frozen = true;
    return true;
}

/* With what is believed of each file: it is there down to a base. */
static bool chain_ends(void *ctx, const struct uuid *id, bool is_leaf)
{
    const struct walk *w = ctx;
    const struct scan_file *file = scan_file_find(w->scan, id);
    unsigned depth = 0;

    while (file && !uuid_is_zero(&file->as->parent) && depth++ < DEPTH_MAX)
        file = scan_file_find(w->scan, &file->as->parent);
    if (file && depth <= DEPTH_MAX)
        return true;
    scan_refuse(w->scan, w->vm, "what the file %s lies on is not known", UUID_STR(id));
    return false;
}

static bool leaf_is_its_own(void *ctx, const struct uuid *id, bool is_leaf)
{
    const struct walk *w = ctx;
    struct scan_file *file = scan_file_find(w->scan, id);

    if (!is_leaf)
        return true;
    if (file->children || file->frozen) {
        scan_refuse(w->scan, w->vm,
                    "it writes to the file %s, which other copies say is frozen: "
                    "its own copy is too old",
                    UUID_STR(id));
        return false;
    }
    if (file->leaf_of) {
        scan_refuse(w->scan, w->vm, "it writes to the file %s, and so does %s", UUID_STR(id),
                    file->leaf_of->spec->name);
        return false;
    }
    file->leaf_of = w->vm;
    return true;
}

static void check_files(struct scan *scan, struct scan_vm *vm)
{
    struct walk w = {scan, vm};

    if (vm->verdict != SCAN_REFUSED && scan_each_root_file(vm, chain_ends, &w))
        (void)scan_each_root_file(vm, leaf_is_its_own, &w);
}

/* A template that cannot be read would keep the daemon from starting. */
static void take_templates(struct scan *scan)
{
    CLEANUP(taken_clear) struct taken *names = NULL;
    const struct host_copy *host = &scan->host;

    scan->takes_template = mem_array(host->n_templates + 1, sizeof *scan->takes_template);
    for (size_t i = 0; i < host->n_templates; i++) {
        const struct copy_template *t = &host->templates[i];
        scan->takes_template[i] = template_is_sound(t->content, t->name) && take(&names, t->name);
        if (!scan->takes_template[i])
            scan_find(scan, NULL, "the template %s cannot be used", t->name);
    }
}

static int newest_first(const struct scan_vm *a, const struct scan_vm *b)
{
    if (a->copy.generation != b->copy.generation)
        return a->copy.generation > b->copy.generation ? -1 : 1;
    return memcmp(&a->id, &b->id, sizeof a->id);
}

void scan_merge(struct scan *scan)
{
    CLEANUP(taken_clear) struct taken *taken = NULL;

    HASH_SORT(scan->vms, newest_first);
    take_templates(scan);
    add_pools(scan);
    for (struct scan_vm *vm = scan->vms; vm; vm = vm->hh.next) {
        if (vm->verdict == SCAN_REFUSED)
            continue;
        vm->spec = vm_copy_spec(&vm->copy);
        if (take_names(scan, vm, &taken))
            (void)add_own_files(scan, vm);
    }
    for (struct scan_vm *vm = scan->vms; vm; vm = vm->hh.next)
        if (vm->verdict != SCAN_REFUSED)
            add_borrowed_files(scan, vm);
    count_children(scan);
    for (struct scan_vm *vm = scan->vms; vm; vm = vm->hh.next) {
        struct walk w = {scan, vm};
        if (vm->verdict != SCAN_REFUSED)
            (void)scan_each_root_file(vm, freeze, &w);
    }
    for (struct scan_vm *vm = scan->vms; vm; vm = vm->hh.next)
        check_files(scan, vm);
}
