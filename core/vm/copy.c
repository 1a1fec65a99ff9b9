/* A VM's own directory below the state directory, and the disaster copy of its configuration in it:
 * config.json holds what is needed to define the VM again if the database is lost.
 *
 * Copies are written by a thread of their own, a moment after the change: nobody waits for them,
 * and a crowd of changes must not wait for two flushes each. None is forgotten: a daemon that
 * starts compares the revision of every copy and writes those that are old. */
#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/disk/disks.h"
#include "core/disk/file.h"
#include "core/snap/tree.h"
#include "core/vm/registry.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define COPY_MAX  (4u << 20) /* bytes of a copy that is worth reading */
#define GATHER_MS 200
#define STOP_MS   2000

static const char name[] = "config.json";

int vm_dir_make(struct core *core, const struct vm *vm, struct err *err)
{
    return fs_dir(core->vms_fd, UUID_STR(&vm->id), 0700, err);
}

int vm_dir_open(struct core *core, const struct vm *vm, bool create, struct err *err)
{
    struct err none = {0};
    int fd = fs_open(core->vms_fd, UUID_STR(&vm->id), O_RDONLY | O_DIRECTORY, 0, &none);

    if (fd < 0 && create && none.code == ERR_NOT_FOUND)
        return vm_dir_make(core, vm, err);
    if (fd < 0)
        *err = none;
    return fd;
}

static json_t *chain_of(struct core *core, const struct uuid *vm)
{
    json_t *list = json_array();

    lock_take(&core->registry.lock);
    for (struct disk *d = disks_of(core, vm); d; d = d->next) {
        json_t *one = json_object(), *files = json_array();

        json_put_text(one, "id", UUID_STR(&d->id));
        json_put_text(one, "pool", UUID_STR(&d->pool));
        json_put_u64(one, "position", d->position);
        json_put_text(one, "format", disk_format_names[d->format]);
        for (struct file *f = file_find(core, &d->leaf); f; f = file_find(core, &f->parent))
            json_array_append_new(files, json_string(UUID_STR(&f->id)));
        json_put(one, "chain", files);
        json_array_append_new(list, one);
    }
    lock_drop(&core->registry.lock);
    return list;
}

/* What the snapshots froze, by disk; the files' parents are among the files. */
static json_t *snapshots_of(struct core *core, const struct vm *vm)
{
    json_t *list = json_array();

    lock_take(&core->registry.lock);
    for (struct snapshot *s = vm->snapshots; s; s = s->next) {
        json_t *one = json_object(), *disks = json_object();

        json_put_text(one, "id", UUID_STR(&s->id));
        json_put_text(one, "name", s->name);
        json_put_text(one, "parent", uuid_is_zero(&s->parent) ? NULL : UUID_STR(&s->parent));
        for (size_t i = 0; i < s->n_disks; i++)
            json_put_text(disks, UUID_STR(&s->disks[i].disk), UUID_STR(&s->disks[i].file));
        json_put(one, "disks", disks);
        json_put_text(one, "memory", uuid_is_zero(&s->memory) ? NULL : UUID_STR(&s->memory));
        json_array_append_new(list, one);
    }
    lock_drop(&core->registry.lock);
    return list;
}

static json_t *file_json(const struct file *f)
{
    json_t *one = json_object();

    json_put_text(one, "id", UUID_STR(&f->id));
    json_put_text(one, "pool", UUID_STR(&f->pool));
    json_put_text(one, "format", f->role == FILE_MEMORY ? "memory" : disk_format_names[f->format]);
    json_put_text(one, "parent", uuid_is_zero(&f->parent) ? NULL : UUID_STR(&f->parent));
    return one;
}

/* The files of others that one of this VM lies on: for each disk from there down to the base. */
static void add_borrowed(struct core *core, const struct uuid *vm, json_t *list)
    REQUIRES(core->registry.lock);
static void add_borrowed(struct core *core, const struct uuid *vm, json_t *list)
{
    for (struct disk *d = disks_of(core, vm); d; d = d->next)
        for (struct file *f = file_find(core, &d->leaf); f; f = file_find(core, &f->parent)) {
            json_t *one = uuid_eq(&f->vm, vm) ? NULL : file_json(f);
            if (!one)
                continue;
            json_put_text(one, "vm", uuid_is_zero(&f->vm) ? NULL : UUID_STR(&f->vm));
            json_array_append_new(list, one);
        }
}

static json_t *files_of(struct core *core, const struct uuid *vm)
{
    json_t *list = json_array();
    struct disk_owner *owner;

    lock_take(&core->registry.lock);
    owner = disk_owner_find(core, vm);
    for (struct file *f = owner ? owner->files : NULL; f; f = f->next)
        json_array_append_new(list, file_json(f));
    add_borrowed(core, vm, list);
    lock_drop(&core->registry.lock);
    return list;
}

static char *copy_text(struct core *core, const struct vm *vm)
{
    CLEANUP(json_decrefp) json_t *copy = json_object();

    json_put_u64(copy, "version", 1);
    json_put_text(copy, "id", UUID_STR(&vm->id));
    json_put(copy, "chains", chain_of(core, &vm->id));
    json_put(copy, "files", files_of(core, &vm->id));
    json_put(copy, "snapshots", snapshots_of(core, vm));
    lock_take(&core->registry.lock);
    json_put_u64(copy, "revision", vm->revision);
    json_put(copy, "spec", model_encode(&vm_model, &vm->spec));
    json_put_text(copy, "memory", uuid_is_zero(&vm->memory) ? NULL : UUID_STR(&vm->memory));
    lock_drop(&core->registry.lock);
    return json_dumps(copy, JSON_INDENT(2));
}

static bool is_defined(const struct vm *vm, void *ctx)
{
    return vm->phase == VM_DEFINED;
}

/* Under vm->writing, so that copies come in the order of the revisions, and none after the
 * directory was removed. */
static void publish(struct core *core, struct vm *vm)
{
    CLEANUP(mem_freep) char *text = NULL;
    CLEANUP(closep) int dir = -1;
    struct err err = {0};

    if (!vm_is(core, vm, is_defined, NULL))
        return;
    text = copy_text(core, vm);
    dir = vm_dir_open(core, vm, true, &err);
    if (dir >= 0 &&
        FAILPOINT_AROUND("vm.copy", fs_publish(dir, name, text, strlen(text), 0600, &err), &err))
        vm->copied_revision = vm->revision;
    else
        log_warn("the copy of %s's configuration was not written: %s", vm->name, err.detail);
}

static bool is_current(struct core *core, const struct vm *vm)
{
    CLEANUP(json_decrefp) json_t *copy = NULL;
    CLEANUP(mem_freep) char *text = NULL;
    CLEANUP(closep) int dir = -1;
    CLEANUP(closep) int fd = -1;
    struct err err = {0};
    size_t len;

    dir = vm_dir_open(core, vm, false, &err);
    fd = dir >= 0 ? fs_open(dir, name, O_RDONLY, 0, &err) : -1;
    if (fd < 0 || !fs_read_all(fd, COPY_MAX, &text, &len, &err))
        return false;
    copy = json_read(text, len, &err);
    return copy &&
           json_integer_value(json_object_get(copy, "revision")) == (json_int_t)vm->revision;
}

/* ---- in the background ---- */

struct copies {
    struct core *core;
    pthread_t thread;
    struct lock lock;
    struct cond woken;
    struct uuid *due GUARDED_BY(lock);
    size_t n GUARDED_BY(lock), cap GUARDED_BY(lock);
    bool stopping GUARDED_BY(lock);
    int64_t until_ms GUARDED_BY(lock); /* when stopping: no longer than this */
};

static bool must_end(struct copies *c)
{
    bool yes;

    lock_take(&c->lock);
    yes = c->stopping && clock_mono_ms() > c->until_ms;
    lock_drop(&c->lock);
    return yes || store_is_poisoned(c->core->store);
}

/* What an earlier daemon left: nobody waits for it, so stopping ends it. */
static void refresh_all(struct core *core)
{
    struct vm **vms;
    size_t n;

    vms = vm_get_all(core, &n);
    for (size_t i = 0; i < n && !atomic_load(&core->closing); i++) {
        lock_take(&vms[i]->writing);
        if (!is_current(core, vms[i]))
            publish(core, vms[i]);
        lock_drop(&vms[i]->writing);
    }
    vm_put_all(core, vms);
}

/* A VM that changed several times meanwhile is written once. */
static void write_copy(struct core *core, const struct uuid *id)
{
    struct err gone = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, id, &gone)};

    if (!hold.vm)
        return;
    lock_take(&hold.vm->writing);
    if (hold.vm->copied_revision != hold.vm->revision)
        publish(core, hold.vm);
    lock_drop(&hold.vm->writing);
}

/* What is due, after a moment in which more may come; NULL when there is none and no more to come.
 */
static struct uuid *next_batch(struct copies *c, size_t *n)
{
    int64_t until;
    struct uuid *due;

    lock_take(&c->lock);
    while (!c->n && !c->stopping)
        cond_wait(&c->woken, &c->lock);
    until = clock_mono_ms() + GATHER_MS;
    while (!c->stopping && cond_wait_until(&c->woken, &c->lock, until))
        ;
    due = TAKE(c->due);
    *n = c->n;
    c->n = c->cap = 0;
    lock_drop(&c->lock);
    return due;
}

static void *copies_main(void *arg)
{
    struct copies *c = arg;
    struct uuid *due;
    size_t n;

    refresh_all(c->core);
    while ((due = next_batch(c, &n))) {
        for (size_t i = 0; i < n && !must_end(c); i++)
            write_copy(c->core, &due[i]);
        free(due);
    }
    return NULL;
}

static void copies_free(struct copies *c)
{
    cond_clear(&c->woken);
    lock_clear(&c->lock);
    free(c->due);
    free(c);
}

struct copies *copies_start(struct core *core, struct err *err)
{
    struct copies *c = mem_alloc(sizeof *c);

    c->core = core;
    lock_init(&c->lock);
    cond_init(&c->woken);
    if (thread_start(&c->thread, "copies", copies_main, c, err))
        return c;
    copies_free(c);
    return NULL;
}

void copies_stop(struct copies *c)
{
    if (!c)
        return;
    lock_take(&c->lock);
    c->stopping = true;
    c->until_ms = clock_mono_ms() + STOP_MS;
    cond_wake_all(&c->woken);
    lock_drop(&c->lock);
    pthread_join(c->thread, NULL);
    c->core->copies = NULL;
    copies_free(c);
}

void vm_copy_later(struct core *core, const struct uuid *id)
{
    struct copies *c = core->copies;

    if (!c)
        return; /* not begun yet: the first round looks at all */
    lock_take(&c->lock);
    if (c->n == c->cap) {
        c->cap = c->cap ? 2 * c->cap : 16;
        c->due = mem_resize(c->due, c->cap, sizeof *c->due);
    }
    c->due[c->n++] = *id;
    if (c->n == 1)
        cond_wake_one(&c->woken);
    lock_drop(&c->lock);
}
