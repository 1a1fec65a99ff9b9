/* The parent's life after host_open(): main and the front run, requests are served, signals obeyed.
 */
#pragma once
#include "vmmd/priv/host.h"

/* From here on signals wait for supervisor_run(): call it before anything is set up. */
bool supervisor_init(struct err *err) MUST_USE;
/* Returns the exit code when both children are gone: 0 after SIGTERM or SIGINT; what main or the
 * front said when they cannot run (73, 78); 70 when one dies again and again or main broke the
 * protocol. */
int supervisor_run(const struct host *h);
