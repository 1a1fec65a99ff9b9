/* Writing the record: see watch.h. Programs that were spawned find root and file in the
 * environment. */
#include "tests/preload/disk.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX], log_path[PATH_MAX];
static int log_fd = -1;
/* Reached without __tls_get_addr(), which a sanitizer replaces by its own before that is ready. */
static _Thread_local bool holds_mutex __attribute__((tls_model("initial-exec")));

void *real_call(const char *name)
{
    void *call = dlsym(RTLD_NEXT, name);

    if (!call)
        abort();
    return call;
}

static int open_for_real(const char *path, int flags)
{
    static int (*call)(int, const char *, int, ...);

    if (!call)
        call = (int (*)(int, const char *, int, ...))real_call("openat");
    return call(AT_FDCWD, path, flags, 0600);
}

static bool is_below(const char *path, const char *dir)
{
    size_t len = strlen(dir);

    return len && strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == 0);
}

bool fd_is_below(int fd, const char *dir)
{
    char link[64], path[PATH_MAX];
    ssize_t n;

    if (fd < 0 || !*dir)
        return false;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof path - 1);
    if (n < 0)
        return false;
    path[n] = 0;
    return is_below(path, dir);
}

/* Opens the directory that the path's last part lies in; -1 when there is none. */
static int open_parent(int dirfd, const char *path, const char **name)
{
    static int (*call)(int, const char *, int, ...);
    const char *slash = strrchr(path, '/');
    char parent[PATH_MAX];

    if (!call)
        call = (int (*)(int, const char *, int, ...))real_call("openat");
    *name = slash ? slash + 1 : path;
    if (!slash)
        snprintf(parent, sizeof parent, ".");
    else
        snprintf(parent, sizeof parent, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    return call(dirfd, parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

bool path_is_below(int dirfd, const char *path, const char *dir)
{
    const char *name;
    int fd = *dir ? open_parent(dirfd, path, &name) : -1;
    bool below = fd_is_below(fd, dir);

    if (fd >= 0)
        close(fd);
    return below;
}

bool record_place(int dirfd, const char *path, uint64_t *dir, const char **name)
{
    int fd = log_fd >= 0 ? open_parent(dirfd, path, name) : -1;
    struct stat st;
    bool ours = fd_is_below(fd, root) && fstat(fd, &st) == 0;

    if (ours)
        *dir = st.st_ino;
    if (fd >= 0)
        close(fd);
    return ours;
}

bool record_wants(int fd, uint64_t *ino)
{
    struct stat st;

    if (log_fd < 0 || fd == log_fd || !fd_is_below(fd, root) || fstat(fd, &st) < 0)
        return false;
    *ino = st.st_ino;
    return S_ISREG(st.st_mode) || S_ISDIR(st.st_mode);
}

/* Only while recording: a sanitizer makes calls before its own pthread_mutex_lock() is ready. */
void record_lock(void)
{
    holds_mutex = log_fd >= 0;
    if (holds_mutex)
        pthread_mutex_lock(&mutex);
}

void record_unlock(void)
{
    if (holds_mutex)
        pthread_mutex_unlock(&mutex);
    holds_mutex = false;
}

void record_put(const struct watch_record *head, const char *name, const char *name2,
                const void *data)
{
    static ssize_t (*call)(int, const struct iovec *, int);
    struct watch_record h = *head;
    struct iovec parts[4];
    size_t all;

    if (!call)
        call = (ssize_t(*)(int, const struct iovec *, int))real_call("writev");
    h.name_len = (uint16_t)strlen(name);
    h.name2_len = (uint16_t)strlen(name2);
    parts[0] = (struct iovec){&h, sizeof h};
    parts[1] = (struct iovec){(void *)name, h.name_len};
    parts[2] = (struct iovec){(void *)name2, h.name2_len};
    parts[3] = (struct iovec){(void *)data, h.data_len};
    all = sizeof h + h.name_len + h.name2_len + h.data_len;
    if (call(log_fd, parts, 4) != (ssize_t)all)
        abort(); /* a record with a hole proves nothing */
}

const char *record_root(void)
{
    return log_fd >= 0 ? root : "";
}

const char *record_log(void)
{
    return log_path;
}

void watch_start(const char *dir, const char *log)
{
    snprintf(root, sizeof root, "%s", dir);
    snprintf(log_path, sizeof log_path, "%s", log);
    log_fd = open_for_real(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC);
    if (log_fd < 0)
        abort();
}

void watch_mark(const char *note)
{
    const struct watch_record head = {.kind = WATCH_MARK, .data_len = (uint32_t)strlen(note)};

    record_lock();
    if (log_fd >= 0)
        record_put(&head, "", "", note);
    record_unlock();
}

__attribute__((constructor)) static void start_in_child(void)
{
    const char *dir = getenv("VMMD_WATCH_ROOT"), *log = getenv("VMMD_WATCH_LOG");

    if (dir && log)
        watch_start(dir, log);
}
