/* Frames on a unix stream socket: how main and a worker, and a worker and its jail, talk.
 *
 *   | length u32 | type u16 | fds u16 | id u32 | epoch u32 | payload: 'length' bytes |
 *
 * Host byte order (both ends are one build on one machine or one of the two releases before).
 * Descriptors travel with the frame's first byte. A frame that is too long or carries the wrong
 * number of descriptors ends the conversation: framing errors are never resynchronised. */
#pragma once
#include "core/base/err.h"

#include <stdint.h>

#define FRAME_MAX_PAYLOAD (4u << 20)
#define FRAME_MAX_FDS     240

struct frame_header {
    uint32_t length; /* of the payload */
    uint16_t type;
    uint16_t n_fds;
    uint32_t id;    /* a request's number, repeated in its reply; 0 for events */
    uint32_t epoch; /* of the daemon that speaks; 0 from a worker */
};

struct frame {
    struct frame_header head;
    char *payload; /* NUL-terminated behind 'length'; belongs to the reader until the next call */
    int fds[FRAME_MAX_FDS]; /* the caller takes them with TAKE_FD; the rest is closed by
                             * frame_close_fds() */
};

/* Receives frames from one socket, which may be blocking or not. Starts zeroed but for 'sock'. */
struct frame_reader {
    int sock; /* borrowed */
    char *buffer;
    size_t len, cap;            /* bytes held */
    size_t taken;               /* bytes of the frame that frame_next() gave out last */
    int fds[2 * FRAME_MAX_FDS]; /* one frame may be half here when the next one's arrive */
    unsigned n_fds;
    uint32_t max_payload; /* 0: FRAME_MAX_PAYLOAD */
};

/* Writes a whole frame; blocks unless the socket has a time limit. The caller serialises writers.
 */
bool frame_send(int sock, const struct frame_header *head, const void *payload, const int *fds,
                struct err *err) MUST_USE;
/* Reads once from the socket. 1: something came, 0: end of stream, -1: failure (TIMEOUT when a
 * non-blocking socket is empty). */
int frame_fill(struct frame_reader *r, struct err *err) MUST_USE;
/* The next whole frame of what was read. 1: *out is one, 0: more bytes are needed (and nothing is
 * allocated while none is held), -1: the peer broke the framing. */
int frame_next(struct frame_reader *r, struct frame *out, struct err *err) MUST_USE;
/* Blocks until a frame is there. UNAVAILABLE at end of stream. */
bool frame_read(struct frame_reader *r, struct frame *out, struct err *err) MUST_USE;
void frame_close_fds(struct frame *f);
void frame_reader_clear(struct frame_reader *r);
