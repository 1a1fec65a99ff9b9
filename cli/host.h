/* What the commands of "host" and "doctor" share. */
#pragma once
#include "cli/cli.h"

#include <jansson.h>

/* The findings about this very machine, made without the service; owned by the caller.
 * 'config_path' NULL: vmmd.conf where the service would look if this user started it. */
json_t *doctor_look_here(const char *config_path);
bool host_devices_run(struct cli *cli, struct fault *fault) MUST_USE;
