/* What can stand next on a command line. The shells ask by the hidden command __complete; what it
 * offers comes from the same table of commands as everything else, and names from the service. */
#pragma once
#include "cli/args.h"
#include "core/base/str.h"

/* Where the last word of an unfinished command line stands. */
struct place {
    const char *word;              /* as far as it was typed */
    const struct noun *noun;       /* NULL: the word is the noun */
    const struct command *command; /* NULL: the word is the verb */
    const struct flag *flag;       /* the word, or its end, is this flag's value; else NULL */
    size_t head;                   /* so many bytes of 'word' stand before the value ("--wait=") */
    bool flags_end;                /* behind "--" */
    bool lost;                     /* an unknown command: nothing can be said */
    const char *first;             /* first positional argument before it, or NULL */
    size_t position;               /* of the word among the positional ones */
    struct given *given;           /* flags with their values that stand before it */
    size_t n_given;
};

/* One line for each thing that can stand there: the whole word, a tab, what it is. ":files" is a
 * line for "names of files". */
struct offer {
    const struct place *place;
    const char *prefix; /* what of the value was typed already */
    struct strbuf *out;
};

/* 'words' are the command line without "vmmctl"; the last one is the unfinished one, maybe empty.
 * Owned by the caller until place_clear(). */
void place_find(const char *const *words, size_t n, struct place *out);
void place_clear(struct place *place); /* for CLEANUP(place_clear) */

/* Offers 'value' if it goes on from what was typed; values that a shell would have to quote are
 * left out. */
void offer_value(const struct offer *offer, const char *value, const char *about);
/* Everything that vmmctl knows by itself. Returns the name of an argument ("VM", "POOL") when the
 * service has the rest, in a buffer of the caller; "" else. */
const char *offer_known(const struct place *place, struct strbuf *out, char wanted[32]);
/* How far into place->word the value begins, as an offer for it. */
struct offer offer_for(const struct place *place, struct strbuf *out);
