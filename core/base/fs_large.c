/* Removing files whose space takes long to free: see fs.h. The name goes at once; the file itself,
 * which a descriptor still holds, goes with that on a thread of its own. A kernel that dies before
 * has the file on its list of orphans and frees it when it mounts the file system again. */
#include "core/base/fs.h"

#include "core/base/thread.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define AT_ONCE_BYTES (1 << 20) /* not worth a thread */

static void *let_go(void *arg)
{
    close((int)(intptr_t)arg);
    return NULL;
}

/* -1: it is small, or not there. */
static int hold(int dirfd, const char *name)
{
    struct err none = {0};
    int fd = fs_open(dirfd, name, O_PATH | O_NOFOLLOW, 0, &none);
    struct stat st;

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
