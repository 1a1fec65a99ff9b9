/* WORKER_LAUNCH, checked (the JSON is described in backends/qemu/worker_wire.h). */
#pragma once
#include "backends/qemu/worker_wire.h"
#include "net/passt.h"
#include "vmmd/jail/proto.h"

#include <jansson.h>

enum spec_role { SPEC_FILE, SPEC_QMP, SPEC_SERIAL, SPEC_PASST };

struct spec_fd {
    enum spec_role role;
    int target;     /* number in QEMU, or JAIL_TARGET_INPUT */
    char input[28]; /* name below /in, or "" */
    unsigned index; /* of the descriptor in the frame, for SPEC_FILE */
    unsigned port;  /* for SPEC_SERIAL */
};

struct spec {
    json_t *root; /* owns the strings below */
    const char *argv[JAIL_MAX_ARGS];
    unsigned n_args;
    struct spec_fd fds[FRAME_MAX_FDS];
    unsigned n_fds;
    const char *passt[PASST_MAX_OPTIONS];
    unsigned n_passt;
    /* indexes in the frame; -1 when not given */
    int serial_logs[WORKER_SERIALS], qemu_log, commit_log;
    bool has_serial[WORKER_SERIALS], has_passt;
    uint64_t file_max_bytes; /* 0: as large as they get */
};

/* Reads a request that came with 'n_attached' descriptors; owned by the caller. NULL with MALFORMED
 * or INVALID. Each descriptor that came has exactly one use. */
struct spec *spec_read(const char *text, size_t len, unsigned n_attached, struct err *err) MUST_USE;
void spec_freep(struct spec **spec);
