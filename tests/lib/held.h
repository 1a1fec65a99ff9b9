/* What the guests of a story hold on their disks: a number in a sector near the end, written and
 * flushed as a guest would, read through the chain of record. The fake backend's copies take it
 * along as QEMU's do: onto the disk only where it is flushed. */
#pragma once
#include "tests/lib/world.h"

#define HELD_DISK_BYTES 1048576

/* From here on the fake backend works on the files of 'w', also while that is being opened. */
void held_watch(struct world *w);
/* Writes 'value' to each disk of a VM, and flushes it. */
bool held_write(struct world *w, const char *vm, int value, struct err *err) MUST_USE;
/* Whether each of its disks holds one of both. */
bool held_is(struct world *w, const char *vm, int was, int becomes);
/* The image files that a VM has in memory. */
unsigned held_files(struct world *w, const char *vm);
/* Each file below a pool root is an image; adds how many there are to '*n'. NULL, or what is wrong
 * (static). */
const char *held_look_at_files(const char *root, unsigned *n);
