/* Keys, text, pointer and NMI: see input.h. The words for keys are in core/model/keys.h.
 *
 * One client types at a time, since Shift held by one would change what the other types: vm->typing
 * is the claim, taken and given back under the registry lock. Every character is one call into the
 * machine, which puts all its key events into the guest's keyboard together; a PC's keyboard holds
 * 16 bytes, so there is a pause before the next one. */
#include "core/vm/input.h"

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/vm/registry.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TURN_MS    5000 /* for the client that is typing to come to its end */
#define BETWEEN_MS 10   /* keys that are pressed together */
#define SCALE      32767
#define BUTTONS    9
#define WHEELS     5 /* from here on: clicks, not held */
#define EVENTS     (2 * BUTTONS + 2)

const char *const pointer_buttons[] = {"left",        "middle",   "right",      "side",
                                       "extra",       "wheel-up", "wheel-down", "wheel-left",
                                       "wheel-right", NULL};
_Static_assert(ARRAY_LEN(pointer_buttons) == BUTTONS + 1, "as many as counted");

static bool is_free(const struct vm *vm, void *ctx)
{
    return !vm->typing;
}

/* The VM, when it may do 'verb'. */
static struct vm *find(struct core *core, const char *ref, enum vm_verb verb, struct err *err)
{
    static const struct uuid none;
    struct vm *vm = vm_get(core, ref, err);

    if (vm && vm_claim(core, vm, verb, &none, NULL, err))
        return vm;
    if (vm)
        vm_put(core, vm);
    return NULL;
}

static bool keyboard_claim(struct core *core, struct vm *vm, struct err *err)
{
    int64_t deadline = clock_mono_ms() + TURN_MS;
    bool mine = false;

    while (!mine && vm_wait(core, vm, is_free, NULL, deadline)) {
        lock_take(&core->registry.lock);
        mine = !vm->typing;
        vm->typing = true;
        lock_drop(&core->registry.lock);
    }
    return mine || err_set(err, ERR_BUSY, "another client is typing on %s: try again in a moment",
                           VM_NAME(core, vm));
}

static void keyboard_release(struct core *core, struct vm *vm)
{
    lock_take(&core->registry.lock);
    vm->typing = false;
    cond_wake_all(&core->registry.changed);
    lock_drop(&core->registry.lock);
}

static bool send(struct core *core, struct vm *vm, unsigned head,
                 const struct machine_input *events, size_t n, struct err *err)
{
    const struct backend *backend;
    struct machine *machine = vm_machine_use(core, vm, &backend, err);
    bool ok;

    if (!machine)
        return false;
    ok = backend->input(machine, head, events, n, err);
    vm_machine_done(core, vm);
    return ok;
}

static bool has_ended(const struct vm *vm, void *ctx)
{
    return !vm->machine || vm->ending;
}

/* Waits; false when there is no use in going on. */
static bool pause_ms(struct core *core, struct vm *vm, unsigned ms,
                     const struct vm_patience *patience, struct err *err)
{
    if (ms && vm_wait(core, vm, has_ended, NULL, clock_mono_ms() + ms))
        return err_set(err, ERR_WRONG_STATE, "%s ended meanwhile", VM_NAME(core, vm));
    if (atomic_load(&core->closing))
        return err_set(err, ERR_UNAVAILABLE, "vmmd is stopping");
    if (patience && patience->gone && patience->gone(patience->ctx))
        return err_set(err, ERR_CANCELLED, "the client has left");
    return true;
}

/* ---- keys ---- */

static struct machine_input key_event(const char *key, bool down)
{
    return (struct machine_input){.kind = INPUT_KEY, .name = key, .down = down};
}

static bool one_key(struct core *core, struct vm *vm, const json_t *name, bool down,
                    struct err *err)
{
    struct machine_input event = key_event(key_find(json_string_value(name)), down);

    return send(core, vm, 0, &event, 1, err);
}

/* Whatever happens, no key that went down stays down. */
static bool press(struct core *core, struct vm *vm, const json_t *keys, unsigned hold_ms,
                  const struct vm_patience *patience, struct err *err)
{
    size_t n = json_array_size(keys), down = 0;
    struct err late = {0};
    bool ok = true;

    while (ok && down < n) {
        ok = one_key(core, vm, json_array_get(keys, down), true, err);
        down += ok;
        ok = ok && pause_ms(core, vm, down < n ? BETWEEN_MS : hold_ms, patience, err);
    }
    while (down--)
        if (!one_key(core, vm, json_array_get(keys, down), false, ok ? err : &late))
            ok = false;
    return ok;
}

bool vm_send_keys(struct core *core, const char *ref, const json_t *keys, unsigned hold_ms,
                  const struct vm_patience *patience, const struct origin *origin, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, find(core, ref, VM_VERB_SEND_KEY, err)};
    bool ok;

    if (!hold.vm || origin->dry_run)
        return hold.vm != NULL;
    if (!keyboard_claim(core, hold.vm, err))
        return false;
    ok = press(core, hold.vm, keys, hold_ms, patience, err);
    keyboard_release(core, hold.vm);
    return ok;
}

/* ---- text ---- */

static bool stroke(struct core *core, struct vm *vm, const struct key_stroke *s, struct err *err)
{
    const char *held = s->shift ? "shift" : s->altgr ? "alt_r" : NULL;
    struct machine_input events[4];
    size_t n = 0;

    if (held)
        events[n++] = key_event(held, true);
    events[n++] = key_event(s->key, true);
    events[n++] = key_event(s->key, false);
    if (held)
        events[n++] = key_event(held, false);
    return send(core, vm, 0, events, n, err);
}

static bool type_all(struct core *core, struct vm *vm, const struct key_stroke *strokes, size_t n,
                     unsigned interval_ms, const struct vm_patience *patience, struct err *err)
{
    struct err why = {0};
    size_t i = 0;

    while (i < n && pause_ms(core, vm, i ? interval_ms : 0, patience, &why) &&
           stroke(core, vm, &strokes[i], &why))
        i++;
    return i == n || err_set(err, why.code, "%zu of %zu keys were typed: %s", i, n, why.detail);
}

bool vm_type(struct core *core, const char *ref, const char *text, enum key_layout layout,
             unsigned interval_ms, const struct vm_patience *patience, const struct origin *origin,
             struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, find(core, ref, VM_VERB_TYPE, err)};
    CLEANUP(mem_freep) struct key_stroke *strokes = NULL;
    size_t n = 0;
    bool ok;

    if (!hold.vm || !key_strokes(text, layout, &strokes, &n, err))
        return false;
    if (n * interval_ms > TYPE_TIME_MAX_S * 1000)
        return err_field(err, ERR_INVALID, "/text",
                         "typing this takes %zu s and %d s is the most: send it in parts, or lower "
                         "interval_ms",
                         n * interval_ms / 1000, TYPE_TIME_MAX_S);
    if (origin->dry_run)
        return true;
    if (!keyboard_claim(core, hold.vm, err))
        return false;
    ok = type_all(core, hold.vm, strokes, n, interval_ms, patience, err);
    keyboard_release(core, hold.vm);
    return ok;
}

/* ---- pointer ---- */

static unsigned button_index(const char *name)
{
    unsigned i = 0;

    while (i < BUTTONS && strcmp(pointer_buttons[i], name) != 0)
        i++;
    return i;
}

bool check_button(const char *name, const char **why)
{
    *why = "must be left, middle, right, side, extra, wheel-up, wheel-down, wheel-left or "
           "wheel-right";
    return button_index(name) < BUTTONS;
}

static size_t add_moves(const struct pointer_move *m, struct machine_input *events)
{
    size_t n = 0;

    if (!isnan(m->x))
        events[n++] = (struct machine_input){
            .kind = INPUT_ABSOLUTE, .axis = 'x', .value = (int)(m->x * SCALE + 0.5)};
    if (!isnan(m->y))
        events[n++] = (struct machine_input){
            .kind = INPUT_ABSOLUTE, .axis = 'y', .value = (int)(m->y * SCALE + 0.5)};
    if (!isnan(m->dx))
        events[n++] =
            (struct machine_input){.kind = INPUT_RELATIVE, .axis = 'x', .value = (int)m->dx};
    if (!isnan(m->dy))
        events[n++] =
            (struct machine_input){.kind = INPUT_RELATIVE, .axis = 'y', .value = (int)m->dy};
    return n;
}

static unsigned buttons_wanted(const json_t *buttons)
{
    unsigned wanted = 0;
    json_t *name;
    size_t i;

    json_array_foreach ((json_t *)buttons, i, name)
        wanted |= 1u << button_index(json_string_value(name));
    return wanted;
}

/* What changes from the buttons that are down; a wheel goes down and up. */
static size_t add_buttons(unsigned held, unsigned wanted, struct machine_input *events)
{
    size_t n = 0;

    for (unsigned i = 0; i < BUTTONS; i++) {
        bool is = held >> i & 1, will = wanted >> i & 1;
        if (is != will)
            events[n++] = (struct machine_input){
                .kind = INPUT_BUTTON, .name = pointer_buttons[i], .down = will};
        if (will && i >= WHEELS)
            events[n++] = (struct machine_input){.kind = INPUT_BUTTON, .name = pointer_buttons[i]};
    }
    return n;
}

static bool fits_device(const struct vm *vm, const struct pointer_move *m, struct err *err)
{
    bool places = !isnan(m->x) || !isnan(m->y), moves = !isnan(m->dx) || !isnan(m->dy);
    int device = vm->active ? vm->active->pointer : vm->spec.pointer;

    if (places && device == POINTER_MOUSE)
        return err_field(err, ERR_INVALID, "/x",
                         "the VM has a mouse, which cannot be told where to point: use dx and dy, "
                         "or set pointer to tablet");
    return !moves || device == POINTER_MOUSE ||
           err_field(err, ERR_INVALID, "/dx",
                     "the VM has a tablet, which is told where to point: use x and y, or set "
                     "pointer to mouse");
}

bool vm_point(struct core *core, const char *ref, const struct pointer_move *move,
              const struct origin *origin, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, find(core, ref, VM_VERB_POINTER, err)};
    struct machine_input events[EVENTS];
    unsigned held, wanted;
    size_t n;
    bool ok;

    if (!hold.vm)
        return false;
    lock_take(&core->registry.lock);
    held = wanted = hold.vm->buttons;
    ok = fits_device(hold.vm, move, err);
    lock_drop(&core->registry.lock);
    if (!ok || origin->dry_run)
        return ok;
    if (move->buttons)
        wanted = buttons_wanted(move->buttons);
    n = add_moves(move, events);
    n += add_buttons(held, wanted, events + n);
    if (n && !send(core, hold.vm, move->head, events, n, err))
        return false;
    lock_take(&core->registry.lock);
    hold.vm->buttons = wanted & ((1u << WHEELS) - 1);
    lock_drop(&core->registry.lock);
    return true;
}

/* ---- NMI ---- */

bool vm_nmi(struct core *core, const char *ref, const struct origin *origin, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, find(core, ref, VM_VERB_NMI, err)};
    const struct backend *backend;
    struct machine *machine;
    bool ok;

    if (!hold.vm || origin->dry_run)
        return hold.vm != NULL;
    machine = vm_machine_use(core, hold.vm, &backend, err);
    if (!machine)
        return false;
    ok = backend->nmi(machine, err);
    vm_machine_done(core, hold.vm);
    return ok;
}
