/* Clients that remember: see history.h. */
#include "tests/lib/history.h"

#include "core/base/clock.h"
#include "core/base/id.h"
#include "core/base/mem.h"
#include "core/base/str.h"
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

struct owned {
    char name[16];
    enum known known;
    unsigned notes;    /* the last change that was acknowledged */
    unsigned unsure;   /* one whose answer was lost, or 0 */
    const char *state; /* run.state it was brought to; NULL: not known */
    atomic_bool hit;   /* its worker or QEMU was killed */
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
    CLEANUP(mem_freep) char *path = str_format("/api/v1/operations/%s", id);
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

/* A creation is repeated with its key until it is answered. */
static void create(struct client *c, struct owned *vm)
{
    CLEANUP(mem_freep) char *spec = counter_spec(vm->name);
    struct uuid key = uuid_new();
    int64_t deadline = clock_mono_ms() + PATIENT_MS;
    char key_text[UUID_TEXT];
    int status = 0;

    uuid_text(&key, key_text);
    vm->notes = vm->unsure = 0;
    vm->state = NULL;
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
        vm->notes = note, vm->unsure = 0;
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
    {"start", "{}", "running"},
    {"start", "{}", "running"},
    {"stop", "{}", "off"},
    {"pause", "{}", "paused"},
    {"resume", "{}", "running"},
    {"reset", "{}", NULL},
    {"shutdown", "{\"timeout_s\":1}", "off"},
};

static void act(struct client *c, struct owned *vm)
{
    unsigned which = below(c, below(c, 4) ? ARRAY_LEN(verbs) - 1 : ARRAY_LEN(verbs));
    CLEANUP(mem_freep)
    char *path = str_format("/api/v1/vms/%s/actions/%s", vm->name, verbs[which].verb);
    int status;
    CLEANUP(json_decrefp) json_t *reply = ask(c, "POST", path, verbs[which].body, NULL, &status);

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
        else if (dice < 36)
            delete_it(c, vm);
        else
            act(c, vm);
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

    if (is != vm->notes && (!vm->unsure || is != vm->unsure))
        fail_msg("%s has change %u; acknowledged was %u, unanswered %u", vm->name, is, vm->notes,
                 vm->unsure);
    vm->notes = is;
    vm->unsure = 0;
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
static void what_its_guest_said_is_on_its_disk(const struct owned *vm)
{
    uint32_t said = counter_said(rig, vm->name), is = counter_on_disk(rig, vm->name);

    if (is < said)
        fail_msg("the guest of %s said it wrote %x, on its disk is %x", vm->name, said, is);
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
    what_its_guest_said_is_on_its_disk(vm);
}

void history_check(void)
{
    if (untrue[0])
        fail_msg("%s", untrue);
    for (unsigned i = 0; i < OWNED; i++)
        check(&owned[i]);
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
    }
    return &sums;
}
