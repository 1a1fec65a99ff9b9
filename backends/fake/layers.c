/* The files of a fake machine's disks: which one each writes to is remembered, and that is all. */
#include "backends/fake/inside.h"

#include "core/base/failpoint.h"
#include "core/base/fs.h"

bool fake_is_there(const struct machine *m, struct err *err)
{
    return !m->ended || err_set(err, ERR_UNAVAILABLE, "the machine has ended");
}

bool fake_snapshot(struct machine *m, const struct machine_overlay *overlays, size_t n,
                   struct err *err)
{
    bool ok = FAILPOINT("fake.snapshot", err);

    lock_take(&m->lock);
    ok = ok && fake_is_there(m, err);
    for (size_t i = 0; ok && i < n; i++)
        if (overlays[i].disk < m->n_disks)
            m->leaves[overlays[i].disk] = overlays[i].file;
    lock_drop(&m->lock);
    for (size_t i = 0; i < n; i++) {
        int fd = overlays[i].fd;
        closep(&fd);
    }
    return ok;
}

bool fake_is_leaf(struct machine *m, unsigned disk, const struct uuid *file, bool *yes,
                  struct err *err)
{
    bool ok;

    lock_take(&m->lock);
    ok = fake_is_there(m, err);
    *yes = ok && disk < m->n_disks && uuid_eq(&m->leaves[disk], file);
    lock_drop(&m->lock);
    return ok;
}

/* There is nothing to copy: it is over at once. */
bool fake_stream(struct machine *m, const struct machine_stream *stream, struct err *err)
{
    int fd = stream->top_fd;
    bool ok = FAILPOINT("fake.stream", err);

    closep(&fd);
    lock_take(&m->lock);
    ok = ok && fake_is_there(m, err);
    if (ok)
        m->streamed = stream->top;
    lock_drop(&m->lock);
    return ok;
}

bool fake_block_job(struct machine *m, const struct uuid *top, struct machine_block_job *out,
                    struct err *err)
{
    bool ok;

    lock_take(&m->lock);
    ok = fake_is_there(m, err);
    *out = (struct machine_block_job){.state = uuid_eq(&m->streamed, top) ? BLOCK_JOB_ENDED
                                                                          : BLOCK_JOB_NONE};
    lock_drop(&m->lock);
    return ok;
}

bool fake_block_job_end(struct machine *m, const struct uuid *top, bool cancel, struct err *err)
{
    bool ok;

    lock_take(&m->lock);
    ok = fake_is_there(m, err);
    m->streamed = (struct uuid){0};
    lock_drop(&m->lock);
    return ok;
}

bool fake_flush(struct machine *m, const struct uuid *file, const struct uuid *base,
                struct err *err)
{
    return FAILPOINT("fake.flush", err);
}

bool fake_drop_file(struct machine *m, const struct uuid *file, struct err *err)
{
    return true;
}
