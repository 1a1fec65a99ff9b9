/* A scripted life of a daemon, and what must be true of the state it leaves when it is cut off in
 * the middle. Several actors live at once, each with a pool, a token and a VM of its own; each step
 * is marked before its request and after its acknowledgement. */
#pragma once
#include "tests/lib/world.h"

#define STORY_ACTORS 2

/* How many steps of each actor were begun, and how many were acknowledged. */
struct story_progress {
    unsigned begun[STORY_ACTORS], acked[STORY_ACTORS];
};

/* Lives the whole story in 'dir' (which is taken), with a restart of the daemon in the middle. For
 * a child process: leaves it with _exit(3) when a step fails. */
void story_live(char *dir, void (*mark)(const char *note));
/* Adds a mark to the progress; false when it is not one of the story's. */
bool story_note(struct story_progress *p, const char *note);
/* Starts the daemon on what is in 'dir', on a host that was booted meanwhile, and compares with
 * what was acknowledged. NULL when all is well, or a sentence (static). Never fails the test. */
const char *story_check(const char *dir, const struct story_progress *p);
