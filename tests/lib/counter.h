/* The smallest guest that can lose something: a boot sector that writes a rising counter to its
 * disk and, when the write has returned, to its console (counter_guest.S). Boots in a fraction of a
 * second under TCG, sleeps between two writes, obeys the power button. */
#pragma once
#include "tests/lib/rig.h"

#define COUNTER_SECTOR 512

extern const unsigned char counter_guest[COUNTER_SECTOR];

/* The configuration of a VM that boots it (JSON text, the caller's): a PC with one raw IDE disk in
 * the pool "main". */
char *counter_spec(const char *name);
/* The same with further members, ",\"a\":1". */
char *counter_spec_with(const char *name, const char *more);
/* Writes the boot sector into every image of the pool "main" that has none. */
void counter_install(struct rig *r);
/* The image that a QEMU has open, as it is called now (the caller's). NULL when it has ended; fails
 * when the file was removed below it. */
char *counter_image(struct rig *r, pid_t qemu);
/* What is on the disk; 0 when the guest never wrote. Fails when the sector is torn. */
uint32_t counter_on_disk(const char *image);
/* The processors the guest had when it wrote that. */
unsigned counter_processors(const char *image);
/* The last counter that the console shows as written, 0 when it shows none. Fails when the guest
 * met an error or its counter ever fell: it has lost what it had been told was written. */
uint32_t counter_said(struct rig *r, const char *name);
/* Waits until the guest writes. */
void counter_await_life(const char *image, int ms);
