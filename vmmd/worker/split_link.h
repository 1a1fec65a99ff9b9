/* The worker's end of vmmd-split (vmmd/split/proto.h): a process that takes QEMU's migration stream
 * apart into a memory image. One at a time. */
#pragma once
#include "core/base/err.h"
#include "vmmd/split/proto.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct worker;

struct split_link {
    int program; /* vmmd-split, for execveat(); -1: this worker was given none */
    int pidfd;   /* -1: none runs */
    int again;  /* a duplicate of the stream's reading end, for who drops the rest; -1: none runs */
    int report; /* reading end, non-blocking; -1 once it is over */
    struct split_report said;
    size_t n_said; /* bytes of it that have come */
};

void split_init(struct worker *w);
/* Starts it. 'image' is the caller's; '*stream' is QEMU's end, the caller's too. */
bool split_start(struct worker *w, int image, uint64_t ram_bytes, int *stream,
                 struct err *err) MUST_USE;
/* Something of the report, or its end: memory_split_over() is told. */
void split_ready(struct worker *w);
/* Ends it by force, and has what is left of the stream dropped by another one, until split_kill().
 * Nothing is told any more. On failure the stream has no reader. */
bool split_drop(struct worker *w, struct err *err) MUST_USE;
/* Ends it by force, if it runs; nothing is told any more, and the stream has no reader. */
void split_kill(struct worker *w);
