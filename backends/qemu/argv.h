/* From a plan to what a worker is asked to launch: QEMU's arguments and the list of descriptors.
 * Pure: no I/O, so that golden files and random names can test it. */
#pragma once
#include "backends/qemu/worker_wire.h"
#include "core/base/json.h"
#include "core/port/backend.h"

/* What the plan does not say and the host decides. */
struct argv_facts {
    const char *qemu;       /* path of qemu-system-x86_64 inside the jail */
    bool passt;             /* user-mode networks go through passt */
    const bool *direct;     /* one a disk: its file system takes O_DIRECT */
    bool boot_roms;         /* network cards have ROMs to boot from (ipxe-qemu) */
    const char *local_time; /* the host's time of day, "2026-01-31T23:59:59"; NULL: unknown */
};

struct launch {
    json_t *json;           /* payload of WORKER_LAUNCH */
    int fds[FRAME_MAX_FDS]; /* in the order of the payload's indexes; borrowed from the plan */
    unsigned n_fds;
};

/* INVALID with the member at fault when the board has no room for a device. */
bool launch_build(const struct machine_plan *plan, const struct argv_facts *facts,
                  struct launch *out, struct err *err) MUST_USE;
void launch_clear(struct launch *launch);
/* QEMU finds 'fd' (borrowed) under this number. */
void launch_lend(struct launch *launch, int number, int fd);

/* The block node of an image file: "f" and the first digits of its id. With "-f" behind it, the
 * node of the plain file below. */
#define NODE_BYTES 32
void file_node_name(const struct uuid *file, char out[NODE_BYTES]);
