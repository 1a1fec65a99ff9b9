/* Removing files whose space takes long to free: see fs.h. The name goes at once; the file itself,
 * which a descriptor still holds, goes on a thread of its own. A kernel that dies before has the
 * file on its list of orphans and frees it when it mounts the file system again.
 *
 * It goes piece by piece. Where freed blocks are told to the device (ext4 mounted with "discard", a
 * thin volume), freeing a gibibyte at once keeps everybody else who reads or flushes there waiting,
 * guests included: 170 and 500 ms on the machine this was measured on, 25 with pieces of 16 MiB.
 * Only a file that nobody else has open or mapped is touched: QEMU goes on with images that have
 * lost their name. That nobody does is what a write lease proves. */
#include "core/base/fs.h"

#include "core/base/clock.h"
#include "core/base/thread.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define AT_ONCE_BYTES (1 << 20) /* not worth a thread */
#define PIECE_BYTES   (16 << 20)
#define REST_MAX_US   200000

static struct lock piece_lock = {PTHREAD_MUTEX_INITIALIZER}; /* one piece at a time, of all files */

/* Nobody can open a file without a name, so what is true now stays true. */
static bool is_ours_alone(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 0 &&
           fcntl(fd, F_SETLEASE, F_WRLCK) == 0;
}

/* The next part of the file from *at on that takes space; false when there is none. */
static bool next_piece(int fd, off_t *at, off_t *bytes)
{
    off_t end;

    *at = lseek(fd, *at, SEEK_DATA);
    end = *at < 0 ? -1 : lseek(fd, *at, SEEK_HOLE);
    *bytes = end - *at < PIECE_BYTES ? end - *at : PIECE_BYTES;
    return end > 0;
}

static bool free_piece(int fd, off_t at, off_t bytes)
{
    bool ok;

    lock_take(&piece_lock);
    ok = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, bytes) == 0;
    lock_drop(&piece_lock);
    return ok;
}

/* Half of the time is the others'. */
static void free_by_pieces(int fd)
{
    int64_t begin_us = clock_mono_us();
    off_t at = 0, bytes;

    while (next_piece(fd, &at, &bytes) && free_piece(fd, at, bytes)) {
        int64_t took_us = clock_mono_us() - begin_us;
        at += bytes;
        usleep((useconds_t)(took_us < REST_MAX_US ? took_us : REST_MAX_US));
        begin_us = clock_mono_us();
    }
}

static void *let_go(void *arg)
{
    const int fd = (int)(intptr_t)arg;

    if (is_ours_alone(fd))
        free_by_pieces(fd);
    close(fd);
    return NULL;
}

/* -1: it is small, or not there. */
static int hold(int dirfd, const char *name)
{
    struct err none = {0};
    int fd = fs_open(dirfd, name, O_RDWR | O_NONBLOCK, 0, &none);
    struct stat st;

    if (fd < 0) /* not to be written, so it goes in one piece */
        fd = fs_open(dirfd, name, O_PATH, 0, &none);
    if (fd >= 0 && (fstat(fd, &st) < 0 || st.st_blocks <= AT_ONCE_BYTES / 512))
        closep(&fd);
    return fd;
}

bool fs_remove_large(int dirfd, const char *name, struct err *err)
{
    struct err none = {0};
    int fd = hold(dirfd, name);
    bool ok = fs_remove(dirfd, name, err);

    if (fd >= 0 && !thread_start_detached("free", let_go, (void *)(intptr_t)fd, &none))
        close(fd);
    return ok;
}
