/* Text on a terminal: how many columns it takes, and how hostile text is made harmless. Names,
 * notes and error sentences come from other users; they must not move the cursor, change colours,
 * or turn the reading direction of what stands beside them. */
#pragma once
#include <stddef.h>

/* Call once before the others: they need a UTF-8 locale, whatever the user's is. */
void text_init(void);
/* A copy in which controls, format and bidi characters and broken UTF-8 stand as \n, \x1b, \u202e;
 * owned by the caller. */
char *text_escape(const char *s);
/* Columns that escaped text takes; wide characters count 2, combining ones 0. */
size_t text_width(const char *s);
/* Bytes of 's' that fit into 'columns'. */
size_t text_fit(const char *s, size_t columns);
