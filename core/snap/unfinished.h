/* Merges that were cut off after their snapshot was gone: for the janitor. */
#pragma once
#include "core/core/parts.h"

/* How long such a merge waits for its first new try, in ms: 60 s. Tests have less patience. */
extern int64_t unfinished_first_ms;

/* Has those whose time has come gone on with, each by an operation of its own. */
void unfinished_look(struct core *core);
