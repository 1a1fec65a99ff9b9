/* See small_fs.h. It breaks by the loop device's getting shorter: the kernel gives EIO to whoever
 * reads or writes behind its end, and the file below it keeps what it has. */
#include "tests/lib/small_fs.h"

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define FS_BYTES (64 << 20)

bool small_fs_possible(const char **why)
{
    if (!rig_possible_bare(why))
        return false;
    *why = "needs loop devices, mkfs.ext4 and a mount namespace";
    return access("/dev/loop-control", R_OK | W_OK) == 0 &&
           system("command -v mkfs.ext4 losetup >/dev/null") == 0 && unshare(CLONE_NEWNS) == 0 &&
           mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) == 0;
}

/* Its own tables lie in front, so that they are whole when the rest is broken. */
void small_fs_mount(struct rig *r)
{
    CLEANUP(mem_freep)
    char *make =
        str_format("cd %s && truncate -s %d small.img && "
                   "mkfs.ext4 -q -m 0 -b 4096 -J size=4 -E packed_meta_blocks=1,lazy_itable_init=0 "
                   "small.img && mkdir -m 0755 second && mount -o loop small.img second && "
                   "rmdir second/lost+found && chmod 0777 second",
                   r->dir, FS_BYTES);

    assert_int_equal(system(make), 0);
}

void small_fs_unmount(struct rig *r)
{
    CLEANUP(mem_freep) char *path = small_fs_path(r, "");

    assert_int_equal(umount(path), 0);
}

char *small_fs_path(struct rig *r, const char *name)
{
    return str_format("%s/second/%s", r->dir, name);
}

/* ---- full ---- */

/* What was freed a moment ago is free only once the journal says so, and that is what fsync() has
 * it say: so it goes on until nothing comes any more. */
void small_fs_fill(struct rig *r)
{
    CLEANUP(mem_freep) char *path = small_fs_path(r, "filler");
    CLEANUP(closep) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    struct statvfs now;
    off_t size = 0, before;

    assert_true(fd >= 0);
    do {
        before = size;
        for (off_t step = 16 << 20; step >= 1024; step /= 2)
            while (posix_fallocate(fd, size, step) == 0)
                size += step;
        assert_int_equal(fsync(fd), 0);
    } while (size > before);
    assert_int_equal(fstatvfs(fd, &now), 0);
    assert_true(now.f_bavail * now.f_frsize < 65536);
}

void small_fs_leave(struct rig *r, uint64_t bytes)
{
    CLEANUP(mem_freep) char *path = small_fs_path(r, "filler");
    CLEANUP(closep) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    struct statvfs now;

    assert_true(fd >= 0);
    assert_int_equal(fstatvfs(fd, &now), 0);
    assert_true(now.f_bavail * now.f_frsize > bytes);
    assert_int_equal(posix_fallocate(fd, 0, (off_t)(now.f_bavail * now.f_frsize - bytes)), 0);
    assert_int_equal(fsync(fd), 0);
}

void small_fs_free_again(struct rig *r)
{
    CLEANUP(mem_freep) char *path = small_fs_path(r, "filler");

    assert_int_equal(unlink(path), 0);
}

/* ---- frozen ---- */

static int open_root(struct rig *r)
{
    CLEANUP(mem_freep) char *path = small_fs_path(r, "");
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

void small_fs_freeze(struct rig *r)
{
    CLEANUP(closep) int fd = open_root(r);

    assert_int_equal(ioctl(fd, FIFREEZE, 0), 0);
}

void small_fs_thaw(struct rig *r)
{
    CLEANUP(closep) int fd = open_root(r);

    (void)!ioctl(fd, FITHAW, 0); /* it may not be frozen */
}

/* ---- broken ---- */

static void set_length(struct rig *r, uint64_t bytes)
{
    CLEANUP(mem_freep) char *find = str_format("losetup -n -O NAME -j %s/small.img", r->dir);
    struct loop_info64 info;
    char name[64] = "";
    FILE *out = popen(find, "re");

    assert_non_null(out);
    assert_non_null(fgets(name, sizeof name, out));
    assert_int_equal(pclose(out), 0);
    name[strcspn(name, " \n")] = 0;
    CLEANUP(closep) int fd = open(name, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(ioctl(fd, LOOP_GET_STATUS64, &info), 0);
    info.lo_sizelimit = bytes;
    assert_int_equal(ioctl(fd, LOOP_SET_STATUS64, &info), 0);
}

/* Where the last block of the file lies, or its first one from 'from' on; 0: it has none there. */
static uint64_t place_of(const char *path, uint64_t from, bool last)
{
    CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint64_t place = 0;
    struct stat st;

    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    for (uint64_t at = from; at < (uint64_t)st.st_size; at += 4096) {
        int block = (int)(at / 4096);
        uint64_t is;
        assert_int_equal(ioctl(fd, FIBMAP, &block), 0);
        is = (uint64_t)block * 4096;
        if (is && (!place || (last ? is > place : is < place)))
            place = is;
    }
    return place;
}

void small_fs_break(struct rig *r, const char *path, uint64_t from, const char *keep)
{
    CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint64_t end;

    assert_true(fd >= 0 && syncfs(fd) == 0);
    assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0); /* or memory answers */
    end = keep ? place_of(keep, 0, true) + 4096 : place_of(path, from, false);
    assert_true(end > 0 && end <= place_of(path, from, true));
    set_length(r, end);
}

void small_fs_mend(struct rig *r)
{
    set_length(r, 0);
}
