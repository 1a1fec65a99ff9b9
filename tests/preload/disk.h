/* The inside of the library: the calls (calls.c) tell the record (record.c), and ask it and the
 * failures (fail.c) beforehand. */
#pragma once
#include "tests/preload/watch.h"

#include <stddef.h>

/* The next definition of a call: the one that would have been called without us. */
void *real_call(const char *name);

/* True when 'fd', or the directory of the path, lies below the directory. */
bool fd_is_below(int fd, const char *root);
bool path_is_below(int dirfd, const char *path, const char *root);

/* Splits a path into its directory's inode and its last part. False when it lies elsewhere. */
bool record_place(int dirfd, const char *path, uint64_t *dir, const char **name);
bool record_wants(int fd, uint64_t *ino); /* is it recorded, and as what */
/* One thing happens at a time, so that the record's order is the order of the effects. */
void record_lock(void);
void record_unlock(void);
void record_put(const struct watch_record *head, const char *name, const char *name2,
                const void *data);
const char *record_root(void); /* "" when nothing is recorded */
const char *record_log(void);

/* True when this call is to fail; errno is set then. */
bool fails_here(int fd, enum watch_call call);
bool fails_there(int dirfd, const char *path, enum watch_call call);
