/* The inside of core: what its services share. Included by core's own files only.
 *
 * Locks, in this order: a VM's 'writing' -> a store transaction -> registry -> jobs -> events.
 * 'writing' serialises the writes of one VM's row and memory, and is the only one that is held over
 * a flush to the disk. None is held across a machine call or a helper call. */
#pragma once
#include "core/base/thread.h"
#include "core/core/core.h"
#include "core/core/parts_disk.h"
#include "core/job/job.h"
#include "core/model/state.h"
#include "core/model/vm.h"
#include "core/port/backend.h"
#include "core/port/host.h"
#include "core/port/store.h"

#include <stdatomic.h>
#include <uthash.h>

#define NO_SLOT UINT32_MAX

enum vm_phase { VM_CREATING, VM_DEFINED, VM_DELETING };

/* A VM's text as it was shown last, and what it was made from: as long as that is the same, the
 * text is. Reading one VM is the commonest request there is. */
struct vm_shown {
    uint64_t revision, state_revision;
    struct uuid job;
    enum vm_phase phase;
    enum vm_accel accel;
    bool has_reason;
    char *text; /* NULL: not kept */
    size_t len;
    struct vm *prev, *next; /* of those that are kept, oldest first */
};

struct snapshot; /* core/snap/tree.h */
struct restarts; /* core/model/restarts.h */
struct restarter;
struct departed;

struct vm {
    /* never changes */
    struct uuid id;
    int backend; /* enum vm_backend */
    int64_t created_ms;

    struct lock writing; /* see above */

    /* registry lock; 'name' and 'spec' are also stable under 'writing' */
    unsigned refs;
    bool listed;                   /* in the tables; false once deleted */
    char name[NAME_MAX_BYTES + 1]; /* of spec; elsewhere read it with VM_NAME() */
    struct vm_spec spec;
    struct vm_spec *active; /* as started; NULL when off */
    enum vm_phase phase;
    enum vm_run run;
    enum vm_reason reason;
    enum vm_desired desired;
    char *detail;              /* last words of a crash, or NULL */
    struct restarts *restarts; /* by its policy; NULL when there was none lately */
    uint32_t slot;
    uint32_t helper_slot; /* of a QEMU that works on its disks while it is off: core/snap */
    uint64_t revision, state_revision;
    int64_t updated_ms, state_since_ms;
    struct uuid job;          /* holds the claim; zero when free */
    const char *job_kind;     /* of that job */
    struct machine *machine;  /* NULL unless live */
    unsigned machine_users;   /* calls under way into it */
    unsigned arriving;        /* calls under way that will say whether there is one */
    bool ending;              /* an exit is being settled */
    bool applying;            /* an edit is being applied to the machine: live.c */
    bool look_again;          /* the machine may be more than 'active' says */
    bool typing;              /* a client uses the keyboard: input.c */
    unsigned buttons;         /* of the pointer that are down, as bits; none when it starts */
    char pending_reason[256]; /* why the last one could not be, "" when it could */
    enum vm_accel accel;      /* chosen at the last start */
    char accel_reason[256];
    uint64_t serial_from; /* where this guest's words begin in the serial log; 0: not known */
    struct vm_shown shown;
    struct snapshot *snapshots; /* oldest first: core/snap */
    struct {                    /* what did not work; core/snap/schedule.c's thread alone uses it */
        int64_t missed_slot, begun_ms;
        struct uuid begun;          /* to take one, at begun_ms */
        struct uuid dropped;        /* tried last */
        int64_t stuck_ms, again_ms; /* up to which one, by when they were taken, and until when */
    } schedule;
    struct { /* core/vm/refill.c; the janitor alone uses it */
        int64_t next_ms;
        unsigned tries;
    } refill;
    struct { /* core/snap/unfinished.c; the janitor alone uses it */
        int64_t next_ms;
        unsigned tries;
    } unfinished;
    struct uuid stands_on; /* the snapshot it goes on from; zero: none */
    struct uuid memory;    /* the image that a saved VM goes on with; zero: none (core/ram) */
    char *memory_leaves;   /* ... and the files its disks wrote to at that instant */

    UT_hash_handle by_id, by_name;
};

/* A name on its way to a VM: nobody else may take it meanwhile. */
struct name_claim {
    const char *name;
    struct name_claim *next;
};

struct registry {
    struct lock lock;
    struct cond changed; /* a VM's run, job or machine changed */
    struct vm *vms_by_id GUARDED_BY(lock);
    struct vm *vms_by_name GUARDED_BY(lock);
    struct vm *shadows GUARDED_BY(lock); /* by id: core/snap/helper.h */
    struct name_claim *name_claims GUARDED_BY(lock);
    struct vm **names GUARDED_BY(lock); /* all VMs in the order of their names: names.c */
    size_t n_names GUARDED_BY(lock), names_cap GUARDED_BY(lock);
    struct departed *departed GUARDED_BY(lock); /* core/user/sight.c */
    size_t n_departed GUARDED_BY(lock);         /* so many, ever */
    struct vm *shown GUARDED_BY(lock);          /* whose text is kept: shown.c */
    size_t shown_bytes GUARDED_BY(lock);        /* ... how much that is */
    size_t shown_max GUARDED_BY(lock);          /* ... and may be */
    struct pool *pools GUARDED_BY(lock);        /* oldest first */
    struct disk *disks_by_id GUARDED_BY(lock);
    struct file *files GUARDED_BY(lock); /* by id */
    bool ram_rubbish GUARDED_BY(lock);   /* a memory image may be in the trash: core/ram */
    struct disk_owner *disk_owners GUARDED_BY(lock);
    struct reservation *reservations GUARDED_BY(lock); /* core/disk/space.h */
    struct upload *uploads GUARDED_BY(lock);           /* core/disk/upload.h */
    uint64_t starting_bytes GUARDED_BY(lock); /* memory promised to VMs that are just starting */
    unsigned exits GUARDED_BY(lock);          /* exits being settled */
};

struct serial_bell {
    struct lock lock;
    struct cond rung; /* some VM's serial log grew */
    uint64_t rings GUARDED_BY(lock);
};

struct core {
    struct store *store;
    char *state_dir;
    int state_fd; /* state_dir */
    int vms_fd;   /* state_dir/vm */
    atomic_bool closing;
    struct backend_probe probe;
    struct host_facts facts;
    struct registry registry;
    struct serial_bell serial;
    struct jobs *jobs;           /* core/job */
    struct events *events;       /* core/event */
    struct hooks *hooks;         /* core/hook */
    struct templates *templates; /* core/template */
    struct tokens *tokens;       /* core/user */
    struct users *users;         /* core/user */
    atomic_uint accounts;        /* changes with whatever rights somebody has */
    struct janitor *janitor;
    struct copies *copies;       /* core/vm */
    atomic_uint copies_written;  /* by this daemon: with the epoch they are numbered by it */
    struct restarter *restarter; /* core/vm/restart.h */
    struct autostart *autostart; /* core/vm/autostart.h; NULL when nothing is to be started */
    char boot_id[64];            /* of the host, "" when it does not tell */
    struct survey *survey;       /* core/host */
    int *root_dirs;              /* one a configured pool root, -1 when it cannot be opened */
};

const struct backend *core_backend(int vm_backend);

/* ---- events ---- */
struct events *events_new(struct core *core, struct err *err) MUST_USE;
void events_free(struct events *events);
void events_interrupt(struct events *events);
/* Adds an event to 'txn'; takes 'data'. Call events_ring() once the transaction is committed. */
bool event_add(struct store_txn *txn, const char *type, const char *object_type,
               const struct uuid *object, json_t *data, struct err *err) MUST_USE;
void events_ring(struct core *core);
/* For the audit trail: the event alone, and what event_add() adds behind it. */
bool event_put(struct store_txn *txn, const char *type, const char *object_type,
               const struct uuid *object, json_t *data, uint64_t *seq, struct err *err) MUST_USE;
bool audit_attach(struct store_txn *txn, const char *object_type, const struct uuid *object,
                  uint64_t seq, struct err *err) MUST_USE;

/* ---- webhooks ---- */
/* Loads them and begins to deliver; after a failure hooks_stop() cleans up. */
bool hooks_start(struct core *core, struct err *err) MUST_USE;
void hooks_interrupt(struct core *core); /* requests under way end at once */
void hooks_stop(struct core *core);      /* waits for their threads; none is fine */

/* ---- jobs ---- */
struct job_order {
    const struct job_kind *kind;
    const char *object_type;
    struct uuid object;
    const char *object_name;
    json_t *args;   /* taken; may be NULL */
    struct uuid id; /* chosen by the caller with uuid_new() */
    /* More rows for the same transaction, or NULL. */
    bool (*also)(struct store_txn *txn, void *ctx, struct err *err);
    void *ctx;
};
struct jobs *jobs_new(struct core *core, struct err *err) MUST_USE;
void jobs_wake(struct jobs *jobs); /* all who wait look again */
void jobs_stop(struct jobs *jobs); /* running ones come to a resting point; none starts */
void jobs_free(struct jobs *jobs);
/* Takes up the jobs that an earlier daemon left open: first their claims, later their work. */
bool jobs_load(struct core *core, struct err *err) MUST_USE;
void jobs_resume(struct core *core);
/* Durable on return: row, idempotency key, event and order->also's rows in one transaction. */
bool job_submit(struct core *core, struct job_order *order, const struct origin *origin,
                struct err *err) MUST_USE;
/* The same for what order->also's rows do by themselves: durable on return, the operation has
 * succeeded and nothing is run. One flush to the disk in place of three. */
bool job_done_at_once(struct core *core, struct job_order *order, const struct origin *origin,
                      struct err *err) MUST_USE;
/* The same for several, all in one transaction: all are durable on return, or none is. The key, if
 * there is one, is that of a "batch", with 'note' as its note. */
bool job_submit_all(struct core *core, struct job_order *orders, size_t n, const json_t *note,
                    const struct origin *origin, struct err *err) MUST_USE;
bool job_is_open(struct core *core, const struct uuid *id);    /* false for a zero id */
void job_ask_cancel(struct core *core, const struct uuid *id); /* no checks: 'stop' does this */
extern const struct job_kind *const job_kinds[];               /* NULL-terminated */
const struct job_kind *job_kind_find(const char *name);
bool idem_add(struct store_txn *txn, const struct origin *origin, const char *object_type,
              const struct uuid *object, struct err *err) MUST_USE;
/* For what is more than one object. */
bool idem_add_batch(struct store_txn *txn, const struct origin *origin, const json_t *note,
                    struct err *err) MUST_USE;

/* ---- templates ---- */
bool templates_load(struct core *core, struct err *err) MUST_USE;
void templates_free(struct templates *templates); /* NULL is fine */

/* ---- tokens ---- */
struct tokens *tokens_new(struct core *core, struct err *err) MUST_USE;
void tokens_free(struct tokens *tokens);
void tokens_forget(struct core *core, const struct uuid *owner); /* whose rows are gone */

/* ---- users and their sessions ---- */
struct users *users_new(struct core *core, const struct core_config *config,
                        struct err *err) MUST_USE;
void users_free(struct users *users); /* NULL is fine */
/* Somebody has other rights, or none any more, and memory knows: streams ask at once whose they
 * still are. With events_ring(). */
void accounts_ring(struct core *core);
