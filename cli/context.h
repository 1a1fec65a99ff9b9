/* Contexts: services by name, in vmmctl's configuration file. */
#pragma once
#include "cli/connection.h"

/* Writes the context, in place of one of that name, and makes it the current one if 'use'. What is
 * NULL in the connection is left out. FAILED, USAGE. */
bool context_write(const char *name, const struct connection *connection, bool use,
                   struct fault *fault) MUST_USE;
/* Whether a context can be called so. USAGE. */
bool context_name_ok(const char *name, struct fault *fault) MUST_USE;
/* The names, each given to 'see'. Faults are ignored: for completion. */
void context_each_name(void (*see)(void *arg, const char *name), void *arg);
