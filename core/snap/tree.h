/* Snapshots in memory and their rows: for core's own files. */
#pragma once
#include "core/core/parts.h"
#include "core/disk/file.h"

struct snapshot {
    struct uuid id, vm;
    struct uuid parent; /* zero: the VM stood on none */
    char *name, *notes;
    char *spec; /* JSON of the configuration then */
    int64_t created_ms;
    struct snapshot_disk_record *disks;
    size_t n_disks;
    struct uuid memory; /* its image (core/ram); zero: none */
    enum snapshot_memory {
        SNAPSHOT_NO_MEMORY,
        SNAPSHOT_STREAMING, /* it is being written: the operation is not over */
        SNAPSHOT_READY,
        SNAPSHOT_LOST /* 'memory_note' says why */
    } memory_state;
    char *memory_note;     /* or NULL */
    struct snapshot *next; /* of the same VM, oldest first */
};

bool snapshots_load(struct core *core, struct err *err) MUST_USE;
void snapshot_free(struct snapshot *snapshot);
/* Of the VM, by id or name; NULL. */
struct snapshot *snapshot_find(struct vm *vm, const char *ref);
struct snapshot *snapshot_get(struct vm *vm, const struct uuid *id);
void snapshot_enlist(struct vm *vm, struct snapshot *snapshot); /* takes it */
void snapshot_delist(struct vm *vm, struct snapshot *snapshot); /* and frees it */
/* How many snapshots of the VM have this file as one of theirs. */
unsigned snapshots_with_file(struct vm *vm, const struct uuid *file);
const char *snapshot_level(const struct snapshot *snapshot);       /* "running", "disk" */
const char *snapshot_memory_text(const struct snapshot *snapshot); /* its state: "ready" */
/* Of the whole tree, children before their parents. Under vm->writing. */
bool snapshots_remove_rows(struct store_txn *txn, struct vm *vm, struct err *err) MUST_USE;
void snapshot_record_fill(const struct snapshot *snapshot, struct snapshot_record *record);
/* NOT_FOUND with a sentence. Under the registry lock. */
struct snapshot *snapshot_need(struct core *core, struct vm *vm, const char *ref,
                               struct err *err) MUST_USE REQUIRES(core->registry.lock);

/* Files that the disks of one VM may lie on together: of the 240 descriptors that a start hands
 * over. */
#define FILES_OF_A_VM_MAX 200

/* ---- overlays.c: new files on top of others, named in a job's arguments as
 * [{"disk":…,"file":…,"parent":…}] ---- */
struct overlay {
    struct uuid disk, file, parent;
    struct layer layer;
};
/* For each disk of the VM a new file on 'parent_of' it; free() the array. */
struct overlay *overlays_plan(struct core *core, const struct uuid *vm,
                              const struct uuid *(*parent_of)(void *ctx, const struct disk *disk),
                              void *ctx, size_t *n, struct err *err) MUST_USE;
/* The same for the disks of a snapshot, whether they are there or not. */
struct overlay *overlays_plan_on(struct core *core, const struct uuid *vm,
                                 const struct snapshot_disk_record *disks, size_t n,
                                 struct err *err) MUST_USE;
json_t *overlays_json(const struct overlay *list, size_t n);
/* From a job's arguments, and into memory where they are not yet. */
struct overlay *overlays_of_job(struct core *core, const struct uuid *vm, const json_t *args,
                                size_t *n, struct err *err) MUST_USE;
bool overlays_write(struct store_txn *txn, const struct overlay *list, size_t n, const char *state,
                    const struct uuid *job, struct err *err) MUST_USE;
bool overlays_make(struct core *core, const struct overlay *list, size_t n,
                   struct err *err) MUST_USE;
/* Undoes it: files, rows, memory. What cannot be done now is done at the next start. */
void overlays_drop(struct core *core, const struct overlay *list, size_t n);
/* The disks write to their overlays from now on: rows, and then memory once they are durable. */
bool overlays_write_leaves(struct core *core, struct store_txn *txn, const struct overlay *list,
                           size_t n, struct err *err) MUST_USE;
void overlays_set_leaves(struct core *core, const struct overlay *list, size_t n);

/* ---- remains.c ---- */
/* Memory follows rows that say 'trash'. */
void files_discard(struct core *core, const struct layer *list, size_t n);
/* Removes a VM's files that are in the trash; what cannot be removed stays there until the next
 * start. */
void files_settle_vm(struct core *core, const struct uuid *vm);
/* At the start: all VMs' trash, and new files whose operation is over. */
void files_settle(struct core *core);
/* The variables of a UEFI VM, kept with a snapshot and put back. */
bool nvram_keep(struct core *core, const struct vm *vm, const struct uuid *snapshot,
                struct err *err) MUST_USE;
/* To another VM, as its own. */
bool nvram_hand_over(struct core *core, const struct vm *from, const struct uuid *snapshot,
                     const struct vm *to, struct err *err) MUST_USE;
bool nvram_put_back(struct core *core, const struct vm *vm, const struct uuid *snapshot,
                    struct err *err) MUST_USE;
/* And its picture. */
bool nvram_forget(struct core *core, const struct vm *vm, const struct uuid *snapshot,
                  struct err *err) MUST_USE;

/* ---- picture.c ---- */
/* What the VM's first display shows now, if it runs and has one; nothing fails for it. */
void picture_keep(struct core *core, struct vm *vm, const struct uuid *snapshot);
/* 'dir' is the VM's. */
bool picture_forget(int dir, const struct uuid *snapshot, struct err *err) MUST_USE;
bool picture_is_there(struct core *core, const struct vm *vm, const struct uuid *snapshot);
