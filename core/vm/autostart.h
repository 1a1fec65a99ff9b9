/* Starting VMs with the host: see docs/autostart.md. */
#pragma once
#include "core/core/parts.h"

struct autostart;

/* Compares this boot of the host with the one the state directory knows. '*host_reset': the host
 * was booted since the last daemon that came as far as autostart_seen(). '*due': VMs are still to
 * be started for this boot, because nothing or not everything was. */
void autostart_look(struct core *core, bool *host_reset, bool *due);
/* What the boot has ended is recorded: from now on the state directory knows this boot. */
void autostart_seen(struct core *core);
/* Begins, in a thread of its own; requests are served meanwhile. */
struct autostart *autostart_start(struct core *core, struct err *err) MUST_USE;
/* After core->closing; what was not begun is the next daemon's. NULL is fine. */
void autostart_stop(struct autostart *autostart);
