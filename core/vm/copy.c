/* A VM's own directory below the state directory, and the disaster copies (docs/recovery.md): what
 * is needed to make the database again if it is lost.
 *
 *   <state>/vm/<id>/config.json      and, with the images, <pool root>/vmmd-copies/<id>.json
 *   <state>/host.json                and <pool root>/vmmd-copies/host.json: pools and templates
 *
 * Copies are written by a thread of their own, a moment after the change: nobody waits for them,
 * and a crowd of changes must not wait for two flushes each. But what frees data that a copy names,
 * or lets a guest go on that a copy calls saved, has the copy written first: vm_copy_now(). None is
 * forgotten: a daemon that starts compares all copies and writes those that are old. */
#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/disks.h"
#include "core/rebuild/fill.h"
#include "core/vm/registry.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GATHER_MS 200
#define STOP_MS   2000

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

/* ---- where they lie ---- */

static int folder_open(struct core *core, unsigned root, bool create, struct err *err)
{
    struct err none = {0};
    int fd = fs_open(core->root_dirs[root], COPY_FOLDER, O_RDONLY | O_DIRECTORY, 0, &none);

    if (fd < 0 && create && none.code == ERR_NOT_FOUND)
        return fs_dir(core->root_dirs[root], COPY_FOLDER, 0700, err);
    if (fd < 0)
        *err = none;
    return fd;
}

static char *name_in_folder(const struct uuid *vm)
{
    return str_format("%s.json", UUID_STR(vm));
}

/* Whether a pool that the copy names lies in it. */
static bool root_is_used(unsigned root, const struct copy_pool *pools, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(host_root_id(root), pools[i].root))
            return true;
    return false;
}

/* Entries named <UUID><ending> with 'path' in or behind them. */
static unsigned count_in(int dir, const char *ending, const char *path)
{
    int fd = dir < 0 ? -1 : openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    char text[UUID_TEXT];
    struct uuid id;
    unsigned n = 0;

    if (!list)
        closep(&fd);
    for (struct dirent *e; list && (e = readdir(list));) {
        CLEANUP(mem_freep) char *file = str_format("%s%s", e->d_name, path);
        str_copy(text, sizeof text, e->d_name);
        n += uuid_parse(text, &id) && strcmp(e->d_name + UUID_TEXT - 1, ending) == 0 &&
             faccessat(dir, file, F_OK, 0) == 0;
    }
    if (list)
        closedir(list);
    return n;
}

static unsigned count_in_root(unsigned root)
{
    CLEANUP(closep) int dir = -1;
    CLEANUP(closep) int folder = -1;
    struct err err = {0};

    if (!host_root_open(root, &dir, &err))
        return 0;
    folder = fs_open(dir, COPY_FOLDER, O_RDONLY | O_DIRECTORY, 0, &err);
    return count_in(folder, ".json", "");
}

unsigned copies_count(const struct core *core)
{
    unsigned n = count_in(core->vms_fd, "", "/" COPY_NAME);

    for (unsigned i = 0; i < host_roots(); i++) {
        unsigned there = count_in_root(i);
        n = n > there ? n : there;
    }
    return n;
}

/* Nothing there is what is wanted. */
static bool forget(int dir, const char *name, struct err *err)
{
    return faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 || fs_remove(dir, name, err);
}

static bool forget_in_root(struct core *core, unsigned root, const char *name, struct err *err)
{
    struct err none = {0};
    CLEANUP(closep) int dir = folder_open(core, root, false, &none);

    return dir < 0 || forget(dir, name, err);
}

bool vm_copy_forget(struct core *core, const struct vm *vm, struct err *err)
{
    CLEANUP(mem_freep) char *name = name_in_folder(&vm->id);
    struct err none = {0};
    CLEANUP(closep) int dir = vm_dir_open(core, vm, false, &none);
    bool ok = dir < 0 || forget(dir, COPY_NAME, err);

    for (unsigned i = 0; ok && i < host_roots(); i++)
        ok = core->root_dirs[i] < 0 || forget_in_root(core, i, name, err);
    return ok;
}

/* ---- writing ---- */

static uint64_t next_generation(struct core *core)
{
    return (uint64_t)(store_epoch(core->store) & INT32_MAX) << 32 |
           (uint32_t)atomic_fetch_add(&core->copies_written, 1);
}

static bool publish_text(int dir, const char *name, const char *text, struct err *err)
{
    return dir >= 0 && fs_publish(dir, name, text, strlen(text), 0600, err);
}

/* What becomes of an old copy where the new one could not be written. */
enum old_copy { OLD_STAYS, OLD_GOES };

static bool lose_old(int dir, const char *name, enum old_copy old)
{
    struct err err = {0};

    if (old == OLD_GOES && dir >= 0 && !forget(dir, name, &err))
        log_error("an old copy, %s, stays and must not be used: %s", name, err.detail);
    return false;
}

/* Into the roots that the pools lie in, and ('only') out of the others. */
static bool publish_in_roots(struct core *core, const char *name, const char *text,
                             const struct copy_pool *pools, size_t n, bool only, enum old_copy old,
                             struct err *err)
{
    bool ok = true;

    for (unsigned i = 0; i < host_roots(); i++) {
        CLEANUP(closep) int dir = -1;
        if (core->root_dirs[i] < 0)
            continue;
        if (!root_is_used(i, pools, n)) {
            ok = (!only || forget_in_root(core, i, name, err)) && ok;
            continue;
        }
        dir = folder_open(core, i, true, err);
        ok = (publish_text(dir, name, text, err) || lose_old(dir, name, old)) && ok;
    }
    return ok;
}

static bool write_everywhere(struct core *core, const struct vm *vm, const struct vm_copy *copy,
                             enum old_copy old, struct err *err)
{
    CLEANUP(json_decrefp) json_t *json = vm_copy_json(copy);
    CLEANUP(mem_freep) char *text = json_dumps(json, JSON_INDENT(1));
    CLEANUP(mem_freep) char *name = name_in_folder(&vm->id);
    CLEANUP(closep) int dir = vm_dir_open(core, vm, true, err);
    bool here = FAILPOINT_AROUND("vm.copy", publish_text(dir, COPY_NAME, text, err), err) ||
                lose_old(dir, COPY_NAME, old);

    return publish_in_roots(core, name, text, copy->pools, copy->n_pools, true, old, err) && here;
}

static bool is_defined(const struct vm *vm, void *ctx)
{
    return vm->phase == VM_DEFINED;
}

/* Under vm->writing, so that copies come in the order of the changes, and none after the directory
 * was removed. */
static void publish(struct core *core, struct vm *vm, enum old_copy old)
{
    CLEANUP(vm_copy_clear) struct vm_copy copy = {0};
    struct err err = {0};

    if (!vm_is(core, vm, is_defined, NULL))
        return;
    vm_copy_fill(core, vm, &copy);
    copy.generation = next_generation(core);
    if (!write_everywhere(core, vm, &copy, old, &err))
        log_warn("a copy of %s's configuration was not written: %s", vm->name, err.detail);
}

void vm_copy_now(struct core *core, struct vm *vm)
{
    lock_take(&vm->writing);
    publish(core, vm, OLD_GOES);
    lock_drop(&vm->writing);
}

static void publish_host(struct core *core)
{
    CLEANUP(host_copy_clear) struct host_copy copy = {0};
    CLEANUP(json_decrefp) json_t *json = NULL;
    CLEANUP(mem_freep) char *text = NULL;
    struct err err = {0};

    if (!host_copy_fill(core, &copy, &err)) {
        log_warn("the copy of pools and templates was not written: %s", err.detail);
        return;
    }
    copy.generation = next_generation(core);
    json = host_copy_json(&copy);
    text = json_dumps(json, JSON_INDENT(1));
    if (!publish_text(core->state_fd, HOST_COPY, text, &err) ||
        !publish_in_roots(core, HOST_COPY, text, copy.pools, copy.n_pools, false, OLD_STAYS, &err))
        log_warn("a copy of pools and templates was not written: %s", err.detail);
}

/* ---- which are old ---- */

/* The same but for the generation. */
static bool is_same(int dir, const char *name, json_t *wanted)
{
    struct err err = {0};
    CLEANUP(closep) int fd = dir < 0 ? -1 : fs_open(dir, name, O_RDONLY, 0, &err);
    CLEANUP(json_decrefp) json_t *there = NULL;
    CLEANUP(mem_freep) char *text = NULL;
    size_t len;

    if (fd < 0 || !fs_read_all(fd, COPY_MAX, &text, &len, &err))
        return false;
    there = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    json_object_del(there, "generation");
    json_object_del(wanted, "generation");
    return json_equal(there, wanted);
}

static bool is_same_in_roots(struct core *core, const char *name, json_t *wanted,
                             const struct copy_pool *pools, size_t n)
{
    struct err err = {0};

    for (unsigned i = 0; i < host_roots(); i++) {
        CLEANUP(closep) int dir = -1;
        if (core->root_dirs[i] < 0 || !root_is_used(i, pools, n))
            continue;
        dir = folder_open(core, i, false, &err);
        if (!is_same(dir, name, wanted))
            return false;
    }
    return true;
}

static bool is_current(struct core *core, const struct vm *vm)
{
    CLEANUP(vm_copy_clear) struct vm_copy copy = {0};
    CLEANUP(mem_freep) char *name = name_in_folder(&vm->id);
    CLEANUP(json_decrefp) json_t *wanted = NULL;
    CLEANUP(closep) int dir = -1;
    struct err err = {0};

    vm_copy_fill(core, vm, &copy);
    wanted = vm_copy_json(&copy);
    dir = vm_dir_open(core, vm, false, &err);
    return is_same(dir, COPY_NAME, wanted) &&
           is_same_in_roots(core, name, wanted, copy.pools, copy.n_pools);
}

static bool host_is_current(struct core *core)
{
    CLEANUP(host_copy_clear) struct host_copy copy = {0};
    CLEANUP(json_decrefp) json_t *wanted = NULL;
    struct err err = {0};

    if (!host_copy_fill(core, &copy, &err))
        return false;
    wanted = host_copy_json(&copy);
    return is_same(core->state_fd, HOST_COPY, wanted) &&
           is_same_in_roots(core, HOST_COPY, wanted, copy.pools, copy.n_pools);
}

/* ---- in the background ---- */

struct copies {
    struct core *core;
    pthread_t thread;
    struct lock lock;
    struct cond woken;
    struct uuid *due GUARDED_BY(lock);
    size_t n GUARDED_BY(lock), cap GUARDED_BY(lock);
    bool host_due GUARDED_BY(lock);
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

    if (!host_is_current(core))
        publish_host(core);
    vms = vm_get_all(core, &n);
    for (size_t i = 0; i < n && !atomic_load(&core->closing); i++) {
        lock_take(&vms[i]->writing);
        if (!is_current(core, vms[i]))
            publish(core, vms[i], OLD_STAYS);
        lock_drop(&vms[i]->writing);
    }
    vm_put_all(core, vms);
}

static void write_copy(struct core *core, const struct uuid *id)
{
    struct err gone = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get_id(core, id, &gone)};

    if (!hold.vm)
        return;
    lock_take(&hold.vm->writing);
    publish(core, hold.vm, OLD_STAYS);
    lock_drop(&hold.vm->writing);
}

/* What is due, after a moment in which more may come. A VM that changed several times meanwhile is
 * there once. False when there is none and no more to come. */
static bool next_batch(struct copies *c, struct uuid **due, size_t *n, bool *host)
{
    int64_t until;

    lock_take(&c->lock);
    while (!c->n && !c->host_due && !c->stopping)
        cond_wait(&c->woken, &c->lock);
    until = clock_mono_ms() + GATHER_MS;
    while (!c->stopping && cond_wait_until(&c->woken, &c->lock, until))
        ;
    *due = TAKE(c->due);
    *n = c->n;
    *host = c->host_due;
    c->n = c->cap = 0;
    c->host_due = false;
    lock_drop(&c->lock);
    return *n || *host;
}

static void *copies_main(void *arg)
{
    struct copies *c = arg;
    struct uuid *due;
    bool host;
    size_t n;

    refresh_all(c->core);
    while (next_batch(c, &due, &n, &host)) {
        if (host && !must_end(c))
            publish_host(c->core);
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

/* The last ones only: a storm of changes to one VM is what this is for. */
static bool is_due(const struct copies *c, const struct uuid *id) REQUIRES(c->lock);
static bool is_due(const struct copies *c, const struct uuid *id)
{
    for (size_t i = c->n; i-- && c->n - i <= 64;)
        if (uuid_eq(&c->due[i], id))
            return true;
    return false;
}

void vm_copy_later(struct core *core, const struct uuid *id)
{
    struct copies *c = core->copies;

    if (!c)
        return; /* not begun yet: the first round looks at all */
    lock_take(&c->lock);
    if (!is_due(c, id)) {
        if (c->n == c->cap) {
            c->cap = c->cap ? 2 * c->cap : 16;
            c->due = mem_resize(c->due, c->cap, sizeof *c->due);
        }
        c->due[c->n++] = *id;
    }
    if (c->n == 1)
        cond_wake_one(&c->woken);
    lock_drop(&c->lock);
}

void host_copy_later(struct core *core)
{
    struct copies *c = core->copies;

    if (!c)
        return;
    lock_take(&c->lock);
    c->host_due = true;
    cond_wake_one(&c->woken);
    lock_drop(&c->lock);
}
