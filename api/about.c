/* What routes are about: see about.h. */
#include "api/about.h"

#include "core/user/sight.h"

#include <string.h>

enum way {
    FORGOTTEN,
    BY_ROLE, /* nobody has a grant for it */
    ONE,     /* the object at "{id}" */
    MANY,    /* a list, which leaves out what may not be seen; what is made in it core looks at */
    SHELF,   /* whoever has the right for anything */
};

static const struct {
    enum way way;
    sight_find *find; /* of ONE */
} kinds[ABOUT_COUNT] = {
    [ABOUT_NOTHING] = {BY_ROLE, NULL},
    [ABOUT_HOST] = {BY_ROLE, NULL},
    [ABOUT_VM] = {ONE, sight_find_vm},
    [ABOUT_VMS] = {MANY, NULL},
    [ABOUT_SNAPSHOT] = {ONE, sight_find_snapshot},
    [ABOUT_DISK] = {ONE, sight_find_disk},
    [ABOUT_DISKS] = {MANY, NULL},
    [ABOUT_POOL] = {ONE, sight_find_pool},
    [ABOUT_POOLS] = {MANY, NULL},
    [ABOUT_MEDIA] = {SHELF, NULL},
    [ABOUT_EXPORT] = {BY_ROLE, NULL}, /* a file of the host */
    [ABOUT_EXPORTS] = {BY_ROLE, NULL},
    [ABOUT_IMPORTS] = {BY_ROLE, NULL}, /* files of the host */
    [ABOUT_BUNDLE] = {BY_ROLE, NULL},  /* a folder of the host */
    [ABOUT_BUNDLES] = {BY_ROLE, NULL},
    [ABOUT_TEMPLATE] = {ONE, sight_find_template},
    [ABOUT_TEMPLATES] = {MANY, NULL},
    [ABOUT_OPERATION] = {ONE, sight_find_operation},
    [ABOUT_OPERATIONS] = {MANY, NULL},
    [ABOUT_EVENTS] = {MANY, NULL},
    [ABOUT_AUDIT] = {BY_ROLE, NULL},
    [ABOUT_USER] = {BY_ROLE, NULL},
    [ABOUT_USERS] = {BY_ROLE, NULL},
    [ABOUT_SESSION] = {BY_ROLE, NULL},
    [ABOUT_TOKEN] = {BY_ROLE, NULL},
    [ABOUT_TOKENS] = {BY_ROLE, NULL},
    [ABOUT_WEBHOOK] = {BY_ROLE, NULL},
    [ABOUT_WEBHOOKS] = {BY_ROLE, NULL},
};

bool about_is_known(enum about about)
{
    return kinds[about].way != FORGOTTEN &&
           (kinds[about].way == ONE) == (kinds[about].find != NULL);
}

static bool refuse(const struct route *route, const struct who *who, struct err *err)
{
    return err_set(err, ERR_FORBIDDEN, "%s has the role %s without the right %s, which this needs",
                   who->principal, role_names[who->role], right_names[route->right]);
}

/* Whether a grant can help at all: what has no object of its own is a role's. Only VMs are made by
 * those who have the right for some. */
static bool can_be_granted(const struct route *route)
{
    const enum about about = route->about;

    if (kinds[about].way == MANY)
        return about == ABOUT_VMS || strcmp(route->method, "GET") == 0;
    return kinds[about].way == ONE || kinds[about].way == SHELF;
}

bool about_may(struct core *core, const struct route *route, const struct who *who, const char *ref,
               struct err *err)
{
    const uint64_t needed = RIGHT_BIT(route->right);
    sight_find *find = kinds[route->about].find;
    uint64_t rights = 0;
    bool found;

    if (who_may(who, route->right))
        return true;
    if (!(who_rights_anywhere(who) & needed) || !can_be_granted(route))
        return refuse(route, who, err);
    if (!find)
        return true;
    sight_begin(who, route->right);
    found = find(core, ref, &rights, err);
    sight_end();
    return found && ((rights & needed) || refuse(route, who, err));
}
