/* Looks for a pattern in output that comes in pieces. */
#pragma once
#include "cli/fault.h"
#include "core/base/str.h"

#include <regex.h>

#define UNTIL_WINDOW 8192 /* bytes a match may span */

struct until {
    regex_t regex;
    bool active;
    struct strbuf window;
};

/* POSIX extended; ^ and $ stand at line ends. 'pattern' NULL: nothing ever matches. */
bool until_init(struct until *u, const char *pattern, struct fault *fault) MUST_USE;
/* Takes the next piece; true as soon as the pattern was seen. */
bool until_seen(struct until *u, const char *data, size_t len);
void until_clear(struct until *u);
