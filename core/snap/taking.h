/* Taking a snapshot as a part of an operation: of its own kind (create.c), or of a clone. The steps
 * are in create.c. */
#pragma once
#include "core/ram/image.h"
#include "core/snap/snap.h"
#include "core/snap/tree.h"

/* Whether the VM can have one more, of this name: EXISTS, WRONG_STATE. */
bool taking_check(struct core *core, struct vm *vm, const char *name, struct err *err) MUST_USE;

/* A name that the VM's snapshots do not have yet, for one that an operation takes for itself:
 * "clone-web2", "clone-web2-2", … */
void taking_name(struct core *core, struct vm *vm, const char *what, const char *whose,
                 char out[NAME_MAX_BYTES + 1]);

/* What the request settles: the rows that taking begins with, and what the operation has to
 * remember ('args', owned by the caller). Under vm->writing, and with the VM claimed or about to
 * be. EXISTS; WRONG_STATE with too many files or snapshots. */
struct taking_plan {
    struct overlay *overlays;
    size_t n;
    const struct uuid *job;
    const struct memory_choice *memory; /* NULL: of its disks alone */
    json_t *args;
};
bool taking_plan(struct core *core, struct vm *vm, const char *name, const char *notes,
                 struct taking_plan *out, struct err *err) MUST_USE;
void taking_plan_clear(struct taking_plan *plan);
/* The rows, in the transaction of the job: 'ctx' is the plan. */
bool taking_plan_rows(struct store_txn *txn, void *ctx, struct err *err) MUST_USE;

struct taking {
    struct core *core;
    struct job *job;
    struct vm *vm;
    const json_t *args; /* of the plan */
    /* More rows for the commit, or NULL. */
    bool (*also)(struct store_txn *txn, void *ctx, struct err *err);
    void *ctx;
    /* taking.c's own */
    struct uuid id; /* of the snapshot */
    struct overlay *overlays;
    size_t n;
    bool again;    /* entered again after the step */
    bool switched; /* the machine writes to the overlays, or may have */
    /* taking_memory.c's own */
    bool with_memory;
    struct layer image;
    enum memory_way way;
    enum snapshot_memory memory_state; /* what the snapshot is recorded with */
    const char *memory_note;           /* why it has none, or NULL */
    struct ram_image *facts;           /* of its memory, once they are known */
    int64_t began_ms; /* when the machine began with it; 0: an earlier daemon's time */
};
/* Before all else, once. */
bool taking_begin(struct taking *t, struct err *err) MUST_USE;
void taking_clear(struct taking *t);
bool taking_is_done(struct taking *t);
/* New files and the variables are there, and the step is recorded: from then on it goes on. */
bool taking_prepare(struct taking *t, struct err *err) MUST_USE;
/* The guest writes to the new files, and the snapshot is recorded, with what 'also' adds. */
bool taking_finish(struct taking *t, struct err *err) MUST_USE;
/* Of one that failed nothing is left; of one that is done everything. */
void taking_undo(struct taking *t);
/* The commit alone, tried until it is written or another daemon has to. */
bool taking_commit(struct taking *t, struct err *err) MUST_USE;
/* taking.c's parts for taking_memory.c: the machine as soon as it can be used, NULL when there is
 * none any more, or with *err set; whether there is none and none to come; the overlays, opened. */
struct machine *taking_machine(struct taking *t, const struct backend **backend,
                               struct err *err) MUST_USE;
bool taking_is_alone(struct taking *t);
bool taking_open_overlays(struct taking *t, struct machine_overlay *out, struct err *err) MUST_USE;
unsigned taking_position(struct taking *t, size_t i); /* of its disk, among the VM's */

/* ---- with the guest's memory: taking_memory.c ---- */
struct memory_choice {
    bool with;
    struct layer image;
    enum memory_way way;
    char reason[256];       /* why without it, or why not in the background; "" */
    uint64_t pause_ms;      /* estimated, of a guest that would stand still for it; else 0 */
    uint64_t touched_bytes; /* resident, of its QEMU */
    bool from_image;        /* ... and the rest is not empty */
};
/* What is possible now of what was asked for: in the background, else with the copy before, else
 * with the guest standing still, which 'auto' does not take. Asks the machine and looks at files,
 * so no lock may be held. What was asked for and cannot be: WRONG_STATE, UNSUPPORTED, NO_SPACE,
 * with what to do.
 */
bool memory_choose(struct core *core, struct vm *vm, enum consistency asked,
                   struct memory_choice *out, struct err *err) MUST_USE;
/* Taking's own steps with it: in the order of taking.c. */
bool taking_memory_begin(struct taking *t, struct err *err) MUST_USE;
bool taking_memory_finish(struct taking *t, struct err *err) MUST_USE;
bool taking_memory_rows(struct taking *t, struct store_txn *txn, struct err *err) MUST_USE;
void taking_memory_follow(struct taking *t);
/* The snapshot is recorded; its memory may still be on its way. */
bool taking_is_recorded(struct taking *t);
/* Entered again after its deletion was submitted. With *err set. */
bool taking_is_given_up(struct taking *t, struct err *err) MUST_USE;
/* The same, or it is recorded without its memory: it has failed, nothing of it is to be done or
 * undone, and taking_begin() is for one whose image may still be there. With *err set. */
bool taking_has_lost(struct taking *t, struct err *err) MUST_USE;
