/* Rights and roles: see right.h. Pure. */
#include "core/model/right.h"

#include "core/base/str.h"

#include <string.h>

const char *const role_names[] = {"none", "viewer", "operator", "admin", NULL};

const char *const right_names[] = {"none", "public", "self",
#define X(name, word, role, help) word,
                                   RIGHTS(X)
#undef X
                                       NULL};

static const enum role least[RIGHT_COUNT] = {[RIGHT_NONE] = ROLE_ADMIN + 1, /* nobody's */
                                             [RIGHT_PUBLIC] = ROLE_NONE,
                                             [RIGHT_SELF] = ROLE_NONE,
#define X(name, word, role, help) [RIGHT_##name] = ROLE_##role,
                                             RIGHTS(X)
#undef X
};
_Static_assert(RIGHT_COUNT <= 63, "a set of rights is a 64-bit number, also in the database");

uint64_t role_rights(enum role role)
{
    uint64_t set = 0;

    for (unsigned r = 0; r < RIGHT_COUNT; r++)
        if (least[r] <= role)
            set |= RIGHT_BIT(r);
    return set;
}

enum role right_role(enum right right)
{
    return least[right];
}

enum role role_parse(const char *text)
{
    for (int i = ROLE_VIEWER; text && role_names[i]; i++)
        if (strcmp(role_names[i], text) == 0)
            return (enum role)i;
    return ROLE_NONE;
}

json_t *rights_json(uint64_t rights)
{
    json_t *list = json_array();

    for (unsigned r = RIGHT_SELF + 1; r < RIGHT_COUNT; r++)
        if (rights & RIGHT_BIT(r))
            json_array_append_new(list, json_string(right_names[r]));
    return list;
}

static bool add(const char *word, uint64_t *set)
{
    for (unsigned r = RIGHT_SELF + 1; word && r < RIGHT_COUNT; r++)
        if (strcmp(right_names[r], word) == 0) {
            *set |= RIGHT_BIT(r);
            return true;
        }
    return false;
}

bool rights_parse(const json_t *list, uint64_t *out)
{
    uint64_t set = RIGHT_BIT(RIGHT_PUBLIC) | RIGHT_BIT(RIGHT_SELF);
    const json_t *word;
    size_t i;

    json_array_foreach ((json_t *)list, i, word)
        if (!add(json_string_value(word), &set))
            return false;
    *out = set;
    return json_is_array(list);
}
