/* "Did you mean": the known word nearest to what was typed. */
#pragma once
#include <stddef.h>

struct suggest {
    const char *typed;
    const char *best; /* NULL while nothing is near enough */
    size_t distance;
};

/* What vmmctl calls what other tools call 'typed', as a word that may stand first ("host" for
 * "status") or as a verb ("delete" for "destroy"); NULL when that is nothing known. */
const char *suggest_first(const char *typed);
const char *suggest_verb(const char *typed);
void suggest_try(struct suggest *s, const char *known);
/* ", did you mean 'x'?" or "", in 'out'. */
const char *suggest_text(const struct suggest *s, const char *dashes, char out[96]);
