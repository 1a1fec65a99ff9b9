/* A log file of fixed size: see ringlog.h. */
#include "core/base/ringlog.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC        "VMRL"
#define HEAD_SIZE    4096
#define MAX_CAPACITY (UINT64_C(1) << 40)

struct head {
    char magic[4];
    uint32_t version;
    uint64_t capacity;
    uint64_t end;
};

/* What the file does not have is zero. */
static bool load_head(int fd, struct head *head, struct err *err)
{
    *head = (struct head){0};
    return pread(fd, head, sizeof *head, 0) >= 0 || err_errno(err, errno, "read a log's head");
}

/* True for an empty file, and for one whose first write was lost in a power cut: what it would have
 * said is zero, since nothing else ever stood there. Later writes, of data and of 'end', may be
 * there all the same. */
static bool is_lost(const struct head *head)
{
    static const struct head zero;

    return memcmp(head, &zero, offsetof(struct head, end)) == 0;
}

static bool read_head(int fd, struct head *head, struct err *err)
{
    return load_head(fd, head, err) && ((memcmp(head->magic, MAGIC, 4) == 0 && head->version == 1 &&
                                         head->capacity > 0 && head->capacity <= MAX_CAPACITY) ||
                                        err_set(err, ERR_INTERNAL, "the file is not a ring log"));
}

/* The head as a reader sees it while 'end' may be overwritten: nothing promises that eight bytes of
 * a file change at once, so 'end' counts when it reads the same twice. */
static bool read_steady_head(int fd, struct head *head, struct err *err)
{
    struct head again;

    do {
        if (!read_head(fd, head, err) || !read_head(fd, &again, err))
            return false;
    } while (head->end != again.end);
    return true;
}

static bool write_at(int fd, const void *data, size_t len, uint64_t at, struct err *err)
{
    const char *p = data;

    while (len) {
        ssize_t n = pwrite(fd, p, len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, errno, "write a log");
        p += n;
        at += (uint64_t)n;
        len -= (size_t)n;
    }
    return true;
}

/* Bytes that an append may have written beyond 'end': it never writes more before it moves 'end'.
 */
static uint64_t margin(const struct head *head)
{
    return head->capacity / 8 ? head->capacity / 8 : 1;
}

/* What was appended stays. It lies before 'end', or, where the file has more, before its end; a log
 * that is longer than 'capacity' had another one, and goes round there. */
static bool begin(int fd, uint64_t capacity, uint64_t end, struct err *err)
{
    struct head head = {.version = 1, .capacity = capacity, .end = end};
    struct stat st;
    uint64_t there;

    if (fstat(fd, &st) < 0)
        return err_errno(err, errno, "look at a log");
    there = st.st_size > HEAD_SIZE ? (uint64_t)st.st_size - HEAD_SIZE : 0;
    if (head.capacity < there)
        head.capacity = there;
    if (head.end < there)
        head.end = there;
    if (head.capacity == 0 || head.capacity > MAX_CAPACITY)
        return err_set(err, ERR_INTERNAL, "a ring log of %" PRIu64 " bytes", head.capacity);
    memcpy(head.magic, MAGIC, 4);
    return write_at(fd, &head, sizeof head, 0, err);
}

bool ringlog_open(int fd, uint64_t capacity, struct err *err)
{
    struct head head;

    if (!load_head(fd, &head, err))
        return false;
    return is_lost(&head) ? begin(fd, capacity, head.end, err) : read_head(fd, &head, err);
}

bool ringlog_append(int fd, const void *data, size_t len, uint64_t *end, struct err *err)
{
    const char *p = data;
    struct head head;

    if (!read_head(fd, &head, err))
        return false;
    if (len > head.capacity) {
        p += len - head.capacity;
        head.end += len - head.capacity;
        len = head.capacity;
    }
    while (len) {
        uint64_t at = head.end % head.capacity;
        size_t piece = len < head.capacity - at ? len : head.capacity - at;
        piece = piece < margin(&head) ? piece : margin(&head);
        if (!write_at(fd, p, piece, HEAD_SIZE + at, err))
            return false;
        p += piece;
        head.end += piece;
        len -= piece;
        if (!write_at(fd, &head.end, sizeof head.end, offsetof(struct head, end), err))
            return false;
    }
    if (end)
        *end = head.end;
    return true;
}

/* The oldest offset that can still be read. While an append is under way, bytes beyond 'end' may be
 * written already: the reader's second look at 'end' cannot see that, so a margin is left. */
static uint64_t oldest(const struct head *head)
{
    uint64_t keep = head->capacity - margin(head);

    return head->end > keep ? head->end - keep : 0;
}

/* Of a log that whoever appends has not opened yet. */
static ssize_t nothing_yet(uint64_t *offset, uint64_t *end)
{
    *offset = 0;
    if (end)
        *end = 0;
    return 0;
}

ssize_t ringlog_read(int fd, uint64_t *offset, void *out, size_t cap, uint64_t *end,
                     struct err *err)
{
    struct head head, after;
    uint64_t at, most;
    ssize_t n;

    for (;;) {
        if (!load_head(fd, &head, err))
            return -1;
        if (is_lost(&head))
            return nothing_yet(offset, end);
        if (!read_steady_head(fd, &head, err))
            return -1;
        if (*offset < oldest(&head))
            *offset = oldest(&head);
        if (*offset > head.end)
            *offset = head.end;
        at = *offset % head.capacity;
        most = head.end - *offset < head.capacity - at ? head.end - *offset : head.capacity - at;
        n = pread(fd, out, cap < most ? cap : most, (off_t)(HEAD_SIZE + at));
        if (n < 0) {
            err_errno(err, errno, "read a log");
            return -1;
        }
        if (!read_steady_head(fd, &after, err))
            return -1;
        if (*offset >= oldest(&after))
            break;
    }
    if (end)
        *end = head.end;
    return n;
}
