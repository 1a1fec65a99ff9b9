/* See world_disks.h. */
#include "tests/lib/world_disks.h"

#include "core/base/fs.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/pool.h"
#include "core/port/image.h"

#include <fcntl.h>

static json_t *all(struct world *w)
{
    const struct query_ask ask = {.order = "position", .page_size = 100};
    struct err err = {0};
    json_t *list = world_list(w, &schema_disk, ask, &err);

    assert_non_null(list);
    return list;
}

static const json_t *last_of(const json_t *list)
{
    const json_t *items = json_object_get(list, "items");

    return json_array_size(items) ? json_array_get(items, json_array_size(items) - 1) : NULL;
}

unsigned world_disks(struct world *w, uint64_t *size_bytes)
{
    CLEANUP(json_decrefp) json_t *list = all(w);

    if (size_bytes)
        *size_bytes = json_get_u64(last_of(list), "size_bytes", 0);
    return (unsigned)json_array_size(json_object_get(list, "items"));
}

static bool ended_well(struct world *w, bool submitted, const struct uuid *op)
{
    CLEANUP(json_decrefp) json_t *job = submitted ? world_end_of(w, op) : NULL;

    return job && str_eq(json_get_text(job, "state"), "succeeded");
}

bool world_disk_add(struct world *w, const char *vm, const char *body)
{
    CLEANUP(json_decrefp) json_t *json = json_loads(body, 0, NULL);
    struct err err = {0};
    struct uuid op;

    assert_non_null(json);
    return ended_well(w, disk_add(w->core, vm, json, &world_admin, &op, &err), &op);
}

bool world_disk_remove(struct world *w)
{
    CLEANUP(json_decrefp) json_t *list = all(w);
    const char *id = json_get_text(last_of(list), "id");
    struct err err = {0};
    struct uuid op;

    return id && ended_well(w, disk_remove(w->core, id, &world_admin, &op, &err), &op);
}

bool world_disk_grow(struct world *w, uint64_t size_bytes)
{
    CLEANUP(json_decrefp) json_t *list = all(w);
    const char *id = json_get_text(last_of(list), "id");
    struct err err = {0};
    struct uuid op;

    return id && ended_well(w, disk_grow(w->core, id, size_bytes, &world_admin, &op, &err), &op);
}

/* ---- for the walks ---- */

#define GROWN_BYTES (8u << 20)

bool world_disk_add_one(struct world *w)
{
    return world_disk_add(w, "web", "{\"size_bytes\":1048576,\"limits\":{\"iops\":100}}");
}

void world_image_is_there(struct world *w)
{
    CLEANUP(mem_freep) char *root = str_format("%s/root-main", w->dir);
    CLEANUP(closep) int at = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(closep) int dir = -1;
    CLEANUP(closep) int fd = -1;
    struct err err = {0};

    assert_true(at >= 0);
    dir = fs_dir(at, "imports", 0750, &err);
    fd = dir < 0 ? -1 : fs_open(dir, "there.qcow2", O_RDWR | O_CREAT | O_TRUNC, 0640, &err);
    assert_true(fd >= 0);
    assert_true(image_create(fd, DISK_QCOW2, 2u << 20, NULL, &err));
}

bool world_disk_import_one(struct world *w)
{
    world_image_is_there(w);
    return world_disk_add(w, "web", "{\"source\":{\"file\":\"there.qcow2\"}}");
}

bool world_disk_grow_one(struct world *w)
{
    return world_disk_grow(w, GROWN_BYTES);
}

void world_has_three_disks(struct world *w)
{
    assert_int_equal(world_disks(w, NULL), 3);
}

void world_has_one_disk(struct world *w)
{
    assert_int_equal(world_disks(w, NULL), 1);
}

void world_has_a_grown_disk(struct world *w)
{
    uint64_t size_bytes = 0;

    assert_int_equal(world_disks(w, &size_bytes), 2);
    assert_int_equal(size_bytes, GROWN_BYTES);
}
