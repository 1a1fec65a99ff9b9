/* The guest's serial ports: what one prints goes to its ring log, main's input to the guest. A
 * guest that prints without end or never reads cannot block the worker. */
#pragma once
#include "backends/qemu/worker_wire.h"
#include "core/base/str.h"
#include "vmmd/worker/daemon.h"

#define SERIAL_MAX_INPUT 65536 /* bytes that wait for the guest at one port */

struct worker;

/* One port. */
struct serial {
    int sock; /* -1: none */
    int log;  /* ring log, -1: none */
    uint64_t end;
    bool news;       /* 'end' has moved since the daemon was told */
    bool log_failed; /* said so in the log already */
    int64_t told_ms;
    struct strbuf input; /* what the guest has not read */
    size_t sent;
};

void serial_init(struct worker *w);
/* Takes 'sock' and 'log' over; either may be -1. */
bool serial_open(struct worker *w, unsigned port, int sock, int log, struct err *err) MUST_USE;
short serial_wants(const struct worker *w, unsigned port);
void serial_ready(struct worker *w, unsigned port, short revents);
/* Queues input for the guest: all of it, or BUSY. WRONG_STATE: the VM has no such port. */
bool serial_input(struct worker *w, unsigned port, const void *data, size_t len,
                  struct err *err) MUST_USE;
/* Tells the daemon which logs grew, each at most every 20 ms. Returns when to look again, INT64_MAX
 * when there is nothing to tell. */
int64_t serial_tick(struct worker *w, int64_t now_ms);
/* Reads what QEMU has sent so far, up to a bound: whoever is told of a panic finds the guest's last
 * words in the log. */
void serial_catch_up(struct worker *w);
/* Reads what an ended QEMU left in the sockets, tells it, and closes. */
void serial_close(struct worker *w);
