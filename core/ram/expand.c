/* Archived images become plain ones again: see expand.h. The work is vmmd-pack's. */
#include "core/ram/expand.h"

#include "core/base/fs.h"
#include "core/disk/pace.h"
#include "core/disk/space.h"
#include "core/job/job.h"
#include "core/port/image.h"
#include "core/ram/image.h"
#include "core/vm/registry.h"

#include <fcntl.h>

#define STATE_MAX                                                                                  \
    (2ull << 30) /* of devices, behind the memory; vmmd-split takes no more than half */

/* The plain size; 0: it is not archived. */
static uint64_t look(struct core *core, const struct uuid *image, struct layer *layer)
{
    const struct file *file;
    uint64_t bytes = 0;

    lock_take(&core->registry.lock);
    file = file_find(core, image);
    if (file && file->image && file->image->packed_bytes) {
        *layer = layer_of_file(core, file);
        bytes = file->image->plain_bytes ? file->image->plain_bytes : file->size_bytes;
    }
    lock_drop(&core->registry.lock);
    return bytes;
}

uint64_t ram_expand_bytes(struct core *core, const struct uuid *image)
{
    struct layer ignored;

    return look(core, image, &ignored);
}

bool ram_expand_plan(struct core *core, const struct uuid *image, const struct uuid *vm,
                     struct layer *out, struct err *err)
{
    struct layer from = {.dir = -1};
    const uint64_t bytes = look(core, image, &from);
    CLEANUP(closep) int fd = bytes ? layer_open(&from, O_RDONLY, err) : -1;

    *out = (struct layer){.dir = -1};
    if (bytes && fd < 0 && err->code == ERR_NOT_FOUND)
        return err_set(err, ERR_UNSUPPORTED,
                       "the snapshot's memory is archived, and its file is not in its pool any "
                       "more: delete the snapshot");
    if (!bytes || fd < 0)
        return !bytes;
    *out = from;
    out->id = uuid_new();
    out->vm = *vm;
    return space_check(core, &out->pool, bytes, NULL, err) ||
           err_prefix(err, "the snapshot's memory, which is archived and is expanded");
}

struct progress {
    struct job *job;
    struct pace pace;
    uint64_t done, total;
};

static bool tell(void *ctx, uint64_t bytes, struct err *err)
{
    struct progress *p = ctx;

    p->done += bytes;
    job_progress(p->job, p->done < p->total ? p->done : p->total, p->total);
    return pace_wait(&p->pace, bytes, err);
}

/* Holes are gone through as well, and each byte twice. What an earlier daemon's vmmd-pack may still
 * be writing is another file than this one. */
static bool unpack(const struct layer *from, const struct layer *to, struct progress *p,
                   struct err *err)
{
    CLEANUP(closep) int packed = layer_open(from, O_RDONLY, err);
    CLEANUP(closep) int plain = -1;

    if (packed < 0 || !layer_unlink(to, err))
        return false;
    plain = layer_open(to, O_RDWR | O_CREAT | O_EXCL, err);
    p->total = 2 * to->size_bytes;
    return plain >= 0 && image_unpack(packed, plain, to->size_bytes + STATE_MAX, tell, p, err) &&
           ram_image_check(to, err) && fs_sync(to->dir, "the pool's directory", err);
}

bool ram_expand(struct core *core, struct vm *vm, struct job *job, const struct layer *from,
                const struct layer *to, struct err *err)
{
    struct progress progress = {.job = job};

    if (!space_reserve(core, &to->pool, job_id(job), ram_expand_bytes(core, &from->id), NULL, err))
        return err_prefix(err, "the memory, expanded");
    pace_begin_at_once(&progress.pace, core, vm, job);
    return unpack(from, to, &progress, err);
}

struct ram_image *ram_expand_facts(struct core *core, const struct uuid *image, struct err *err)
{
    struct ram_image *facts = ram_image_get(core, image, err);

    if (facts)
        facts->packed_bytes = facts->plain_bytes = 0;
    return facts;
}
