/* The block layer of a VM's machine, or of a helper that works on its files while it is off: asking
 * it, waiting for it, and not asking it for what would have it wait for storage that does not
 * answer. For core/move, core/snap and core/disk.
 *
 * A QEMU that closes a file, or begins or ends to use it in another way, first waits for what is
 * under way there, and its guest stands still meanwhile, whichever disk that concerns. So whoever
 * asks for such a thing first waits itself until the storage writes (docs/storage.md, "Storage that
 * does not answer"). */
#pragma once
#include "core/core/parts.h"
#include "core/disk/file.h"

struct blocks {
    struct core *core;
    struct vm *vm;
    struct machine *helper;        /* NULL: the VM's own */
    const struct backend *backend; /* set by blocks_use() */
    struct uuid answered;          /* the pool that did last … */
    int64_t answered_ms;           /* … and when */
};

/* The machine for one call, then blocks_done(): NULL with WRONG_STATE when there is none. */
struct machine *blocks_use(struct blocks *b, struct err *err) MUST_USE;
void blocks_done(struct blocks *b);

/* ---- a block job, by the file it is named after ---- */
bool blocks_look(struct blocks *b, const struct uuid *name, struct machine_block_job *out,
                 struct err *err) MUST_USE;
/* Asks a running one to end ('cancel'), or has one forgotten that has ended. */
bool blocks_end(struct blocks *b, const struct uuid *name, bool cancel, struct err *err) MUST_USE;
/* As far as the machine answers. */
void blocks_limit(struct blocks *b, const struct uuid *name, uint64_t bytes_per_s);
/* One that waits for space goes on, as far as the machine answers. */
void blocks_resume(struct blocks *b, const struct uuid *name);
/* Has the one that writes to 'target' end, and waits for that, for half a minute once the storage
 * answers. It is forgotten then. */
void blocks_call_off(struct blocks *b, const struct layer *target);

/* ---- files ---- */
/* Returns once the storage that the file lies on writes; false: the daemon ends before it does. */
bool blocks_await(struct blocks *b, const struct layer *file) MUST_USE;
/* The machine closes a file that its disks do not need any more, as far as it answers. */
void blocks_drop(struct blocks *b, const struct layer *file);
bool blocks_is_leaf(struct blocks *b, const struct uuid *disk, const struct uuid *file, bool *yes,
                    struct err *err) MUST_USE;

/* ---- waiting ---- */
void blocks_rest(struct blocks *b, int64_t ms);
bool blocks_is_gone(struct blocks *b); /* the VM's machine, and all that its end brings is over */
/* The same, waited for at most so long. */
bool blocks_await_gone(struct blocks *b, int64_t ms);

/* Where a disk is among those of its VM; 0 when it is not there. */
unsigned blocks_position(struct core *core, const struct uuid *disk);
/* The newest record of the VM's commit log, the caller's; NULL when there is none. */
bool blocks_record(struct blocks *b, json_t **record, struct err *err) MUST_USE;
