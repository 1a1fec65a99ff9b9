/* Looking at all disaster copies and at what lies in the pools: what a rebuilt database would hold.
 * Reads only; rebuild.h writes. Called by vmmd-main when it was started to recover.
 *
 *   scan.c         finds the copies, and of each VM the newest one that can be read
 *   scan_merge.c   puts them together: names, pools, files; refuses what contradicts itself
 *   scan_look.c    looks into the pools: what is missing, what nobody names
 *   report.c       says it
 *
 * Copies are files that anybody may have written: all that they say is checked here or in
 * document_check.c before a row is made of it. */
#pragma once
#include "core/rebuild/document.h"

#include <uthash.h>

struct scan_root {
    const char *id; /* as in vmmd.conf */
    int dir;        /* -1: cannot be reached */
};

enum scan_verdict {
    SCAN_WHOLE,
    SCAN_INCOMPLETE, /* is made; something of it is missing */
    SCAN_DOUBTFUL,   /* is made only when it is asked for: its disks look newer than its copy */
    SCAN_REFUSED,
};
extern const char *const scan_verdicts[];

struct scan_vm {
    struct uuid id;
    struct vm_copy copy;  /* empty when none could be read */
    struct vm_spec *spec; /* NULL then */
    char *where;          /* which copy it is: "state", or a root's id */
    enum scan_verdict verdict;
    json_t *findings; /* sentences */
    bool memory_lost; /* what it was to go on with is not there: it is off */
    UT_hash_handle hh;
};

struct scan_pool {
    struct uuid id;
    const struct copy_pool *as;
    char name[NAME_MAX_BYTES + 1]; /* as it will be: once */
    uint64_t generation;           /* of who said so */
    int dir;                       /* -1: cannot be reached */
    UT_hash_handle hh;
};

struct scan_file {
    struct uuid id;
    const struct copy_file *as;
    const struct scan_vm *said_by;
    struct scan_vm *leaf_of;         /* whose disk writes to it */
    const struct scan_vm *needed_by; /* a VM that is made refers to it itself, or NULL */
    unsigned children;               /* that lie on it, of all that any copy names */
    bool frozen;                     /* a snapshot has it */
    bool missing;
    bool needed; /* a VM that is made needs it */
    bool made;   /* it has its row: rebuild.c */
    UT_hash_handle hh;
};

struct scan_orphan {
    struct uuid pool;
    char *name;
    uint64_t bytes;
};

struct scan {
    int state; /* directory, borrowed */
    const struct scan_root *roots;
    size_t n_roots;
    bool doubtful; /* make those as well */
    struct host_copy host;
    bool has_host;
    bool *takes_template; /* one for each of the host's; NULL when there is none */
    struct scan_vm *vms;  /* by id; newest first once they are merged */
    struct scan_pool *pools;
    struct scan_file *files;
    struct scan_orphan *orphans;
    size_t n_orphans;
    json_t *findings;    /* that belong to no VM */
    uint64_t generation; /* the highest that any copy has */
};

struct scan_ask {
    int state;
    const struct scan_root *roots;
    size_t n_roots;
    bool doubtful;
};
/* 'ask' and what it names is borrowed for the life of the scan. */
struct scan *scan_new(const struct scan_ask *ask);
void scan_free(struct scan *scan);
void scan_freep(struct scan **scan); /* for CLEANUP */
/* Whether the VM will be made. */
bool scan_takes(const struct scan *scan, const struct scan_vm *vm);
/* What it found and what it makes of it; 'kept': the name that the old database has now, NULL when
 * nothing was applied. Owned by the caller. */
json_t *scan_report(const struct scan *scan, const char *kept);

/* ---- between the parts ---- */
void scan_find(struct scan *scan, json_t *list, const char *fmt, ...) PRINTF(3, 4);
void scan_refuse(struct scan *scan, struct scan_vm *vm, const char *fmt, ...) PRINTF(3, 4);
void scan_merge(struct scan *scan);
void scan_look(struct scan *scan);
struct scan_vm *scan_vm_find(const struct scan *scan, const struct uuid *id);
struct scan_pool *scan_pool_find(const struct scan *scan, const struct uuid *id);
struct scan_file *scan_file_find(const struct scan *scan, const struct uuid *id);
#define SCAN_NAME_BYTES 64
void scan_file_name(const struct copy_file *file, char out[SCAN_NAME_BYTES]);
/* Each file that the VM refers to itself: leaves, snapshots' files, memories. False ends it. */
bool scan_each_root_file(const struct scan_vm *vm,
                         bool (*each)(void *ctx, const struct uuid *file, bool is_leaf), void *ctx);
