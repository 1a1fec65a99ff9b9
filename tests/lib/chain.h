/* The files of a rig's disks as its database has them: the chain of record. Reads what a guest's
 * disk holds through it, with a reader of its own, and whether files and rows match. Nothing of a
 * qcow2's header but its tables is believed. The daemon may run or not; rows are read as they are
 * committed. */
#pragma once
#include "tests/lib/rig.h"

#define CHAIN_MAX 64

struct chain_file {
    char path[512];
    bool is_qcow2;
};

struct chain { /* the leaf first */
    struct chain_file files[CHAIN_MAX];
    unsigned n;
};

/* Keeps the database open until chain_let_go(), for one thread that asks much: each opening reads
 * the whole schema. No daemon may be killed or started in between, since a reader changes what a
 * daemon finds. Can be nested. */
void chain_hold(struct rig *r);
void chain_let_go(void);
/* The chain of a VM's disk. False when there is no such VM or disk. */
bool chain_of_disk(struct rig *r, const char *vm, unsigned position, struct chain *out);
/* The same as a snapshot keeps it; by the names of both. */
bool chain_of_snapshot(struct rig *r, const char *vm, const char *snapshot, unsigned position,
                       struct chain *out);
unsigned chain_disks(struct rig *r, const char *vm);
/* What a guest with that disk would read. Fails the test when a file cannot be read. Bytes of one
 * sector only. */
void chain_read(const struct chain *chain, uint64_t offset, void *buf, size_t len);
/* Every image file has a row and every row its file, and all are live. NULL, or what is not so
 * (the caller's). */
char *chain_find_strays(struct rig *r);
