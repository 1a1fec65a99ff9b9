/* The worker's end of the jail: what it asks of the jail's init, and what it learns from it. */
#pragma once
#include "core/base/frame.h"
#include "vmmd/worker/spec.h"

#include <sys/types.h>

struct worker;

struct jail_link {
    int sock;     /* -1: init is gone or leaving */
    int lifeline; /* write end; closing it ends the jail */
    struct frame_reader in;
    int qemu_pidfd, init_pidfd; /* -1 before RUNNING */
    pid_t qemu_pid;             /* in our pid namespace; 0: not known */
};

/* Descriptors that the worker adds to those of the frame. */
struct jail_ends {
    int qmp, serial[WORKER_SERIALS], passt, words; /* QEMU's ends; -1 when there is none */
};

/* Sends JAIL_RUN. All is borrowed. */
bool jail_link_run(struct worker *w, const struct spec *spec, const int *frame_fds,
                   const struct jail_ends *ends, struct err *err) MUST_USE;
bool jail_link_seal(struct worker *w, struct err *err) MUST_USE;
/* SIGKILL to QEMU, so that its status is reported. */
void jail_link_kill(struct worker *w);
/* Closes the lifeline: the jail ends at once, whatever state it is in. */
void jail_link_cut(struct worker *w);
void jail_link_ready(struct worker *w);
