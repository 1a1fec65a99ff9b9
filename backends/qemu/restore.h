/* Beginning with a memory image: what a cold start does not do. For launch.c only. */
#pragma once
#include "backends/qemu/link.h"
#include "core/port/backend.h"

/* INVALID when the plan's image cannot be one of this VM: QEMU would die of a page that is not in
 * the file. True without an image. */
bool restore_can(const struct machine_plan *plan, struct err *err) MUST_USE;
/* Has QEMU, which was launched with the image mapped, read the state of the devices behind it.
 * Blocks until it has: the guest stands still where it was. HYPERVISOR with QEMU's words. True
 * without an image. */
bool restore_state(struct link *link, const struct machine_plan *plan, struct err *err) MUST_USE;
