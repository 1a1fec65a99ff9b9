/* Writes to the VM's commit log (core/base/commitlog.h) without making the worker wait: a record
 * takes as long as its disk does, and a disk that hangs must not keep a VM from being killed. */
#pragma once
#include "core/base/err.h"

#include <stdatomic.h>
#include <stdint.h>

struct worker;
struct record;

struct recorder {
    int log;           /* -1: the VM has none */
    int wake;          /* eventfd: a record is over; -1 without a log */
    uint64_t sequence; /* of the newest record */
    bool busy;
    _Atomic(struct record *) over; /* from the thread: what it has done */
};

void recorder_init(struct worker *w);
/* Takes 'log' (-1: none) and goes on after its newest record. */
bool recorder_open(struct worker *w, int log, struct err *err) MUST_USE;
void recorder_close(struct worker *w);
/* Begins to write the next record; pivot_recorded() is told how it went. One at a time. */
bool recorder_write(struct worker *w, const char *text, struct err *err) MUST_USE;
void recorder_ready(struct worker *w);
