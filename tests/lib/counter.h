/* The smallest guest that can lose something: a boot sector that writes a rising counter to its
 * disks, flushes them, and then says it on its console (counter_guest.S). So what it said is on its
 * disks whatever dies. Boots in a fraction of a second under TCG, sleeps between two writes, obeys
 * the power button. */
#pragma once
#include "tests/lib/rig.h"

#define COUNTER_SECTOR 512

extern const unsigned char counter_guest[COUNTER_SECTOR];

/* The configuration of a VM that boots it (JSON text, the caller's): a PC with one raw IDE disk in
 * the pool "main", and without what the firmware would only look for: no display, no USB. */
char *counter_spec(const char *name);
/* The same with further members, ",\"a\":1". */
char *counter_spec_with(const char *name, const char *more);
/* The same with two such disks. */
char *counter_spec_two(const char *name);
/* Writes the boot sector into every raw image of the pools that has none. */
void counter_install(struct rig *r);
/* Whether the VM's first disk has it. */
bool counter_is_installed(struct rig *r, const char *name);
/* Fails when an image file that a QEMU has open was removed below it. */
void counter_has_its_files(struct rig *r, pid_t qemu);
/* What the VM's disks hold by the chain of record (chain.h), on the one that is behind; 0 when the
 * guest never wrote. Fails when a sector is torn. */
uint32_t counter_on_disk(struct rig *r, const char *name);
/* The same of one raw file, whatever lies on it. */
uint32_t counter_in_file(const char *path);
/* The same of a snapshot, by its name. */
uint32_t counter_in_snapshot(struct rig *r, const char *name, const char *snapshot);
/* The processors the guest had when it wrote that. */
unsigned counter_processors(struct rig *r, const char *name);
/* The last counter that the console shows as written, 0 when it shows none. Fails when the guest
 * met an error or its counter ever fell: it has lost what it had been told was written. */
uint32_t counter_said(struct rig *r, const char *name);
/* What a VM's console has told so far; zeroed for a new VM. */
struct counter_heard {
    uint64_t offset;
    uint32_t said;
};
/* The same, going on where 'heard' ends. 'goes_back': its disks may have been reverted meanwhile,
 * so that a guest that starts may find less. */
uint32_t counter_said_on(struct rig *r, const char *name, struct counter_heard *heard,
                         bool goes_back);
/* Waits until the guest writes. */
void counter_await_life(struct rig *r, const char *name, int ms);
