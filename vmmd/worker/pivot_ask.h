/* WORKER_PIVOT, checked (the JSON is described in backends/qemu/worker_wire.h). */
#pragma once
#include "backends/qemu/worker_wire.h"
#include "core/base/id.h"

#define PIVOT_JOB_BYTES 64

struct pivot_ask {
    struct uuid job; /* the operation */
    unsigned n;
    char jobs[WORKER_PIVOT_MAX][PIVOT_JOB_BYTES]; /* QEMU's names of the block jobs */
    char *record;                                 /* what is to be written, JSON */
};

/* Reads a request; owned by the caller. NULL with MALFORMED or INVALID. What is accepted fits into
 * a slot of the commit log, names each disk once, and one block job for each of them. */
struct pivot_ask *pivot_ask_read(const char *text, size_t len, struct err *err) MUST_USE;
void pivot_ask_freep(struct pivot_ask **ask);
