/* Images on their way in, as far as the api's tests go: one, kept in memory. See fakes.h. */
#include "core/base/thread.h"
#include "core/disk/upload.h"

struct upload {
    struct core *core;
    uint64_t total;
    bool is_checked;
};

static struct {
    struct lock lock;    /* the test looks while requests work */
    struct strbuf bytes; /* what has come */
    uint64_t total;
    unsigned open;
    bool full; /* the next bytes find no room */
} fake_image = {.lock = {PTHREAD_MUTEX_INITIALIZER}};

static inline void fake_image_clear(void)
{
    lock_take(&fake_image.lock);
    strbuf_clear(&fake_image.bytes);
    fake_image.total = fake_image.open = 0;
    fake_image.full = false;
    lock_drop(&fake_image.lock);
}

static inline size_t fake_image_len(void)
{
    size_t len;

    lock_take(&fake_image.lock);
    len = fake_image.bytes.len;
    lock_drop(&fake_image.lock);
    return len;
}

static inline unsigned fake_image_open(void)
{
    unsigned open;

    lock_take(&fake_image.lock);
    open = fake_image.open;
    lock_drop(&fake_image.lock);
    return open;
}

static inline void fake_image_fill(void)
{
    lock_take(&fake_image.lock);
    fake_image.full = true;
    lock_drop(&fake_image.lock);
}

void import_list(struct core *c, const struct query *query, struct strbuf *out)
{
    strbuf_adds(out, "{\"items\":[]}");
}

json_t *import_show(struct core *c, const char *root, const char *name, struct err *err)
{
    json_t *v = json_object();

    json_put_text(v, "name", name);
    json_put_text(v, "root", root);
    json_put_u64(v, "uploaded_bytes", fake_image_len());
    return v;
}

bool import_remove(struct core *c, const char *root, const char *name, const struct origin *origin,
                   struct err *err)
{
    return true;
}

struct upload *upload_begin(struct core *core, const struct upload_ask *ask, struct err *err)
{
    struct upload *u;

    if (strcmp(ask->root, "main") != 0) {
        err_set(err, ERR_NOT_FOUND, "no such root");
        return NULL;
    }
    if (ask->from && ask->from != fake_image_len()) {
        err_set(err, ERR_WRONG_STATE, "go on at %zu", fake_image_len());
        return NULL;
    }
    u = mem_alloc(sizeof *u);
    *u = (struct upload){.core = core, .total = ask->total, .is_checked = ask->sha256 != NULL};
    lock_take(&fake_image.lock);
    if (!ask->from)
        strbuf_clear(&fake_image.bytes);
    fake_image.total = ask->total;
    fake_image.open++;
    lock_drop(&fake_image.lock);
    return u;
}

bool upload_add(struct upload *u, const void *data, size_t len, struct err *err)
{
    bool full;

    lock_take(&fake_image.lock);
    full = fake_image.full;
    if (!full)
        strbuf_add(&fake_image.bytes, data, len);
    lock_drop(&fake_image.lock);
    return !full || err_set(err, ERR_NO_SPACE, "it is full");
}

bool upload_end(struct upload *u, bool *whole, struct err *err)
{
    *whole = fake_image_len() == u->total;
    return !u->is_checked || !*whole || err_field(err, ERR_INVALID, "?sha256", "it is another");
}

void upload_close(struct upload *u)
{
    lock_take(&fake_image.lock);
    fake_image.open -= u != NULL;
    lock_drop(&fake_image.lock);
    free(u);
}

json_t *disk_import_plan(struct core *c, const char *vm, const json_t *body,
                         const struct origin *origin, struct err *err)
{
    return json_object();
}
