/* Deleting what is gone at once: pools, webhooks, templates, tokens. */
#pragma once
#include "cli/cli.h"

/* Asks 'question' and deletes the object 'ref' of the collection ("/pools"); says that it is 'done'
 * ("deleted"). */
bool object_delete(struct cli *cli, const char *collection, const char *ref, const char *question,
                   const char *done, struct fault *fault) MUST_USE;
