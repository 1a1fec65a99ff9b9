/* See world_acts.h. */
#include "tests/lib/world_acts.h"
#include "tests/lib/unfinished.h"

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/job/job.h"
#include "core/snap/snap.h"

#include <fcntl.h>
#include <unistd.h>

const char *world_outcome(struct world *w, bool submitted, const struct uuid *op,
                          const struct err *err)
{
    static _Thread_local char text[64];

    if (!submitted)
        return err_slug(err->code);
    CLEANUP(json_decrefp) json_t *job = world_end_of(w, op);
    const char *state = json_get_text(job, "state");
    str_copy(text, sizeof text,
             str_eq(state, "failed") ? json_get_text(json_object_get(job, "error"), "code")
                                     : state);
    return text;
}

const char *world_take(struct world *w, const char *vm, const char *name)
{
    struct err err = {0};
    struct uuid op;

    return world_outcome(w, snapshot_create(w->core, vm, name, "why", &world_admin, &op, &err), &op,
                         &err);
}

const char *world_revert(struct world *w, const char *vm, const char *name)
{
    struct err err = {0};
    struct uuid op;

    return world_outcome(w, snapshot_revert(w->core, vm, name, &world_admin, &op, &err), &op, &err);
}

const char *world_drop(struct world *w, const char *vm, const char *name)
{
    struct err err = {0};
    struct uuid op;

    return world_outcome(w, snapshot_delete(w->core, vm, name, NULL, &world_admin, &op, &err), &op,
                         &err);
}

unsigned world_cancel_unfinished(struct world *w, struct uuid *op)
{
    CLEANUP(mem_freep) char *state = str_format("%s/state", w->dir);

    return unfinished_cancel(state, op);
}

void world_restart(struct world *w)
{
    world_close(w);
    assert_true(world_open(w));
}

void world_boot_host(struct world *w)
{
    static const char *const files[] = {"boot_id", "autostart"};

    world_close(w);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        CLEANUP(mem_freep) char *path = str_format("%s/state/%s", w->dir, files[i]);
        CLEANUP(closep) int fd = open(path, O_WRONLY | O_TRUNC);
        assert_int_equal(write(fd, "another boot", 12), 12);
    }
    assert_true(world_open(w));
}
