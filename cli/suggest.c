/* "Did you mean": see suggest.h. */
#include "cli/suggest.h"

#include "core/base/str.h"

#include <stdio.h>
#include <string.h>

#define LONGEST 32

struct synonym {
    const char *typed, *ours;
};
static const struct synonym firsts[] = {
    {"vms", "vm"},
    {"machine", "vm"},
    {"machines", "vm"},
    {"domain", "vm"},
    {"operation", "op"},
    {"operations", "op"},
    {"job", "op"},
    {"jobs", "op"},
    {"task", "op"},
    {"tasks", "op"},
    {"image", "media"},
    {"images", "media"},
    {"iso", "media"},
    {"isos", "media"},
    {"storage", "pool"},
    {"events", "event"},
    {"ps", "ls"},
    {"launch", "vm create"},
    {"ssh", "console"},
    {"shell", "console"},
    {"connect", "console"},
    {"attach", "console"},
    {"config", "context"},
    {"remote", "context"},
    {"status", "host show"},
    {"info", "host show"},
    {"node", "host"},
    {"check", "doctor"},
    {"users", "user"},
    {"account", "user"},
    {"passwd", "user password"},
    {"auth", "login"},
    {"events", "event"},
    {0},
};
static const struct synonym verbs[] = {
    {"ls", "list"},       {"rm", "delete"},       {"remove", "delete"}, {"destroy", "delete"},
    {"del", "delete"},    {"undefine", "delete"}, {"info", "show"},     {"get", "show"},
    {"describe", "show"}, {"status", "show"},     {"inspect", "show"},  {"add", "create"},
    {"new", "create"},    {"define", "create"},   {"launch", "create"}, {"run", "start"},
    {"boot", "start"},    {"on", "start"},        {"off", "stop"},      {"kill", "stop"},
    {"poweroff", "stop"}, {"halt", "stop"},       {"restart", "reset"}, {"reboot", "reset"},
    {"suspend", "pause"}, {"unpause", "resume"},  {"cp", "copy"},       {"mv", "rename"},
    {"logs", "log"},      {"set", "edit"},        {"update", "edit"},   {"tail", "watch"},
    {"follow", "watch"},  {"abort", "cancel"},    {"switch", "use"},    {0},
};

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Edits (insert, delete, replace, swap of neighbours) between two words; LONGEST for long ones. */
static size_t distance(const char *a, const char *b)
{
    size_t d[LONGEST + 1][LONGEST + 1];
    size_t n = strlen(a), m = strlen(b);

    if (n > LONGEST || m > LONGEST)
        return LONGEST;
    for (size_t i = 0; i <= n; i++)
        d[i][0] = i;
    for (size_t j = 0; j <= m; j++)
        d[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        for (size_t j = 1; j <= m; j++) {
            d[i][j] = least(least(d[i - 1][j], d[i][j - 1]) + 1,
                            d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
        }
    }
    return d[n][m];
}

static const char *ours(const struct synonym *table, const char *typed)
{
    for (; table->typed; table++)
        if (str_eq(table->typed, typed))
            return table->ours;
    return NULL;
}

const char *suggest_first(const char *typed)
{
    return ours(firsts, typed);
}

const char *suggest_verb(const char *typed)
{
    return ours(verbs, typed);
}

void suggest_try(struct suggest *s, const char *known)
{
    size_t typed = strlen(s->typed);
    size_t away = distance(s->typed, known);
    size_t limit = typed < 3 ? 1 : typed / 3 + 1;

    if (typed >= 2 && str_starts(known, s->typed))
        away = 1;
    if (away <= limit && away < strlen(known) && (!s->best || away < s->distance)) {
        s->best = known;
        s->distance = away;
    }
}

const char *suggest_text(const struct suggest *s, const char *dashes, char out[96])
{
    out[0] = 0;
    if (s->best)
        snprintf(out, 96, ", did you mean '%s%s'?", dashes, s->best);
    return out;
}
