/* The story of tests/power: see story.h. */
#include "tests/lib/story_inside.h"

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/base/thread.h"
#include "core/bundle/bundle.h"
#include "core/core/parts.h"
#include "core/disk/pool.h"
#include "core/job/job.h"
#include "core/move/move.h"
#include "core/snap/snap.h"
#include "core/template/template.h"
#include "core/user/token.h"
#include "core/vm/bulk.h"
#include "tests/lib/held.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void name_actor(struct actor *a, struct world *w, unsigned number)
{
    a->w = w;
    a->number = number;
    snprintf(a->vm, sizeof a->vm, "vm-%u", number);
    snprintf(a->token, sizeof a->token, "token-%u", number);
    snprintf(a->pool, sizeof a->pool, "pool-%u", number);
    snprintf(a->away, sizeof a->away, "away-%u", number);
    snprintf(a->key, sizeof a->key, "key-of-%u", number);
    snprintf(a->template, sizeof a->template, "template-%u", number);
    snprintf(a->bundle, sizeof a->bundle, "bundle-%u", number);
    snprintf(a->twin, sizeof a->twin, "twin-%u", number);
}

struct origin origin_of(const struct actor *a)
{
    struct origin origin = world_admin;

    origin.idempotency_key = a->key;
    return origin;
}

/* ---- the steps ---- */

static bool ended_well(struct world *w, const struct uuid *op, struct err *err)
{
    for (;;) {
        CLEANUP(json_decrefp) json_t *job = job_wait(w->core, op, 1000, err);
        if (!job)
            return false;
        if (str_eq(json_get_text(job, "state"), "succeeded"))
            return true;
        if (!json_is_null(json_object_get(job, "ended_at")))
            return err_set(err, ERR_INTERNAL, "the operation %s",
                           json_get_text(json_object_get(job, "error"), "detail"));
    }
}

/* Both of them, its own and the one that its disks move to and back from. */
static bool make_pool(struct actor *a, struct err *err)
{
    struct uuid id;

    return pool_create(a->w->core, a->pool, "second", &world_admin, &id, err) &&
           pool_create(a->w->core, a->away, "main", &world_admin, &id, err);
}

static bool drop_pool(struct actor *a, struct err *err)
{
    return pool_delete(a->w->core, a->pool, &world_admin, err) &&
           pool_delete(a->w->core, a->away, &world_admin, err);
}

static bool make_token(struct actor *a, struct err *err)
{
    char text[TOKEN_TEXT];
    struct uuid id;

    return token_create(a->w->core, a->token, ROLE_VIEWER, 0, &world_admin, &id, text, err);
}

static bool drop_token(struct actor *a, struct err *err)
{
    return token_revoke(a->w->core, a->token, &world_admin, err);
}

static bool make_vm(struct actor *a, struct err *err)
{
    const struct origin origin = origin_of(a);
    CLEANUP(mem_freep)
    char *text = str_format("{\"name\":\"%s\",\"backend\":\"fake\",\"nics\":[],\"notes\":\"0\","
                            "\"memory_bytes\":16777216,"
                            "\"disks\":[{\"size_bytes\":%d,\"format\":\"raw\",\"pool\":\"%s\"},"
                            "{\"size_bytes\":%d,\"pool\":\"%s\"}]}",
                            a->vm, HELD_DISK_BYTES, a->pool, HELD_DISK_BYTES, a->pool);
    CLEANUP(json_decrefp) json_t *json = json_read(text, strlen(text), err);
    struct vm_spec spec;
    struct uuid op, vm;

    return json && model_decode(&vm_model, json, MODEL_CLIENT, &spec, err) &&
           vm_create(a->w->core, &spec, false, &origin, &op, &vm, err) &&
           ended_well(a->w, &op, err);
}

static bool drop_vm(struct actor *a, struct err *err)
{
    struct uuid op;

    return vm_delete(a->w->core, a->vm, NULL, &world_admin, &op, err) && ended_well(a->w, &op, err);
}

static bool act(struct actor *a, enum vm_verb verb, struct err *err)
{
    struct uuid op;

    return vm_act(a->w->core, a->vm, verb, NULL, &world_admin, &op, err) &&
           ended_well(a->w, &op, err);
}

static bool start(struct actor *a, struct err *err)
{
    return act(a, VM_VERB_START, err);
}

static bool stop(struct actor *a, struct err *err)
{
    return act(a, VM_VERB_STOP, err);
}

/* The steps below do what the truth after them says. */
static bool edit(struct actor *a, struct err *err)
{
    CLEANUP(mem_freep) char *notes = str_format("%d", a->after->notes);
    CLEANUP(json_decrefp) json_t *patch = json_pack("{s:s}", "notes", notes);
    CLEANUP(json_decrefp) json_t *vm = NULL;
    struct etag etag;

    vm = vm_edit(a->w->core, a->vm, patch, NULL, &world_admin, &etag, err);
    return vm != NULL;
}

static bool write_number(struct actor *a, struct err *err)
{
    return held_write(a->w, a->vm, a->after->holds, err);
}

static bool change_tree(struct actor *a, struct err *err)
{
    const int which = a->before->tree ^ a->after->tree;
    const char *name = which == 1 ? "one" : which == 2 ? "two" : "ram";
    struct uuid op;
    bool ok;

    ok = a->after->tree > a->before->tree
             ? snapshot_create(a->w->core, a->vm, name, NULL, &world_admin, &op, err)
             : snapshot_delete(a->w->core, a->vm, name, NULL, &world_admin, &op, err);
    return ok && ended_well(a->w, &op, err);
}

static bool keep_memory(struct actor *a, struct err *err)
{
    const struct snapshot_ask ask = {.name = "ram", .consistency = CONSISTENCY_RUNNING};
    struct uuid op;

    return snapshot_take(a->w->core, a->vm, &ask, &world_admin, &op, err) &&
           ended_well(a->w, &op, err);
}

static bool back_to_ram(struct actor *a, struct err *err)
{
    struct uuid op;

    return snapshot_revert_to(a->w->core, a->vm, "ram", false, &world_admin, &op, err) &&
           ended_well(a->w, &op, err);
}

static bool save(struct actor *a, struct err *err)
{
    return act(a, VM_VERB_SAVE, err);
}

static bool back_to_two(struct actor *a, struct err *err)
{
    struct uuid op;

    return snapshot_revert(a->w->core, a->vm, "two", &world_admin, &op, err) &&
           ended_well(a->w, &op, err);
}

static bool move(struct actor *a, struct err *err)
{
    const struct move_request request = {.pool = a->after->away ? a->away : a->pool, .format = -1};
    json_t *plan = NULL;
    struct uuid op;

    return vm_move_storage(a->w->core, a->vm, &request, &world_admin, &op, &plan, err) &&
           ended_well(a->w, &op, err);
}

static bool pack(struct actor *a, struct err *err)
{
    const struct bundle_ask ask = {
        .pool = a->pool, .name = a->bundle, .snapshots = true, .consistency = CONSISTENCY_AUTO};
    json_t *plan = NULL;
    struct uuid op;

    return vm_export(a->w->core, a->vm, &ask, &world_admin, &op, &plan, err) &&
           ended_well(a->w, &op, err);
}

static bool unpack(struct actor *a, struct err *err)
{
    const struct import_ask ask = {.bundle = a->bundle, .pool = a->away, .name = a->twin};
    json_t *plan = NULL;
    struct uuid op;

    return vm_import(a->w->core, &ask, &world_admin, &op, &plan, err) && ended_well(a->w, &op, err);
}

static bool drop_twin(struct actor *a, struct err *err)
{
    struct uuid op;

    return vm_delete(a->w->core, a->twin, NULL, &world_admin, &op, err) &&
           ended_well(a->w, &op, err);
}

static bool drop_bundle(struct actor *a, struct err *err)
{
    return bundle_remove(a->w->core, a->bundle, &world_admin, err);
}

static bool act_all(struct actor *a, enum vm_verb verb, struct err *err)
{
    CLEANUP(json_decrefp) json_t *refs = json_pack("[s,s]", "nobody", a->vm);
    CLEANUP(json_decrefp)
    json_t *done = vm_act_all(a->w->core, refs, verb, NULL, &world_admin, err);
    const char *op;
    struct uuid id;

    op = json_get_text(json_array_get(json_object_get(done, "items"), 1), "operation");
    return op && uuid_parse(op, &id) && ended_well(a->w, &id, err);
}

static bool start_all(struct actor *a, struct err *err)
{
    return act_all(a, VM_VERB_START, err);
}

static bool stop_all(struct actor *a, struct err *err)
{
    return act_all(a, VM_VERB_STOP, err);
}

static bool make_template(struct actor *a, struct err *err)
{
    CLEANUP(json_decrefp)
    json_t *body = json_pack("{s:s,s:{s:i}}", "name", a->template, "spec", "vcpus", 2);
    struct uuid id;

    return template_create(a->w->core, body, &world_admin, &id, err);
}

static bool edit_template(struct actor *a, struct err *err)
{
    CLEANUP(json_decrefp) json_t *patch = json_pack("{s:{s:i}}", "spec", "vcpus", 3);
    struct uuid id;

    return template_edit(a->w->core, a->template, patch, NULL, &world_admin, &id, err);
}

static bool drop_template(struct actor *a, struct err *err)
{
    return template_delete(a->w->core, a->template, NULL, &world_admin, err);
}

static const struct step {
    bool (*act)(struct actor *a, struct err *err);
    struct truth after;
} steps[] = {
    {NULL, {NO_VM, OFF, false, false, false, 0, 0, 0, false, 0}}, /* before the first */
    {make_pool, {NO_VM, OFF, false, true, false, 0, 0, 0, false, 0}},
    {make_vm, {0, OFF, false, true, true, 0, 0, 0, false, 0}},
    {make_token, {0, OFF, true, true, true, 0, 0, 0, false, 0}},
    {make_template, {0, OFF, true, true, true, 1, 0, 0, false, 0}},
    {edit, {1, OFF, true, true, true, 1, 0, 0, false, 0}},
    {start, {1, RUNS, true, true, true, 1, 0, 0, false, 0}},
    {edit, {2, RUNS, true, true, true, 1, 0, 0, false, 0}},
    {stop, {2, OFF, true, true, true, 1, 0, 0, false, 0}},
    {edit,
     {1, OFF, true, true, true, 1, 0, 0, false,
      0}}, /* the daemon is started anew before this one */
    {edit_template, {1, OFF, true, true, true, 2, 0, 0, false, 0}},
    {drop_token, {1, OFF, false, true, true, 2, 0, 0, false, 0}},
    {start_all, {1, RUNS, false, true, true, 2, 0, 0, false, 0}},
    {stop_all, {1, OFF, false, true, true, 2, 0, 0, false, 0}},
    {make_token, {1, OFF, true, true, true, 2, 0, 0, false, 0}},
    {write_number, {1, OFF, true, true, true, 2, 1, 0, false, 0}},
    {start, {1, RUNS, true, true, true, 2, 1, 0, false, 0}},
    {change_tree, {1, RUNS, true, true, true, 2, 1, 1, false, 0}},
    {write_number, {1, RUNS, true, true, true, 2, 2, 1, false, 0}},
    {change_tree, {1, RUNS, true, true, true, 2, 2, 3, false, 0}},
    {change_tree, {1, RUNS, true, true, true, 2, 2, 2, false, 0}},
    {write_number, {1, RUNS, true, true, true, 2, 3, 2, false, 0}},
    {keep_memory, {1, RUNS, true, true, true, 2, 3, 6, false, 0}},
    {write_number, {1, RUNS, true, true, true, 2, 4, 6, false, 0}},
    {save, {1, SAVED, true, true, true, 2, 4, 6, false, 0}},
    {start, {1, RUNS, true, true, true, 2, 4, 6, false, 0}},
    {back_to_ram, {1, SAVED, true, true, true, 2, 3, 6, false, 0}},
    {start, {1, RUNS, true, true, true, 2, 3, 6, false, 0}},
    {change_tree, {1, RUNS, true, true, true, 2, 3, 2, false, 0}},
    {move, {1, RUNS, true, true, true, 2, 3, 2, true, 0}},
    {write_number, {1, RUNS, true, true, true, 2, 5, 2, true, 0}},
    {stop, {1, OFF, true, true, true, 2, 5, 2, true, 0}},
    {back_to_two, {1, OFF, true, true, true, 2, 2, 2, true, 0}},
    {move, {1, OFF, true, true, true, 2, 2, 2, false, 0}},
    {change_tree, {1, OFF, true, true, true, 2, 2, 0, false, 0}},
    {pack, {1, OFF, true, true, true, 2, 2, 0, false, 1}},
    {unpack, {1, OFF, true, true, true, 2, 2, 0, false, 2}},
    {drop_twin, {1, OFF, true, true, true, 2, 2, 0, false, 1}},
    {drop_bundle, {1, OFF, true, true, true, 2, 2, 0, false, 0}},
    {drop_template, {1, OFF, true, true, true, 0, 2, 0, false, 0}},
    {drop_vm, {NO_VM, OFF, true, true, true, 0, 0, 0, false, 0}},
    {drop_pool, {NO_VM, OFF, true, false, true, 0, 0, 0, false, 0}},
};
#define STEPS   (ARRAY_LEN(steps) - 1)
#define RESTART 8

const struct truth *truth_after(unsigned step)
{
    return &steps[step].after;
}

static void *play(void *arg)
{
    struct actor *a = arg;
    struct err err = {0};
    char note[32];

    for (unsigned i = a->from; i <= a->to; i++) {
        snprintf(note, sizeof note, "begin %u %u", a->number, i);
        a->mark(note);
        a->before = &steps[i - 1].after;
        a->after = &steps[i].after;
        if (!steps[i].act(a, &err)) {
            print_message("step %u of actor %u: %s\n", i, a->number, err.detail);
            _exit(3);
        }
        snprintf(note, sizeof note, "acked %u %u", a->number, i);
        a->mark(note);
    }
    return NULL;
}

static void play_all(struct world *w, unsigned from, unsigned to, void (*mark)(const char *))
{
    struct actor actors[STORY_ACTORS] = {0};
    struct err err = {0};

    if (!world_open(w))
        _exit(3);
    for (unsigned i = 0; i < STORY_ACTORS; i++) {
        struct actor *a = &actors[i];
        name_actor(a, w, i);
        a->mark = mark;
        a->from = from;
        a->to = to;
        if (!thread_start(&a->thread, "actor", play, a, &err))
            _exit(3);
    }
    for (unsigned i = 0; i < STORY_ACTORS; i++)
        pthread_join(actors[i].thread, NULL);
    world_close(w);
}

void story_live(char *dir, void (*mark)(const char *note))
{
    struct world w = {0};

    world_adopt(&w, dir);
    held_watch(&w);
    play_all(&w, 1, RESTART, mark);
    play_all(&w, RESTART + 1, STEPS, mark);
    mem_freep(&w.dir);
}

bool story_note(struct story_progress *p, const char *note)
{
    unsigned actor, step;
    char word[8];

    if (sscanf(note, "%7s %u %u", word, &actor, &step) != 3 || actor >= STORY_ACTORS)
        return false;
    *(strcmp(word, "begin") == 0 ? &p->begun[actor] : &p->acked[actor]) = step;
    return true;
}
