/* How much of a VM's disks differs between two snapshots, or one and now. See snap.h.
 *
 * What lies in files that both are made of is the same. What lies in others was written after they
 * parted, and that is what is counted: what these files take on the disk, which is more than was
 * changed when a cluster was written in part, written with what it had before, or written on both
 * branches. Only where it is asked for, their tables are read as well (exact.h). */
#include "core/base/mem.h"
#include "core/disk/disks.h"
#include "core/snap/exact.h"
#include "core/snap/snap.h"
#include "core/snap/tree.h"
#include "core/vm/registry.h"

#include <stdlib.h>

/* A disk at one moment. */
struct moment {
    struct uuid disk, file; /* the leaf then */
    unsigned position;
};

static struct moment *moments_now(struct core *core, const struct vm *vm, size_t *n)
    REQUIRES(core->registry.lock);
static struct moment *moments_now(struct core *core, const struct vm *vm, size_t *n)
{
    struct moment *list;
    size_t i = 0;

    for (struct disk *d = disks_of(core, &vm->id); d; d = d->next)
        i++;
    list = mem_array(i + 1, sizeof *list);
    *n = 0;
    for (struct disk *d = disks_of(core, &vm->id); d; d = d->next)
        list[(*n)++] = (struct moment){d->id, d->leaf, d->position};
    return list;
}

static struct moment *moments_then(const struct snapshot *s, size_t *n)
{
    struct moment *list = mem_array(s->n_disks + 1, sizeof *list);

    for (size_t i = 0; i < s->n_disks; i++)
        list[i] = (struct moment){s->disks[i].disk, s->disks[i].file, s->disks[i].position};
    *n = s->n_disks;
    return list;
}

static const struct moment *of_disk(const struct moment *list, size_t n, const struct uuid *disk)
{
    for (size_t i = 0; i < n; i++)
        if (uuid_eq(&list[i].disk, disk))
            return &list[i];
    return NULL;
}

/* ---- one disk ---- */

struct side {
    struct layer *chain;
    size_t n;
};

static struct side side_of(struct core *core, const struct moment *m)
{
    struct side side = {0};

    if (m)
        side.chain = chain_of_leaf(core, &m->file, &side.n);
    return side;
}

static bool has(const struct side *side, const struct uuid *file)
{
    for (size_t i = 0; i < side->n; i++)
        if (uuid_eq(&side->chain[i].id, file))
            return true;
    return false;
}

static uint64_t bytes_beyond(const struct side *side, const struct side *other, size_t *files)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < side->n && !has(other, &side->chain[i].id); i++) {
        sum += layer_allocated(&side->chain[i]);
        ++*files;
    }
    return sum;
}

static void put_size(json_t *v, const char *member, const struct side *side)
{
    if (side->n)
        json_put_u64(v, member, side->chain[0].size_bytes);
    else
        json_put(v, member, NULL);
}

static json_t *disk_view(struct core *core, const struct moment *from, const struct moment *to)
{
    struct side a = side_of(core, from), b = side_of(core, to);
    json_t *v = json_object();
    size_t files = 0;
    uint64_t bytes = bytes_beyond(&a, &b, &files) + bytes_beyond(&b, &a, &files);

    json_put_text(v, "disk", UUID_STR(from ? &from->disk : &to->disk));
    json_put_u64(v, "position", from ? from->position : to->position);
    put_size(v, "from_size_bytes", &a);
    put_size(v, "to_size_bytes", &b);
    json_put_u64(v, "files", files);
    json_put_u64(v, "at_most_bytes", bytes);
    json_put(v, "changed_bytes", NULL);
    free(a.chain);
    free(b.chain);
    return v;
}

/* ---- all of them ---- */

struct diff {
    struct moment *from, *to;
    size_t n_from, n_to;
};

static void diff_clear(struct diff *d)
{
    free(d->from);
    free(d->to);
}

/* Members that name both, and what they have of disks. */
static bool find(struct core *core, struct vm *vm, const char *from, const char *to, struct diff *d,
                 json_t *v, struct err *err) REQUIRES(core->registry.lock);
static bool find(struct core *core, struct vm *vm, const char *from, const char *to, struct diff *d,
                 json_t *v, struct err *err)
{
    struct snapshot *a = snapshot_need(core, vm, from, err), *b = NULL;

    if (!a)
        return false;
    if (to) {
        b = snapshot_need(core, vm, to, err);
        if (!b)
            return false;
    }
    d->from = moments_then(a, &d->n_from);
    d->to = b ? moments_then(b, &d->n_to) : moments_now(core, vm, &d->n_to);
    json_put_text(v, "from", UUID_STR(&a->id));
    json_put_text(v, "to", b ? UUID_STR(&b->id) : NULL);
    return true;
}

static json_t *disks_view(struct core *core, const struct diff *d, uint64_t *sum)
{
    json_t *list = json_array(), *one;
    size_t i;

    for (i = 0; i < d->n_from; i++)
        json_array_append_new(
            list, disk_view(core, &d->from[i], of_disk(d->to, d->n_to, &d->from[i].disk)));
    for (i = 0; i < d->n_to; i++)
        if (!of_disk(d->from, d->n_from, &d->to[i].disk))
            json_array_append_new(list, disk_view(core, NULL, &d->to[i]));
    *sum = 0;
    json_array_foreach (list, i, one)
        *sum += json_get_u64(one, "at_most_bytes", 0);
    return list;
}

/* In the order of disks_view(). */
static bool count_one(struct core *core, struct vm *vm, const struct moment *from,
                      const struct moment *to, json_t *view, uint64_t *sum, struct err *err)
{
    uint64_t bytes;

    if (!exact_difference(core, vm, from ? &from->file : NULL, to ? &to->file : NULL, &bytes, err))
        return false;
    json_put_u64(view, "changed_bytes", bytes);
    *sum += bytes;
    return true;
}

static bool count_all(struct core *core, struct vm *vm, const struct diff *d, json_t *disks,
                      uint64_t *sum, struct err *err)
{
    bool ok = true;
    size_t at = 0;

    *sum = 0;
    for (size_t i = 0; ok && i < d->n_from; i++)
        ok = count_one(core, vm, &d->from[i], of_disk(d->to, d->n_to, &d->from[i].disk),
                       json_array_get(disks, at++), sum, err);
    for (size_t i = 0; ok && i < d->n_to; i++)
        if (!of_disk(d->from, d->n_from, &d->to[i].disk))
            ok = count_one(core, vm, NULL, &d->to[i], json_array_get(disks, at++), sum, err);
    return ok;
}

static bool check_exact(const char *to, struct err *err)
{
    return to || err_field(err, ERR_INVALID, "?exact",
                           "what changes while it is looked at cannot be counted exactly: take a "
                           "snapshot, and compare with that");
}

json_t *snapshot_diff(struct core *core, const char *ref, const char *from, const char *to,
                      bool exact, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get(core, ref, err)};
    CLEANUP(diff_clear) struct diff d = {0};
    CLEANUP(json_decrefp) json_t *v = json_object();
    uint64_t sum, changed;
    json_t *disks;
    bool ok;

    if (!hold.vm || (exact && !check_exact(to, err)))
        return NULL;
    lock_take(&core->registry.lock);
    ok = find(core, hold.vm, from, to, &d, v, err);
    lock_drop(&core->registry.lock);
    if (!ok)
        return NULL;
    disks = disks_view(core, &d, &sum);
    json_put_u64(v, "at_most_bytes", sum);
    json_put(v, "changed_bytes", NULL);
    json_put(v, "disks", disks);
    if (exact && !count_all(core, hold.vm, &d, disks, &changed, err))
        return NULL;
    if (exact)
        json_put_u64(v, "changed_bytes", changed);
    return TAKE(v);
}
