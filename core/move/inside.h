/* The inside of a move, shared by core/move's files only. */
#pragma once
#include "core/disk/blocks.h"
#include "core/disk/file.h"
#include "core/disk/pace.h"
#include "core/move/move.h"

/* One file and its copy. */
struct move_file {
    struct layer from, to;
    bool is_leaf;     /* a disk writes to it */
    struct uuid disk; /* the disk whose tree it belongs to; zero: a memory image */
    uint64_t bytes;   /* on the disk */
    bool kept;        /* an old image that another VM needs */
};

struct move {
    struct core *core;
    struct vm *vm;
    struct job *job;         /* NULL in a plan */
    struct move_file *files; /* parents before their children */
    size_t n;
    struct uuid pool; /* where they go */
    char pool_name[NAME_MAX_BYTES + 1];
    bool keep_source;
    struct pace pace;
    struct blocks at;     /* the VM's own machine */
    uint64_t done, total; /* bytes of progress */
    bool pivoted;         /* the worker has recorded it: there is only forward */
    uint64_t pause_us;    /* how long the guest stood still at the pivot */
};

/* ---- plan.c: which files move ---- */
/* Under vm->writing. NOT_FOUND, INVALID, UNAVAILABLE. */
bool move_plan(struct move *m, const struct move_request *request, struct err *err) MUST_USE;
void move_clear(struct move *m);
/* The entry of a file that moves; NULL. */
struct move_file *move_find(const struct move *m, const struct uuid *from);
/* One more; 'disk' NULL for a memory image. 'format' -1: as it is. */
void move_add(struct move *m, const struct file *file, const struct disk *disk, int format)
    REQUIRES(m->core->registry.lock);
json_t *move_args(const struct move *m, const struct move_request *request);
/* From the job's arguments; the copies are put into memory where they are not yet. '*over' when the
 * VM's disks are in the copies already. */
bool move_of_job(struct move *m, bool *over, struct err *err) MUST_USE;
json_t *move_plan_json(const struct move *m, const struct move_request *request, json_t *blockers);
/* Why it cannot be done, as [{"code","pointer","detail"}]; the first one as '*first'. */
json_t *move_blockers(const struct move *m, const struct move_request *request, struct err *first);

/* ---- live.c: while the VM runs ---- */
enum move_end {
    MOVE_FAILED,    /* nothing has changed */
    MOVE_PIVOTED,   /* the disks go on in the copies */
    MOVE_VM_IS_OFF, /* it ended before the disks switched */
    MOVE_SILENT,    /* the machine did not answer for a while: once more */
    MOVE_NOT_KNOWN  /* the daemon ends */
};
/* Leaves are mirrored until all are the same, then the disks switch. The other files are complete.
 */
enum move_end move_live(struct move *m, struct err *err) MUST_USE;
/* Entered again at that step: whether the disks had switched. */
enum move_end move_find_out(struct move *m, struct err *err) MUST_USE;
/* The machine lets go of files that its disks do not need any more. */
void move_forget(struct move *m);

/* ---- convert.c: leaves that get another format while the VM is off ---- */
bool move_convert(struct move *m, const struct move_file *f, struct err *err) MUST_USE;

/* ---- images.c: memory images (docs/memory.md) ---- */
/* All that the VM's snapshots and the VM itself go on with and that are its own. */
void move_add_images(struct move *m) REQUIRES(m->core->registry.lock);
static inline bool move_is_image(const struct move_file *f)
{
    return f->to.role == FILE_MEMORY;
}
/* Rows of the copies, with what is known of each. */
bool move_write_images(struct store_txn *txn, const struct move *m, struct err *err) MUST_USE;
/* Once no row refers to the old ones any more: they are trash, unless somebody else needs them;
 * 'kept' says so. */
bool move_let_images_go(struct store_txn *txn, struct move *m, struct err *err) MUST_USE;
/* Memory follows. */
void move_apply_images(struct move *m) REQUIRES(m->core->registry.lock);
/* 'id' as it is called after the move. */
struct uuid move_file_now(const struct move *m, const struct uuid *id);
/* vm.memory_leaves after the move: the caller's; NULL stays NULL. */
char *move_leaves_now(const struct move *m, const char *leaves);

/* ---- commit.c: the rows ---- */
bool move_write_copies(struct store_txn *txn, const struct move *m, const struct uuid *job,
                       struct err *err) MUST_USE;
/* The commit point, and then memory. */
bool move_commit(struct move *m, struct err *err) MUST_USE;
void move_drop_copies(struct move *m);

/* ---- keep.c ---- */
/* The old files become foreign ones: they get other names, and are nobody's. May be repeated. */
bool move_keep_sources(struct move *m, struct err *err) MUST_USE;
