/* What the commands of "host" and "doctor" share. */
#pragma once
#include "cli/cli.h"

bool host_devices_run(struct cli *cli, struct fault *fault) MUST_USE;
