/* Reading a disk of a snapshot by NBD, for the API. The steps are in docs/storage.md. */
#pragma once
#include "core/core/core.h"

#define SERVES_MAX 8 /* at the same time: each is a QEMU */

struct serve;
struct vm;

/* A QEMU in a jail of its own, which runs no guest, serves what disk number 'disk' of the snapshot
 * had, for reading only. '*fd' is the stream to it, the caller's; '*out' is ended by serve_end(),
 * as well when QEMU hung up. The VM may run, and whatever holds it may go on; the snapshot's files
 * stay as long. NOT_FOUND, WRONG_STATE; BUSY while an operation moves files, or with SERVES_MAX.
 * Blocks until QEMU is there. */
bool snapshot_serve(struct core *core, const char *ref, const char *snapshot, unsigned disk,
                    const struct origin *origin, struct serve **out, int *fd,
                    struct err *err) MUST_USE;
/* The same of one file of the VM's that no disk writes to, for core/snap itself: it is no event and
 * does not count. What the file lies on stays as it is for as long. */
bool serve_file(struct core *core, struct vm *vm, const struct uuid *file, struct serve **out,
                int *fd, struct err *err) MUST_USE;
/* Nothing is left of it. Blocks until QEMU is gone. NULL is fine. */
void serve_end(struct serve *serve);
