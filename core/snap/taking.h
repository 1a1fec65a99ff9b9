/* Taking a snapshot as a part of an operation: of its own kind (create.c), or of a clone. The steps
 * are in create.c. */
#pragma once
#include "core/snap/tree.h"

/* Whether the VM can have one more, of this name: EXISTS, WRONG_STATE. */
bool taking_check(struct core *core, struct vm *vm, const char *name, struct err *err) MUST_USE;

/* What the request settles: the rows that taking begins with, and what the operation has to
 * remember ('args', owned by the caller). Under vm->writing, and with the VM claimed or about to
 * be. EXISTS; WRONG_STATE with too many files or snapshots. */
struct taking_plan {
    struct overlay *overlays;
    size_t n;
    const struct uuid *job;
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
