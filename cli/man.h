/* The man pages vmmctl(1) and vmmctl-NOUN(1) as roff, from the table of commands. */
#pragma once
#include "core/base/str.h"

#include <stdbool.h>

/* The page "vmmctl" or "vmmctl-vm"; false when there is no such page. */
bool man_write(const char *name, struct strbuf *out);
/* The name of each page. */
void man_each(void (*see)(void *arg, const char *name), void *arg);
