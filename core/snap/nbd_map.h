/* Asking an NBD server what is where in its export: no data is read. */
#pragma once
#include "core/base/err.h"

#include <stdatomic.h>
#include <stdint.h>

/* Meta contexts of QEMU's: flags are the number of the layer that has it, from 1 for the uppermost
 * (0: none has); or bits, of which NBD_MAP_ZERO says that it reads as zeroes. */
#define NBD_MAP_DEPTH "qemu:allocation-depth"
#define NBD_MAP_DATA  "base:allocation"
#define NBD_MAP_ZERO  2u

/* One after the other, from the beginning to the end, within the export. */
typedef void nbd_map_each(void *ctx, uint64_t offset, uint64_t length, uint32_t flags);

/* Speaks NBD on 'fd', a stream that nothing was said on yet and that can be used for nothing else
 * afterwards, about the export of the empty name, which must have 'size_bytes'. The server may be
 * hostile: what it says is checked, and it gets no memory but a buffer here. HYPERVISOR when it
 * makes no sense or ends; TIMEOUT past 'deadline_ms' (clock_mono_ms()); UNAVAILABLE once '*stop'.
 */
bool nbd_map(int fd, const char *context, uint64_t size_bytes, nbd_map_each *each, void *ctx,
             int64_t deadline_ms, const atomic_bool *stop, struct err *err) MUST_USE;
