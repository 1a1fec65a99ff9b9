/* What a scan says: see scan.h. For people through vmmctl, and for scripts as it is. */
#include "core/base/str.h"
#include "core/rebuild/scan.h"

#include <string.h>

static json_t *vm_report(const struct scan *scan, const struct scan_vm *vm)
{
    json_t *v = json_object();

    json_put_text(v, "id", UUID_STR(&vm->id));
    json_put_text(v, "name", vm->spec ? vm->spec->name : NULL);
    json_put_text(v, "verdict", scan_verdicts[vm->verdict]);
    json_put_bool(v, "made", scan_takes(scan, vm));
    json_put_text(v, "copy", vm->where);
    json_put_bool(v, "saved", !uuid_is_zero(&vm->copy.memory) && !vm->memory_lost);
    json_put_u64(v, "disks", vm->copy.n_disks);
    json_put_u64(v, "snapshots", vm->copy.n_snapshots);
    json_put_time(v, "changed_at", (int64_t)vm->copy.updated_ms);
    json_put(v, "findings", json_incref(vm->findings));
    return v;
}

static json_t *pool_report(const struct scan_pool *pool)
{
    json_t *v = json_object();

    json_put_text(v, "id", UUID_STR(&pool->id));
    json_put_text(v, "name", pool->name);
    json_put_text(v, "root", pool->as->root);
    json_put_bool(v, "reachable", pool->dir >= 0);
    return v;
}

/* A name is what somebody else chose. */
static json_t *orphan_report(const struct scan *scan, const struct scan_orphan *orphan)
{
    char name[256];
    json_t *v = json_object();

    str_copy(name, sizeof name, orphan->name);
    str_scrub(name);
    json_put_text(v, "pool", scan_pool_find(scan, &orphan->pool)->name);
    json_put_text(v, "name", name);
    json_put_u64(v, "bytes", orphan->bytes);
    return v;
}

json_t *scan_report(const struct scan *scan, const char *kept)
{
    json_t *v = json_object(), *vms = json_array(), *pools = json_array();
    json_t *orphans = json_array();

    for (const struct scan_vm *vm = scan->vms; vm; vm = vm->hh.next)
        json_array_append_new(vms, vm_report(scan, vm));
    for (const struct scan_pool *p = scan->pools; p; p = p->hh.next)
        json_array_append_new(pools, pool_report(p));
    for (size_t i = 0; i < scan->n_orphans; i++)
        json_array_append_new(orphans, orphan_report(scan, &scan->orphans[i]));
    json_put_bool(v, "applied", kept != NULL);
    json_put_text(v, "kept_as", kept && *kept ? kept : NULL);
    json_put(v, "vms", vms);
    json_put(v, "pools", pools);
    json_put_u64(v, "templates", scan->host.n_templates);
    json_put(v, "orphans", orphans);
    json_put(v, "findings", json_incref(scan->findings));
    return v;
}
