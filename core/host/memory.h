/* Admission of memory: a start is refused with the numbers before anything begins. */
#pragma once
#include "core/core/parts.h"

/* Promises the memory that a VM of 'spec' takes. '*promised' is to be given back by
 * memory_release() when QEMU runs (its memory counts as used then) or the start failed. NO_MEMORY.
 */
bool memory_promise(struct core *core, const struct vm_spec *spec, uint64_t *promised,
                    struct err *err) MUST_USE;
void memory_release(struct core *core, uint64_t promised);
/* From /proc/meminfo. */
bool memory_read(uint64_t *total_bytes, uint64_t *available_bytes, struct err *err) MUST_USE;
