/* Grants: what somebody may do with some objects only, beside what the role allows with all. A
 * grant has rights, and selects objects by a label or by the pool of their disks. What the words
 * mean is in docs/accounts.md, "Grants". Pure: the store and the table of users are in granting.c,
 * what a request may see in sight.c. */
#pragma once
#include "core/base/id.h"
#include "core/base/json.h"
#include "core/model/right.h"
#include "core/model/vm.h"
#include "core/user/who.h"

#include <stdatomic.h>

#define GRANTS_MAX 64 /* of one user */

struct grant {
    struct uuid id;
    char *key, *value;    /* of the label; NULL: it selects by a pool … */
    char pool[UUID_TEXT]; /* … this; "" */
    enum role role;       /* ROLE_NONE: its rights were listed */
    uint64_t rights;      /* a set, of which no more counts than grant_possible() */
    int64_t created_ms;
    char *created_by;
};

/* All of a user. Never changes, so that requests under way keep theirs; counted references. */
struct grants {
    atomic_uint refs;
    size_t n;
    struct grant all[];
};

/* What of an object grants look at; borrowed. */
struct selectable {
    const json_t *labels; /* NULL: none */
    const char *pools[VM_DISKS_MAX];
    size_t n_pools;
};

/* The rights that have an object to be about; others are a role's alone. */
uint64_t grant_possible(void);
/* Copies, with one reference, of 'old' (may be NULL) with one more, and without one; NULL when none
 * is left. */
struct grants *grants_with(const struct grants *old, const struct grant *more) MUST_USE;
struct grants *grants_without(const struct grants *old, const struct uuid *id) MUST_USE;
struct grants *grants_hold(struct grants *grants); /* NULL is fine; the same of the others */
void grants_drop(struct grants *grants);
/* The rights of all that select the object, and of all whatever they select. */
uint64_t grants_for(const struct grants *grants, const struct selectable *object);
uint64_t grants_any(const struct grants *grants);
/* The rights of those that select by this label. */
uint64_t grants_by_label(const struct grants *grants, const char *key, const char *value);

void selectable_spec(const struct vm_spec *spec, struct selectable *out);
/* What 'who' may do with the object: the rights of the role, and of the grants that select it. */
uint64_t who_rights_on(const struct who *who, const struct selectable *object);
