/* The one thread that does what is due now and then: trimming the event log, ended jobs and
 * idempotency keys. */
#pragma once
#include "core/base/err.h"

struct core;
struct janitor;

struct janitor *janitor_start(struct core *core, struct err *err) MUST_USE;
void janitor_stop(struct janitor *janitor); /* NULL is fine */
