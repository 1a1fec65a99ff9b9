/* The man page vmmctl(1) as roff, from the table of commands. */
#pragma once
#include "core/base/str.h"

void man_write(struct strbuf *out);
