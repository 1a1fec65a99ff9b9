/* A VM's own directory below the state directory, and the disaster copy of its configuration in it:
 * config.json holds what is needed to define the VM again if the database is lost. */
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/disk/disks.h"
#include "core/vm/registry.h"

#include <fcntl.h>
#include <string.h>

#define COPY_MAX (4u << 20) /* bytes of a copy that is worth reading */

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
        for (size_t i = 0; i < d->n_chain; i++)
            json_array_append_new(files, json_string(UUID_STR(&d->chain[i])));
        json_put(one, "chain", files);
        json_array_append_new(list, one);
    }
    lock_drop(&core->registry.lock);
    return list;
}

static char *copy_text(struct core *core, const struct vm *vm)
{
    CLEANUP(json_decrefp) json_t *copy = json_object();

    json_put_u64(copy, "version", 1);
    json_put_text(copy, "id", UUID_STR(&vm->id));
    json_put(copy, "chains", chain_of(core, &vm->id));
    lock_take(&core->registry.lock);
    json_put_u64(copy, "revision", vm->revision);
    json_put(copy, "spec", model_encode(&vm_model, &vm->spec));
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
    if (dir < 0 ||
        !FAILPOINT_AROUND("vm.copy", fs_publish(dir, name, text, strlen(text), 0600, &err), &err))
        log_warn("the copy of %s's configuration was not written: %s", vm->name, err.detail);
}

void vm_copy_publish(struct core *core, struct vm *vm)
{
    lock_take(&vm->writing);
    publish(core, vm);
    lock_drop(&vm->writing);
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

void vm_copies_refresh(struct core *core)
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
