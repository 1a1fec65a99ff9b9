/* Fuzz: the byte stream between main and a worker, either direction: cut anywhere, whatever a frame
 * claims, the reader gives whole frames within the limits, asks for more, or ends the conversation.
 */
#include "core/base/frame.h"
#include "core/base/mem.h"
#include "core/base/sock.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void must(bool what)
{
    if (!what)
        abort();
}

/* False when the framing is broken. */
static bool take_all(struct frame_reader *r)
{
    struct frame frame;
    struct err err = {0};
    int n;

    while ((n = frame_next(r, &frame, &err)) > 0) {
        must(frame.head.length <= FRAME_MAX_PAYLOAD && frame.payload[frame.head.length] == 0);
        must(frame.head.n_fds == 0); /* none were sent */
        frame_close_fds(&frame);
    }
    must(n == 0 || err.detail[0]);
    return n == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frame_reader r = {.max_payload = FRAME_MAX_PAYLOAD};
    size_t step = size ? 1 + data[0] % 64 : 1;
    struct err err = {0};
    bool goes_on = true;
    int pair[2];

    must(sock_pair(SOCK_STREAM, pair, &err));
    r.sock = pair[0];
    for (size_t at = 1; at < size && goes_on; at += step) {
        size_t n = size - at < step ? size - at : step;
        must(send(pair[1], data + at, n, MSG_NOSIGNAL) == (ssize_t)n);
        goes_on = frame_fill(&r, &err) == 1 && take_all(&r);
    }
    frame_reader_clear(&r);
    close(pair[0]);
    close(pair[1]);
    return 0;
}
