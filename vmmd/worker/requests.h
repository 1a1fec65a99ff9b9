/* What main may ask a worker: the table of backends/qemu/worker_wire.h. */
#pragma once
#include "vmmd/worker/daemon.h"

struct worker;

/* Handles one frame. False: the caller answers with '*err'. True: answered already, or will be. */
bool requests_handle(struct worker *w, const struct request *from, struct frame *f,
                     struct err *err) MUST_USE;
