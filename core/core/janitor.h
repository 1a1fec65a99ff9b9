/* The one thread that does what nobody waits for: after the start it brings the disaster copies up
 * to date, then it trims the event log, ended jobs and idempotency keys now and then. */
#pragma once
#include "core/base/err.h"

struct core;
struct janitor;

struct janitor *janitor_start(struct core *core, struct err *err) MUST_USE;
void janitor_stop(struct janitor *janitor); /* NULL is fine */
