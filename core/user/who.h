/* Somebody who was recognised, by whatever means, and what they may do. */
#pragma once
#include "core/base/id.h"
#include "core/model/right.h"

#include <stdbool.h>

struct grants;
enum who_by { BY_NOTHING, BY_UNIX, BY_TOKEN, BY_SESSION, BY_CERTIFICATE };
extern const char *const who_by_names[]; /* indexed by enum who_by */

struct who {
    char principal[80]; /* "token:ci", "unix:0", "user:ann" */
    enum role role;
    uint64_t rights;     /* a set: core/model/right.h */
    enum who_by by;      /* what they were recognised by */
    struct uuid user;    /* whose account that is; zero: none's (unix socket, tokens of nobody) */
    struct uuid session; /* BY_SESSION: which */
    /* What may be done with some objects beside that: core/user/grant.h. */
    struct grants *grants; /* NULL: nothing; a reference, given back by who_clear() */
    uint64_t most;         /* bounds what they give: a token's own rights */
};

void who_clear(struct who *who);
/* The rights of the role, and of grants whatever they select. */
uint64_t who_rights_anywhere(const struct who *who);

/* With every object; with one of them it may be more. */
static inline bool who_may(const struct who *who, enum right right)
{
    return who->rights & RIGHT_BIT(right);
}
