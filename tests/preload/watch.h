/* A library that stands between a program and its disk: it records every change below one
 * directory (for the replayer, tests/lib/replay.h), and lets chosen calls fail. Linked by the tests
 * that call it; programs that those spawn get it by LD_PRELOAD. Never part of the product.
 *
 * The record is one file that all processes append to: a sequence of 'struct watch_record', each
 * followed by its two names and its data. Objects are inodes, so descriptors may travel. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum watch_kind {
    WATCH_CREATE = 1, /* dir/name is now 'ino', an empty file or, with 'is_dir', directory */
    WATCH_LINK,       /* dir/name is now 'ino', which was there already */
    WATCH_UNLINK,     /* dir/name is gone; rmdir too */
    WATCH_RENAME,     /* dir/name is now dir2/name2 */
    WATCH_WRITE,      /* data at 'at' */
    WATCH_TRUNCATE,   /* 'at' is the size now */
    WATCH_EXTEND,     /* 'at' is the least size now (fallocate) */
    WATCH_FLUSH,      /* fsync or fdatasync of 'ino' */
    WATCH_MARK,       /* a note of the test, in the data */
};

struct watch_record {
    uint32_t kind;
    uint32_t data_len;
    uint16_t name_len, name2_len; /* without a NUL */
    uint32_t is_dir;
    uint64_t ino, dir, dir2; /* inode numbers */
    uint64_t at;             /* bytes */
};

/* Begins to record what changes below 'root' (absolute, without links) to the file 'log'. */
void watch_start(const char *root, const char *log);
void watch_mark(const char *note);

/* Kinds of calls that can be made to fail, as bits. */
enum watch_call {
    WATCH_CALL_OPEN = 1,
    WATCH_CALL_WRITE = 2,
    WATCH_CALL_FLUSH = 4,
    WATCH_CALL_RENAME = 8,
    WATCH_CALL_TRUNCATE = 16, /* and fallocate */
    WATCH_CALL_MKDIR = 32,
    WATCH_CALL_UNLINK = 64,
    WATCH_CALL_MMAP = 128, /* of a file */
};
/* The n-th of the chosen calls below 'root' from now on fails with 'error' and has no effect; with
 * n = 0 none does. */
void watch_fail(const char *root, unsigned calls, unsigned n, int error);
unsigned watch_passed(void); /* how many of them were made since */
