/* Files that people write for vmmctl: JSON, or YAML with one document or several. */
#pragma once
#include "cli/cli.h"

#include <jansson.h>

/* The documents of a file, or of standard input for "-", as an array owned by the caller; empty
 * documents are left out. USAGE: it cannot be read, or is neither JSON nor YAML. */
json_t *document_read(struct cli *cli, const char *path, struct fault *fault) MUST_USE;
/* The same for a text; 'what' names it in messages. */
json_t *document_parse(const char *text, size_t len, const char *what,
                       struct fault *fault) MUST_USE;
