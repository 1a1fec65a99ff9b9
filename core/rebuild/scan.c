/* Finding the copies: see scan.h. */
#include "core/rebuild/scan.h"

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const scan_verdicts[] = {"whole", "incomplete", "doubtful", "refused", NULL};

/* ---- words ---- */

static void say(json_t *list, const char *fmt, va_list args) __attribute__((format(printf, 2, 0)));
static void say(json_t *list, const char *fmt, va_list args)
{
    char text[512];

    vsnprintf(text, sizeof text, fmt, args);
    str_scrub(text);
    json_array_append_new(list, json_string(text));
}

void scan_find(struct scan *scan, json_t *list, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    say(list ? list : scan->findings, fmt, args);
    va_end(args);
}

void scan_refuse(struct scan *scan, struct scan_vm *vm, const char *fmt, ...)
{
    va_list args;

    vm->verdict = SCAN_REFUSED;
    va_start(args, fmt);
    say(vm->findings, fmt, args);
    va_end(args);
}

/* ---- tables ---- */

struct scan_vm *scan_vm_find(const struct scan *scan, const struct uuid *id)
{
    struct scan_vm *vm;

    HASH_FIND(hh, scan->vms, id, sizeof *id, vm);
    return vm;
}

struct scan_pool *scan_pool_find(const struct scan *scan, const struct uuid *id)
{
    struct scan_pool *pool;

    HASH_FIND(hh, scan->pools, id, sizeof *id, pool);
    return pool;
}

struct scan_file *scan_file_find(const struct scan *scan, const struct uuid *id)
{
    struct scan_file *file;

    HASH_FIND(hh, scan->files, id, sizeof *id, file);
    return file;
}

void scan_file_name(const struct copy_file *file, char out[SCAN_NAME_BYTES])
{
    snprintf(out, SCAN_NAME_BYTES, "%s.%s", UUID_STR(&file->id),
             file->role == COPY_MEMORY ? "mem" : disk_format_names[file->format]);
}

bool scan_takes(const struct scan *scan, const struct scan_vm *vm)
{
    return vm->verdict < SCAN_DOUBTFUL || (vm->verdict == SCAN_DOUBTFUL && scan->doubtful);
}

bool scan_each_root_file(const struct scan_vm *vm,
                         bool (*each)(void *ctx, const struct uuid *file, bool is_leaf), void *ctx)
{
    const struct vm_copy *copy = &vm->copy;

    for (size_t i = 0; i < copy->n_disks; i++)
        if (!each(ctx, &copy->disks[i].leaf, true))
            return false;
    for (size_t i = 0; i < copy->n_snapshots; i++) {
        const struct copy_snapshot *s = &copy->snapshots[i];
        for (size_t k = 0; k < s->n_disks; k++)
            if (!each(ctx, &s->disks[k].file, false))
                return false;
        if (!uuid_is_zero(&s->memory) && !each(ctx, &s->memory, false))
            return false;
    }
    return uuid_is_zero(&copy->memory) || each(ctx, &copy->memory, false);
}

/* ---- reading one ---- */

static bool read_text(int dir, const char *path, char **text, size_t *len, struct err *err)
{
    CLEANUP(closep) int fd = fs_open(dir, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, err);

    return fd >= 0 && fs_read_all(fd, COPY_MAX, text, len, err);
}

static struct scan_vm *vm_get(struct scan *scan, const struct uuid *id)
{
    struct scan_vm *vm = scan_vm_find(scan, id);

    if (vm)
        return vm;
    vm = mem_alloc(sizeof *vm);
    vm->id = *id;
    vm->findings = json_array();
    vm->verdict = SCAN_REFUSED;
    HASH_ADD(hh, scan->vms, id, sizeof vm->id, vm);
    return vm;
}

static bool is_newer(const struct vm_copy *copy, const struct vm_copy *than)
{
    if (copy->generation != than->generation)
        return copy->generation > than->generation;
    return copy->updated_ms > than->updated_ms;
}

static void take_copy(struct scan *scan, struct scan_vm *vm, struct vm_copy *copy,
                      const char *where)
{
    if (scan->generation < copy->generation)
        scan->generation = copy->generation;
    if (vm->where && !is_newer(copy, &vm->copy)) {
        vm_copy_clear(copy);
        return;
    }
    vm_copy_clear(&vm->copy);
    vm->copy = *copy;
    free(vm->where);
    vm->where = str_dup(where);
    vm->verdict = SCAN_WHOLE;
}

/* One that cannot be read is only a finding when there is another one. */
static void read_vm(struct scan *scan, int dir, const char *path, const struct uuid *id,
                    const char *where)
{
    CLEANUP(mem_freep) char *text = NULL;
    struct scan_vm *vm;
    struct vm_copy copy;
    struct err err = {0};
    size_t len;

    if (!read_text(dir, path, &text, &len, &err)) {
        if (err.code == ERR_NOT_FOUND)
            return; /* a directory of a VM that was going */
        vm = vm_get(scan, id);
        scan_find(scan, vm->findings, "its copy in %s cannot be read: %s", where, err.detail);
        return;
    }
    vm = vm_get(scan, id);
    if (!vm_copy_read(text, len, &copy, &err)) {
        scan_find(scan, vm->findings, "its copy in %s is not used: %s", where, err.detail);
    } else if (!uuid_eq(&copy.id, id)) {
        scan_find(scan, vm->findings, "its copy in %s is that of another VM", where);
        vm_copy_clear(&copy);
    } else {
        take_copy(scan, vm, &copy, where);
    }
}

static void read_host(struct scan *scan, int dir, const char *where)
{
    CLEANUP(mem_freep) char *text = NULL;
    struct host_copy copy;
    struct err err = {0};
    size_t len;

    if (!read_text(dir, HOST_COPY, &text, &len, &err)) {
        if (err.code != ERR_NOT_FOUND)
            scan_find(scan, NULL, "the host's copy in %s cannot be read: %s", where, err.detail);
        return;
    }
    if (!host_copy_read(text, len, &copy, &err)) {
        scan_find(scan, NULL, "the host's copy in %s is not used: %s", where, err.detail);
        return;
    }
    if (scan->generation < copy.generation)
        scan->generation = copy.generation;
    if (scan->has_host && copy.generation <= scan->host.generation) {
        host_copy_clear(&copy);
        return;
    }
    host_copy_clear(&scan->host);
    scan->host = copy;
    scan->has_host = true;
}

/* ---- reading all ---- */

/* Calls 'read' for each entry whose name begins with a UUID and goes on with 'suffix'. */
static void each_copy(struct scan *scan, int dir, const char *suffix, const char *path,
                      const char *where)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    char text[UUID_TEXT];
    struct uuid id;

    if (!list)
        closep(&fd);
    for (struct dirent *e; list && (e = readdir(list));) {
        CLEANUP(mem_freep) char *file = NULL;
        str_copy(text, sizeof text, e->d_name);
        if (!uuid_parse(text, &id) || strcmp(e->d_name + UUID_TEXT - 1, suffix) != 0)
            continue;
        file = str_format("%s%s", e->d_name, path);
        read_vm(scan, dir, file, &id, where);
    }
    if (list)
        closedir(list);
}

static void read_all(struct scan *scan)
{
    struct err err = {0};
    CLEANUP(closep) int vms = fs_open(scan->state, "vm", O_RDONLY | O_DIRECTORY, 0, &err);

    read_host(scan, scan->state, "the state directory");
    if (vms >= 0)
        each_copy(scan, vms, "", "/" COPY_NAME, "the state directory");
    for (size_t i = 0; i < scan->n_roots; i++) {
        const struct scan_root *root = &scan->roots[i];
        CLEANUP(closep) int dir = -1;
        if (root->dir < 0) {
            scan_find(scan, NULL, "the pool root %s cannot be opened: is it mounted?", root->id);
            continue;
        }
        dir = fs_open(root->dir, COPY_FOLDER, O_RDONLY | O_DIRECTORY, 0, &err);
        if (dir < 0)
            continue;
        read_host(scan, dir, root->id);
        each_copy(scan, dir, ".json", "", root->id);
    }
}

struct scan *scan_new(const struct scan_ask *ask)
{
    struct scan *scan = mem_alloc(sizeof *scan);

    *scan = (struct scan){.state = ask->state,
                          .roots = ask->roots,
                          .n_roots = ask->n_roots,
                          .doubtful = ask->doubtful,
                          .findings = json_array()};
    read_all(scan);
    scan_merge(scan);
    scan_look(scan);
    return scan;
}

static void vm_free(struct scan_vm *vm)
{
    vm_copy_clear(&vm->copy);
    vm_spec_freep(&vm->spec);
    json_decref(vm->findings);
    free(vm->where);
    free(vm);
}

void scan_free(struct scan *scan)
{
    struct scan_vm *vm, *next_vm;
    struct scan_pool *pool, *next_pool;
    struct scan_file *file, *next_file;

    if (!scan)
        return;
    HASH_ITER (hh, scan->vms, vm, next_vm) {
        HASH_DELETE(hh, scan->vms, vm);
        vm_free(vm);
    }
    HASH_ITER (hh, scan->pools, pool, next_pool) {
        HASH_DELETE(hh, scan->pools, pool);
        closep(&pool->dir);
        free(pool);
    }
    HASH_ITER (hh, scan->files, file, next_file) {
        HASH_DELETE(hh, scan->files, file);
        free(file);
    }
    for (size_t i = 0; i < scan->n_orphans; i++)
        free(scan->orphans[i].name);
    free(scan->orphans);
    host_copy_clear(&scan->host);
    free(scan->takes_template);
    json_decref(scan->findings);
    free(scan);
}

void scan_freep(struct scan **scan)
{
    scan_free(*scan);
}
