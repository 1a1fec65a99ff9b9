/* The memory image that is being written: see image.h. */
#include "vmmd/split/image.h"

#include "core/base/crc.h"
#include "core/base/mem.h"
#include "vmmd/split/proto.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static const uint8_t zeroes[SPLIT_PAGE];

bool image_init(struct image *image, int fd, uint64_t ram_bytes, struct err *err)
{
    uint64_t n;

    memset(image, 0, offsetof(struct image, pages));
    image->fd = fd;
    image->ram_bytes = ram_bytes;
    image->mark_shift = __builtin_ctz(SPLIT_PAGE);
    while (ram_bytes >> image->mark_shift > IMAGE_MARKS_MAX)
        image->mark_shift++;
    n = (ram_bytes >> image->mark_shift) + 1;
    image->marks = mem_array((n + 63) / 64, sizeof *image->marks);
    return ftruncate(fd, (off_t)ram_bytes) == 0 ||
           err_errno(err, errno, "give the memory image its size");
}

void image_clear(struct image *image)
{
    mem_freep(&image->marks);
}

uint64_t image_held_bytes(const struct image *image)
{
    uint64_t bytes = image->n_marked << image->mark_shift;

    return bytes < image->ram_bytes ? bytes : image->ram_bytes;
}

static bool write_at(const struct image *image, const void *data, size_t len, uint64_t at,
                     struct err *err)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = pwrite(image->fd, (const char *)data + done, len - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_errno(err, n < 0 ? errno : ENOSPC, "write the memory image");
        done += (size_t)n;
    }
    return true;
}

/* Drops the first 'n' bytes of the run. */
static void run_advance(struct image *image, struct iovec **first, uint64_t *at, size_t n)
{
    *at += n;
    for (; n; (*first)++) {
        if (n < (*first)->iov_len) {
            (*first)->iov_base = (char *)(*first)->iov_base + n;
            (*first)->iov_len -= n;
            return;
        }
        n -= (*first)->iov_len;
    }
}

bool image_flush_pages(struct image *image, struct err *err)
{
    struct iovec *first = image->pages, *end = first + image->run;
    uint64_t at = image->run_at;

    while (first < end) {
        ssize_t n = pwritev(image->fd, first, (int)(end - first), (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_errno(err, n < 0 ? errno : ENOSPC, "write the memory image");
        run_advance(image, &first, &at, (size_t)n);
    }
    image->run = 0;
    return true;
}

/* Whether something was written there before; from now on there is. */
static bool mark(struct image *image, uint64_t offset)
{
    uint64_t n = offset >> image->mark_shift, bit = 1ull << n % 64;
    bool was = image->marks[n / 64] & bit;

    image->marks[n / 64] |= bit;
    image->n_marked += !was;
    return was;
}

static bool is_marked(const struct image *image, uint64_t offset)
{
    uint64_t n = offset >> image->mark_shift;

    return image->marks[n / 64] >> n % 64 & 1;
}

static bool gather(struct image *image, uint64_t offset, const uint8_t *page, struct err *err)
{
    bool goes_on = image->run && offset == image->run_at + (uint64_t)image->run * SPLIT_PAGE;

    if (image->run && (!goes_on || image->run == IMAGE_RUN_MAX) && !image_flush_pages(image, err))
        return false;
    if (image->run == 0)
        image->run_at = offset;
    image->pages[image->run++] = (struct iovec){(void *)(uintptr_t)page, SPLIT_PAGE};
    return true;
}

static bool take_page(void *to, uint64_t offset, const uint8_t *page, struct err *err)
{
    mark(to, offset);
    return gather(to, offset, page, err);
}

static bool take_zero(void *to, uint64_t offset, struct err *err)
{
    return !is_marked(to, offset) || gather(to, offset, zeroes, err);
}

static bool flush_state(struct image *image, struct err *err)
{
    uint64_t at = image->ram_bytes + image->state_bytes - image->buffered;
    size_t len = image->buffered;

    image->buffered = 0;
    return write_at(image, image->buffer, len, at, err);
}

static bool take_state(void *to, const void *data, size_t len, struct err *err)
{
    struct image *image = to;

    image->state_crc = crc32c(image->state_crc, data, len);
    while (len) {
        size_t room = sizeof image->buffer - image->buffered, n = len < room ? len : room;
        memcpy(image->buffer + image->buffered, data, n);
        image->buffered += n;
        image->state_bytes += n;
        data = (const char *)data + n;
        len -= n;
        if (image->buffered == sizeof image->buffer && !flush_state(image, err))
            return false;
    }
    return true;
}

const struct stream_sink image_sink = {take_page, take_zero, take_state};

bool image_finish(struct image *image, struct err *err)
{
    struct memory_trailer trailer = {
        .magic = MEMORY_MAGIC,
        .version = 1,
        .state_crc = image->state_crc,
        .ram_bytes = image->ram_bytes,
        .state_bytes = image->state_bytes,
        .held_bytes = image_held_bytes(image),
    };

    if (!image_flush_pages(image, err) || !flush_state(image, err) ||
        !write_at(image, &trailer, sizeof trailer, image->ram_bytes + image->state_bytes, err))
        return false;
    return fsync(image->fd) == 0 || err_errno(err, errno, "flush the memory image");
}
