/* What a person does to a machine: keys, pointer, and the button for the non-maskable interrupt.
 * Called by core through backend_qemu. */
#include "backends/qemu/machine.h"

#include "core/base/failpoint.h"

#include <string.h>

static json_t *key(const struct machine_input *e)
{
    return json_pack("{s:s,s:{s:b,s:{s:s,s:s}}}", "type", "key", "data", "down", e->down, "key",
                     "type", "qcode", "data", e->name);
}

static json_t *button(const struct machine_input *e)
{
    return json_pack("{s:s,s:{s:b,s:s}}", "type", "btn", "data", "down", e->down, "button",
                     e->name);
}

static json_t *movement(const struct machine_input *e)
{
    return json_pack("{s:s,s:{s:s,s:i}}", "type", e->kind == INPUT_ABSOLUTE ? "abs" : "rel", "data",
                     "axis", e->axis == 'y' ? "y" : "x", "value", e->value);
}

static json_t *encode(const struct machine_input *events, size_t n)
{
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, events[i].kind == INPUT_KEY      ? key(&events[i])
                                    : events[i].kind == INPUT_BUTTON ? button(&events[i])
                                                                     : movement(&events[i]));
    return list;
}

/* A keyboard belongs to no display. */
static bool points(const struct machine_input *events, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (events[i].kind != INPUT_KEY)
            return true;
    return false;
}

static bool send(struct machine *m, json_t *events, const unsigned *head, struct err *err)
{
    json_t *arguments = json_pack("{s:O}", "events", events);

    if (head) {
        json_put_text(arguments, "device", VIDEO_DEVICE);
        json_put_u64(arguments, "head", *head);
    }
    return link_qmp(m->link, "input-send-event", arguments, NULL, 0, QMP_MS, NULL, err);
}

/* QEMU's words are those of a programmer. */
static bool explain(unsigned head, struct err *err)
{
    if (strstr(err->detail, "not running"))
        err_set(err, ERR_WRONG_STATE, "the VM is paused: its guest sees no keys until it resumes");
    else if (strstr(err->detail, "does not accept value"))
        err_set(err, ERR_INVALID, "a key or a button has a name that QEMU does not know");
    else
        screen_explain(head, err);
    return false;
}

bool machine_input(struct machine *m, unsigned head, const struct machine_input *events, size_t n,
                   struct err *err)
{
    CLEANUP(json_decrefp) json_t *list = encode(events, n);
    bool ok = FAILPOINT("qemu.input", err);

    if (!ok)
        return false;
    ok = send(m, list, points(events, n) ? &head : NULL, err);
    if (!ok && strstr(err->detail, "'" VIDEO_DEVICE "' not found")) {
        *err = (struct err){0}; /* no graphics card: the pointer is there all the same */
        ok = send(m, list, NULL, err);
    }
    return ok || explain(head, err);
}

bool machine_nmi(struct machine *m, struct err *err)
{
    return FAILPOINT("qemu.nmi", err) &&
           link_qmp(m->link, "inject-nmi", NULL, NULL, 0, QMP_MS, NULL, err);
}
