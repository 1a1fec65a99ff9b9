/* Empty images: raw and qcow2 are written here (qcow2.c), other formats by qemu-img, which gets the
 * file as a descriptor: no path of a pool is ever named. Images that somebody else wrote are never
 * given to it here. */
#include "core/port/image.h"

#include "backends/qemu/qcow2.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define IMAGE_FD 9 /* where qemu-img finds the file */

/* Always dynamic, and of exactly the size that is wanted: without force_size a vhd is rounded to
 * what cylinders, heads and sectors can say. */
static const char *const options[] = {
    [DISK_VHD] = "subformat=dynamic,force_size=on",
    [DISK_VHDX] = "subformat=dynamic",
};

static bool spawn_create(int fd, int words_fd, enum disk_format format, const char *size,
                         pid_t *pid, struct err *err)
{
    char *argv[] = {(char *)"qemu-img",
                    (char *)"create",
                    (char *)"-q",
                    (char *)"-f",
                    (char *)disk_drivers[format],
                    (char *)"-o",
                    (char *)options[format],
                    (char *)"/proc/self/fd/9",
                    (char *)size,
                    NULL};
    char *env[] = {(char *)"PATH=/usr/bin", (char *)"LC_ALL=C", NULL};
    posix_spawn_file_actions_t actions;
    int e;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, words_fd, 1);
    posix_spawn_file_actions_adddup2(&actions, words_fd, 2);
    posix_spawn_file_actions_adddup2(&actions, fd, IMAGE_FD);
    posix_spawn_file_actions_addclosefrom_np(&actions, IMAGE_FD + 1);
    e = posix_spawn(pid, "/usr/bin/qemu-img", &actions, NULL, argv, env);
    posix_spawn_file_actions_destroy(&actions);
    if (e == ENOENT)
        return err_set(err, ERR_UNSUPPORTED, "qemu-img is missing: install the package qemu-utils");
    return e == 0 || err_errno(err, e, "start qemu-img");
}

static bool run_create(int fd, enum disk_format format, const char *size, struct err *err)
{
    CLEANUP(mem_freep) char *words = NULL;
    CLEANUP(closep) int in = -1;
    CLEANUP(closep) int out = -1;
    int ends[2], status;
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_errno(err, errno, "make a pipe");
    in = ends[0];
    out = ends[1];
    if (!spawn_create(fd, out, format, size, &pid, err))
        return false;
    closep(&out);
    if (!fs_read_all(in, 65536, &words, NULL, err))
        kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (status == 0)
        return true;
    if (words && strstr(words, "No space left"))
        return err_set(err, ERR_NO_SPACE, "the pool is full");
    return err_set(err, ERR_HYPERVISOR, "qemu-img could not make the image: %.200s",
                   words ? words : "");
}

bool image_create(int fd, enum disk_format format, uint64_t size_bytes,
                  const struct image_parent *parent, struct err *err)
{
    CLEANUP(mem_freep) char *size = str_format("%llu", (unsigned long long)size_bytes);
    bool ok;

    if (format == DISK_RAW)
        ok = ftruncate(fd, (off_t)size_bytes) == 0 || err_errno(err, errno, "make a raw image");
    else if (format == DISK_QCOW2)
        ok = qcow2_write(fd, size_bytes, parent, err);
    else
        ok = run_create(fd, format, size, err);
    return ok && fs_sync(fd, "the image", err);
}
