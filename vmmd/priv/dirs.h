/* Directories that the parent makes for itself and for vmmd's user. */
#pragma once
#include "core/base/err.h"

#include <sys/types.h>

/* Opens the directory 'path', making it (and 0755 parents) when it is missing. One that exists must
 * belong to 'uid' and be writable by its owner only; links are not followed in the last part.
 * '*made' (may be NULL) says whether it is new. The descriptor, -1 on failure. */
int dir_make(const char *path, mode_t mode, uid_t uid, gid_t gid, bool *made,
             struct err *err) MUST_USE;
/* The same, but an existing directory is taken as it is. */
int dir_make_or_take(const char *path, mode_t mode, uid_t uid, gid_t gid, struct err *err) MUST_USE;
