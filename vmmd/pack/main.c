/* vmmd-pack: compresses a memory image, or expands one (docs/memory.md, "Archive"). Started by
 * vmmd-main with the descriptors of pack_wire.h. What it reads a guest has made, so it is locked in
 * before its first byte (core/base/room.h): it can read one file, write another, and say how it
 * goes.
 *
 * The packed form is one frame of zstd with a checksum, so that zstd(1) reads it as well. When it
 * is written, both files are read again from the disk and compared: the other one is removed then.
 *
 * Usage: vmmd-pack pack | vmmd-pack unpack MAX_BYTES */
#include "backends/qemu/pack_wire.h"
#include "core/base/str.h"
#include "vmmd/pack/frame.h"
#include "vmmd/pack/room.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool say(enum pack_outcome outcome, uint64_t bytes, const char *detail)
{
    struct pack_report report = {.version = 1, .outcome = outcome, .bytes = bytes};

    str_copy(report.detail, sizeof report.detail, detail);
    return write(PACK_FD_REPORT, &report, sizeof report) == sizeof report;
}

/* Who does not listen any more wants no more. */
static bool tell(uint64_t bytes, struct err *err)
{
    return say(PACK_GOES_ON, bytes, "") || err_set(err, ERR_CANCELLED, "nobody waits for it");
}

static enum pack_outcome outcome_of(const struct err *err)
{
    return err->code == ERR_MALFORMED  ? PACK_MALFORMED
           : err->code == ERR_NO_SPACE ? PACK_NO_SPACE
                                       : PACK_IO;
}

/* Not even _exit(): what hangs on it makes calls that the room does not have. */
static int leave(bool well)
{
    return (int)syscall(SYS_exit_group, well ? 0 : 1); /* which does not return */
}

static bool forget_pages(int fd)
{
    return posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0;
}

static bool work(bool pack, uint64_t bytes, struct err *err)
{
    const int packed = pack ? PACK_FD_TO : PACK_FD_FROM, plain = pack ? PACK_FD_FROM : PACK_FD_TO;

    if (!pack_lock(err))
        return false;
    if (!(pack ? frame_pack(plain, bytes, packed, tell, err)
               : frame_unpack(packed, plain, &bytes, tell, err)))
        return false;
    if (fsync(PACK_FD_TO) < 0 || !forget_pages(PACK_FD_TO))
        return err_errno(err, errno, "flush the image");
    return frame_compare(packed, plain, bytes, tell, err);
}

int main(int argc, char **argv)
{
    const bool pack = argc == 2 && str_eq(argv[1], "pack");
    struct err err = {0};
    uint64_t bytes = 0;
    struct stat st;

    prctl(PR_SET_NAME, "vmmd-pack", 0, 0, 0); /* executed by descriptor, it would be called "8" */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a limit on files is an error like any other */
    if (!pack && (argc != 3 || !str_eq(argv[1], "unpack") || !str_to_u64(argv[2], &bytes) ||
                  bytes > INT64_MAX / 2)) {
        fprintf(stderr, "usage: vmmd-pack pack | vmmd-pack unpack MAX_BYTES (vmmd starts it)\n");
        return 64;
    }
    if (fstat(PACK_FD_FROM, &st) < 0 || !frame_init())
        return 71;
    if (pack)
        bytes = (uint64_t)st.st_size;
    if (work(pack, bytes, &err))
        return leave(say(PACK_DONE, 0, ""));
    return leave(say(outcome_of(&err), 0, err.detail) && false);
}
