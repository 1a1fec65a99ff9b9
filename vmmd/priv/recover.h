/* "vmmd --recover": the database is made anew of the VMs' copies. This process only opens what
 * needs rights; vmmd-main, without them, does the work (vmmd/main/recover.h). */
#pragma once
#include "vmmd/config/config.h"

/* Becomes vmmd-main; returns the exit code when that failed: EXIT_TAKEN while a vmmd runs. */
int recover_run(const struct config *config, bool apply, bool doubtful);
