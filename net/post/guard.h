/* Which addresses a webhook may reach: decided for every address it connects to, when it does.
 * Pure but for guard_init(). */
#pragma once
#include "core/base/err.h"

#include <sys/socket.h>

/* 'allow': ranges and host names separated by blanks or commas, NULL for none. 'own': where our own
 * API listens (only the port counts, and the addresses of this host), NULL for nowhere. INVALID for
 * a word that is neither. Before the first request; called again, it replaces what was set. */
bool guard_init(const char *allow, const struct sockaddr *own, struct err *err) MUST_USE;
/* NULL when 'host' (as the address names it) may be reached at 'address', else why not. */
const char *guard_refuses(const char *host, const struct sockaddr *address);
