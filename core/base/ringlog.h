/* A log file of fixed size that keeps the last 'capacity' bytes under offsets that count for ever:
 * the serial console. One process appends (the worker), others read at the same time without a
 * lock: a reader checks after reading that nothing it got was overwritten meanwhile.
 *
 *   | magic, version, capacity u64, end u64 … 4096 bytes | data: offset o lies at o % capacity | */
#pragma once
#include "core/base/err.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Makes an empty file a ring log of 'capacity' bytes; a file that is one already keeps its content
 * and its own capacity. One that lost its beginning in a power cut keeps what it still has. */
bool ringlog_open(int fd, uint64_t capacity, struct err *err) MUST_USE;
bool ringlog_append(int fd, const void *data, size_t len, uint64_t *end, struct err *err) MUST_USE;
/* Reads up to 'cap' bytes from '*offset' on; '*offset' is raised to the oldest byte kept when it
 * was dropped already, and lowered to the end when it lies beyond. Returns the bytes read (0:
 * nothing new, or a log that ringlog_open() has not seen yet), -1 on failure. '*end' is the log's
 * end at that moment. */
ssize_t ringlog_read(int fd, uint64_t *offset, void *out, size_t cap, uint64_t *end,
                     struct err *err) MUST_USE;
