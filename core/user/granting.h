/* Grants of users as the API sees them: schema Grant. docs/accounts.md, "Grants". */
#pragma once
#include "core/core/core.h"
#include "core/user/who.h"

/* What a client may say; borrowed. By a label or a pool, with a role or rights. */
struct grant_spec {
    const char *label; /* "key=value", or NULL … */
    const char *pool;  /* … and this, a name or id */
    enum role role;    /* ROLE_NONE: … */
    uint64_t rights;   /* … these, a set */
};

/* INVALID, NOT_FOUND (user; "/pool"), EXISTS for what the user has a grant for already, WRONG_STATE
 * when there are GRANTS_MAX. */
bool grant_create(struct core *core, const char *user, const struct grant_spec *spec,
                  const struct origin *origin, struct uuid *id, struct err *err) MUST_USE;
/* NOT_FOUND. Owned by the caller; so is the list, oldest first. */
json_t *grant_show(struct core *core, const char *user, const char *id, struct err *err) MUST_USE;
json_t *grant_list(struct core *core, const char *user, struct err *err) MUST_USE;
bool grant_delete(struct core *core, const char *user, const char *id, const struct origin *origin,
                  struct err *err) MUST_USE;
/* The list of somebody who is known: with no more rights than the token has. */
json_t *grants_of_who(struct core *core, const struct who *who);
/* Of a pool that is gone, and so are the rows. */
void grants_forget_pool(struct core *core, const struct uuid *pool);
/* Whether anybody has a grant for this label. */
bool grants_any_by_label(struct core *core, const char *key, const char *value);
