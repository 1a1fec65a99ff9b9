/* What a request is about, and whether its caller may do that with it: the one place where grants
 * are asked before a handler runs. Which objects a handler meets beside the one of its route says
 * core/user/sight.h. */
#pragma once
#include "api/routes.h"

/* NOT_FOUND for an object that the caller may not see, FORBIDDEN; true by role without a look. */
bool about_may(struct core *core, const struct route *route, const struct who *who, const char *ref,
               struct err *err) MUST_USE;
/* False for a kind that somebody has forgotten to say this of. */
bool about_is_known(enum about about);
