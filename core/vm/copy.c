/* A VM's own directory below the state directory, and the disaster copy of its configuration in it:
 * config.json holds what is needed to define the VM again if the database is lost. */
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/vm/registry.h"

#include <fcntl.h>
#include <string.h>

int vm_dir_open(struct core *core, const struct vm *vm, bool create, struct err *err)
{
    return create ? fs_dir(core->vms_fd, UUID_STR(&vm->id), 0700, err)
                  : fs_open(core->vms_fd, UUID_STR(&vm->id), O_RDONLY | O_DIRECTORY, 0, err);
}

static json_t *chain_of(struct core *core, const struct uuid *vm)
{
    json_t *list = json_array();

    lock_take(&core->registry.lock);
    for (struct disk *d = core->registry.disks; d; d = d->next) {
        json_t *one, *files;
        if (!uuid_eq(&d->vm, vm))
            continue;
        one = json_object();
        files = json_array();
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

void vm_copy_publish(struct core *core, const struct vm *vm)
{
    CLEANUP(json_decrefp) json_t *copy = json_object();
    CLEANUP(mem_freep) char *text = NULL;
    CLEANUP(closep) int dir = -1;
    struct err err = {0};

    json_put_u64(copy, "version", 1);
    json_put_text(copy, "id", UUID_STR(&vm->id));
    json_put(copy, "chains", chain_of(core, &vm->id));
    lock_take(&core->registry.lock);
    json_put_u64(copy, "revision", vm->revision);
    json_put(copy, "spec", model_encode(&vm_model, &vm->spec));
    lock_drop(&core->registry.lock);
    text = json_dumps(copy, JSON_INDENT(2));
    dir = vm_dir_open(core, vm, true, &err);
    if (dir < 0 || !fs_publish(dir, "config.json", text, strlen(text), 0600, &err))
        log_warn("the copy of %s's configuration was not written: %s", vm->name, err.detail);
}
