/* vmmd-split: writes QEMU's migration stream into a memory image (docs/memory.md). Started by a
 * VM's worker for one snapshot or save, with the descriptors of proto.h and the size of the guest's
 * memory as argument. It reads what a guest and its QEMU have made, so it is locked in (room.h)
 * before its first byte: what it can do at worst is to spoil the one image that it was given.
 *
 * Usage: vmmd-split RAM_BYTES */
#include "core/base/str.h"
#include "vmmd/split/image.h"
#include "vmmd/split/proto.h"
#include "vmmd/split/room.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BUFFER (1u << 20) /* what a socket gives at once, and more */

static uint8_t buffer[BUFFER];
static struct stream stream;
static struct image image;

/* Everything the socket brings, until its end. */
static bool pump(struct err *err)
{
    size_t held = 0, taken;

    for (;;) {
        ssize_t n = read(SPLIT_FD_STREAM, buffer + held, sizeof buffer - held);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, errno, "read QEMU's stream");
        if (n == 0)
            return true;
        held += (size_t)n;
        if (!stream_feed(&stream, buffer, held, &taken, err) || !image_flush_pages(&image, err))
            return false;
        held -= taken;
        memmove(buffer, buffer + taken, held);
    }
}

static bool drop(struct err *err)
{
    ssize_t n;

    if (!split_lock(err))
        return false;
    do
        n = read(SPLIT_FD_STREAM, buffer, sizeof buffer);
    while (n > 0 || (n < 0 && errno == EINTR));
    return n == 0 || err_errno(err, errno, "read QEMU's stream");
}

static enum split_outcome outcome_of(const struct err *err)
{
    return err->code == ERR_MALFORMED  ? SPLIT_MALFORMED
           : err->code == ERR_NO_SPACE ? SPLIT_NO_SPACE
                                       : SPLIT_IO;
}

static enum split_outcome split(uint64_t ram_bytes, struct err *err)
{
    if (!image_init(&image, SPLIT_FD_IMAGE, ram_bytes, err) || !split_lock(err))
        return outcome_of(err);
    stream_init(&stream, ram_bytes, &image_sink, &image);
    if (!pump(err))
        return outcome_of(err);
    if (!stream_is_complete(&stream)) {
        err_set(err, ERR_UNAVAILABLE, "QEMU's stream ended before its end, after %llu bytes",
                (unsigned long long)stream.at);
        return SPLIT_CUT_SHORT;
    }
    return image_finish(&image, err) ? SPLIT_DONE : outcome_of(err);
}

/* Not even _exit(): what hangs on it makes calls that the room does not have. */
static int leave(bool well)
{
    return (int)syscall(SYS_exit_group, well ? 0 : 1); /* which does not return */
}

int main(int argc, char **argv)
{
    struct split_report report = {.version = 1};
    struct err err = {0};

    prctl(PR_SET_NAME, "vmmd-split", 0, 0, 0); /* executed by descriptor, it would be called "9" */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a limit on files is an error like any other */
    if (argc != 2 || !str_to_u64(argv[1], &report.ram_bytes) || report.ram_bytes % SPLIT_PAGE ||
        report.ram_bytes > INT64_MAX / 2) {
        fprintf(stderr, "usage: vmmd-split RAM_BYTES (vmmd-worker starts it)\n");
        return 64;
    }
    if (report.ram_bytes == 0)
        return leave(drop(&err));
    report.outcome = split(report.ram_bytes, &err);
    report.held_bytes = image_held_bytes(&image);
    report.state_bytes = image.state_bytes;
    str_copy(report.detail, sizeof report.detail, err.detail);
    return leave(write(SPLIT_FD_REPORT, &report, sizeof report) == sizeof report);
}
