/* The name that a qcow2's header has of the file below it: see inside.h. It is for people with
 * other tools: QEMU is told which file is below, and the database says so. A stranger's must not
 * stay. */
#include "core/base/fs.h"
#include "core/bundle/inside.h"

#include <string.h>
#include <unistd.h>

#define MAGIC       "QFI\xfb"
#define NAME_AT     8  /* u64, big-endian: where the name is; 0: there is none */
#define NAME_LEN    16 /* u32, big-endian */
#define HEAD_BYTES  20
#define FIRST_BYTES 65536 /* the name is in the first cluster */

static uint64_t big_endian(const unsigned char *bytes, unsigned n)
{
    uint64_t value = 0;

    while (n--)
        value = value << 8 | *bytes++;
    return value;
}

static bool put(int fd, const void *data, size_t len, off_t at, struct err *err)
{
    return pwrite(fd, data, len, at) == (ssize_t)len ||
           err_set(err, ERR_NO_SPACE, "an image's header cannot be written");
}

bool bundle_set_parent(int fd, const char *name, struct err *err)
{
    const size_t len = name ? strlen(name) : 0;
    unsigned char head[HEAD_BYTES];
    uint64_t at, had;

    if (pread(fd, head, sizeof head, 0) != sizeof head || memcmp(head, MAGIC, 4) != 0)
        return true;
    at = big_endian(head + NAME_AT, 8);
    had = big_endian(head + NAME_LEN, 4);
    if (!at || !had)
        return true;
    if (!name || len > had || at > FIRST_BYTES - len) {
        memset(head + NAME_AT, 0, HEAD_BYTES - NAME_AT);
    } else {
        if (!put(fd, name, len, (off_t)at, err))
            return false;
        head[NAME_LEN] = head[NAME_LEN + 1] = 0;
        head[NAME_LEN + 2] = (unsigned char)(len >> 8);
        head[NAME_LEN + 3] = (unsigned char)len;
    }
    return put(fd, head + NAME_AT, HEAD_BYTES - NAME_AT, NAME_AT, err) &&
           fs_sync(fd, "an image's header", err);
}
