/* vmmd-preload.so: two things that QEMU cannot be asked for on its command line. The jail has it
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
 *
 * Everything else goes to the C library as it came; so do these two without the descriptors. There
 * is no state but the addresses of the real calls. It depends on the C library only. */
#include "backends/qemu/preload.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
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

    *out = ioctl(PRELOAD_FD_UFFD, USERFAULTFD_IOC_NEW, flags);
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
