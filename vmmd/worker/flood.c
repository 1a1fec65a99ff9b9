/* Bounds on what QEMU tells: see flood.h. Called by ending.c for each event, by qmp.c before it
 * listens. */
#include "vmmd/worker/flood.h"

#include "core/base/log.h"

/* Takes one of 'most', of which 'per_s' come back in a second. */
static bool take(struct flood_bucket *b, unsigned most, unsigned per_s, int64_t now_ms)
{
    int64_t back = b->filled_ms ? (now_ms - b->filled_ms) * per_s / 1000 : most;

    if (back > 0) {
        b->left = back < most - b->left ? b->left + (unsigned)back : most;
        b->filled_ms = now_ms;
    }
    if (b->left == 0)
        return false;
    b->left--;
    return true;
}

static void tell(struct flood *f, const char *what)
{
    if (!f->told)
        log_warn("QEMU tells more than it has reason to: %s", what);
    f->told = true; /* once: the log is not its to fill */
}

bool flood_takes(struct flood *f, bool changes_state, int64_t now_ms)
{
    if (!changes_state) {
        if (take(&f->notes, FLOOD_NOTES, FLOOD_NOTES_PER_S, now_ms))
            return true;
        tell(f, "some of its events are dropped");
        return false;
    }
    if (!take(&f->states, FLOOD_STATES, FLOOD_STATES_PER_S, now_ms)) {
        tell(f, "its monitor has to wait");
        f->deaf_until_ms = now_ms + FLOOD_DEAF_MS;
    }
    return true;
}

bool flood_is_deaf(const struct flood *f, int64_t now_ms)
{
    return now_ms < f->deaf_until_ms;
}
