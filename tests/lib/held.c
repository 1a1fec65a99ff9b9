/* What guests hold: see held.h. */
#include "tests/lib/held.h"

#include "backends/fake/fake.h"
#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/bundle/document.h"
#include "core/core/parts.h"
#include "core/disk/disks.h"
#include "core/disk/file.h"
#include "core/port/memory_image.h"
#include "core/rebuild/document.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR  512
#define WHERE   (HELD_DISK_BYTES - SECTOR)
#define OPEN_MS 10000

struct mark {
    char magic[4];
    int value;
    char rest[SECTOR - 8];
};

static struct world *watched;

/* Operations are taken up while core_open() has not returned yet. */
static struct core *core_of_now(void)
{
    int64_t deadline_ms = clock_mono_ms() + OPEN_MS;
    struct core *core;

    while (!(core = __atomic_load_n(&watched->core, __ATOMIC_ACQUIRE)) &&
           clock_mono_ms() < deadline_ms)
        (void)poll(NULL, 0, 1); /* asked again until it has */
    return core;
}

static bool read_mark(const struct layer *layer, struct mark *out)
{
    struct err err = {0};
    CLEANUP(closep) int fd = layer_open(layer, O_RDONLY, &err);

    return fd >= 0 && pread(fd, out, sizeof *out, WHERE) == sizeof *out &&
           memcmp(out->magic, "MARK", 4) == 0;
}

static bool write_mark(const struct layer *layer, const struct mark *mark, bool flush)
{
    struct err err = {0};
    CLEANUP(closep) int fd = layer_open(layer, O_RDWR, &err);

    return fd >= 0 && pwrite(fd, mark, sizeof *mark, WHERE) == sizeof *mark &&
           (!flush || fsync(fd) == 0);
}

/* The nearest mark from 'from' on, before 'end' (zero: to the base). */
static bool find_mark(struct core *core, const struct uuid *from, const struct uuid *end,
                      struct mark *out)
{
    CLEANUP(mem_freep) struct layer *chain = NULL;
    size_t n;

    chain = chain_of_leaf(core, from, &n);
    for (size_t i = 0; i < n && !uuid_eq(&chain[i].id, end); i++)
        if (read_mark(&chain[i], out))
            return true;
    return false;
}

static void copy(const struct uuid *from, const struct uuid *end, const struct uuid *to, bool flush)
{
    struct core *core = core_of_now();
    CLEANUP(mem_freep) struct layer *target = NULL;
    struct mark mark;
    size_t n = 0;

    if (core)
        target = chain_of_leaf(core, to, &n);
    if (n && find_mark(core, from, end, &mark) && !write_mark(&target[0], &mark, flush))
        print_message("a copy failed\n");
}

static void on_stream(const struct uuid *top, const struct uuid *base)
{
    copy(top, base, top, false);
}

/* It ends by a pivot, before which QEMU flushes. */
static void on_mirror(const struct uuid *from, const struct uuid *to, bool leaf_only)
{
    struct core *core = core_of_now();
    CLEANUP(mem_freep) struct layer *chain = NULL;
    const struct uuid none = {0};
    size_t n = 0;

    if (core)
        chain = chain_of_leaf(core, from, &n);
    if (n)
        copy(from, leaf_only ? &chain[0].parent : &none, to, true);
}

/* A leaf's commit ends by a pivot, before which QEMU flushes. */
static void on_commit(const struct uuid *top, const struct uuid *base, bool is_leaf)
{
    copy(top, base, base, is_leaf);
}

static void on_flush(const struct uuid *file)
{
    struct core *core = core_of_now();
    CLEANUP(mem_freep) struct layer *chain = NULL;
    struct err err = {0};
    size_t n = 0;

    if (core)
        chain = chain_of_leaf(core, file, &n);
    if (!n)
        return;
    CLEANUP(closep) int fd = layer_open(&chain[0], O_RDWR, &err);
    if (fd < 0 || fsync(fd) < 0)
        print_message("a flush failed\n");
}

void held_watch(struct world *w)
{
    static const struct fake_files files = {on_stream, on_mirror, on_commit, on_flush};

    watched = w;
    fake_files = &files;
}

/* The leaves of a VM's disks; the caller's. */
static struct uuid *leaves(struct world *w, const char *vm, size_t *n)
{
    struct uuid *list = mem_array(VM_DISKS_MAX, sizeof *list), id;

    *n = 0;
    if (!world_has_vm(w, vm) || !uuid_parse(world_vm(w, vm, "id"), &id))
        return list;
    lock_take(&w->core->registry.lock);
    for (struct disk *d = disks_of(w->core, &id); d; d = d->next)
        list[(*n)++] = d->leaf;
    lock_drop(&w->core->registry.lock);
    return list;
}

bool held_write(struct world *w, const char *vm, int value, struct err *err)
{
    const struct mark mark = {.magic = "MARK", .value = value};
    CLEANUP(mem_freep) struct uuid *list = NULL;
    size_t n;

    list = leaves(w, vm, &n);
    for (size_t i = 0; i < n; i++) {
        size_t depth;
        CLEANUP(mem_freep) struct layer *chain = chain_of_leaf(w->core, &list[i], &depth);
        if (!depth || !write_mark(&chain[0], &mark, true))
            return err_set(err, ERR_INTERNAL, "the guest could not write");
    }
    return n > 0;
}

bool held_is(struct world *w, const char *vm, int was, int becomes)
{
    CLEANUP(mem_freep) struct uuid *list = NULL;
    const struct uuid none = {0};
    size_t n;

    list = leaves(w, vm, &n);
    for (size_t i = 0; i < n; i++) {
        struct mark mark = {0};
        int is = find_mark(w->core, &list[i], &none, &mark) ? mark.value : 0;
        if (is != was && is != becomes)
            return false;
    }
    return true;
}

unsigned held_files(struct world *w, const char *vm)
{
    CLEANUP(mem_freep) struct layer *layers = NULL;
    struct uuid id;
    size_t n = 0;

    if (world_has_vm(w, vm) && uuid_parse(world_vm(w, vm, "id"), &id))
        layers = layers_of_vm(w->core, &id, &n);
    return (unsigned)n;
}

/* ---- what is there ---- */

static const char *say(const char *path, const char *why)
{
    static char text[512];

    snprintf(text, sizeof text, "%s %s", path, why);
    return text;
}

static bool is_whole_memory(int fd, off_t size)
{
    struct memory_trailer t;

    return size > (off_t)sizeof t &&
           pread(fd, &t, sizeof t, size - (off_t)sizeof t) == (ssize_t)sizeof t &&
           memcmp(t.magic, MEMORY_MAGIC, sizeof t.magic) == 0 &&
           (off_t)(t.ram_bytes + t.state_bytes + sizeof t) == size;
}

static const char *file_is_whole(const char *path)
{
    CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    const char *dot = strrchr(path, '.');
    char head[4] = "";
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return say(path, "cannot be opened");
    if (str_eq(dot, ".raw"))
        return st.st_size == HELD_DISK_BYTES ? NULL : say(path, "has another size");
    if (str_eq(dot, ".mem"))
        return is_whole_memory(fd, st.st_size) ? NULL : say(path, "is no memory image, or a part");
    if (read(fd, head, 4) != 4 || memcmp(head, "QFI\xfb", 4) != 0)
        return say(path, "is not an image");
    return NULL;
}

/* Counts the files of the pools below a root, and looks at each. */
const char *held_look_at_files(const char *root, unsigned *n)
{
    DIR *dir = opendir(root);
    const char *wrong = NULL;

    for (struct dirent *p; dir && !wrong && (p = readdir(dir));) {
        CLEANUP(mem_freep) char *path = str_format("%s/%s", root, p->d_name);
        bool is_pool = p->d_name[0] != '.' && strcmp(p->d_name, COPY_FOLDER) != 0 &&
                       strcmp(p->d_name, BUNDLE_FOLDER) != 0;
        DIR *pool = is_pool ? opendir(path) : NULL;
        for (struct dirent *f; pool && !wrong && (f = readdir(pool));) {
            CLEANUP(mem_freep) char *file = str_format("%s/%s", path, f->d_name);
            if (f->d_name[0] == '.')
                continue;
            ++*n;
            wrong = file_is_whole(file);
        }
        if (pool)
            closedir(pool);
    }
    if (dir)
        closedir(dir);
    return wrong;
}
