/* vmmd-inspect: says what an image is, without opening what it names (core/port/image.h). Started
 * by vmmd-main for one image, with the descriptors of inspect_wire.h. What it reads is a
 * stranger's, so it is locked in before its first byte (room.h): it can read that one
 * file and say what it has seen. What it says main checks again, and QEMU, which copies the image,
 * has a jail.
 *
 * Usage: vmmd-inspect FORMAT */
#include "backends/qemu/inspect_wire.h"
#include "core/base/str.h"
#include "vmmd/inspect/look.h"
#include "vmmd/inspect/room.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool read_image(void *ctx, uint64_t at, void *out, size_t len, struct err *err)
{
    for (uint8_t *to = out; len;) {
        ssize_t n = pread(INSPECT_FD_IMAGE, to, len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, errno, "read the image");
        if (n == 0)
            return err_set(err, ERR_INVALID, "the image became shorter while it was looked into");
        to += n;
        at += (uint64_t)n;
        len -= (size_t)n;
    }
    return true;
}

/* As QEMU will ask for it; no byte of the image is read for that. Where the file system knows no
 * holes, all of it is data. */
static uint64_t held_bytes(uint64_t bytes)
{
    uint64_t held = 0, counted_to = 0;

    for (off_t at = 0, end; (at = lseek(INSPECT_FD_IMAGE, at, SEEK_DATA)) >= 0; at = end) {
        uint64_t from = (uint64_t)at / COPY_BYTES * COPY_BYTES, to;
        end = lseek(INSPECT_FD_IMAGE, at, SEEK_HOLE);
        if (end <= at)
            return bytes;
        to = ((uint64_t)end + COPY_BYTES - 1) / COPY_BYTES * COPY_BYTES;
        from = from < counted_to ? counted_to : from;
        held += to > from ? to - from : 0;
        counted_to = to;
    }
    return errno == ENXIO ? held : bytes;
}

/* Not even _exit(): what hangs on it makes calls that the room does not have. */
static int leave(bool well)
{
    return (int)syscall(SYS_exit_group, well ? 0 : 1); /* which does not return */
}

static struct inspect_report report = {.version = 1};

int main(int argc, char **argv)
{
    struct source source = {.read = read_image};
    struct err err = {0};
    uint64_t stated = 0;
    struct stat st;
    const bool asked = argc == 2 && str_eq(argv[1], "any");

    prctl(PR_SET_NAME, "vmmd-inspect", 0, 0, 0); /* executed by descriptor, it would be "10" */
    signal(SIGPIPE, SIG_IGN);
    if (!asked && (argc != 2 || !str_to_u64(argv[1], &stated) || stated >= IMAGE_FORMATS)) {
        fprintf(stderr, "usage: vmmd-inspect FORMAT|any (vmmd starts it)\n");
        return 64;
    }
    if (fstat(INSPECT_FD_IMAGE, &st) < 0 || !S_ISREG(st.st_mode))
        return 71;
    source.bytes = (uint64_t)st.st_size;
    source.held_bytes = held_bytes(source.bytes);
    if (!inspect_lock(&err) ||
        !image_look(&source, asked ? IMAGE_UNKNOWN : (int)stated, &report.facts, &err))
        report.outcome = err.code == ERR_INVALID ? INSPECT_REFUSED : INSPECT_IO;
    str_copy(report.detail, sizeof report.detail, err.detail);
    return leave(write(INSPECT_FD_REPORT, &report, sizeof report) == sizeof report);
}
