/* Frames on a stream socket: see frame.h. */
#include "core/base/frame.h"

#include "core/base/mem.h"
#include "core/base/sock.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECE 65536

bool frame_send(int sock, const struct frame_header *head, const void *payload, const int *fds,
                struct err *err)
{
    CLEANUP(mem_freep)
    char *whole = NULL;

    if (head->length > FRAME_MAX_PAYLOAD || head->n_fds > FRAME_MAX_FDS)
        return err_set(err, ERR_TOO_LARGE, "a frame of %u bytes with %u descriptors", head->length,
                       head->n_fds);
    whole = mem_alloc(sizeof *head + head->length);
    memcpy(whole, head, sizeof *head);
    if (head->length)
        memcpy(whole + sizeof *head, payload, head->length);
    return sock_send(sock, whole, sizeof *head + head->length, fds, head->n_fds, err);
}

static void drop_taken(struct frame_reader *r)
{
    if (!r->taken)
        return;
    memmove(r->buffer, r->buffer + r->taken, r->len - r->taken);
    r->len -= r->taken;
    r->taken = 0;
}

/* A conversation is idle nearly always: it should not cost 64 KiB then. */
static void release_idle(struct frame_reader *r)
{
    free(r->buffer);
    r->buffer = NULL;
    r->cap = 0;
}

int frame_fill(struct frame_reader *r, struct err *err)
{
    int fds[FRAME_MAX_FDS];
    unsigned n_fds = 0;
    ssize_t n;

    drop_taken(r);
    if (r->cap < r->len + PIECE + 1) {
        r->cap = r->len + PIECE + 1;
        r->buffer = mem_resize(r->buffer, r->cap, 1);
    }
    n = sock_recv(r->sock, r->buffer + r->len, PIECE, fds, FRAME_MAX_FDS, &n_fds, err);
    if (n < 0)
        return -1;
    if (r->n_fds + n_fds > ARRAY_LEN(r->fds)) {
        while (n_fds)
            close(fds[--n_fds]);
        err_set(err, ERR_UNAVAILABLE, "the peer sent more descriptors than its frames name");
        return -1;
    }
    memcpy(r->fds + r->n_fds, fds, n_fds * sizeof *fds);
    r->n_fds += n_fds;
    r->len += (size_t)n;
    return n > 0;
}

int frame_next(struct frame_reader *r, struct frame *out, struct err *err)
{
    uint32_t most = r->max_payload ? r->max_payload : FRAME_MAX_PAYLOAD;

    drop_taken(r);
    if (r->len == 0)
        release_idle(r);
    if (r->len < sizeof out->head)
        return 0;
    memcpy(&out->head, r->buffer, sizeof out->head);
    if (out->head.length > most || out->head.n_fds > r->n_fds) {
        err_set(err, ERR_UNAVAILABLE, "the peer broke the framing");
        return -1;
    }
    if (r->len - sizeof out->head < out->head.length)
        return 0;
    r->taken = sizeof out->head + out->head.length;
    memcpy(out->fds, r->fds, out->head.n_fds * sizeof *out->fds);
    r->n_fds -= out->head.n_fds;
    memmove(r->fds, r->fds + out->head.n_fds, r->n_fds * sizeof *r->fds);
    /* The payload must end with NUL, but the next frame's first byte lies there: move it back over
     * the header, which has been copied out. */
    memmove(r->buffer, r->buffer + sizeof out->head, out->head.length);
    r->buffer[out->head.length] = 0;
    out->payload = r->buffer;
    return 1;
}

bool frame_read(struct frame_reader *r, struct frame *out, struct err *err)
{
    for (;;) {
        int got = frame_next(r, out, err);
        if (got)
            return got > 0;
        got = frame_fill(r, err);
        if (got == 0)
            return err_set(err, ERR_UNAVAILABLE, "the peer closed the connection");
        if (got < 0)
            return false;
    }
}

void frame_close_fds(struct frame *f)
{
    for (unsigned i = 0; i < f->head.n_fds; i++)
        if (f->fds[i] >= 0)
            close(f->fds[i]);
    f->head.n_fds = 0;
}

void frame_reader_clear(struct frame_reader *r)
{
    while (r->n_fds)
        close(r->fds[--r->n_fds]);
    free(r->buffer);
    *r = (struct frame_reader){.sock = -1};
}
