/* Connections that only read: opened when needed, kept, at most 8; callers wait for a free one.
 * They see the latest commit and never wait for a writer. */
#pragma once
#include "core/base/thread.h"
#include "store/conn.h"

#define READERS_MAX 8

struct readers {
    const char *path; /* borrowed, like the VFS */
    const struct vfs *vfs;
    struct lock lock;
    struct cond returned;
    struct conn *idle[READERS_MAX] GUARDED_BY(lock);
    unsigned n_idle GUARDED_BY(lock);
    unsigned n_open GUARDED_BY(lock); /* idle, in use or being opened */
};

void readers_init(struct readers *r, const char *path, const struct vfs *vfs);
void readers_clear(struct readers *r);
struct conn *readers_take(struct readers *r, struct err *err) MUST_USE;
void readers_return(struct readers *r, struct conn *conn);
