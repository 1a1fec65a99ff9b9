/* The table of VMs in memory: finding, counting references, claims, and the writes that keep row
 * and memory the same. For core's own files. */
#pragma once
#include "core/core/parts.h"

void registry_init(struct core *core);
void registry_clear(struct core *core);

/* What a client calls so, by id or name, if it may be seen (core/user/sight.h); counts a reference.
 * NOT_FOUND. VMs that are being created are found, deleted not. */
struct vm *vm_get(struct core *core, const char *ref, struct err *err) MUST_USE;
/* Whoever sees it. */
bool vm_name_is_taken(struct core *core, const char *name);
struct vm *vm_get_id(struct core *core, const struct uuid *id, struct err *err) MUST_USE;
void vm_put(struct core *core, struct vm *vm);
struct vm_hold { /* CLEANUP(vm_drop) struct vm_hold h = {core, vm} */
    struct core *core;
    struct vm *vm;
};
void vm_drop(struct vm_hold *hold);

/* A new VM in the table, with one reference for the caller. EXISTS when the name or the id is
 * taken. Takes '*spec'. */
struct vm *vm_enlist(struct core *core, const struct uuid *id, struct vm_spec *spec,
                     struct err *err) MUST_USE;
void vm_delist(struct core *core, struct vm *vm);

/* The VM's name now, copied for the enclosing block: it may change at any time. Takes the registry
 * lock; under that lock or vm->writing vm->name itself can be read. */
#define VM_NAME(core, vm) vm_name_copy(core, vm, (char[NAME_MAX_BYTES + 1]){0})
const char *vm_name_copy(struct core *core, const struct vm *vm, char out[NAME_MAX_BYTES + 1]);
/* Renaming: keeps 'claim->name' free for the caller until it is released; EXISTS when it is not
 * free. The claim is the caller's memory. */
bool vm_name_claim(struct core *core, struct name_claim *claim, struct err *err) MUST_USE;
void vm_name_release(struct core *core, struct name_claim *claim);
/* 'name' is the caller's claim, or the VM's own already. */
void vm_name_set(struct core *core, struct vm *vm, const char *name) REQUIRES(core->registry.lock);
/* References to all VMs, for walking without the lock; ended by NULL; freed by vm_put_all(). */
struct vm **vm_get_all(struct core *core, size_t *n);
void vm_put_all(struct core *core, struct vm **vms);

/* Checks the table of states and takes the VM for 'job'. WRONG_STATE, BUSY. With a zero 'job' it
 * only checks (dry run). */
bool vm_claim(struct core *core, struct vm *vm, enum vm_verb verb, const struct uuid *job,
              const char *job_kind, struct err *err) MUST_USE;
/* The same in whatever state it is: for what is not a verb. */
bool vm_claim_free(struct core *core, struct vm *vm, const struct uuid *job, const char *job_kind,
                   struct err *err) MUST_USE;
void vm_unclaim(struct core *core, struct vm *vm, const struct uuid *job);

/* The last that a thread does which registry.exits counts: its reference goes as well. From here on
 * the core may be gone. */
void vm_exit_settled(struct core *core, struct vm *vm);

/* The machine for one call: NULL with WRONG_STATE when there is none. */
struct machine *vm_machine_use(struct core *core, struct vm *vm, const struct backend **backend,
                               struct err *err) MUST_USE;
void vm_machine_done(struct core *core, struct vm *vm);

/* What one write of the observed state changes. */
struct vm_change {
    bool keep_run; /* run, reason and detail stay as they are */
    enum vm_run run;
    enum vm_reason reason;
    const char *detail;             /* NULL clears */
    const enum vm_desired *desired; /* NULL keeps */
    const uint32_t *slot;           /* NULL keeps */
    const struct vm_spec *active;   /* what the machine is or will be; NULL keeps … */
    bool clear_active;              /* … or it is none */
    bool regardless;    /* memory follows even when the row could not be written: what was
                         * seen is true, and the next write of the row brings it along */
    unsigned only_from; /* states as bits (1u << VM_…): elsewhere nothing is done; 0: any */
    bool again;         /* a restart failed: it counts as one more crash */
    bool ended; /* nothing of it lives: its run directory goes once the row is durable, which
                 * replaces the exit record in it, and before memory shows the state */
    const struct uuid *memory; /* the image that it goes on with from now on; zero: none; NULL
                                * keeps */
    const char *leaves;        /* ... and the files of its disks at that instant */
    /* More rows for the same transaction, behind the VM's own and under vm->writing, or NULL. */
    bool (*also)(struct store_txn *txn, void *ctx, struct err *err);
    void *ctx;
};
/* Row, event and memory, in this order, durable on return. Takes vm->writing itself. */
bool vm_change_state(struct core *core, struct vm *vm, const struct vm_change *wanted,
                     struct err *err) MUST_USE;
/* The same without asking what failed: for observations, which are true whether written or not. */
void vm_observe(struct core *core, struct vm *vm, enum vm_run run, enum vm_reason reason,
                const char *detail);
/* A guest that stands still because it is being saved: nobody has paused it. With the registry lock
 * held. */
bool vm_stands_for_save(const struct vm *vm, enum vm_run run, enum vm_reason reason);
/* What the guest said last on its first serial port, as text of one or more lines: control
 * characters are escaped ("\\x1b"), it begins at the kernel's own word for a panic if there is one.
 * "" when there is nothing. Reads the log's file. */
void vm_last_words(struct core *core, const struct vm *vm, char *out, size_t size);
/* Fills a store record from memory; texts in 'json' (freed by the caller with json_text_free). */
struct vm_texts {
    char *spec, *active, *restarts;
};
void vm_record_fill(const struct vm *vm, struct vm_record *record, struct vm_texts *texts);
void vm_texts_clear(struct vm_texts *texts);

/* Asks 'so' with the registry lock held. */
bool vm_is(struct core *core, struct vm *vm, bool (*so)(const struct vm *vm, void *ctx), void *ctx);
/* Waits until 'done' says so (with the registry lock held) or the deadline. */
bool vm_wait(struct core *core, struct vm *vm, bool (*done)(const struct vm *vm, void *ctx),
             void *ctx, int64_t deadline_mono_ms);

/* Around a call that makes a machine, or looks for one, up to where 'machine' has it: an exit that
 * it tells of meanwhile is settled after that. */
void vm_arrives(struct core *core, struct vm *vm);
void vm_has_arrived(struct core *core, struct vm *vm);

/* Gives a helper (core/snap) the lowest uid slot that nobody has: vm->helper_slot. */
bool vm_slot_take(struct core *core, struct vm *vm, uint32_t *slot, struct err *err) MUST_USE;
/* Ends whatever of a VM's worker still lives; and removes its run directory, the exit record in it.
 * Failures are logged. */
void vm_sweep_worker(const struct vm *vm);
void vm_sweep_run_dir(const struct vm *vm);
/* Brings a running machine to what the configuration says, as far as that can be done while it
 * runs; the rest stays pending. One caller at a time, the others wait. See live.c. */
void vm_apply_live(struct core *core, struct vm *vm);
/* Events from machines; see observe.c. */
extern void vm_machine_event(void *ctx, const struct uuid *id, const struct machine_event *event);
const char *vm_serial_log(unsigned port); /* file name in the VM's directory */
#define VM_QEMU_LOG "qemu.log"            /* beside it: QEMU's standard error, up to 1 MiB */
/* INVALID with "?port" when the VM has no such port, now or as it was started. */
bool vm_has_port(struct core *core, const struct vm *vm, unsigned port, struct err *err) MUST_USE;
int vm_dir_open(struct core *core, const struct vm *vm, bool create, struct err *err) MUST_USE;
/* Makes it, durably; one that is there already may not be durable yet. */
int vm_dir_make(struct core *core, const struct vm *vm, struct err *err) MUST_USE;
/* The one word for the VM: what a job is doing to it, else what was observed. Static text; with the
 * registry lock held. */
const char *vm_derived_state(const struct vm *vm);
json_t *vm_view(struct core *core, const struct vm *vm) REQUIRES(core->registry.lock);

/* ---- names.c: the VMs in the order of their names. Whoever changes the name of a listed VM takes
 * it out before and puts it in after. ---- */
void names_add(struct registry *r, struct vm *vm) REQUIRES(r->lock);
void names_remove(struct registry *r, const struct vm *vm) REQUIRES(r->lock);
/* Position of the first VM whose name comes after 'name'; r->n_names when there is none. */
size_t names_after(const struct registry *r, const char *name) REQUIRES(r->lock);

/* ---- shown.c: VMs' texts, kept until they change or too many are kept. Who changes what is shown
 * without a new revision drops the text. ---- */
#define SHOWN_BYTES (16u << 20)
/* Borrowed until the lock is dropped; NULL when it cannot be made. */
const char *shown_text(struct core *core, struct vm *vm, size_t *len) REQUIRES(core->registry.lock);
void shown_drop(struct registry *r, struct vm *vm) REQUIRES(r->lock);

/* ---- copy.c: the disaster copies ---- */
/* How many VMs have one, at least; before the database is opened. */
unsigned copies_count(const struct core *core);
/* Begins writing them, in the background: first those that an earlier daemon left old. */
struct copies *copies_start(struct core *core, struct err *err) MUST_USE;
void copies_stop(struct copies *copies); /* what is due is written first, for 2 s at most */
/* Has a VM's copy written soon. Call it when the change is durable. */
void vm_copy_later(struct core *core, const struct uuid *id);
/* The same of pools and templates. */
void host_copy_later(struct core *core);
/* Writes a VM's copy and waits: before data goes that the last one may name (R11), and before a
 * guest runs that it may call saved. Where it cannot be written there is none afterwards: no copy
 * is better than one that would bring back what is no longer true. Takes vm->writing. */
void vm_copy_now(struct core *core, struct vm *vm);
/* Removes a VM's copies: before its files go. */
bool vm_copy_forget(struct core *core, const struct vm *vm, struct err *err) MUST_USE;
