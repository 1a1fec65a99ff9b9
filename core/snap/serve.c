/* See serve.h, and "Serve a snapshot's disk" in docs/storage.md:
 *
 *   1 row of an empty overlay 'creating' of nobody on the snapshot's file, which is lent from here
 * on 2 the overlay is made; a QEMU that runs no guest opens it, and serves it to one connection 3
 * that ends: QEMU goes, then the overlay, its row first by the rule for files of nobody
 *
 * Whatever dies in between, the next start finds a worker that belongs to no VM and a file that
 * nobody has. QEMU's log is in memory: there is no directory to be swept. */
#include "core/snap/serve.h"

#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/disks.h"
#include "core/disk/lent.h"
#include "core/snap/cloning.h"
#include "core/snap/helper.h"
#include "core/snap/tree.h"
#include "core/vm/registry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKET_NAME ".nbd"

struct serve {
    struct core *core;
    struct layer overlay;
    struct vm *shadow;      /* NULL: not yet */
    struct machine *helper; /* the same */
    int backend;            /* enum vm_backend */
    bool enlisted, written; /* the overlay is in memory, and in the database */
    bool counts;            /* of SERVES_MAX */
};

static atomic_uint serving; /* in this process */
static struct lock socket_lock = {PTHREAD_MUTEX_INITIALIZER};

/* ---- the overlay ---- */

/* The file is lent from here on. */
static bool lend(struct serve *s, struct vm *vm, const struct uuid *id, struct err *err)
    REQUIRES(s->core->registry.lock);
static bool lend(struct serve *s, struct vm *vm, const struct uuid *id, struct err *err)
{
    struct file *below, *file;

    if (!clone_source_is_free(vm, err))
        return false;
    below = file_find(s->core, id);
    if (!below)
        return err_set(err, ERR_INTERNAL, "a disk of the snapshot has no file");
    s->overlay = layer_of_file(s->core, below);
    s->overlay.parent = below->id;
    s->overlay.id = uuid_new();
    s->overlay.vm = (struct uuid){0};
    s->overlay.format = DISK_QCOW2;
    file = mem_alloc(sizeof *file);
    *file = (struct file){.id = s->overlay.id,
                          .pool = s->overlay.pool,
                          .parent = s->overlay.parent,
                          .format = s->overlay.format,
                          .size_bytes = s->overlay.size_bytes,
                          .removing = true}; /* by serve_end(), not before */
    file_index_add(s->core, file);
    s->enlisted = true;
    return true;
}

static bool enlist(struct serve *s, struct vm *vm, const char *ref, unsigned disk, json_t *event,
                   struct err *err) REQUIRES(s->core->registry.lock);
static bool enlist(struct serve *s, struct vm *vm, const char *ref, unsigned disk, json_t *event,
                   struct err *err)
{
    struct snapshot *snapshot = snapshot_need(s->core, vm, ref, err);

    if (!snapshot)
        return false;
    if (disk >= snapshot->n_disks)
        return err_field(err, ERR_NOT_FOUND, "?disk", "the snapshot has %zu disks",
                         snapshot->n_disks);
    if (!lend(s, vm, &snapshot->disks[disk].file, err))
        return false;
    json_put_text(event, "name", snapshot->name);
    json_put_text(event, "vm", UUID_STR(&vm->id));
    json_put_u64(event, "disk", disk);
    return true;
}

/* 'event' NULL: it is none. */
static bool write_row(struct serve *s, const struct uuid *snapshot, json_t *event, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(s->core->store, err);
    const struct uuid none = {0};

    if (!txn)
        return false;
    s->written = layer_write(txn, &s->overlay, "creating", &none, err) &&
                 (!event || event_add(txn, "snapshot.served", "snapshot", snapshot,
                                      json_incref(event), err)) &&
                 FAILPOINT("serve.rows", err) && store_commit(&txn, err);
    return s->written;
}

static void drop_overlay(struct serve *s)
{
    struct file *file;

    lock_take(&s->core->registry.lock);
    file = file_find(s->core, &s->overlay.id);
    if (file && s->written)
        file->removing = false;
    else if (file)
        file_index_drop(s->core, file);
    lock_drop(&s->core->registry.lock);
    files_settle_nobodys(s->core);
}

/* ---- the connection ---- */

static int stream_socket(struct err *err)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        err_errno(err, errno, "make a socket");
    return fd;
}

/* Both ends of one connection, of which 'listener' has not taken its own yet. Its name is in a
 * directory of ours and lasts for this call: nobody else can connect to it. */
static bool connect_pair(struct core *core, int *listener, int *client, struct err *err)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    bool ok;

    snprintf(at.sun_path, sizeof at.sun_path, "/proc/self/fd/%d/" SOCKET_NAME, core->vms_fd);
    *listener = stream_socket(err);
    *client = *listener < 0 ? -1 : stream_socket(err);
    if (*client < 0)
        return false;
    lock_take(&socket_lock);
    (void)unlinkat(core->vms_fd, SOCKET_NAME, 0); /* of a process that was killed here */
    ok = bind(*listener, (struct sockaddr *)&at, sizeof at) == 0 && listen(*listener, 1) == 0 &&
         connect(*client, (struct sockaddr *)&at, sizeof at) == 0;
    if (!ok)
        err_errno(err, errno, "connect to a socket of our own");
    (void)unlinkat(core->vms_fd, SOCKET_NAME, 0);
    lock_drop(&socket_lock);
    return ok;
}

static bool call(struct serve *s, int *fd, struct err *err)
{
    const struct backend *backend = core_backend(s->backend);
    CLEANUP(closep) int listener = -1;
    CLEANUP(closep) int client = -1;

    if (!backend->serve)
        return err_set(err, ERR_UNSUPPORTED, "this kind of VM cannot serve its disks");
    if (!connect_pair(s->core, &listener, &client, err) ||
        !FAILPOINT_AROUND("serve.nbd", backend->serve(s->helper, 0, TAKE_FD(listener), err), err))
        return false;
    *fd = client;
    client = -1;
    return true;
}

/* ---- */

static bool begin(struct serve *s, int *fd, struct err *err)
{
    const struct uuid id = uuid_new();

    if (!layer_make(s->core, &s->overlay, err))
        return false;
    s->shadow = helper_shadow(s->core, &id, s->backend);
    s->helper = helper_start_reading(s->core, s->shadow, &s->overlay.id, err);
    return s->helper && call(s, fd, err);
}

static bool find(struct serve *s, struct vm *vm, const char *ref, unsigned disk, struct uuid *id,
                 json_t *event, struct err *err)
{
    struct snapshot *snapshot;
    bool ok;

    lock_take(&s->core->registry.lock);
    ok = enlist(s, vm, ref, disk, event, err);
    snapshot = ok ? snapshot_find(vm, ref) : NULL;
    if (snapshot)
        *id = snapshot->id;
    lock_drop(&s->core->registry.lock);
    return ok;
}

bool snapshot_serve(struct core *core, const char *ref, const char *snapshot, unsigned disk,
                    const struct origin *origin, struct serve **out, int *fd, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get(core, ref, err)};
    CLEANUP(json_decrefp) json_t *event = json_object();
    struct uuid id = {0};
    struct serve *s;

    *out = NULL;
    *fd = -1;
    if (!hold.vm)
        return false;
    s = mem_alloc(sizeof *s);
    *s = (struct serve){.core = core, .backend = hold.vm->backend, .counts = true};
    json_put_text(event, "by", origin->principal);
    if (atomic_fetch_add(&serving, 1) >= SERVES_MAX)
        err_set(err, ERR_BUSY, "%d disks of snapshots are served already: end one first",
                SERVES_MAX);
    else if (find(s, hold.vm, snapshot, disk, &id, event, err) && write_row(s, &id, event, err) &&
             begin(s, fd, err)) {
        log_info("a disk of a snapshot of %s is served to %s", VM_NAME(core, hold.vm),
                 origin->principal);
        *out = s;
        return true;
    }
    serve_end(s);
    return false;
}

static bool lend_it(struct serve *s, struct vm *vm, const struct uuid *file, struct err *err)
{
    bool ok;

    lock_take(&s->core->registry.lock);
    ok = lend(s, vm, file, err);
    lock_drop(&s->core->registry.lock);
    return ok;
}

bool serve_file(struct core *core, struct vm *vm, const struct uuid *file, struct serve **out,
                int *fd, struct err *err)
{
    struct serve *s = mem_alloc(sizeof *s);

    *s = (struct serve){.core = core, .backend = vm->backend};
    *out = NULL;
    *fd = -1;
    if (lend_it(s, vm, file, err) && write_row(s, NULL, NULL, err) && begin(s, fd, err)) {
        *out = s;
        return true;
    }
    serve_end(s);
    return false;
}

void serve_end(struct serve *s)
{
    if (!s)
        return;
    if (s->helper)
        helper_stop(s->core, s->shadow, s->helper);
    if (s->shadow)
        helper_shadow_free(s->core, s->shadow);
    if (s->enlisted)
        drop_overlay(s);
    if (s->counts)
        atomic_fetch_sub(&serving, 1);
    free(s);
}
