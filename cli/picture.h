/* Pictures of screens that the service has. */
#pragma once
#include "cli/cli.h"

/* Saves the PNG at 'path' where --file says: "-" is standard output, and without it it becomes
 * "<name>.png" in the working directory. */
bool picture_fetch(struct cli *cli, const char *path, const char *name,
                   struct fault *fault) MUST_USE;
