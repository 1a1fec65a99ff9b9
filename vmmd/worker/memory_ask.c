/* Checking of WORKER_MEMORY and of the requests about it: see memory_ask.h. Pure. */
#include "vmmd/worker/memory_ask.h"

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <string.h>

#define PAGE 4096

static bool read_way(struct memory_ask *ask, const char *way, struct err *err)
{
    static const char *const ways[] = {"background", "precopy", "still", "pause"};

    for (unsigned i = 0; i < ARRAY_LEN(ways); i++)
        if (str_eq(way, ways[i])) {
            ask->way = i;
            return true;
        }
    return err_set(err, ERR_INVALID, "'way' is not background, precopy, still or pause");
}

static bool read_node(const json_t *overlay, const char *member, char out[MEMORY_NODE_BYTES],
                      struct err *err)
{
    static const char fit[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.#";
    const char *name = json_get_text(overlay, member);

    if (!name || !*name || strlen(name) >= MEMORY_NODE_BYTES || strspn(name, fit) != strlen(name))
        return err_set(err, ERR_INVALID, "'%s' is no name of a block node", member);
    str_copy(out, MEMORY_NODE_BYTES, name);
    return true;
}

static bool is_named(const struct memory_ask *ask, const char *node)
{
    for (unsigned i = 0; i < ask->n; i++)
        if (str_eq(ask->overlays[i].node, node) || str_eq(ask->overlays[i].overlay, node))
            return true;
    return false;
}

static bool read_overlay(struct memory_ask *ask, const json_t *overlay, struct err *err)
{
    char node[MEMORY_NODE_BYTES], top[MEMORY_NODE_BYTES];

    if (!read_node(overlay, "node", node, err) || !read_node(overlay, "overlay", top, err))
        return false;
    if (is_named(ask, node) || is_named(ask, top) || str_eq(node, top))
        return err_set(err, ERR_INVALID, "a block node is named twice");
    str_copy(ask->overlays[ask->n].node, MEMORY_NODE_BYTES, node);
    str_copy(ask->overlays[ask->n++].overlay, MEMORY_NODE_BYTES, top);
    return true;
}

static bool read_overlays(struct memory_ask *ask, const json_t *overlays, struct err *err)
{
    const json_t *one;
    size_t i;

    if (!json_is_array(overlays) || json_array_size(overlays) > WORKER_MEMORY_MAX)
        return err_set(err, ERR_INVALID, "'overlays' is no array of at most %d", WORKER_MEMORY_MAX);
    if (ask->way == ASK_STILL && json_array_size(overlays))
        return err_set(err, ERR_INVALID, "no disk switches under a guest that stands still");
    json_array_foreach (overlays, i, one)
        if (!read_overlay(ask, one, err))
            return false;
    return true;
}

struct memory_ask *memory_ask_read(const char *text, size_t len, struct err *err)
{
    CLEANUP(json_decrefp) json_t *root = json_read(text, len, err);
    CLEANUP(mem_freep) struct memory_ask *ask = mem_alloc(sizeof *ask);

    if (!root)
        return NULL;
    ask->ram_bytes = json_get_u64(root, "ram_bytes", 0);
    if (!uuid_parse(json_get_text(root, "image"), &ask->image) || ask->ram_bytes == 0 ||
        ask->ram_bytes % PAGE || ask->ram_bytes > INT64_MAX / 2) {
        err_set(err, ERR_INVALID, "'image' is no id, or 'ram_bytes' no size of a memory");
        return NULL;
    }
    if (!read_way(ask, json_get_text(root, "way"), err) ||
        !read_overlays(ask, json_object_get(root, "overlays"), err))
        return NULL;
    return TAKE(ask);
}

bool memory_ask_image(const char *text, size_t len, struct uuid *image, bool *cancel,
                      struct err *err)
{
    CLEANUP(json_decrefp) json_t *root = json_read(text, len, err);

    if (!root)
        return false;
    *cancel = json_get_bool(root, "cancel", false);
    return uuid_parse(json_get_text(root, "image"), image) ||
           err_set(err, ERR_INVALID, "'image' is no id");
}
