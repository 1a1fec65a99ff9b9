/* Taking a snapshot with the guest's memory (docs/memory.md), in place of taking.c's steps 3 and 4:
 *
 *   3 the machine's worker: the disks switch, the memory streams into the image
 *   4 * once they have switched: snapshot row 'streaming', leaves, the VM stands on it transaction
 *   5 the image is complete and flushed, and its name is
 *   6 * image 'live', snapshot 'ready' transaction
 *
 * Before the switch a failure or a cancellation leaves nothing. After it the snapshot is there:
 * when its memory fails, an operation that deletes it again is submitted in the transaction that
 * says so; when the machine is gone, it stays without. With the copy before ("precopy"), and when
 * the guest stands still ("still"), the switch is at the end, and 4 and 6 are one transaction.
 * Whoever enters again asks the machine. */
#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/blocks.h"
#include "core/snap/taking.h"
#include "core/vm/kinds.h"
#include "core/vm/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS  50
#define AGAIN_MS 1000
#define GIVEN_UP "delete" /* the step: the snapshot is deleted again */
#define LOST     "the VM ended while its memory was written: the snapshot has its disks alone"

/* ---- what the machine says ---- */

enum news {
    NEWS_NONE,     /* it knows nothing of it: nothing has happened */
    NEWS_SWITCHED, /* and is not over */
    NEWS_COMPLETE,
    NEWS_FAILED, /* 'switched' says whether the disks had switched */
    NEWS_GONE,   /* the machine is, and may have switched */
    NEWS_LATER   /* the daemon ends */
};

bool taking_memory_begin(struct taking *t, struct err *err)
{
    static const enum memory_way ways[] = {MEMORY_BACKGROUND, MEMORY_PRECOPY, MEMORY_STILL};
    const char *way = json_get_text(t->args, "way");

    t->with_memory = true;
    t->way = MEMORY_BACKGROUND;
    for (size_t i = 0; i < ARRAY_LEN(ways); i++)
        if (str_eq(ram_way_text(ways[i]), way))
            t->way = ways[i];
    return ram_image_of_job(t->core, &t->vm->id, job_id(t->job), t->args, &t->image, err);
}

static void rest(struct taking *t, int64_t ms)
{
    struct blocks at = {.core = t->core, .vm = t->vm};

    blocks_rest(&at, ms);
}

/* False: it does not say, for now. */
static bool ask(struct taking *t, struct machine_memory_state *now)
{
    const struct backend *backend;
    struct err none = {0};
    struct machine *machine = vm_machine_use(t->core, t->vm, &backend, &none);
    bool ok;

    if (!machine)
        return false;
    ok = backend->memory_state(machine, &t->image.id, now, &none);
    vm_machine_done(t->core, t->vm);
    return ok;
}

/* Asks for its end, or has the machine forget it. */
static bool end(struct taking *t, bool cancel)
{
    const struct backend *backend;
    struct err err = {0};
    struct machine *machine = vm_machine_use(t->core, t->vm, &backend, &err);
    bool ok;

    if (!machine)
        return false;
    ok = backend->memory_end(machine, &t->image.id, cancel, &err);
    vm_machine_done(t->core, t->vm);
    return ok;
}

/* True once there is something to be done. */
static bool is_news(struct taking *t, bool until_switched, const struct machine_memory_state *now,
                    enum news *news)
{
    switch (now->state) {
    case MEMORY_NONE:
        *news = NEWS_NONE;
        return true;
    case MEMORY_ENDED:
        *news = now->error[0] ? NEWS_FAILED : NEWS_COMPLETE;
        return true;
    default:
        job_progress(t->job, now->done, now->total);
        *news = NEWS_SWITCHED;
        return until_switched && now->switched;
    }
}

/* Watches until the disks have switched, or until it is over. */
static enum news watch(struct taking *t, bool until_switched, struct machine_memory_state *now)
{
    bool asked = false;
    enum news news;

    for (;;) {
        if (atomic_load(&t->core->closing))
            return NEWS_LATER;
        if (ask(t, now)) {
            if (is_news(t, until_switched, now, &news))
                return news;
        } else if (taking_is_alone(t)) {
            return NEWS_GONE;
        }
        if (!asked && job_cancelled(t->job) && !atomic_load(&t->core->closing))
            asked = end(t, true);
        rest(t, LOOK_MS);
    }
}

/* ---- 3 ---- */

static bool call(struct taking *t, struct machine *machine, const struct backend *backend,
                 struct err *err)
{
    CLEANUP(mem_freep) struct machine_overlay *list = mem_array(t->n + 1, sizeof *list);
    struct machine_memory_save save = {.image = t->image.id,
                                       .ram_bytes = t->image.size_bytes,
                                       .way = t->way,
                                       .goes_on = true,
                                       .overlays = list,
                                       .n = t->n};

    save.fd = ram_image_open_new(&t->image, err);
    if (save.fd < 0)
        return false;
    if (!taking_open_overlays(t, list, err)) {
        closep(&save.fd);
        return false;
    }
    return FAILPOINT_AROUND("vm.snapshot.memory", backend->memory_save(machine, &save, err), err);
}

/* '*called': it may have begun, whatever came out. */
static bool start(struct taking *t, bool *called, struct err *err)
{
    const struct backend *backend;
    struct machine *machine = taking_machine(t, &backend, err);
    bool ok;

    *called = machine != NULL;
    if (!machine)
        return !err->code &&
               err_set(err, ERR_WRONG_STATE, "the VM ended before its memory could be kept");
    t->began_ms = clock_wall_ms();
    ok = call(t, machine, backend, err);
    vm_machine_done(t->core, t->vm);
    return ok;
}

static bool say_failed(struct taking *t, const struct machine_memory_state *now, struct err *err)
{
    if (job_cancelled(t->job))
        return err_set(err, ERR_CANCELLED, "the guest's memory was not kept");
    return ram_image_fail(t->core, &t->image, now, err);
}

/* ---- 4 ---- */

static char *leaves_of(struct taking *t)
{
    CLEANUP(mem_freep) struct disk *disks = mem_array(t->n + 1, sizeof *disks);

    for (size_t i = 0; i < t->n; i++)
        disks[i] = (struct disk){.id = t->overlays[i].disk,
                                 .position = taking_position(t, i),
                                 .leaf = t->overlays[i].parent};
    return ram_leaves_text(disks, t->n);
}

/* What the machine says of itself; false when it is gone before it said it, or the daemon ends. */
static bool learn(struct taking *t, const struct machine_memory_state *now)
{
    CLEANUP(mem_freep) char *leaves = leaves_of(t);
    CLEANUP(mem_freep) char *made = NULL;

    while (!made) {
        const struct backend *backend;
        struct err none = {0};
        struct machine *machine = vm_machine_use(t->core, t->vm, &backend, &none);
        bool ok = machine && backend->memory_made(machine, &made, &none);
        if (machine)
            vm_machine_done(t->core, t->vm);
        if (!ok && (taking_is_alone(t) || atomic_load(&t->core->closing)))
            return false;
        if (!ok)
            rest(t, LOOK_MS);
    }
    t->facts = ram_image_describe(t->core, t->vm, t->way, now, made, leaves);
    if (t->began_ms)
        t->facts->took_ms = (uint64_t)(t->facts->created_ms - t->began_ms);
    return true;
}

bool taking_memory_rows(struct taking *t, struct store_txn *txn, struct err *err)
{
    static const struct uuid none;

    if (t->memory_state == SNAPSHOT_READY)
        return ram_image_write_live(txn, &t->image, t->facts, err);
    if (t->memory_state == SNAPSHOT_STREAMING)
        return ram_image_write_facts(txn, &t->image, t->facts, err);
    return layer_write(txn, &t->image, "trash", &none, err);
}

void taking_memory_follow(struct taking *t)
{
    if (t->memory_state == SNAPSHOT_READY)
        ram_image_set_live(t->core, &t->image, TAKE(t->facts));
    else if (t->memory_state == SNAPSHOT_STREAMING)
        ram_image_set_facts(t->core, &t->image, TAKE(t->facts));
    else
        ram_image_left(t->core, &t->image.id, true);
}

static bool record(struct taking *t, enum snapshot_memory state,
                   const struct machine_memory_state *now, struct err *err)
{
    const bool known = state != SNAPSHOT_LOST && learn(t, now);

    if (state != SNAPSHOT_LOST && !known && atomic_load(&t->core->closing))
        return err_set(err, ERR_UNAVAILABLE, "the daemon ends");
    t->switched = true;
    t->memory_state = known ? state : SNAPSHOT_LOST;
    t->memory_note = known ? NULL : LOST;
    if (!taking_commit(t, err))
        return false;
    ram_images_sweep(t->core);
    return true;
}

/* ---- 6, and what comes in its place ---- */

struct change {
    struct taking *t;
    enum snapshot_memory state;
    const char *note;
    struct ram_image *facts; /* READY */
};

/* The snapshot's row with what is true of its memory now. Under vm->writing. */
static bool write_change(struct store_txn *txn, void *ctx, struct err *err)
{
    struct change *c = ctx;
    const struct snapshot *s = snapshot_get(c->t->vm, &c->t->id);
    struct snapshot now = *s;
    struct snapshot_record row;
    bool last;

    now.memory_state = c->state;
    now.memory_note = (char *)c->note;
    if (c->state == SNAPSHOT_LOST)
        now.memory = (struct uuid){0};
    snapshot_record_fill(&now, &row);
    return store_snapshot_put(txn, &row, err) &&
           (c->facts ? ram_image_write_live(txn, &c->t->image, c->facts, err)
                     : ram_image_let_go(txn, &c->t->image.id, &last, err)) &&
           FAILPOINT("vm.snapshot.ready", err);
}

static void apply_change(struct change *c)
{
    struct core *core = c->t->core;
    struct snapshot *s;

    lock_take(&core->registry.lock);
    s = snapshot_get(c->t->vm, &c->t->id);
    s->memory_state = c->state;
    free(s->memory_note);
    s->memory_note = str_dup(c->note);
    if (c->state == SNAPSHOT_LOST)
        s->memory = (struct uuid){0};
    c->t->vm->state_revision++;
    lock_drop(&core->registry.lock);
    if (c->facts)
        ram_image_set_live(core, &c->t->image, TAKE(c->facts));
    else
        ram_image_left(core, &c->t->image.id, true);
}

static bool commit_change(struct change *c, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = NULL;
    bool ok;

    lock_take(&c->t->vm->writing);
    txn = store_begin(c->t->core->store, err);
    ok = txn && write_change(txn, c, err) && store_commit(&txn, err);
    if (ok)
        apply_change(c);
    lock_drop(&c->t->vm->writing);
    return ok;
}

/* False with *err set once another daemon has to do it. */
static bool again(struct taking *t, struct err *err)
{
    if (atomic_load(&t->core->closing) || store_is_poisoned(t->core->store))
        return false;
    log_error("what became of the memory of %s is not recorded yet: %s", VM_NAME(t->core, t->vm),
              err->detail);
    rest(t, AGAIN_MS);
    *err = (struct err){0};
    return true;
}

static bool change_surely(struct change *c, struct err *err)
{
    bool ok;

    while (!(ok = commit_change(c, err)) && again(c->t, err))
        ;
    ram_image_free(TAKE(c->facts));
    vm_copy_later(c->t->core, &c->t->vm->id);
    ram_images_sweep(c->t->core);
    return ok;
}

static bool finish(struct taking *t, const struct machine_memory_state *now, struct err *err)
{
    struct ram_image *facts = ram_image_get(t->core, &t->image.id, err);
    struct change c = {.t = t, .state = SNAPSHOT_READY, .facts = facts};

    if (!facts)
        return false;
    facts->held_bytes = now->held_bytes;
    facts->pause_us = now->pause_us;
    facts->took_ms += (uint64_t)(clock_wall_ms() - facts->created_ms);
    while (!ram_image_flush(&t->image, err))
        if (!again(t, err)) {
            ram_image_free(facts);
            return false;
        }
    if (!change_surely(&c, err))
        return false;
    (void)end(t, false);
    return true;
}

static bool lose(struct taking *t, struct err *err)
{
    struct change c = {.t = t, .state = SNAPSHOT_LOST, .note = LOST};

    return change_surely(&c, err) && err_set(err, ERR_HYPERVISOR, LOST);
}

/* ---- giving up ---- */

static json_t *delete_args(struct taking *t)
{
    json_t *args = json_object();

    json_put_text(args, "snapshot", UUID_STR(&t->id));
    return args;
}

static void hand_over(struct taking *t, const struct uuid *from, const struct uuid *to,
                      const struct job_kind *kind)
{
    lock_take(&t->core->registry.lock);
    if (uuid_eq(&t->vm->job, from)) {
        t->vm->job = *to;
        t->vm->job_kind = kind->name;
    }
    lock_drop(&t->core->registry.lock);
}

/* The VM's claim goes over to the deletion. */
static bool submit_deletion(struct taking *t, struct change *c, struct uuid *op, struct err *err)
{
    static const struct origin self = {
        .principal = "vmmd", .role = ROLE_ADMIN, .route = "snapshot without its memory"};
    char name[NAME_MAX_BYTES + 1];
    struct job_order order = {.kind = &vm_delete_snapshot_kind,
                              .object_type = "vm",
                              .object = t->vm->id,
                              .object_name = vm_name_copy(t->core, t->vm, name),
                              .args = delete_args(t),
                              .id = uuid_new(),
                              .also = write_change,
                              .ctx = c};
    bool ok;

    *op = order.id;
    lock_take(&t->vm->writing);
    hand_over(t, job_id(t->job), op, order.kind);
    ok = job_submit(t->core, &order, &self, err);
    if (ok)
        apply_change(c);
    else
        hand_over(t, op, job_id(t->job), job_kind_find(job_kind_name(t->job)));
    lock_drop(&t->vm->writing);
    return ok;
}

/* The step says that the deletion may be on its way: whoever enters again looks at the snapshot. */
static bool give_up(struct taking *t, const struct err *why, struct err *err)
{
    char note[256];
    struct change c = {.t = t, .state = SNAPSHOT_LOST, .note = note};
    struct uuid op;
    bool ok;

    snprintf(note, sizeof note, "%.200s", why->detail);
    if (!FAILPOINT("vm.snapshot.give-up", err) || !job_step(t->job, GIVEN_UP, err))
        return false;
    while (!(ok = submit_deletion(t, &c, &op, err)) && again(t, err))
        ;
    if (!ok)
        return false;
    (void)end(t, false);
    ram_images_sweep(t->core);
    return err_set(err, why->code, "%.200s; the operation %s takes the snapshot back", why->detail,
                   UUID_STR(&op));
}

bool taking_is_given_up(struct taking *t, struct err *err)
{
    struct snapshot *s;
    struct uuid id;
    bool open;

    if (!str_eq(job_step_reached(t->job), GIVEN_UP) ||
        !uuid_parse(json_get_text(t->args, "snapshot"), &id))
        return false;
    lock_take(&t->core->registry.lock);
    s = snapshot_get(t->vm, &id);
    open = s && s->memory_state == SNAPSHOT_STREAMING;
    lock_drop(&t->core->registry.lock);
    return !open && !err_set(err, ERR_HYPERVISOR,
                             "the guest's memory could not be kept, and the snapshot "
                             "is taken back by an operation of its own");
}

static bool is_without(const struct vm *vm, void *ctx)
{
    const struct snapshot *s = snapshot_get((struct vm *)vm, ctx);

    return s && s->memory_state == SNAPSHOT_LOST;
}

bool taking_has_lost(struct taking *t, struct err *err)
{
    struct uuid id;

    if (taking_is_given_up(t, err))
        return true;
    return uuid_parse(json_get_text(t->args, "snapshot"), &id) &&
           vm_is(t->core, t->vm, is_without, &id) && !err_set(err, ERR_HYPERVISOR, LOST);
}

/* ---- all of it ---- */

/* 5: the snapshot is recorded. */
static bool follow(struct taking *t, struct err *err)
{
    struct machine_memory_state now = {0};
    struct err why = {0};

    switch (watch(t, false, &now)) {
    case NEWS_COMPLETE:
        return finish(t, &now, err);
    case NEWS_FAILED:
        (void)say_failed(t, &now, &why);
        return give_up(t, &why, err);
    case NEWS_LATER:
        return err_set(err, ERR_UNAVAILABLE, "the daemon ends");
    default:
        return lose(t, err);
    }
}

/* The disks have switched, or may have. */
static bool take_up(struct taking *t, enum news news, const struct machine_memory_state *now,
                    struct err *err)
{
    struct err none = {0};
    bool ready;

    if (news == NEWS_GONE)
        return record(t, SNAPSHOT_LOST, now, err) && err_set(err, ERR_HYPERVISOR, LOST);
    ready = news == NEWS_COMPLETE && ram_image_flush(&t->image, &none);
    if (!record(t, ready ? SNAPSHOT_READY : SNAPSHOT_STREAMING, now, err))
        return false;
    if (t->memory_state == SNAPSHOT_LOST)
        return err_set(err, ERR_HYPERVISOR, LOST);
    if (t->memory_state == SNAPSHOT_STREAMING)
        return follow(t, err);
    (void)end(t, false);
    return true;
}

/* The other ways switch at their end: who waits for that has one commit to do. */
static bool watch_switch(struct taking *t, struct err *err)
{
    const bool until_switched = t->way == MEMORY_BACKGROUND;
    struct machine_memory_state now = {0};
    enum news news = t->again ? watch(t, until_switched, &now) : NEWS_NONE;
    bool begun, called;

    if (news == NEWS_NONE) {
        if (job_cancelled(t->job) && !atomic_load(&t->core->closing))
            return err_set(err, ERR_CANCELLED, "cancelled before the memory was kept");
        begun = start(t, &called, err);
        if (!called)
            return false;
        news = watch(t, until_switched, &now); /* after a failure it may have begun all the same */
        if (!begun && news == NEWS_NONE)
            return false;
        *err = (struct err){0};
    }
    if (news == NEWS_LATER)
        return err_set(err, ERR_UNAVAILABLE, "the daemon ends");
    if (news == NEWS_NONE)
        return err_set(err, ERR_HYPERVISOR, "the machine has forgotten its memory");
    if (news == NEWS_FAILED && !now.switched) {
        (void)end(t, false);
        return say_failed(t, &now, err);
    }
    return take_up(t, news, &now, err);
}

bool taking_memory_finish(struct taking *t, struct err *err)
{
    return taking_is_recorded(t) ? follow(t, err) : watch_switch(t, err);
}
