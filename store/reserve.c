/* The reserve beside the database: see reserve.h. The file needs no fsync: after a power cut it is
 * there, or store_open() makes it again. */
#include "store/reserve.h"

#include "core/base/fs.h"
#include "core/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* A sparse file of the right length would hold nothing back, so blocks count too. */
static bool is_whole(int dir)
{
    struct stat st;

    return fstatat(dir, RESERVE_FILE, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
           st.st_size == RESERVE_BYTES && (uint64_t)st.st_blocks * 512 >= RESERVE_BYTES;
}

void reserve_init(struct reserve *r, int dir)
{
    r->dir = dir;
    atomic_init(&r->held, is_whole(dir));
}

bool reserve_make(struct reserve *r, struct err *err)
{
    CLEANUP(closep) int fd = -1;

    if (atomic_load(&r->held))
        return true;
    fd = fs_open(r->dir, RESERVE_FILE, O_RDWR | O_CREAT, 0600, err);
    if (fd < 0)
        return false;
    if (fallocate(fd, 0, 0, RESERVE_BYTES) < 0) {
        int saved = errno;
        unlinkat(r->dir, RESERVE_FILE, 0);
        return err_errno(err, saved, "set %u MiB aside for the database", RESERVE_BYTES >> 20);
    }
    atomic_store(&r->held, true);
    return true;
}

void reserve_refill(struct reserve *r)
{
    uint64_t total, free_bytes;
    struct err err = {0};
    bool made;

    if (atomic_load(&r->held))
        return;
    if (!fs_space(r->dir, &total, &free_bytes, &err) || free_bytes < 2ull * RESERVE_BYTES)
        return;
    made = reserve_make(r, &err);
    if (made)
        log_info("there is space again: the database's reserve is back");
    err_ignore(made, &err);
}

bool reserve_release(struct reserve *r)
{
    if (!atomic_exchange(&r->held, false))
        return false;
    if (unlinkat(r->dir, RESERVE_FILE, 0) < 0)
        return false;
    log_warn("the disk of the state directory is full: the database lives on its reserve of %u MiB",
             RESERVE_BYTES >> 20);
    return true;
}
