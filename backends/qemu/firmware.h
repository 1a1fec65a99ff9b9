/* Where the UEFI firmware of the host lies: Debian's package ovmf. Pure but for
 * firmware_template().
 */
#pragma once
#include "core/base/err.h"

/* The path of the firmware's code, the same inside the jail. */
const char *firmware_code(bool secure_boot);
/* True when code and template are there. */
bool firmware_found(bool secure_boot);
