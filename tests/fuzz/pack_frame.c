/* Fuzz: an archived memory image, as somebody may have changed it in its pool. Whatever it is,
 * vmmd-pack writes nothing beyond the size that it may come to, a refusal has its sentence, what is
 * expanded compares, and packing that again gives the same back. */
#include "vmmd/pack/frame.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_BYTES ((3u << 20) + 123) /* some chunks, and a part of one */

static void must(bool what)
{
    if (!what)
        abort();
}

static uint64_t told;

static bool tell(uint64_t bytes, struct err *err)
{
    (void)err;
    told += bytes;
    return true;
}

static uint64_t size_of(int fd)
{
    struct stat st;

    must(fstat(fd, &st) == 0);
    return (uint64_t)st.st_size;
}

static int file(const void *data, size_t size)
{
    int fd = memfd_create("image", MFD_CLOEXEC);

    must(fd >= 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
    return fd;
}

static void pack_again(int plain, uint64_t bytes)
{
    int packed = file("", 0), plain_again = file("", 0);
    uint64_t most = bytes;
    struct err err = {0};

    must(frame_pack(plain, bytes, packed, tell, &err));
    must(frame_unpack(packed, plain_again, &most, tell, &err) && most == bytes);
    must(frame_compare(packed, plain, bytes, tell, &err));
    close(packed);
    close(plain_again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    int packed = file(data, size), plain = file("", 0);
    uint64_t bytes = MAX_BYTES;
    struct err err = {0};
    bool ok;

    must(ready || (ready = frame_init()));
    told = 0;
    ok = frame_unpack(packed, plain, &bytes, tell, &err);
    must(size_of(plain) <= MAX_BYTES && told <= MAX_BYTES);
    if (ok) {
        must(bytes == size_of(plain) && bytes == told);
        must(frame_compare(packed, plain, bytes, tell, &err));
        pack_again(plain, bytes);
    } else {
        must(err.code == ERR_MALFORMED && err.detail[0]);
    }
    close(packed);
    close(plain);
    return 0;
}
