/* Files: opening beneath a directory without following links, and publishing so that a power cut
 * leaves the old content or the new one (durability rules R2, R3). All calls block on the disk. */
#pragma once
#include "core/base/err.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

void closep(int *fd); /* for CLEANUP(closep) int fd = -1 */

/* openat2() with RESOLVE_BENEATH, no symlinks, no magic links; O_CLOEXEC is added. -1 on failure:
 * NOT_FOUND for ENOENT, EXISTS for EEXIST, else as err_errno(). */
int fs_open(int dirfd, const char *path, int flags, mode_t mode, struct err *err) MUST_USE;
/* mkdir + open as O_DIRECTORY; an existing directory is fine. Its name is durable on return. */
int fs_dir(int dirfd, const char *name, mode_t mode, struct err *err) MUST_USE;
/* mkdir -p on an absolute path: 0755 for missing parents, 'mode' for the last part; names that were
 * made are durable on return. INVALID for a relative path. */
bool fs_mkdirs(const char *path, mode_t mode, struct err *err) MUST_USE;

bool fs_write_all(int fd, const void *data, size_t len, struct err *err) MUST_USE;
/* The whole file, NUL-terminated, owned by the caller; TOO_LARGE beyond 'max' bytes. */
bool fs_read_all(int fd, size_t max, char **data, size_t *len, struct err *err) MUST_USE;

/* write to a new "<name>.tmp", fsync, rename over 'name', fsync the directory. One publisher of a
 * name at a time. */
bool fs_publish(int dirfd, const char *name, const void *data, size_t len, mode_t mode,
                struct err *err) MUST_USE;
bool fs_sync(int fd, const char *what, struct err *err) MUST_USE;
/* Flushes the directory that the absolute 'path' lies in: its name is durable on return. */
bool fs_sync_parent(const char *path, struct err *err) MUST_USE;
/* unlink + fsync of the directory; a missing file is success. */
bool fs_remove(int dirfd, const char *name, struct err *err) MUST_USE;
/* The same without waiting for the space, which can take seconds a gibibyte: it is free a while
 * after. */
bool fs_remove_large(int dirfd, const char *name, struct err *err) MUST_USE;
/* Removes a directory with all below it; what is missing already is success. */
bool fs_remove_tree(int dirfd, const char *name, struct err *err) MUST_USE;
/* Bytes of the file system that 'fd' lies on: in all, and free for an unprivileged writer. */
bool fs_space(int fd, uint64_t *total_bytes, uint64_t *free_bytes, struct err *err) MUST_USE;
/* Does the file lie in memory (tmpfs)? What is written to it counts as its writer's memory. */
bool fs_is_in_memory(int fd);
/* A whole-file OFD write lock, kept as long as 'fd' (and its duplicates) live. BUSY if taken. */
bool fs_lock(int fd, struct err *err) MUST_USE;
