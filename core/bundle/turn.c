/* A bundle's VM becomes one of this host: new ids, another pool, other MAC addresses. See inside.h.
 *
 * New ids are made of the operation's and the old ones, so that an operation that is entered again
 * has the same; an id that the bundle does not have cannot be made to be one of this host. */
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/bundle/inside.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

static void digest(const struct turn *t, const void *data, size_t len,
                   unsigned char out[COPY_DIGEST_BYTES])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    if (!ctx || !EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) ||
        !EVP_DigestUpdate(ctx, t->job.b, sizeof t->job.b) || !EVP_DigestUpdate(ctx, data, len) ||
        !EVP_DigestFinal_ex(ctx, out, NULL))
        abort(); /* no SHA-256: nothing here can be trusted */
    EVP_MD_CTX_free(ctx);
}

struct uuid turn_id(const struct turn *t, const struct uuid *old)
{
    unsigned char sum[COPY_DIGEST_BYTES];
    struct uuid id = *old;

    if (t->keep || uuid_is_zero(old))
        return id;
    digest(t, old->b, sizeof old->b, sum);
    memcpy(id.b, sum, sizeof id.b);
    id.b[6] = (uint8_t)((id.b[6] & 0x0f) | 0x40);
    id.b[8] = (uint8_t)((id.b[8] & 0x3f) | 0x80);
    return id;
}

static void turn(const struct turn *t, struct uuid *id)
{
    *id = turn_id(t, id);
}

/* ---- texts ---- */

static void turn_member(const struct turn *t, json_t *object, const char *key)
{
    struct uuid id = {0};

    if (uuid_parse(json_get_text(object, key), &id))
        turn(t, &id);
    json_put_text(object, key, UUID_STR(&id));
}

static void turn_mac(const struct turn *t, json_t *nic)
{
    const char *mac = json_get_text(nic, "mac");
    unsigned char sum[COPY_DIGEST_BYTES];
    CLEANUP(mem_freep) char *text = NULL;

    if (!mac || t->keep)
        return;
    digest(t, mac, strlen(mac), sum);
    text = str_format("52:54:00:%02x:%02x:%02x", sum[0], sum[1], sum[2]);
    json_put_text(nic, "mac", text);
}

static void turn_spec(const struct turn *t, json_t *spec, bool macs)
{
    json_t *one;
    size_t i;

    json_array_foreach (json_object_get(spec, "disks"), i, one) {
        turn_member(t, one, "id");
        json_put_text(one, "pool", UUID_STR(&t->pool));
    }
    json_array_foreach (json_object_get(spec, "nics"), i, one)
        if (macs)
            turn_mac(t, one);
}

/* Which file each disk wrote to. Only what is known of it stays. */
static void turn_leaves(const struct turn *t, char **leaves)
{
    CLEANUP(json_decrefp) json_t *was = *leaves ? json_loads(*leaves, 0, NULL) : NULL;
    CLEANUP(json_decrefp) json_t *is = json_object();
    json_t *list = json_array(), *one;
    size_t i;

    json_array_foreach (json_object_get(was, "disks"), i, one) {
        json_t *leaf = json_object();
        json_put_text(leaf, "disk", json_get_text(one, "disk"));
        json_put_u64(leaf, "position", json_get_u64(one, "position", 0));
        json_put_text(leaf, "file", json_get_text(one, "file"));
        turn_member(t, leaf, "disk");
        turn_member(t, leaf, "file");
        json_array_append_new(list, leaf);
    }
    json_put(is, "disks", list);
    if (!*leaves)
        return;
    free(*leaves);
    *leaves = json_write(is);
}

/* ---- the copy ---- */

static void turn_snapshot(const struct turn *t, struct copy_snapshot *s)
{
    turn(t, &s->id);
    turn(t, &s->parent);
    turn_spec(t, s->spec, true);
    turn(t, &s->memory);
    if (t->drop_memory && !uuid_is_zero(&s->memory)) {
        s->memory = (struct uuid){0};
        s->memory_state = 0; /* copy_memory_states: none */
    }
    for (size_t i = 0; i < s->n_disks; i++) {
        turn(t, &s->disks[i].disk);
        turn(t, &s->disks[i].file);
    }
}

void turn_copy(const struct turn *t, struct vm_copy *copy)
{
    turn(t, &copy->id);
    turn(t, &copy->stands_on);
    turn(t, &copy->memory);
    if (t->drop_memory)
        copy->memory = (struct uuid){0};
    turn_leaves(t, &copy->memory_leaves);
    turn_spec(t, copy->spec, true);
    for (size_t i = 0; i < copy->n_disks; i++) {
        turn(t, &copy->disks[i].id);
        turn(t, &copy->disks[i].leaf);
        copy->disks[i].pool = t->pool;
    }
    for (size_t i = 0; i < copy->n_files; i++) {
        turn(t, &copy->files[i].id);
        turn(t, &copy->files[i].parent);
        copy->files[i].pool = t->pool;
        copy->files[i].vm = copy->id;
    }
    for (size_t i = 0; i < copy->n_memories; i++) {
        turn(t, &copy->memories[i].file);
        turn_spec(t, copy->memories[i].spec, false);
        turn_leaves(t, &copy->memories[i].leaves);
    }
    for (size_t i = 0; i < copy->n_snapshots; i++)
        turn_snapshot(t, &copy->snapshots[i]);
}
