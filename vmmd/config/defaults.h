/* Between the files of this room: what holds where vmmd.conf says nothing. */
#pragma once
#include "vmmd/config/config.h"

/* Before the file is read: those whose 0 means something. */
void config_preset(struct config *c);
/* Fills every member that is still empty, by the caller's effective uid and environment, looks the
 * user up and checks what only the whole can tell. INVALID. */
bool config_fill(struct config *c, struct err *err) MUST_USE;
