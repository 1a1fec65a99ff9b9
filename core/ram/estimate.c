/* How long a guest would stand still while its memory is written: what of it is in use, by the rate
 * that the pool's newest image was written at. An estimate, for people who decide whether they want
 * that; nothing depends on it. Called by core/snap. */
#include "core/ram/image.h"
#include "core/snap/tree.h"
#include "core/vm/registry.h"

#define ASSUMED_BYTES_S (400ull << 20) /* written, before there is an image to go by */
#define LEAST_BYTES_S   (20ull << 20)
#define EMPTY_BYTES_S   (4ull << 30)  /* looked at and found empty */
#define TELLING_BYTES   (16ull << 20) /* of less one learns how long beginning takes */
#define AROUND_MS       20            /* stopping, switching and going on */

static uint64_t less_of(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t rate_of(const struct ram_image *image)
{
    uint64_t us =
        image->way == MEMORY_STILL && image->pause_us ? image->pause_us : image->took_ms * 1000;
    uint64_t rate = us ? image->held_bytes * 1000000 / us : 0;

    return rate > LEAST_BYTES_S ? rate : LEAST_BYTES_S;
}

static uint64_t rate_of_pool(struct core *core, const struct uuid *pool)
    REQUIRES(core->registry.lock);
static uint64_t rate_of_pool(struct core *core, const struct uuid *pool)
{
    const struct ram_image *newest = NULL;
    struct file *file, *next;

    HASH_ITER (by_id, core->registry.files, file, next)
        if (file->image && uuid_eq(&file->pool, pool) && file->image->held_bytes >= TELLING_BYTES &&
            (!newest || file->image->created_ms > newest->created_ms))
            newest = file->image;
    return newest ? rate_of(newest) : ASSUMED_BYTES_S;
}

/* What the image that it probably began with holds; all of it when there is none to ask. */
static uint64_t held_before(struct core *core, struct vm *vm, uint64_t all)
    REQUIRES(core->registry.lock);
static uint64_t held_before(struct core *core, struct vm *vm, uint64_t all)
{
    for (const struct snapshot *s = snapshot_get(vm, &vm->stands_on); s;
         s = snapshot_get(vm, &s->parent)) {
        const struct file *file = file_find(core, &s->memory);
        if (file && file->image)
            return file->image->held_bytes;
    }
    return all;
}

uint64_t ram_pause_estimate_ms(struct core *core, struct vm *vm, const struct layer *image,
                               uint64_t touched, bool from_image)
{
    const uint64_t all = image->size_bytes;
    uint64_t used = touched, rate;

    lock_take(&core->registry.lock);
    if (from_image) {
        uint64_t held = held_before(core, vm, all);
        used = held > touched ? held : touched;
    }
    rate = rate_of_pool(core, &image->pool);
    lock_drop(&core->registry.lock);
    used = less_of(used, all);
    return AROUND_MS + used * 1000 / rate + (all - used) * 1000 / EMPTY_BYTES_S;
}
