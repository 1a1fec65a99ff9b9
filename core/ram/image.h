/* Memory images (docs/memory.md): files of the role "memory", made, referred to, let go and begun
 * with. For core's own files; what the API sees of them is in core/snap and core/vm.
 *
 * One that is being made belongs to its operation: rows 'creating' in the transaction of the job,
 * then the file, then ram_image_write_live() in the transaction of the commit point. From then on
 * it is referred to by snapshots and saved VMs, and whoever lets go of the last reference puts it
 * into the trash in the same transaction. What is unlinked while a guest has it mapped takes its
 * space until that guest's VM stops. */
#pragma once
#include "core/core/parts.h"
#include "core/disk/file.h"

/* What is known of one that is complete. */
struct ram_image {
    char *made;   /* JSON of the backend: what it takes to go on with it */
    char *spec;   /* JSON of the configuration as started */
    char *leaves; /* JSON: see ram_leaves_text() */
    enum memory_way way;
    uint64_t held_bytes; /* of the guest's memory, what is no hole */
    uint64_t pause_us;   /* how long the guest stood still for it; 0 when it was stopped for good */
    uint64_t took_ms;
    int64_t created_ms;
    /* When it is archived, which is to say compressed, so that nothing goes on with it: what the
     * file takes, and what it took before. 0: it is not. */
    uint64_t packed_bytes, plain_bytes;
};
void ram_image_free(struct ram_image *image); /* NULL is fine */
struct ram_image *ram_image_copy(const struct ram_image *image);
bool ram_images_load(struct core *core, struct err *err) MUST_USE;
const char *ram_way_text(enum memory_way way);

/* ---- making one ---- */
/* Where one of a running VM goes: a new id, the pool of its first disk (of a VM without disks: the
 * oldest one), the size of its memory. NO_SPACE and UNAVAILABLE, with what to do, when the pool has
 * not that much and a tenth more. Looks at files: no lock but vm->writing may be held. */
bool ram_image_plan(struct core *core, struct vm *vm, struct layer *out, struct err *err) MUST_USE;
/* Member "image" of a job's arguments; and back from them, put into memory where it is not yet. */
json_t *ram_image_args(const struct layer *image);
/* How long a guest would stand still for one like this ('still'): by the rate that the newest image
 * of its pool was written at. 'touched' of its memory is resident; of one that began with an image
 * ('from_image') the rest is not empty either. Takes the registry's lock. (estimate.c) */
uint64_t ram_pause_estimate_ms(struct core *core, struct vm *vm, const struct layer *image,
                               uint64_t touched, bool from_image);
bool ram_image_of_job(struct core *core, const struct uuid *vm, const struct uuid *job,
                      const json_t *args, struct layer *out, struct err *err) MUST_USE;
/* Row 'creating'. */
bool ram_image_rows(struct store_txn *txn, const struct layer *image, const struct uuid *job,
                    struct err *err) MUST_USE;
/* Puts its space by for 'job' and makes the file, empty; what is there of an earlier attempt is
 * replaced. space_release() is the job's settle(). */
bool ram_image_make(struct core *core, const struct layer *image, const struct uuid *job,
                    struct err *err) MUST_USE;
/* For one that an earlier daemon began and that is still being written: what it may still take is
 * put by, as far as it is there. It goes on in any case. */
void ram_image_reserve_again(struct core *core, const struct layer *image, const struct uuid *job);
/* O_RDWR, to be handed over; -1 with *err set. */
int ram_image_open_new(const struct layer *image, struct err *err) MUST_USE;
/* Its name is durable; the machine has flushed what is in it. */
bool ram_image_flush(const struct layer *image, struct err *err) MUST_USE;
/* The error of a writing that has ended in failure, with what to do where there was no room. Always
 * false. */
bool ram_image_fail(struct core *core, const struct layer *image,
                    const struct machine_memory_state *now, struct err *err);
/* Of one that comes to nothing: file, row, memory. */
void ram_image_drop(struct core *core, const struct layer *image);
/* What its machine says of itself, its configuration as started, the disks' files as given. NULL
 * with *err set. Owned by the caller; 'state' is of the writing that is over. */
struct ram_image *ram_image_describe(struct core *core, struct vm *vm, enum memory_way way,
                                     const struct machine_memory_state *state, const char *made,
                                     const char *leaves);
/* Row 'live' and what is known of it; memory follows with ram_image_set_live(), which takes
 * 'facts'. */
bool ram_image_write_live(struct store_txn *txn, const struct layer *image,
                          const struct ram_image *facts, struct err *err) MUST_USE;
void ram_image_set_live(struct core *core, const struct layer *image, struct ram_image *facts);
/* The same of one that is not complete yet: what is known of it already, while its row stays
 * 'creating'. */
bool ram_image_write_facts(struct store_txn *txn, const struct layer *image,
                           const struct ram_image *facts, struct err *err) MUST_USE;
void ram_image_set_facts(struct core *core, const struct layer *image, struct ram_image *facts);

/* ---- references ---- */
/* NOT_FOUND unless it is complete and not in the trash: before a row refers to it. */
bool ram_image_hold(struct store_txn *txn, const struct uuid *image, struct err *err) MUST_USE;
/* Once the row that referred to it is written: '*last' when nobody does any more, and it is trash.
 * A zero 'image' is fine. After the commit ram_image_left(), and ram_images_sweep() when no lock is
 * held. */
bool ram_image_let_go(struct store_txn *txn, const struct uuid *image, bool *last,
                      struct err *err) MUST_USE;
void ram_image_left(struct core *core, const struct uuid *image, bool last);
/* A VM other than its own goes on with it, or has a snapshot that does. */
bool ram_image_is_borrowed(struct core *core, const struct file *image)
    REQUIRES(core->registry.lock);
/* Removes those that are in the trash; what cannot be removed now is at the next start. */
void ram_images_sweep(struct core *core);
/* The same for all that a VM which goes refers to, once its own row refers to none; and memory,
 * which forgets them. Its own that others need are kept: file->kept. */
bool ram_images_write_gone(struct core *core, struct store_txn *txn, struct vm *vm,
                           struct err *err) MUST_USE;
void ram_images_gone(struct core *core, struct vm *vm);

/* ---- a VM that goes on with one ---- */
/* 'vm->memory' and its leaves, once they are durable; zero and NULL: none. Copies. */
void ram_vm_set(struct core *core, struct vm *vm, const struct uuid *image, const char *leaves);
/* It goes on with another image of the same memory. */
void ram_vm_turn(struct core *core, struct vm *vm, const struct uuid *image);
/* What its disks write to, as {"disks":[{"disk","position","file"}…]}; owned by the caller. */
char *ram_leaves_now(struct core *core, const struct uuid *vm);
char *ram_leaves_text(const struct disk *disks, size_t n);
/* WRONG_STATE unless each of the VM's disks writes to the file that vm->memory_leaves says, and
 * none is missing. */
bool ram_leaves_check(struct core *core, struct vm *vm, struct err *err) MUST_USE;
/* That what was just expanded is a whole image: its size and its trailer. UNSUPPORTED. */
bool ram_image_check(const struct layer *image, struct err *err) MUST_USE;
/* O_RDONLY, for a start with vm->memory: it is there, of its size and whole (its trailer says so).
 * UNSUPPORTED with the reason; WRONG_STATE when it is archived; UNAVAILABLE when its pool cannot be
 * reached. */
int ram_image_open(struct core *core, const struct uuid *image, struct err *err) MUST_USE;
/* What is known of it, copied; NULL with NOT_FOUND. */
struct ram_image *ram_image_get(struct core *core, const struct uuid *image,
                                struct err *err) MUST_USE;
/* The configuration that a VM goes on with this image in: what the image was made with, under the
 * VM's own name and generation id and with its own disks. */
struct vm_spec *ram_image_spec(struct core *core, struct vm *vm, const struct uuid *image,
                               struct err *err) MUST_USE;
/* {"ram_bytes","held_bytes","pause_us","took_ms","way","created_at","archived"}, of an archived one
 * with "archived_bytes" and "plain_bytes"; NULL when it is not known. */
json_t *ram_image_json(struct core *core, const struct uuid *image) REQUIRES(core->registry.lock);
