/* Disks as the API shows them: see pool.h. */
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/change.h"
#include "core/disk/disks.h"
#include "core/disk/file.h"
#include "core/disk/pool.h"
#include "core/model/page.h"
#include "core/user/sight_inside.h"
#include "core/vm/registry.h"

#include <string.h>

/* Of the files of its chain that are the VM's own. */
static uint64_t allocated(struct core *core, const struct disk *d) REQUIRES(core->registry.lock);
static uint64_t allocated(struct core *core, const struct disk *d)
{
    uint64_t sum = 0;

    for (struct file *f = file_find(core, &d->leaf); f; f = file_find(core, &f->parent)) {
        const struct layer layer = layer_of_file(core, f);
        sum += layer_allocated(&layer);
    }
    return sum;
}

static unsigned chain_length(struct core *core, const struct disk *d) REQUIRES(core->registry.lock);
static unsigned chain_length(struct core *core, const struct disk *d)
{
    unsigned n = 0;

    for (struct file *f = file_find(core, &d->leaf); f && n < FILE_CHAIN_MAX;
         f = file_find(core, &f->parent))
        n++;
    return n;
}

/* They are part of the VM's configuration. */
static json_t *limits_of(struct core *core, const struct disk *d) REQUIRES(core->registry.lock);
static json_t *limits_of(struct core *core, const struct disk *d)
{
    static const struct disk_limits none = {.burst_s = 1};
    const struct vm_disk *spec = NULL;
    struct vm *vm;

    HASH_FIND(by_id, core->registry.vms_by_id, &d->vm, sizeof d->vm, vm);
    if (vm)
        spec = spec_disk(&vm->spec, &d->id);
    return model_encode(&disk_limits_model, spec ? &spec->limits : &none);
}

static json_t *view(struct core *core, const struct disk *d, bool file)
    REQUIRES(core->registry.lock);
static json_t *view(struct core *core, const struct disk *d, bool file)
{
    struct file *leaf = file_find(core, &d->leaf);
    struct pool *pool = pool_find(core, UUID_STR(leaf ? &leaf->pool : &d->pool));
    json_t *v = json_object();

    json_put_text(v, "id", UUID_STR(&d->id));
    json_put_text(v, "vm", uuid_is_zero(&d->vm) ? NULL : UUID_STR(&d->vm));
    json_put_text(v, "pool", pool ? pool->name : UUID_STR(&d->pool));
    json_put_u64(v, "position", d->position);
    json_put_u64(v, "size_bytes", d->size_bytes);
    if (file)
        json_put_u64(v, "file_bytes", allocated(core, d));
    json_put_u64(v, "files", chain_length(core, d));
    json_put_text(v, "format", disk_format_names[leaf ? leaf->format : d->format]);
    json_put_text(v, "bus", disk_bus_names[d->bus]);
    json_put(v, "limits", limits_of(core, d));
    json_put_time(v, "created_at", d->created_ms);
    return v;
}

json_t *disk_show(struct core *core, const char *ref, struct err *err)
{
    struct disk *disk = NULL;
    json_t *v = NULL;
    struct uuid id;

    if (uuid_parse(ref, &id)) {
        lock_take(&core->registry.lock);
        disk = disk_find(core, &id);
        v = disk ? view(core, disk, true) : NULL;
        lock_drop(&core->registry.lock);
    }
    if (!v)
        disk_missing_fail(ref, err);
    return v;
}

bool disk_missing_fail(const char *ref, struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "there is no disk '%.64s'", ref);
}

struct show {
    struct core *core;
    const struct query *query;
};

/* The files are looked at for what is shown only, unless the query asks for it. */
static bool show(void *ctx, const json_t *offered, struct strbuf *out)
{
    const struct show *s = ctx;
    CLEANUP(json_decrefp) json_t *whole = NULL, *narrowed = NULL;
    CLEANUP(mem_freep) char *text = NULL;
    struct err gone = {0};

    whole = disk_show(s->core, json_get_text(offered, "id"), &gone);
    if (!whole)
        return false;
    if (s->query->n_fields)
        narrowed = query_project(s->query, whole);
    text = json_write(narrowed ? narrowed : whole);
    strbuf_adds(out, text ? text : "");
    return text != NULL;
}

bool disk_list(struct core *core, const char *vm, const struct query *query, struct strbuf *out,
               struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm ? vm_get(core, vm, err) : NULL};
    CLEANUP(page_clear) struct page page = {.query = query};
    bool file = query_looks_at(query, "file_bytes");
    struct show ctx = {core, query};
    struct disk *d, *next;

    if (vm && !hold.vm)
        return false;
    lock_take(&core->registry.lock);
    if (vm) {
        for (d = disks_of(core, &hold.vm->id); d; d = d->next)
            page_offer(&page, view(core, d, file));
    } else {
        HASH_ITER (by_id, core->registry.disks_by_id, d, next)
            if (sight_vm_id(core, &d->vm, RIGHT_VM_READ))
                page_offer(&page, view(core, d, file));
    }
    lock_drop(&core->registry.lock);
    page_write(&page, show, &ctx, out);
    return true;
}
