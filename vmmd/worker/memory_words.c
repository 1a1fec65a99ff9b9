/* What memory.c says to main and to QEMU. Pure. */
#include "core/base/json.h"
#include "core/base/str.h"
#include "vmmd/worker/worker.h"

#define BANDWIDTH   (10ll << 30) /* bytes a second; QEMU's own idea is 128 MiB */
#define DOWNTIME_MS 10           /* for the rest of a precopy */

json_t *memory_describe(const struct worker *w)
{
    const struct memory *m = &w->memory;
    const struct split_report *said = m->well ? m->said : NULL;
    json_t *body = json_object();

    json_put_text(body, "image", m->ask ? UUID_STR(&m->ask->image) : NULL);
    json_put_text(body, "state", !m->ask ? "none" : m->step == MEMORY_OVER ? "ended" : "writing");
    json_put_bool(body, "still", m->ask && m->ask->way == ASK_STILL);
    json_put_bool(body, "switched", m->switched);
    json_put_u64(body, "done", m->done);
    json_put_u64(body, "total", m->total);
    json_put_u64(body, "pause_us", m->pause_us);
    json_put_u64(body, "ram_bytes", said ? said->ram_bytes : 0);
    json_put_u64(body, "held_bytes", said ? said->held_bytes : 0);
    json_put_text(body, "error", m->error);
    json_put_bool(body, "no_space", m->no_space);
    return body;
}

static json_t *capability(const char *name, bool on)
{
    return json_pack("{s:s,s:b}", "capability", name, "state", on);
}

json_t *memory_capabilities(bool background, bool others)
{
    return json_pack("{s:[o,o,o]}", "capabilities", capability("background-snapshot", background),
                     capability("x-ignore-shared", others), capability("events", others));
}

json_t *memory_parameters(void)
{
    return json_pack("{s:I,s:I}", "max-bandwidth", (json_int_t)BANDWIDTH, "downtime-limit",
                     (json_int_t)DOWNTIME_MS);
}

json_t *memory_transaction(const struct memory_ask *ask)
{
    json_t *actions = json_array();

    for (unsigned i = 0; i < ask->n; i++)
        json_array_append_new(actions, json_pack("{s:s,s:{s:s,s:s}}", "type", "blockdev-snapshot",
                                                 "data", "node", ask->overlays[i].node, "overlay",
                                                 ask->overlays[i].overlay));
    return json_pack("{s:o}", "actions", actions);
}
