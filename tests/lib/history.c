/* Clients that remember: see history.h. */
#include "tests/lib/history.h"

#include "core/base/clock.h"
#include "core/base/id.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "tests/lib/chain.h"
#include "tests/lib/counter.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OWNED      (HISTORY_CLIENTS * HISTORY_VMS)
#define PATIENT_MS 30000

enum known { GONE, THERE, EITHER };

#define TREE 3 /* snapshots of a VM at most: "s0", … */

struct owned_snapshot {
    enum known known;
    bool seen;      /* by a check, so that is known … */
    uint32_t holds; /* … what its disks hold, for ever */
};

struct owned {
    char name[16];
    enum known known;
    unsigned notes;    /* the last change that was acknowledged */
    unsigned unsure;   /* one whose answer was lost, or 0 */
    bool any_notes;    /* a revert has brought back older ones */
    const char *state; /* run.state it was brought to; NULL: not known */
    atomic_bool hit;   /* its worker or QEMU was killed */
    struct owned_snapshot tree[TREE];
    bool is_second; /* it was sent to the other pool */
    int at;         /* the snapshot that was reverted to, and nothing has run since; -1: none */
    bool goes_back; /* a revert was asked for since the last check */
    uint32_t floor; /* what it had said by the last check */
    struct counter_heard heard;
};

struct client {
    pthread_t thread;
    unsigned seed;
    struct owned *vms; /* HISTORY_VMS of them */
    struct history_totals totals;
};

static struct rig *rig;
static struct owned owned[OWNED];
static struct client clients[HISTORY_CLIENTS];
static struct history_totals sums;
static atomic_bool stopping;
static atomic_int copying; /* moves and merges under way */
static unsigned last_note; /* under the lock, like: */
static char untrue[512];   /* the first contradiction */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void contradiction(const char *fmt, ...) PRINTF(1, 2);
static void contradiction(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    pthread_mutex_lock(&lock);
    if (!untrue[0])
        vsnprintf(untrue, sizeof untrue, fmt, args);
    pthread_mutex_unlock(&lock);
    va_end(args);
}

static unsigned below(struct client *c, unsigned n)
{
    return (unsigned)rand_r(&c->seed) % n;
}

/* ---- requests ---- */

static json_t *ask(struct client *c, const char *method, const char *path, const char *body,
                   const char *key, int *status)
{
    json_t *reply = rig_send(rig, method, path, body, key, status);

    c->totals.requests++;
    if (*status == 0)
        c->totals.unanswered++;
    else if (*status < 300)
        c->totals.acknowledged++;
    else
        c->totals.refused++;
    if (*status >= 500 && *status != 503)
        contradiction("%s %s: a kill may cost an answer, but this one was %d %s", method, path,
                      *status, json_get_text(reply, "detail"));
    return reply;
}

/* Follows an acknowledged operation to its end; true when it succeeded. */
static bool follow(const char *id)
{
    CLEANUP(mem_freep) char *path = str_format("/api/v1/operations/%s?wait=10", id);
    int64_t deadline = clock_mono_ms() + PATIENT_MS;

    while (clock_mono_ms() < deadline) {
        int status;
        CLEANUP(json_decrefp) json_t *op = rig_call(rig, "GET", path, NULL, &status);
        if (status == 404) {
            contradiction("the acknowledged operation %s is not known", id);
            return false;
        }
        if (status == 200 && json_get_text(op, "ended_at"))
            return str_eq(json_get_text(op, "state"), "succeeded");
        (void)poll(NULL, 0, 5); /* asked again until it has ended */
    }
    contradiction("the operation %s has not ended after %d s", id, PATIENT_MS / 1000);
    return false;
}

static bool follow_copy(const char *id)
{
    bool ok;

    atomic_fetch_add(&copying, 1);
    ok = follow(id);
    atomic_fetch_sub(&copying, 1);
    return ok;
}

bool history_is_copying(void)
{
    return atomic_load(&copying) > 0;
}

/* A creation is repeated with its key until it is answered. */
static void create(struct client *c, struct owned *vm)
{
    CLEANUP(mem_freep) char *spec = counter_spec_two(vm->name);
    struct uuid key = uuid_new();
    int64_t deadline = clock_mono_ms() + PATIENT_MS;
    char key_text[UUID_TEXT];
    int status = 0;

    uuid_text(&key, key_text);
    vm->notes = vm->unsure = 0;
    vm->state = NULL;
    vm->at = -1;
    vm->is_second = false;
    vm->floor = 0;
    vm->heard = (struct counter_heard){0};
    memset(vm->tree, 0, sizeof vm->tree);
    while (clock_mono_ms() < deadline) {
        CLEANUP(json_decrefp)
        json_t *reply = ask(c, "POST", "/api/v1/vms", spec, key_text, &status);
        if (status == 202 && follow(json_get_text(reply, "id"))) {
            vm->known = THERE;
            vm->state = "off";
            return;
        }
        if (status == 202)
            return; /* it failed, so there must be nothing */
        if (status != 0 && status != 503) {
            contradiction("%s cannot be created (%d): %s", vm->name, status,
                          json_get_text(reply, "detail"));
            return;
        }
        c->totals.repeated++;
        (void)poll(NULL, 0, 5); /* asked again until it is answered */
    }
    contradiction("nobody answers for %d s", PATIENT_MS / 1000);
}

static void edit(struct client *c, struct owned *vm)
{
    CLEANUP(mem_freep) char *path = str_format("/api/v1/vms/%s", vm->name);
    CLEANUP(mem_freep) char *body = NULL;
    unsigned note;
    int status;

    pthread_mutex_lock(&lock);
    note = ++last_note;
    pthread_mutex_unlock(&lock);
    body = str_format("{\"notes\":\"%u\"}", note);
    json_decref(ask(c, "PATCH", path, body, NULL, &status));
    if (status == 200)
        vm->notes = note, vm->unsure = 0, vm->any_notes = false;
    else if (status == 0)
        vm->unsure = note;
    else if (status == 404)
        contradiction("%s was acknowledged and is not found", vm->name);
}

static void delete_it(struct client *c, struct owned *vm)
{
    CLEANUP(mem_freep) char *path = str_format("/api/v1/vms/%s", vm->name);
    int status;
    CLEANUP(json_decrefp) json_t *reply = ask(c, "DELETE", path, NULL, NULL, &status);

    if (status == 0)
        vm->known = EITHER;
    else if (status == 202 && follow(json_get_text(reply, "id")))
        vm->known = GONE;
    else if (status == 404)
        contradiction("%s was acknowledged and is not found", vm->name);
}

static const struct {
    const char *verb, *body, *state; /* NULL: it stays what it was */
} verbs[] = {
    {"stop", "{}", "off"},
    {"start", "{}", "running"},
    {"start", "{}", "running"},
    {"pause", "{}", "paused"},
    {"resume", "{}", "running"},
    {"reset", "{}", NULL},
    {"shutdown", "{\"timeout_s\":1}", "off"},
};

enum { STOP };

static void act(struct client *c, struct owned *vm, unsigned which)
{
    CLEANUP(mem_freep)
    char *path = str_format("/api/v1/vms/%s/actions/%s", vm->name, verbs[which].verb);
    int status;
    CLEANUP(json_decrefp) json_t *reply = ask(c, "POST", path, verbs[which].body, NULL, &status);

    vm->at = -1; /* it may have started */
    if (status == 202) {
        if (!follow(json_get_text(reply, "id")))
            vm->state = NULL;
        else if (verbs[which].state)
            vm->state = verbs[which].state;
    } else if (status == 404) {
        contradiction("%s was acknowledged and is not found", vm->name);
    } else if (status == 0) {
        vm->state = NULL;
    }
}

static void act_somehow(struct client *c, struct owned *vm)
{
    act(c, vm, below(c, below(c, 4) ? ARRAY_LEN(verbs) - 1 : ARRAY_LEN(verbs)));
}

/* ---- the tree ---- */

static void take(struct client *c, struct owned *vm, unsigned n)
{
    CLEANUP(mem_freep) char *path = str_format("/api/v1/vms/%s/snapshots", vm->name);
    CLEANUP(mem_freep) char *body = str_format("{\"name\":\"s%u\"}", n);
    int status;
    CLEANUP(json_decrefp) json_t *reply = ask(c, "POST", path, body, NULL, &status);

    vm->tree[n].seen = false;
    if (vm->at == (int)n)
        vm->at = -1; /* another one of that name */
    if (status == 0)
        vm->tree[n].known = EITHER;
    else if (status == 202 && follow(json_get_text(reply, "id")))
        vm->tree[n].known = THERE, c->totals.snapshots++;
}

static void go_back(struct client *c, struct owned *vm, unsigned n)
{
    CLEANUP(mem_freep) char *path = str_format("/api/v1/vms/%s/actions/revert", vm->name);
    CLEANUP(mem_freep) char *body = str_format("{\"snapshot\":\"s%u\"}", n);
    int status;
    CLEANUP(json_decrefp) json_t *reply = ask(c, "POST", path, body, NULL, &status);

    if (status != 0 && status != 202)
        return;
    vm->goes_back = true;
    vm->floor = 0;
    vm->at = status == 202 && follow(json_get_text(reply, "id")) ? (int)n : -1;
    c->totals.reverts += vm->at >= 0;
    vm->unsure = 0;
    vm->any_notes = true; /* the configuration is that of the snapshot */
}

static char *id_of(struct client *c, const struct owned *vm, unsigned n)
{
    CLEANUP(mem_freep)
    char *path = str_format("/api/v1/vms/%s/snapshots?filter=name==s%u", vm->name, n);
    int status;
    CLEANUP(json_decrefp) json_t *list = ask(c, "GET", path, NULL, NULL, &status);
    const json_t *items = json_object_get(list, "items");

    if (status == 200 && json_array_size(items) != 1)
        contradiction("%s has %zu snapshots s%u", vm->name, json_array_size(items), n);
    return status == 200 ? str_dup(json_get_text(json_array_get(items, 0), "id")) : NULL;
}

static void drop(struct client *c, struct owned *vm, unsigned n)
{
    CLEANUP(mem_freep) char *id = id_of(c, vm, n);
    CLEANUP(mem_freep) char *path = str_format("/api/v1/snapshots/%s", id ? id : "");
    CLEANUP(json_decrefp) json_t *reply = NULL;
    int status;

    if (!id)
        return;
    reply = ask(c, "DELETE", path, NULL, NULL, &status);
    if (status == 0)
        vm->tree[n].known = EITHER;
    else if (status == 202 && follow_copy(json_get_text(reply, "id")))
        vm->tree[n].known = GONE, c->totals.merges++;
}

/* To the other pool, while it runs or is off; all of it stays as it was. */
static void move(struct client *c, struct owned *vm)
{
    CLEANUP(mem_freep) char *path = str_format("/api/v1/vms/%s/actions/move-storage", vm->name);
    CLEANUP(mem_freep)
    char *body = str_format("{\"pool\":\"%s\"%s}", vm->is_second ? "main" : "second",
                            below(c, 4) ? ",\"bandwidth\":0" : "");
    int status;
    CLEANUP(json_decrefp) json_t *reply = ask(c, "POST", path, body, NULL, &status);

    if (status == 202 && follow_copy(json_get_text(reply, "id")))
        c->totals.moves++;
    if (status != 409)
        vm->is_second =
            !vm->is_second; /* if it is there already, that is refused, and it goes back */
}

/* Takes what is not there; what is there is dropped or, once the VM is off, reverted to. */
static void grow_or_cut(struct client *c, struct owned *vm)
{
    unsigned n = below(c, TREE);

    if (vm->tree[n].known == GONE)
        take(c, vm, n);
    else if (vm->tree[n].known == THERE && below(c, 2)) {
        act(c, vm, STOP);
        go_back(c, vm, n);
    } else if (vm->tree[n].known == THERE)
        drop(c, vm, n);
}

/* ---- clients ---- */

static void *live(void *arg)
{
    struct client *c = arg;

    while (!atomic_load(&stopping)) {
        struct owned *vm = &c->vms[below(c, HISTORY_VMS)];
        unsigned dice = below(c, 100);

        if (vm->known == EITHER)
            (void)poll(NULL, 0, 5); /* nothing is known of it before the next check */
        else if (vm->known == GONE)
            create(c, vm);
        else if (dice < 30 && !vm->unsure) /* one unanswered change at a time can be told apart */
            edit(c, vm);
        else if (dice < 34)
            delete_it(c, vm);
        else if (dice < 48)
            grow_or_cut(c, vm);
        else if (dice < 58)
            move(c, vm);
        else
            act_somehow(c, vm);
    }
    return NULL;
}

void history_init(struct rig *r, unsigned seed)
{
    rig = r;
    for (unsigned i = 0; i < OWNED; i++)
        snprintf(owned[i].name, sizeof owned[i].name, "vm-%u", i);
    for (unsigned i = 0; i < HISTORY_CLIENTS; i++) {
        clients[i].seed = seed + i + 1;
        clients[i].vms = &owned[i * HISTORY_VMS];
    }
}

void history_go(void)
{
    atomic_store(&stopping, false);
    for (unsigned i = 0; i < HISTORY_CLIENTS; i++)
        assert_int_equal(pthread_create(&clients[i].thread, NULL, live, &clients[i]), 0);
}

void history_stop(void)
{
    atomic_store(&stopping, true);
    for (unsigned i = 0; i < HISTORY_CLIENTS; i++)
        pthread_join(clients[i].thread, NULL);
}

const char *history_name(unsigned n)
{
    return owned[n % OWNED].name;
}

void history_hit(unsigned n)
{
    atomic_store(&owned[n % OWNED].hit, true);
}

/* ---- the check ---- */

static void its_notes_are_as_acknowledged(struct owned *vm, const json_t *json)
{
    const char *notes = json_get_text(json, "notes");
    unsigned is = notes ? (unsigned)strtoul(notes, NULL, 10) : 0;

    if (!vm->any_notes && is != vm->notes && (!vm->unsure || is != vm->unsure))
        fail_msg("%s has change %u; acknowledged was %u, unanswered %u", vm->name, is, vm->notes,
                 vm->unsure);
    vm->notes = is;
    vm->unsure = 0;
    vm->any_notes = false;
}

static void its_state_is_as_acknowledged(struct owned *vm, const json_t *json)
{
    const char *is = json_get_text(json_object_get(json, "run"), "state");

    if (atomic_exchange(&vm->hit, false))
        vm->state = NULL;
    if (vm->state && strcmp(is, vm->state) != 0)
        fail_msg("%s was brought to '%s' and nobody hit it, but it is '%s' (%s)", vm->name,
                 vm->state, is, json_get_text(json_object_get(json, "run"), "reason"));
}

/* What was said is asked first: the guest goes on. */
static void what_its_guest_said_is_on_its_disk(struct owned *vm)
{
    uint32_t said = counter_said_on(rig, vm->name, &vm->heard, vm->goes_back);
    uint32_t is = counter_on_disk(rig, vm->name);

    if (vm->goes_back)
        vm->heard.said = 0; /* whether it spoke before that or after it is not known */
    else if (is < said)
        fail_msg("the guest of %s said it wrote %x, on its disk is %x", vm->name, said, is);
}

static void a_snapshot_is_as_acknowledged(struct owned *vm, unsigned n, bool is_there)
{
    struct owned_snapshot *s = &vm->tree[n];
    char name[8];
    uint32_t holds;

    snprintf(name, sizeof name, "s%u", n);
    if (s->known == THERE && !is_there)
        fail_msg("the snapshot %s of %s was acknowledged and is not there", name, vm->name);
    if (s->known == GONE && is_there)
        fail_msg("the snapshot %s of %s was deleted or never made, and is there", name, vm->name);
    s->known = is_there ? THERE : GONE;
    if (!is_there)
        return;
    holds = counter_in_snapshot(rig, vm->name, name);
    if (!s->seen && !vm->goes_back && holds < vm->floor)
        fail_msg("%s of %s holds %x; before it was taken the guest had said %x", name, vm->name,
                 holds, vm->floor);
    if (s->seen && s->holds != holds)
        fail_msg("%s of %s held %x, and now %x", name, vm->name, s->holds, holds);
    s->seen = true;
    s->holds = holds;
}

/* Who was reverted while it ran was started after that, and its guest goes on. */
static void it_holds_what_it_was_reverted_to(const struct owned *vm, bool is_off)
{
    const uint32_t is = counter_on_disk(rig, vm->name), holds = vm->tree[vm->at].holds;

    if (is < holds || (is > holds && is_off))
        fail_msg("%s was reverted to s%d, which holds %x, and holds %x", vm->name, vm->at, holds,
                 is);
}

static void its_tree_is_as_acknowledged(struct owned *vm, bool is_off)
{
    CLEANUP(mem_freep) char *path = str_format("/api/v1/vms/%s/snapshots", vm->name);
    CLEANUP(json_decrefp) json_t *list = rig_do(rig, "GET", path, NULL, 200);
    bool is_there[TREE] = {0};
    json_t *one;
    size_t i;

    json_array_foreach (json_object_get(list, "items"), i, one)
        is_there[(json_get_text(one, "name")[1] - '0') % TREE] = true;
    for (unsigned n = 0; n < TREE; n++)
        a_snapshot_is_as_acknowledged(vm, n, is_there[n]);
    if (vm->at >= 0 && vm->tree[vm->at].known == THERE)
        it_holds_what_it_was_reverted_to(vm, is_off);
}

static void check(struct owned *vm)
{
    CLEANUP(mem_freep) char *path = str_format("/api/v1/vms/%s", vm->name);
    int status;
    CLEANUP(json_decrefp) json_t *json = rig_call(rig, "GET", path, NULL, &status);

    if (vm->known == THERE && status != 200)
        fail_msg("%s was acknowledged and is not there: %d", vm->name, status);
    if (vm->known == GONE && status != 404)
        fail_msg("%s was deleted or never made, and is there: %d", vm->name, status);
    vm->known = status == 200 ? THERE : GONE;
    if (status != 200)
        return;
    its_notes_are_as_acknowledged(vm, json);
    its_state_is_as_acknowledged(vm, json);
    its_tree_is_as_acknowledged(
        vm, str_eq(json_get_text(json_object_get(json, "run"), "state"), "off"));
    what_its_guest_said_is_on_its_disk(vm);
    vm->floor = vm->heard.said;
    vm->goes_back = false;
}

void history_check(void)
{
    if (untrue[0])
        fail_msg("%s", untrue);
    chain_hold(rig);
    for (unsigned i = 0; i < OWNED; i++)
        check(&owned[i]);
    chain_let_go();
}

const struct history_totals *history_totals(void)
{
    memset(&sums, 0, sizeof sums);
    for (unsigned i = 0; i < HISTORY_CLIENTS; i++) {
        sums.requests += clients[i].totals.requests;
        sums.acknowledged += clients[i].totals.acknowledged;
        sums.refused += clients[i].totals.refused;
        sums.unanswered += clients[i].totals.unanswered;
        sums.repeated += clients[i].totals.repeated;
        sums.snapshots += clients[i].totals.snapshots;
        sums.merges += clients[i].totals.merges;
        sums.reverts += clients[i].totals.reverts;
        sums.moves += clients[i].totals.moves;
    }
    return &sums;
}
