/* What was found out about the host, kept for a while: see survey.h. Replies are built on copies,
 * so that no two threads touch one JSON value. */
#include "core/host/survey.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/inspect/inventory.h"
#include "core/inspect/sysfs.h"

#include <stdlib.h>

#define INVENTORY_MS 5000 /* devices come and go by hand */

/* A value and when it was made. */
struct kept {
    json_t *value; /* NULL: never made */
    int64_t made_mono_ms;
};

struct survey {
    struct lock lock;
    int root; /* see core/inspect/sysfs.h */
    struct kept inventory GUARDED_BY(lock);
};

struct survey *survey_new(void)
{
    struct survey *s = mem_alloc(sizeof *s);

    lock_init(&s->lock);
    s->root = sys_root();
    return s;
}

void survey_free(struct survey *s)
{
    if (!s)
        return;
    json_decref(s->inventory.value);
    closep(&s->root);
    lock_clear(&s->lock);
    free(s);
}

static bool is_stale(const struct kept *kept, int64_t limit_ms)
{
    return !kept->value || clock_mono_ms() - kept->made_mono_ms >= limit_ms;
}

static void keep(struct kept *kept, json_t *value)
{
    json_decref(kept->value);
    *kept = (struct kept){.value = value, .made_mono_ms = clock_mono_ms()};
}

json_t *survey_inventory(struct survey *s)
{
    json_t *copy;

    lock_take(&s->lock);
    if (is_stale(&s->inventory, INVENTORY_MS))
        keep(&s->inventory, inventory_read(s->root));
    copy = json_deep_copy(s->inventory.value);
    lock_drop(&s->lock);
    return copy;
}
