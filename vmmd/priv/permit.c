/* The helper's permits: see permit.h. A bucket that leaks: each request puts a thousand in, time
 * takes out, and what would run over is refused. */
#include "vmmd/priv/permit.h"

#include "core/base/str.h"

static const struct permit {
    const char *name;
    enum permit_phase phases;
    uint32_t at_once, per_s;
} rows[] = {
#define X(name, phases, at_once, per_s) [PRIV_##name] = {#name, phases, at_once, per_s},
    PRIV_PERMITS(X)
#undef X
};

/* An operation of proto.h that has no row names something here that is not declared. */
enum {
#define X(name, phases, at_once, per_s) ROW_OF_##name = PRIV_##name,
    PRIV_PERMITS(X)
#undef X
};
#define X(name, fds)                                                                               \
    _Static_assert((int)ROW_OF_##name == (int)PRIV_##name, "each operation has its row");
PRIV_OPS(X)
#undef X

static void pay_off(struct permit_use *use, uint32_t per_s, int64_t now_ms)
{
    uint64_t paid = now_ms > use->at_ms ? (uint64_t)(now_ms - use->at_ms) * per_s : 0;

    use->debt_milli = paid < use->debt_milli ? use->debt_milli - paid : 0;
    use->at_ms = now_ms;
}

bool permit_take(enum priv_op op, enum permit_phase now, struct permit_use *use, int64_t now_ms,
                 struct err *err)
{
    const struct permit *row = &rows[op];

    if (!(row->phases & now))
        return err_set(err, ERR_WRONG_STATE, "that cannot be asked for any more");
    pay_off(use, row->per_s, now_ms);
    if (use->debt_milli + 1000 > row->at_once * 1000ull)
        return err_set(err, ERR_RATE_LIMITED,
                       "the helper answers %u requests %s at once and %u a second: try again",
                       row->at_once, row->name, row->per_s);
    use->debt_milli += 1000;
    return true;
}
