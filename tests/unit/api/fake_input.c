/* The keyboard and the pointer of fake_core.c's one VM. Included after it. */
#include "core/vm/input.h"

bool vm_type(struct core *c, const char *ref, const char *text, enum key_layout layout,
             unsigned interval_ms, const struct vm_patience *patience, const struct origin *origin,
             struct err *err)
{
    if (!is_hello(ref, err))
        return false;
    lock_take(&c->lock);
    snprintf(c->typed, sizeof c->typed, "%s %s %u", key_layout_names[layout], text, interval_ms);
    lock_drop(&c->lock);
    return !patience->gone(patience->ctx) || err_set(err, ERR_CANCELLED, "the client has left");
}

bool vm_send_keys(struct core *c, const char *ref, const json_t *keys, unsigned hold_ms,
                  const struct vm_patience *patience, const struct origin *origin, struct err *err)
{
    return is_hello(ref, err);
}

bool vm_point(struct core *c, const char *ref, const struct pointer_move *move,
              const struct origin *origin, struct err *err)
{
    return is_hello(ref, err);
}

bool vm_nmi(struct core *c, const char *ref, const struct origin *origin, struct err *err)
{
    return is_hello(ref, err);
}

bool check_button(const char *name, const char **why)
{
    *why = "is no button";
    return str_eq(name, "left");
}
