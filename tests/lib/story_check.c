/* The story of tests/power, its end: what must be true of what a cut left. See story.h. */
#include "tests/lib/story_inside.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/bundle/bundle.h"
#include "core/bundle/document.h"
#include "core/core/parts.h"
#include "core/disk/pool.h"
#include "core/job/job.h"
#include "core/snap/snap.h"
#include "core/template/template.h"
#include "core/user/token.h"
#include "tests/lib/held.h"
#include "tests/store/with_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SETTLE_MS 10000

static const char *say(const char *fmt, ...) PRINTF(1, 2);
static const char *say(const char *fmt, ...)
{
    static char text[512];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return text;
}

/* The power went, so the host was booted: another boot id. */
static void boot_again(const char *dir)
{
    CLEANUP(mem_freep) char *path = str_format("%s/state/boot_id", dir);
    CLEANUP(closep) int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd >= 0 && pwrite(fd, "00000000", 8, 0) != 8)
        print_message("the boot id was not changed\n");
}

static const char *all_operations_end(struct world *w)
{
    struct err err = {0};
    CLEANUP(json_decrefp)
    json_t *list = world_list(w, &schema_operation, (struct query_ask){0}, &err);
    int64_t deadline = clock_mono_ms() + SETTLE_MS;
    json_t *item;
    size_t i;

    if (!list)
        return say("the operations cannot be listed: %s", err.detail);
    json_array_foreach (json_object_get(list, "items"), i, item) {
        bool ended = false;
        struct uuid id;

        if (!uuid_parse(json_get_text(item, "id"), &id))
            return "an operation has no id";
        while (!ended) {
            CLEANUP(json_decrefp) json_t *job = job_wait(w->core, &id, 200, &err);
            if (!job)
                return say("an operation is lost: %s", err.detail);
            ended = !json_is_null(json_object_get(job, "ended_at"));
            if (!ended && clock_mono_ms() > deadline)
                return say("%s does not end", json_get_text(job, "kind"));
        }
    }
    return NULL;
}

static bool has_snapshot(const struct actor *a, const char *name)
{
    struct err none = {0};
    CLEANUP(json_decrefp) json_t *shown = snapshot_show(a->w->core, a->vm, name, &none);

    return shown != NULL;
}

/* One that lost its memory, since the power went as it was written, is as if it were not there:
 * that may not be after it was acknowledged. */
static bool has_memory(const struct actor *a, const char *name)
{
    struct err none = {0};
    CLEANUP(json_decrefp) json_t *shown = snapshot_show(a->w->core, a->vm, name, &none);

    return str_eq(json_get_text(json_object_get(shown, "memory"), "state"), "ready");
}

static bool is_away(const struct actor *a)
{
    struct err none = {0};
    struct etag etag;
    CLEANUP(json_decrefp) json_t *vm = vm_show(a->w->core, a->vm, &etag, &none);
    const json_t *first = json_array_get(json_object_get(vm, "disks"), 0);

    return str_eq(json_get_text(first, "pool"), a->away);
}

/* "complete", "broken" (static), or "" when there is no bundle of the actor's. */
static const char *bundle_state(const struct actor *a)
{
    CLEANUP(strbuf_clear) struct strbuf list = {0};
    CLEANUP(query_clear) struct query query = {0};
    const struct query_ask ask = {.page_size = 100};
    CLEANUP(json_decrefp) json_t *all = NULL;
    struct err err = {0};
    json_t *one;
    size_t i;

    if (!query_parse(&schema_bundle, &ask, &query, &err))
        return "broken";
    bundle_list(a->w->core, &query, &list);
    all = json_loadb(list.data, list.len, 0, NULL);
    json_array_foreach (json_object_get(all, "items"), i, one)
        if (str_eq(json_get_text(one, "name"), a->bundle))
            return str_eq(json_get_text(one, "state"), "complete") ? "complete" : "broken";
    return "";
}

/* What was carried: 2 needs its bundle, too; -1: there is half a one. Only a removal may leave it
 * so: then it can be removed again. */
static int look_at_carried(const struct actor *a)
{
    const char *state = bundle_state(a);

    if (world_has_vm(a->w, a->twin))
        return str_eq(state, "complete") ? 2 : -1;
    return str_eq(state, "complete") ? 1 : str_eq(state, "broken") ? -1 : 0;
}

static bool is_carried(const struct actor *a, int is, const struct truth *was,
                       const struct truth *becomes)
{
    const bool goes = was->carried == 1 && becomes->carried == 0;

    if (is == 2 && !held_is(a->w, a->twin, was->holds, becomes->holds))
        return false;
    return is == was->carried || is == becomes->carried || (is == -1 && goes);
}

static struct truth look(const struct actor *a)
{
    const struct origin origin = origin_of(a);
    struct core *core = a->w->core;
    struct truth t = {.notes = NO_VM};
    struct err err = {0};
    CLEANUP(json_decrefp) json_t *token = token_show(core, a->token, &err);
    CLEANUP(json_decrefp) json_t *pool = pool_show(core, a->pool, &err);
    CLEANUP(json_decrefp) json_t *away = pool_show(core, a->away, &err);
    CLEANUP(json_decrefp) json_t *template = NULL;
    uint64_t revision = 0;
    struct uuid object;
    char type[16];

    if (world_has_vm(a->w, a->vm)) {
        const char *state;
        t.notes = atoi(world_vm(a->w, a->vm, "notes"));
        state = world_vm(a->w, a->vm, "run.state");
        t.runs = str_eq(state, "off") ? OFF : str_eq(state, "saved") ? SAVED : RUNS;
        t.tree = has_snapshot(a, "one") + 2 * has_snapshot(a, "two") + 4 * has_memory(a, "ram");
        t.away = is_away(a);
    }
    t.carried = look_at_carried(a);
    t.token = token != NULL;
    t.pool = pool && away;
    template = template_show(core, a->template, &revision, &err);
    t.template = template ? (int)revision : 0;
    err_ignore(core_idem_find(core, &origin, &t.key, type, &object, &err), &err);
    return t;
}

static bool is_one_of(int value, int was, int becomes)
{
    return value == was || value == becomes;
}

static const char *const runs_words[] = {"off", "running, or was", "saved"};

static const char *actor_is_right(const struct actor *a, unsigned acked, unsigned begun)
{
    const struct truth *was = truth_after(acked), *becomes = truth_after(begun);
    struct truth is = look(a);

    if (!is_one_of(is.notes, was->notes, becomes->notes))
        return say("%s has the notes %d (-1: it is not there), acknowledged were %d", a->vm,
                   is.notes, was->notes);
    if (!is_one_of(is.runs, was->runs, becomes->runs) && is.notes != NO_VM)
        return say("%s is %s, acknowledged was %s", a->vm, runs_words[is.runs],
                   runs_words[was->runs]);
    if (!is_one_of(is.tree, was->tree, becomes->tree) && is.notes != NO_VM)
        return say("%s has the snapshots %d, acknowledged were %d", a->vm, is.tree, was->tree);
    if (!is_one_of(is.away, was->away, becomes->away) && is.notes != NO_VM)
        return say("%s's disks are %s", a->vm,
                   is.away ? "in the other pool" : "not where they had moved to");
    if (!held_is(a->w, a->vm, was->holds, becomes->holds))
        return say("%s does not hold the %d that was written and flushed", a->vm, was->holds);
    if (!is_carried(a, is.carried, was, becomes))
        return say("of %s's bundle and the VM that is made of it there is %d (-1: half), "
                   "acknowledged was %d",
                   a->vm, is.carried, was->carried);
    if (!is_one_of(is.token, was->token, becomes->token))
        return say("%s %s", a->token, is.token ? "is back" : "is lost");
    if (!is_one_of(is.pool, was->pool, becomes->pool))
        return say("%s %s", a->pool, is.pool ? "is back" : "is lost");
    if (!is_one_of(is.template, was->template, becomes->template))
        return say("%s is at revision %d (0: it is not there), acknowledged was %d", a->template,
                   is.template, was->template);
    if (!is_one_of(is.key, was->key, becomes->key))
        return say("%s %s", a->key, is.key ? "came before its effect" : "is lost");
    if (acked == 1 && is.key != (is.notes != NO_VM))
        return say("%s and %s do not agree", a->key, a->vm);
    return NULL;
}

static json_t *read_copy(struct world *w, const char *id)
{
    CLEANUP(mem_freep) char *path = str_format("%s/state/vm/%s/config.json", w->dir, id);

    return json_load_file(path, 0, NULL);
}

/* The disaster copy is brought up to date after the start, in the background. */
static const char *copy_is_right(struct world *w, const char *vm)
{
    int64_t deadline = clock_mono_ms() + SETTLE_MS;
    char id[64], revision[32];

    if (!world_has_vm(w, vm))
        return NULL;
    str_copy(id, sizeof id, world_vm(w, vm, "id"));
    str_copy(revision, sizeof revision, world_vm(w, vm, "revision"));
    for (;;) {
        CLEANUP(json_decrefp) json_t *copy = read_copy(w, id);
        if (json_integer_value(json_object_get(copy, "revision")) == atoll(revision))
            return NULL;
        if (clock_mono_ms() > deadline)
            return say("the copy of %s's configuration is %s", vm, copy ? "old" : "missing");
        (void)!usleep(1000);
    }
}

static unsigned count_vms(struct world *w)
{
    unsigned n = 0;

    for (unsigned i = 0; i < STORY_ACTORS; i++) {
        struct actor a;
        name_actor(&a, w, i);
        n += world_has_vm(w, a.vm) + world_has_vm(w, a.twin);
    }
    return n;
}

static unsigned count_files(struct world *w)
{
    unsigned n = 0;

    for (unsigned i = 0; i < STORY_ACTORS; i++) {
        struct actor a;
        name_actor(&a, w, i);
        n += held_files(w, a.vm) + held_files(w, a.twin);
    }
    return n;
}

/* A folder that an export was writing. */
static const char *no_part_is_left(const char *root)
{
    CLEANUP(mem_freep) char *path = str_format("%s/" BUNDLE_FOLDER, root);
    DIR *dir = opendir(path);
    const char *wrong = NULL;

    for (struct dirent *e; dir && (e = readdir(dir));)
        if (e->d_name[0] == '.' && !str_eq(e->d_name, ".") && !str_eq(e->d_name, ".."))
            wrong = say("%s/%s was being written, and is left", path, e->d_name);
    if (dir)
        closedir(dir);
    return wrong;
}

static const char *files_match_rows(struct world *w)
{
    CLEANUP(mem_freep) char *main_root = str_format("%s/root-main", w->dir);
    CLEANUP(mem_freep) char *second_root = str_format("%s/root-second", w->dir);
    unsigned files = 0, known = count_files(w);
    const char *wrong = held_look_at_files(main_root, &files);

    if (!wrong)
        wrong = held_look_at_files(second_root, &files);
    if (!wrong)
        wrong = no_part_is_left(main_root);
    if (!wrong)
        wrong = no_part_is_left(second_root);
    return wrong || files == known
               ? wrong
               : say("%u image files are known, and %u are there", known, files);
}

static const char *no_directory_is_left(struct world *w)
{
    CLEANUP(mem_freep) char *path = str_format("%s/state/vm", w->dir);
    DIR *dir = opendir(path);
    unsigned n = 0;

    for (struct dirent *e; dir && (e = readdir(dir));)
        n += e->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return n > count_vms(w) ? say("%u VMs have %u directories", count_vms(w), n) : NULL;
}

static bool follows(void *ctx, const struct event_record *event)
{
    uint64_t *last = ctx;

    if (event->seq != *last + 1)
        return false;
    *last = event->seq;
    return true;
}

static const char *events_have_no_gap(struct world *w)
{
    uint64_t oldest, newest, last = 0;
    struct err err = {0};

    if (!store_event_bounds(w->core->store, &oldest, &newest, &err) ||
        !store_event_each(w->core->store, 0, UINT32_MAX, follows, &last, &err))
        return say("the events cannot be read: %s", err.detail);
    return last == newest ? NULL : say("event %llu is missing", (unsigned long long)last + 1);
}

static const char *it_can_be_written(struct world *w)
{
    char text[TOKEN_TEXT];
    struct err err = {0};
    struct uuid id;

    if (!token_create(w->core, "last", ROLE_VIEWER, 0, &world_admin, &id, text, &err))
        return say("no token can be made: %s", err.detail);
    return NULL;
}

static const char *check_open(struct world *w, const struct story_progress *p)
{
    const char *wrong = all_operations_end(w);

    for (unsigned i = 0; !wrong && i < STORY_ACTORS; i++) {
        struct actor a = {0};
        name_actor(&a, w, i);
        wrong = actor_is_right(&a, p->acked[i], p->begun[i]);
        if (!wrong)
            wrong = copy_is_right(w, a.vm);
        if (!wrong)
            wrong = copy_is_right(w, a.twin);
    }
    if (!wrong)
        wrong = files_match_rows(w);
    if (!wrong)
        wrong = no_directory_is_left(w);
    if (!wrong)
        wrong = events_have_no_gap(w);
    return wrong ? wrong : it_can_be_written(w);
}

const char *story_check(const char *dir, const struct story_progress *p)
{
    CLEANUP(mem_freep) char *state = str_format("%s/state", dir);
    struct world w = {0};
    const char *wrong;

    boot_again(dir);
    world_adopt(&w, str_dup(dir));
    held_watch(&w);
    wrong = world_open(&w) ? check_open(&w, p) : "the daemon does not start";
    world_close(&w);
    mem_freep(&w.dir);
    return wrong ? wrong : whole(state);
}
