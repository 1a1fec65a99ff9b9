/* The worker's end of the jail: see jail_link.h and vmmd/jail/proto.h. */
#include "vmmd/worker/jail_link.h"

#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/str.h"
#include "vmmd/worker/worker.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool tell(struct worker *w, enum jail_type type, const void *data, size_t len,
                 const int *fds, unsigned n_fds, struct err *err)
{
    struct frame_header head = {
        .length = (uint32_t)len, .type = (uint16_t)type, .n_fds = (uint16_t)n_fds};

    if (w->jail.sock < 0)
        return err_set(err, ERR_UNAVAILABLE, "the VM's jail is gone");
    return frame_send(w->jail.sock, &head, data, fds, err);
}

/* The descriptors of one JAIL_RUN while it is put together. */
struct bundle {
    struct jail_run_fd places[FRAME_MAX_FDS];
    int fds[FRAME_MAX_FDS];
    unsigned n;
};

static void bundle_add(struct bundle *b, int target, const char *input, int fd)
{
    struct jail_run_fd *place = &b->places[b->n];

    *place = (struct jail_run_fd){.target = target};
    str_copy(place->input, sizeof place->input, input);
    b->fds[b->n++] = fd;
}

static void bundle_fill(struct bundle *b, const struct worker *w, const struct spec *spec,
                        const int *frame_fds, const struct jail_ends *ends)
{
    for (unsigned i = 0; i < spec->n_fds; i++) {
        const struct spec_fd *f = &spec->fds[i];
        int fd = f->role == SPEC_QMP      ? ends->qmp
                 : f->role == SPEC_SERIAL ? ends->serial[f->port]
                 : f->role == SPEC_PASST  ? ends->passt
                                          : frame_fds[f->index];
        bundle_add(b, f->target, f->input, fd);
    }
    bundle_add(b, 1, "", ends->words);
    bundle_add(b, 2, "", ends->words);
    bundle_add(b, JAIL_TARGET_KEEP, "", w->alive);
}

bool jail_link_run(struct worker *w, const struct spec *spec, const int *frame_fds,
                   const struct jail_ends *ends, struct err *err)
{
    CLEANUP(strbuf_clear) struct strbuf payload = {0};
    struct bundle b = {.n = 0};
    struct jail_run head = {
        .version = JAIL_VERSION, .n_args = spec->n_args, .file_max_bytes = spec->file_max_bytes};

    bundle_fill(&b, w, spec, frame_fds, ends);
    head.n_fds = b.n;
    strbuf_add(&payload, &head, sizeof head);
    strbuf_add(&payload, b.places, b.n * sizeof *b.places);
    for (unsigned i = 0; i < spec->n_args; i++)
        strbuf_add(&payload, spec->argv[i], strlen(spec->argv[i]) + 1);
    if (payload.len > JAIL_MAX_PAYLOAD)
        return err_set(err, ERR_TOO_LARGE, "QEMU's arguments have %zu bytes", payload.len);
    return tell(w, JAIL_RUN, payload.data, payload.len, b.fds, b.n, err);
}

bool jail_link_seal(struct worker *w, struct err *err)
{
    return tell(w, JAIL_SEAL, NULL, 0, NULL, 0, err);
}

void jail_link_kill(struct worker *w)
{
    struct err err = {0};

    err_ignore(tell(w, JAIL_KILL, NULL, 0, NULL, 0, &err), &err);
}

void jail_link_cut(struct worker *w)
{
    closep(&w->jail.lifeline);
}

/* The number of a pidfd's process in our own pid namespace: only /proc translates it. */
static pid_t pid_of(int pidfd)
{
    CLEANUP(closep) int fd = -1;
    char path[64], text[1024];
    const char *line;
    ssize_t n;

    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (n < 0)
        return 0;
    text[n] = 0;
    line = strstr(text, "\nPid:");
    return line ? (pid_t)strtol(line + 5, NULL, 10) : 0;
}

static void take_running(struct worker *w, struct frame *f)
{
    w->jail.qemu_pidfd = TAKE_FD(f->fds[0]);
    w->jail.init_pidfd = TAKE_FD(f->fds[1]);
    w->jail.qemu_pid = pid_of(w->jail.qemu_pidfd);
    oom_watch(&w->oom, w->jail.qemu_pid);
}

static void take_failed(struct worker *w, const struct frame *f)
{
    struct err err = {0};

    err_set(&err, ERR_HYPERVISOR, "QEMU could not be started in its jail: %.300s", f->payload);
    if (w->phase == WORKER_IDLE)
        w->launch.why = err; /* for whoever asks for a launch */
    else
        launch_abort(w, &err);
}

/* False when the jail says something that it cannot mean. */
static bool take_frame(struct worker *w, struct frame *f)
{
    int32_t status;

    switch (f->head.type) {
    case JAIL_RUNNING:
        if (f->head.n_fds != 2 || w->jail.init_pidfd >= 0)
            return false;
        take_running(w, f);
        return true;
    case JAIL_SEALED:
        launch_sealed(w);
        return true;
    case JAIL_EXITED:
        if (f->head.length != sizeof status)
            return false;
        memcpy(&status, f->payload, sizeof status);
        ending_status(w, status);
        return true;
    case JAIL_FAILED:
        take_failed(w, f);
        return true;
    }
    return false;
}

static void hang_up(struct worker *w)
{
    closep(&w->jail.sock);
    frame_reader_clear(&w->jail.in);
    jail_link_cut(w);
    ending_jail_closed(w);
}

void jail_link_ready(struct worker *w)
{
    struct err err = {0};
    struct frame f;
    int got = frame_fill(&w->jail.in, &err);

    if (got < 0 && err.code == ERR_TIMEOUT)
        return;
    if (got <= 0) {
        hang_up(w);
        return;
    }
    while ((got = frame_next(&w->jail.in, &f, &err)) > 0) {
        bool ok = take_frame(w, &f);
        frame_close_fds(&f);
        if (ok)
            continue;
        log_error("the jail said something unexpected (%u): it is ended", f.head.type);
        got = -1;
        break;
    }
    if (got < 0)
        hang_up(w);
}
