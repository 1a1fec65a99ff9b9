/* vmmd-preload.so: three things that QEMU cannot be asked for on its command line. The jail has it
 * loaded into QEMU (LD_PRELOAD) when it was given one of the descriptors of
 * backends/qemu/preload.h.
 *
 *   syscall(SYS_userfaultfd, flags)  ─► the same through the passed /dev/userfaultfd: making one
 *                                       takes a right in the host's namespaces, which a jail's QEMU
 *                                       has not. It writes down a guest's memory as it was at one
 *                                       instant with it, while the guest goes on.
 *   open(PRELOAD_MEMORY_PATH, …)     ─► the passed memory image, whose descriptor is O_RDONLY: QEMU
 *                                       7.2 opens memory for reading and writing even if it maps it
 *                                       privately, and a jail has no path to an image.
 *   ioctl(UFFDIO_WRITEPROTECT, …)    ─► memory that is let go of page by page is let go of by huge
 *                                       pages (hold.h), and the messages of those pages go out
 *   sendmsg(the stream, a page)           together (gather.h): a hundred thousands of calls less in
 *                                       a snapshot, and huge pages stay huge.
 *
 * Everything else goes to the C library as it came; so do these without the descriptors. There is
 * no state but the addresses of the real calls and what is held back. It depends on the C library
 * only. */
#include "backends/qemu/preload.h"
#include "vmmd/preload/gather.h"
#include "vmmd/preload/hold.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef USERFAULTFD_IOC_NEW /* headers older than Linux 6.1 */
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif

/* The C library has no header for them unless it is asked to check calls. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dir, const char *path, int flags);
int __openat64_2(int dir, const char *path, int flags);

/* The C library's function of that name. Looked up when it is called first: QEMU's libraries open
 * files before this one is initialized. */
#define REAL(name)         ((__typeof__(&name))real_call(&real_##name, #name))
#define DECLARE_REAL(name) static _Atomic(void *) real_##name

DECLARE_REAL(syscall);
DECLARE_REAL(open);
DECLARE_REAL(open64);
DECLARE_REAL(openat);
DECLARE_REAL(openat64);
DECLARE_REAL(__open_2);
DECLARE_REAL(__open64_2);
DECLARE_REAL(__openat_2);
DECLARE_REAL(__openat64_2);
DECLARE_REAL(ioctl);
DECLARE_REAL(read);
DECLARE_REAL(sendmsg);
DECLARE_REAL(close);

static void *real_call(_Atomic(void *) *kept, const char *name)
{
    void *found = atomic_load_explicit(kept, memory_order_relaxed);

    if (!found) {
        found = dlsym(RTLD_NEXT, name);
        atomic_store_explicit(kept, found, memory_order_relaxed);
    }
    return found;
}

/* A descriptor of the memory image when that is what 'path' means and there is one; else -1. */
static int image_of(const char *path)
{
    int saved = errno, fd;

    if (!path || strcmp(path, PRELOAD_MEMORY_PATH) != 0)
        return -1;
    fd = fcntl(PRELOAD_FD_MEMORY, F_DUPFD_CLOEXEC, 3);
    if (fd < 0)
        errno = saved;
    return fd;
}

static mode_t mode_of(int flags, va_list *rest)
{
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(*rest, mode_t) : 0;
}

#define OPEN(name, params, args)                                                                   \
    int name params                                                                                \
    {                                                                                              \
        int fd = image_of(path);                                                                   \
        va_list rest;                                                                              \
        mode_t mode;                                                                               \
        if (fd >= 0)                                                                               \
            return fd;                                                                             \
        va_start(rest, flags);                                                                     \
        mode = mode_of(flags, &rest);                                                              \
        va_end(rest);                                                                              \
        return REAL(name) args;                                                                    \
    }

#define OPEN_2(name, params, args)                                                                 \
    int name params                                                                                \
    {                                                                                              \
        int fd = image_of(path);                                                                   \
        return fd >= 0 ? fd : REAL(name) args;                                                     \
    }

OPEN(open, (const char *path, int flags, ...), (path, flags, mode))
OPEN(open64, (const char *path, int flags, ...), (path, flags, mode))
OPEN(openat, (int dir, const char *path, int flags, ...), (dir, path, flags, mode))
OPEN(openat64, (int dir, const char *path, int flags, ...), (dir, path, flags, mode))
OPEN_2(__open_2, (const char *path, int flags), (path, flags))
OPEN_2(__open64_2, (const char *path, int flags), (path, flags))
OPEN_2(__openat_2, (int dir, const char *path, int flags), (dir, path, flags))
OPEN_2(__openat64_2, (int dir, const char *path, int flags), (dir, path, flags))

/* False: there is no such descriptor, or it is something else. */
static int made_userfaultfd(long flags, long *out)
{
    int saved = errno;

    *out = REAL(ioctl)(PRELOAD_FD_UFFD, USERFAULTFD_IOC_NEW, flags);
    if (*out >= 0 || (errno != EBADF && errno != ENOTTY))
        return 1;
    errno = saved;
    return 0;
}

/* Six words whatever the call takes: more than it reads are in registers that it ignores. */
long syscall(long number, ...)
{
    long a[6], made;
    va_list rest;

    va_start(rest, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(rest, long);
    va_end(rest);
    if (number == SYS_userfaultfd && made_userfaultfd(a[0], &made))
        return made;
    return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* ---- the stream ---- */

/* The thread that writes memory down is the only one that uses these. */
static struct gather pages;
static _Thread_local int page_fd = -1; /* where this thread's last message went, if it was a page */
static _Atomic int stream = -1;        /* where pages are gathered for, while memory is protected */

/* All of it, whatever the socket takes at once. */
static int send_pages(int fd)
{
    size_t done = 0;

    while (done < pages.len) {
        ssize_t n = send(fd, pages.data + done, pages.len - done, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            (void)poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
        else if (n < 0 && errno != EINTR)
            return -1;
        else if (n > 0)
            done += (size_t)n;
    }
    pages.len = 0;
    return 0;
}

/* A page was let go of whose message this thread has just sent: that is the stream. */
static void learn_stream(void)
{
    if (atomic_load_explicit(&stream, memory_order_relaxed) < 0)
        atomic_store_explicit(&stream, page_fd, memory_order_relaxed);
}

static void drop_stream(void)
{
    atomic_store_explicit(&stream, -1, memory_order_relaxed);
    pages.len = 0;
}

static int end_stream(void)
{
    int fd = atomic_load_explicit(&stream, memory_order_relaxed);
    int result = fd < 0 ? 0 : send_pages(fd);

    drop_stream();
    return result;
}

/* One that broke: nothing of it may get into what has its number next. */
int close(int fd)
{
    if (fd >= 0 && fd == atomic_load_explicit(&stream, memory_order_relaxed))
        drop_stream();
    return REAL(close)(fd);
}

static ssize_t length_of(const struct msghdr *msg)
{
    size_t len = 0;

    for (size_t i = 0; i < msg->msg_iovlen; i++)
        len += msg->msg_iov[i].iov_len;
    return (ssize_t)len;
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
    bool is_stream = fd == atomic_load_explicit(&stream, memory_order_relaxed);
    bool is_page = msg->msg_controllen == 0 && gather_is_page(msg->msg_iov, msg->msg_iovlen);

    page_fd = is_page ? fd : -1;
    if (is_stream && is_page && gather_add(&pages, msg->msg_iov, msg->msg_iovlen))
        return length_of(msg);
    if (is_stream && send_pages(fd) < 0)
        return -1;
    if (is_stream && is_page && gather_add(&pages, msg->msg_iov, msg->msg_iovlen))
        return length_of(msg);
    return REAL(sendmsg)(fd, msg, flags);
}

/* ---- write protection ---- */

static struct hold held = {.fd = -1};
static _Atomic int held_fd = -1; /* the userfaultfd in use, once memory was protected with it */
static pthread_mutex_t held_lock = PTHREAD_MUTEX_INITIALIZER;

static int let_go(int fd, const struct hold_range *ranges, int n)
{
    for (int i = 0; i < n; i++) {
        struct uffdio_writeprotect wp = {.range = {ranges[i].start, ranges[i].len}};
        if (REAL(ioctl)(fd, UFFDIO_WRITEPROTECT, &wp) != 0)
            return -1;
    }
    return 0;
}

static int write_protect(int fd, struct uffdio_writeprotect *wp)
{
    struct hold_range now[2];
    int result, n;

    (void)pthread_mutex_lock(&held_lock);
    if (wp->mode == 0) {
        learn_stream();
        n = hold_take(&held, fd, (struct hold_range){wp->range.start, wp->range.len}, now);
        result = let_go(fd, now, n);
    } else {
        drop_stream();
        n = hold_end(&held, fd, now);
        held.fd = -1; /* from here on it is another snapshot's */
        atomic_store_explicit(&held_fd, fd, memory_order_relaxed);
        result = let_go(fd, now, n);
        if (result == 0)
            result = REAL(ioctl)(fd, UFFDIO_WRITEPROTECT, wp);
    }
    (void)pthread_mutex_unlock(&held_lock);
    return result;
}

/* Memory is no longer protected: the stream goes its usual way from here on. */
static int unregister(int fd, void *range)
{
    int result = end_stream();

    return REAL(ioctl)(fd, UFFDIO_UNREGISTER, range) < 0 ? -1 : result;
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list rest;
    void *arg;

    va_start(rest, request);
    arg = va_arg(rest, void *);
    va_end(rest);
    if (request == UFFDIO_WRITEPROTECT)
        return write_protect(fd, arg);
    if (request == UFFDIO_UNREGISTER)
        return unregister(fd, arg);
    return REAL(ioctl)(fd, request, arg);
}

/* What comes from a userfaultfd is that the guest waits for a page. */
ssize_t read(int fd, void *buf, size_t len)
{
    ssize_t n = REAL(read)(fd, buf, len);

    if (n > 0 && fd == atomic_load_explicit(&held_fd, memory_order_relaxed)) {
        (void)pthread_mutex_lock(&held_lock);
        held.is_waited = 1;
        (void)pthread_mutex_unlock(&held_lock);
    }
    return n;
}
