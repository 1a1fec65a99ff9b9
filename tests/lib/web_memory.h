/* Snapshots with memory of the VM "web" of a world, for tests: what they come to as a word, good
 * until the next call. */
#pragma once
#include "core/snap/snap.h"
#include "tests/lib/world.h"

/* What came of an operation: "succeeded", "cancelled", or the error's slug. */
const char *web_outcome(struct world *w, const struct uuid *op);
struct uuid web_take_begin(struct world *w, const char *name, enum consistency consistency);
const char *web_take(struct world *w, const char *name);
/* A member of a snapshot as text or number, "" without the snapshot. */
const char *web_snapshot(struct world *w, const char *name, const char *of, const char *key);
bool web_memory_is(struct world *w, const char *name, const char *key);
/* A byte in the middle of the snapshot's image is another one. */
void web_spoil_image(struct world *w, const char *name);
/* What the daemon believes to be there. */
unsigned web_known_files(struct world *w);
const char *web_revert(struct world *w, const char *name, bool start);
const char *web_drop(struct world *w, const char *name);
const char *web_clone(struct world *w, const char *name, bool full, const char *pool);
const char *web_archive(struct world *w, const char *name, bool pack);
