/* How much of a disk differs, exactly: see exact.h.
 *
 * The chain of record says which files only one side is made of. What is in those is asked of the
 * QEMU that would serve the side by NBD (serve.c): it says for each part of the disk which layer
 * has it, counted from the top, where there is an empty overlay; so what one of these files has is
 * what a layer from 2 on has that is not among those that both share. Both sides mark the same map.
 *
 * What is lent stays as it is, and so does all below it: the layers are counted once more after
 * that, and it is only asked when they are the same. */
#include "core/snap/exact.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/disk/disks.h"
#include "core/snap/nbd_map.h"
#include "core/snap/serve.h"

#include <stdlib.h>

#define CLUSTER_BYTES (64u << 10)
#define WORD_BITS     64
#define ASK_MS        60000 /* each side */
#define AT_ONCE       2     /* in this process: each is a QEMU or two, and a map */

static atomic_uint counting;

struct side {
    const struct uuid *file; /* NULL: there was no such disk */
    struct layer *chain;
    size_t n, beyond; /* files, and those of them that the other side has not */
    struct serve *serve;
    int fd;
};

struct map {
    uint64_t *words;
    uint64_t size_bytes; /* of the larger side */
    size_t beyond;       /* of the side that is looked at; 0: by what holds anything */
};

/* ---- the map ---- */

static void mark(struct map *map, uint64_t offset, uint64_t length)
{
    const uint64_t last = (offset + length - 1) / CLUSTER_BYTES;

    for (uint64_t i = offset / CLUSTER_BYTES; i <= last; i++)
        map->words[i / WORD_BITS] |= 1ull << i % WORD_BITS;
}

static void mark_layer(void *ctx, uint64_t offset, uint64_t length, uint32_t depth)
{
    struct map *map = ctx;

    if (depth && depth <= map->beyond + 1)
        mark(map, offset, length);
}

static void mark_data(void *ctx, uint64_t offset, uint64_t length, uint32_t flags)
{
    if (!(flags & NBD_MAP_ZERO))
        mark(ctx, offset, length);
}

static uint64_t words_of(uint64_t size_bytes)
{
    return size_bytes / CLUSTER_BYTES / WORD_BITS + 1;
}

/* The last cluster may go beyond the end of the disk. */
static uint64_t marked_bytes(const struct map *map)
{
    const uint64_t tail = map->size_bytes % CLUSTER_BYTES, last = map->size_bytes / CLUSTER_BYTES;
    uint64_t n = 0;

    for (uint64_t i = 0; i < words_of(map->size_bytes); i++)
        n += (unsigned)__builtin_popcountll(map->words[i]);
    n *= CLUSTER_BYTES;
    if (tail && map->words[last / WORD_BITS] >> last % WORD_BITS & 1)
        n -= CLUSTER_BYTES - tail;
    return n;
}

/* ---- the sides ---- */

static bool has(const struct side *side, const struct uuid *file)
{
    for (size_t i = 0; i < side->n; i++)
        if (uuid_eq(&side->chain[i].id, file))
            return true;
    return false;
}

static size_t beyond(const struct side *side, const struct side *other)
{
    size_t n = 0;

    while (n < side->n && !has(other, &side->chain[n].id))
        n++;
    return n;
}

static void look(struct core *core, struct side sides[2])
{
    for (int i = 0; i < 2; i++) {
        mem_freep(&sides[i].chain);
        sides[i].n = 0;
        if (sides[i].file)
            sides[i].chain = chain_of_leaf(core, sides[i].file, &sides[i].n);
    }
    for (int i = 0; i < 2; i++)
        sides[i].beyond = beyond(&sides[i], &sides[!i]);
}

static bool lend(struct core *core, struct vm *vm, struct side sides[2], struct err *err)
{
    const size_t before[2] = {sides[0].beyond, sides[1].beyond};

    for (int i = 0; i < 2; i++)
        if (before[i] && !serve_file(core, vm, sides[i].file, &sides[i].serve, &sides[i].fd, err))
            return false;
    look(core, sides);
    return (before[0] == sides[0].beyond && before[1] == sides[1].beyond) ||
           err_set(err, ERR_BUSY, "the VM's snapshots changed meanwhile: try again");
}

static bool ask(struct core *core, struct side *side, struct map *map, struct err *err)
{
    const bool by_layer = side->beyond < side->n; /* something is shared */

    map->beyond = side->beyond;
    return nbd_map(side->fd, by_layer ? NBD_MAP_DEPTH : NBD_MAP_DATA, side->chain[0].size_bytes,
                   by_layer ? mark_layer : mark_data, map, clock_mono_ms() + ASK_MS, &core->closing,
                   err);
}

static bool ask_both(struct core *core, struct side sides[2], uint64_t *bytes, struct err *err)
{
    struct map map = {0};
    bool ok = true;

    for (int i = 0; i < 2; i++)
        if (sides[i].n && sides[i].chain[0].size_bytes > map.size_bytes)
            map.size_bytes = sides[i].chain[0].size_bytes;
    map.words = mem_array(words_of(map.size_bytes), sizeof *map.words);
    for (int i = 0; ok && i < 2; i++)
        ok = !sides[i].serve || ask(core, &sides[i], &map, err);
    *bytes = marked_bytes(&map);
    free(map.words);
    return ok;
}

static void end(struct side *side)
{
    closep(&side->fd);
    serve_end(side->serve);
    free(side->chain);
}

static bool count(struct core *core, struct vm *vm, struct side sides[2], uint64_t *bytes,
                  struct err *err)
{
    bool ok;

    if (atomic_fetch_add(&counting, 1) < AT_ONCE)
        ok = lend(core, vm, sides, err) && ask_both(core, sides, bytes, err);
    else
        ok = err_set(err, ERR_BUSY, "%d such comparisons are under way: wait for one", AT_ONCE);
    atomic_fetch_sub(&counting, 1);
    return ok;
}

bool exact_difference(struct core *core, struct vm *vm, const struct uuid *from,
                      const struct uuid *to, uint64_t *bytes, struct err *err)
{
    struct side sides[2] = {{.file = from, .fd = -1}, {.file = to, .fd = -1}};
    bool ok;

    *bytes = 0;
    look(core, sides);
    ok = (!sides[0].beyond && !sides[1].beyond) || count(core, vm, sides, bytes, err);
    end(&sides[0]);
    end(&sides[1]);
    return ok;
}
