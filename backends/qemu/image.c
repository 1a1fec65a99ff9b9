/* Empty images, each format in a file of its own: written here, since starting a program takes ten
 * times as long, and qemu-img would run with all that main may do (docs/adr/0041). */
#include "core/port/image.h"

#include "backends/qemu/blank.h"
#include "backends/qemu/qcow2.h"
#include "core/base/fs.h"

#include <errno.h>
#include <unistd.h>

bool image_put(int fd, const void *data, size_t len, uint64_t at, struct err *err)
{
    const char *from = data;

    while (len) {
        ssize_t n = pwrite(fd, from, len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, errno, "write an image");
        from += n;
        at += (uint64_t)n;
        len -= (size_t)n;
    }
    return true;
}

static bool raw_write(int fd, uint64_t size_bytes, struct err *err)
{
    return ftruncate(fd, (off_t)size_bytes) == 0 || err_errno(err, errno, "make a raw image");
}

bool image_create(int fd, enum disk_format format, uint64_t size_bytes,
                  const struct image_parent *parent, struct err *err)
{
    bool ok = format == DISK_RAW    ? raw_write(fd, size_bytes, err)
              : format == DISK_VHD  ? vhd_write(fd, size_bytes, err)
              : format == DISK_VHDX ? vhdx_write(fd, size_bytes, err)
                                    : qcow2_write(fd, size_bytes, parent, err);

    return ok && fs_sync(fd, "the image", err);
}
