/* How a machine ended: the worker's exit record, and the lock that proves that nobody of a VM
 * lives. */
#pragma once
#include "core/base/json.h"
#include "core/port/backend.h"

/* Fills 'out' (MACHINE_EXITED) from an exit record; pure. 'boot_id' is that of the running kernel:
 * a record of another boot, or NULL for one that cannot be read, has its own meaning. */
void ended_map(const json_t *record, const char *boot_id, struct machine_event *out);
void ended_set(struct machine_event *out, enum vm_run run, enum vm_reason reason,
               const char *detail);

/* Reads the exit record in the VM's run directory; false when there is none. */
bool ended_read(int run_dir, struct machine_event *out);
/* True when neither the worker nor its jail lives: nobody holds the lock on "alive". */
bool ended_is_dead(int run_dir);
/* Looks every 10 ms, for at most 'wait_ms'; gives up when 'stop' (may be NULL) says so. */
bool ended_wait(int run_dir, int64_t wait_ms, bool (*stop)(const void *ctx), const void *ctx);

#define BOOT_ID_TEXT 37
void boot_id_read(char out[BOOT_ID_TEXT]); /* "" when the kernel does not say */
