/* Bounds on what QEMU tells: see flood.h. Called by ending.c for each event, by qmp.c before it
 * listens. */
#include "vmmd/worker/flood.h"

#include "core/base/log.h"

/* 'per_s' come back in a second, until there are 'most'. */
static void refill(struct flood_bucket *b, int64_t most, int64_t per_s, int64_t now_ms)
{
    int64_t back = b->filled_ms ? (now_ms - b->filled_ms) * per_s / 1000 : most;

    if (back <= 0)
        return;
    b->left = back < most - b->left ? b->left + back : most;
    b->filled_ms = now_ms;
}

static void tell(struct flood *f, const char *what)
{
    if (!f->told)
        log_warn("QEMU tells more than it has reason to: %s", what);
    f->told = true; /* once: the log is not its to fill */
}

/* All are passed on, those that are too many as well: they were read already, and the time until
 * the next is longer for each. */
static void take_state(struct flood *f, int64_t now_ms)
{
    refill(&f->states, FLOOD_STATES, FLOOD_STATES_PER_S, now_ms);
    if (--f->states.left >= 0)
        return;
    tell(f, "its monitor has to wait");
    f->deaf_until_ms = now_ms + (1 - f->states.left) * 1000 / FLOOD_STATES_PER_S;
}

bool flood_takes(struct flood *f, bool changes_state, int64_t now_ms)
{
    if (changes_state) {
        take_state(f, now_ms);
        return true;
    }
    refill(&f->notes, FLOOD_NOTES, FLOOD_NOTES_PER_S, now_ms);
    if (f->notes.left > 0) {
        f->notes.left--;
        return true;
    }
    tell(f, "some of its events are dropped");
    return false;
}

size_t flood_piece(struct flood *f, int64_t now_ms)
{
    refill(&f->states, FLOOD_STATES, FLOOD_STATES_PER_S, now_ms);
    return FLOOD_PIECE + (f->states.left > 0 ? (size_t)f->states.left * FLOOD_STATE_BYTES : 0);
}

bool flood_is_deaf(const struct flood *f, int64_t now_ms)
{
    return now_ms < f->deaf_until_ms;
}
