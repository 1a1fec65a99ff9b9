/* QEMU's monitor: lines of JSON over one socket that the worker holds for QEMU's whole life.
 * Requests of main get ids of our own, so that a daemon that goes away in mid-request, or a new one
 * that reuses a number, can never be given another's answer. Nothing here blocks. */
#pragma once
#include "core/base/frame.h"
#include "core/base/str.h"
#include "vmmd/worker/daemon.h"

#include <jansson.h>

#define QMP_MAX_CALLS 256
#define QMP_MAX_LINE  (16u << 20)
#define QMP_MAX_QUEUE (16u << 20) /* bytes waiting for QEMU to read them */

struct worker;

/* Gets QEMU's whole answer, which has "return" or "error". */
typedef void qmp_done(struct worker *w, const struct request *from, const json_t *answer);

struct qmp_call {
    qmp_done *done; /* NULL: free */
    struct request from;
    uint64_t number;
    uint32_t epoch;
};

struct qmp_message {
    struct qmp_message *next;
    char *text;
    size_t len, sent;
    int *fds; /* travel with the first byte, then closed */
    unsigned n_fds;
};

struct qmp {
    int sock;         /* -1: not connected */
    bool greeted, up; /* 'up': capabilities are negotiated */
    struct strbuf in;
    size_t scanned; /* bytes of 'in' known to hold no end of line */
    struct qmp_message *first, *last;
    size_t queued;
    struct qmp_call calls[QMP_MAX_CALLS];
    uint64_t last_number;
};

/* Takes 'sock' over. */
void qmp_open(struct worker *w, int sock);
short qmp_wants(const struct worker *w);
void qmp_ready(struct worker *w, short revents);
/* When it is to be listened to again (flood.h); INT64_MAX: it is. */
int64_t qmp_tick(const struct worker *w, int64_t now_ms);
/* Sends one of the worker's own commands, without arguments. */
void qmp_command(struct worker *w, const char *name, qmp_done *done);
/* The same with arguments (taken, NULL: none). False when QEMU cannot be told: BUSY, UNAVAILABLE.
 */
bool qmp_execute(struct worker *w, const char *name, json_t *arguments, qmp_done *done,
                 struct err *err) MUST_USE;
/* The same for somebody who is told to 'done', and with a descriptor (taken; -1: none). */
bool qmp_execute_with(struct worker *w, const char *name, json_t *arguments, qmp_done *done,
                      const struct request *from, int fd, struct err *err) MUST_USE;
/* Passes a request of main on ('request' was checked by rules_check()) with the frame's
 * descriptors, which it takes. The answer goes to 'from'. BUSY when QEMU is too far behind. */
bool qmp_forward(struct worker *w, const struct request *from, const json_t *request,
                 struct frame *f, struct err *err) MUST_USE;
/* Closes the monitor; calls that wait fail with UNAVAILABLE. */
void qmp_close(struct worker *w);
