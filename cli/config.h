/* vmmctl's configuration file: lines "key = value", for one service above all sections, and for any
 * number of others in sections [context NAME]. It may hold tokens, so nobody else may read it. What
 * people wrote into it, comments too, is kept when vmmctl changes it. */
#pragma once
#include "cli/fault.h"

struct config_line {
    const char *context; /* NULL: above all sections */
    const char *key, *value;
    const char *where; /* "~/.config/vmmd/config line 3" */
};

/* $VMMD_CONFIG, else $XDG_CONFIG_HOME/vmmd/config, else ~/.config/vmmd/config; NULL when there is
 * no home. Owned by the caller. */
char *config_path(void);
/* The file's text, NULL when there is none; owned by the caller, who wipes it. USAGE: others may
 * read it, or it cannot be read; or there is none though 'must' says so. */
bool config_file_load(const char *path, bool must, char **text, size_t *len,
                      struct fault *fault) MUST_USE;
/* Calls 'see' for every line that says something; 'text' is cut into pieces by that. USAGE with the
 * line's number: it is neither key = value nor a section; or as 'see' says. */
bool config_each(const char *path, char *text,
                 bool (*see)(void *arg, const struct config_line *line, struct fault *fault),
                 void *arg, struct fault *fault) MUST_USE;
/* [A-Za-z0-9][A-Za-z0-9._-]*, at most 63 bytes. */
bool config_name_ok(const char *name);

/* The text without the section of a context. Owned by the caller, who wipes it. */
char *config_without(const char *text, const char *context);
/* The text with "context = NAME" above all sections, or without that line for NULL. */
char *config_using(const char *text, const char *context);
/* Replaces the file (0600) so that a crash leaves the old one or the new one; makes its folder. */
bool config_save(const char *path, const char *text, struct fault *fault) MUST_USE;
