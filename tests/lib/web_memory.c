/* Snapshots with memory, for tests: see web_memory.h. */
#include "tests/lib/web_memory.h"

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/snap/clone.h"
#include "core/snap/tree.h"
#include "core/vm/registry.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *web_outcome(struct world *w, const struct uuid *op)
{
    static char text[64];
    CLEANUP(json_decrefp) json_t *job = world_end_of(w, op);
    const char *state = json_get_text(job, "state");

    str_copy(text, sizeof text,
             str_eq(state, "failed") ? json_get_text(json_object_get(job, "error"), "code")
                                     : state);
    return text;
}

struct uuid web_take_begin(struct world *w, const char *name, enum consistency consistency)
{
    const struct snapshot_ask ask = {.name = name, .consistency = consistency};
    struct err err = {0};
    struct uuid op;

    assert_true(snapshot_take(w->core, "web", &ask, &world_admin, &op, &err));
    return op;
}

const char *web_take(struct world *w, const char *name)
{
    const struct uuid op = web_take_begin(w, name, CONSISTENCY_RUNNING);

    return web_outcome(w, &op);
}

const char *web_snapshot(struct world *w, const char *name, const char *of, const char *key)
{
    static char text[128];
    struct err err = {0};
    CLEANUP(json_decrefp) json_t *s = snapshot_show(w->core, "web", name, &err);
    const json_t *v = json_object_get(of ? json_object_get(s, of) : s, key);

    text[0] = 0;
    if (json_is_string(v))
        str_copy(text, sizeof text, json_string_value(v));
    else if (json_is_integer(v))
        snprintf(text, sizeof text, "%lld", (long long)json_integer_value(v));
    return text;
}

bool web_memory_is(struct world *w, const char *name, const char *key)
{
    struct err err = {0};
    CLEANUP(json_decrefp) json_t *s = snapshot_show(w->core, "web", name, &err);

    return json_get_bool(json_object_get(s, "memory"), key, false);
}

void web_spoil_image(struct world *w, const char *name)
{
    struct err err = {0};
    CLEANUP(vm_drop) struct vm_hold hold = {w->core, vm_get(w->core, "web", &err)};
    struct layer layer;
    struct stat st;
    char byte;
    int fd;

    lock_take(&w->core->registry.lock);
    layer = layer_of_file(w->core, file_find(w->core, &snapshot_find(hold.vm, name)->memory));
    lock_drop(&w->core->registry.lock);
    fd = layer_open(&layer, O_RDWR, &err);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(pread(fd, &byte, 1, st.st_size / 2), 1);
    byte ^= 0x55;
    assert_int_equal(pwrite(fd, &byte, 1, st.st_size / 2), 1);
    close(fd);
}

unsigned web_known_files(struct world *w)
{
    CLEANUP(mem_freep) struct layer *layers = NULL;
    struct uuid id;
    size_t n;

    assert_true(uuid_parse(world_vm(w, "web", "id"), &id));
    layers = layers_of_vm(w->core, &id, &n);
    return (unsigned)n;
}

const char *web_revert(struct world *w, const char *name, bool start)
{
    struct err err = {0};
    struct uuid op;

    if (!snapshot_revert_to(w->core, "web", name, start, &world_admin, &op, &err))
        return err_slug(err.code);
    return web_outcome(w, &op);
}

const char *web_drop(struct world *w, const char *name)
{
    struct err err = {0};
    struct uuid op;

    assert_true(snapshot_delete(w->core, "web", name, NULL, &world_admin, &op, &err));
    return web_outcome(w, &op);
}

const char *web_clone(struct world *w, const char *name, bool full, const char *pool)
{
    const struct clone_ask ask = {.name = name, .snapshot = "clean", .full = full, .pool = pool};
    struct err err = {0};
    struct uuid op, id;

    if (!vm_clone(w->core, "web", &ask, &world_admin, &op, &id, &err))
        return err_slug(err.code);
    return web_outcome(w, &op);
}

const char *web_archive(struct world *w, const char *name, bool pack)
{
    struct err err = {0};
    struct uuid op;

    if (!snapshot_archive(w->core, "web", name, pack, &world_admin, &op, &err))
        return err_slug(err.code);
    return web_outcome(w, &op);
}
