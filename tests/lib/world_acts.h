/* What tests do with a world again and again: operations whose outcome is a word, and daemons that
 * end and start. */
#pragma once
#include "tests/lib/world.h"

/* What came of an operation: "succeeded", "cancelled", or the error's slug; of one that was not
 * 'submitted', the slug of 'err'. The text is good until the next call. */
const char *world_outcome(struct world *w, bool submitted, const struct uuid *op,
                          const struct err *err);
/* A snapshot of the disks alone, and going back to it with 'start', and its deletion. */
const char *world_take(struct world *w, const char *vm, const char *name);
const char *world_revert(struct world *w, const char *vm, const char *name);
const char *world_drop(struct world *w, const char *vm, const char *name);

/* What a daemon that is gone left open is what somebody had asked to end by then: how many there
 * are. '*op', unless NULL: the last. */
unsigned world_cancel_unfinished(struct world *w, struct uuid *op);
void world_restart(struct world *w); /* the daemon */
/* As if the host had been booted since the daemon ended: the state directory knows another boot. */
void world_boot_host(struct world *w);
