/* What must be true after a kill: see settled.h. */
#include "tests/lib/settled.h"

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "tests/lib/chain.h"
#include "tests/lib/proc.h"

#include <dirent.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QEMU     "/usr/bin/qemu-system-x86_64"
#define CLEAR_MS 20000

struct look {
    struct rig *r;
    char *why; /* the first sentence that is not true; the caller's */
    unsigned vms, live;
};

static bool untrue(struct look *look, const char *fmt, ...) PRINTF(2, 3);
static bool untrue(struct look *look, const char *fmt, ...)
{
    char text[512];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    look->why = str_dup(text);
    return false;
}

static bool is_one_of(const char *word, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(word, *words) == 0)
            return true;
    return false;
}

static json_t *list(struct look *look, const char *what)
{
    CLEANUP(mem_freep) char *path = str_format("/api/v1/%s", what);
    int status;
    json_t *json = rig_call(look->r, "GET", path, NULL, &status);

    if (status == 200)
        return json;
    json_decref(json);
    untrue(look, "the daemon answers: GET %s gave %d", path, status);
    return NULL;
}

/* Asked for by state: there are hundreds that have. */
static bool every_operation_has_ended(struct look *look)
{
    CLEANUP(json_decrefp)
    json_t *all =
        list(look, "operations?filter=state!=succeeded,state!=failed,state!=cancelled&page_size=1");
    const json_t *op = json_array_get(json_object_get(all, "items"), 0);

    if (!all)
        return false;
    return !op || untrue(look, "every operation has ended: %s %s is %s", json_get_text(op, "kind"),
                         json_get_text(op, "id"), json_get_text(op, "state"));
}

static bool a_vm_is_at_rest_and_true(struct look *look, const json_t *vm)
{
    static const char *const live_words[] = {"running", "paused", NULL};
    static const char *const dead_words[] = {"off", "crashed", "saved", NULL};
    const char *name = json_get_text(vm, "name"), *id = json_get_text(vm, "id");
    const char *run = json_get_text(json_object_get(vm, "run"), "state");
    const char *state = json_get_text(vm, "state");
    bool live = is_one_of(run, live_words);
    pid_t worker = proc_with_args("vmmd-worker", id);

    look->vms++;
    look->live += live;
    if (!json_is_null(json_object_get(vm, "job")))
        return untrue(look, "no claim is left: %s is held", name);
    if (strcmp(state, "creating") == 0 || strcmp(state, "deleting") == 0)
        return untrue(look, "a VM is whole or absent: %s is %s", name, state);
    if (!live && !is_one_of(run, dead_words))
        return untrue(look, "a VM is at rest: %s is %s", name, run);
    if (live && !worker)
        return untrue(look, "a VM that is %s has a worker: %s has none", run, name);
    if (!live && worker)
        return untrue(look, "a VM that is %s has no worker: %s has %d", run, name, (int)worker);
    return true;
}

static bool all_vms_are_true(struct look *look)
{
    CLEANUP(json_decrefp) json_t *all = list(look, "vms?page_size=200");
    json_t *vm;
    size_t i;

    json_array_foreach (json_object_get(all, "items"), i, vm)
        if (!a_vm_is_at_rest_and_true(look, vm))
            return false;
    return all != NULL;
}

static unsigned matching(struct look *look, const char *below)
{
    CLEANUP(mem_freep) char *pattern = str_format("%s/%s", look->r->dir, below);
    glob_t found = {0};
    unsigned n = glob(pattern, GLOB_NOSORT, NULL, &found) == 0 ? (unsigned)found.gl_pathc : 0;

    globfree(&found);
    return n;
}

/* The cgroup that holds the leaves of the workers, which vmmd keeps open; "" when there is none. */
static void base_of_leaves(struct look *look, char *out, size_t size)
{
    CLEANUP(mem_freep) char *fds = str_format("/proc/%d/fd", (int)look->r->vmmd);
    DIR *dir = opendir(fds);

    *out = 0;
    for (struct dirent *e; dir && !*out && (e = readdir(dir));) {
        char target[256] = "";
        (void)!readlinkat(dirfd(dir), e->d_name, target, sizeof target - 1);
        if (str_starts(target, "/sys/fs/cgroup/") && strstr(target, "/vmmd-"))
            str_copy(out, size, target);
    }
    if (dir)
        closedir(dir);
}

static bool a_leaf_for_each_vm_that_runs(struct look *look)
{
    CLEANUP(mem_freep) char *pattern = NULL;
    glob_t found = {0};
    char base[256];
    unsigned n;

    base_of_leaves(look, base, sizeof base);
    if (!*base)
        return true; /* no cgroups here */
    pattern = str_format("%s/vm-*", base);
    n = glob(pattern, GLOB_NOSORT, NULL, &found) == 0 ? (unsigned)found.gl_pathc : 0;
    globfree(&found);
    return n == look->live ||
           untrue(look, "a cgroup leaf for each VM that runs and no other: %u for %u", n,
                  look->live);
}

static bool nothing_is_left_over(struct look *look)
{
    unsigned workers = proc_users("vmmd-worker", look->r->dir, NULL, 0);
    unsigned qemus = proc_users(QEMU, look->r->dir, NULL, 0);
    if (workers != look->live)
        return untrue(look, "no worker without a VM that runs: %u for %u", workers, look->live);
    if (qemus != look->live)
        return untrue(look, "no QEMU without a VM that runs: %u for %u", qemus, look->live);
    if (matching(look, "run/vm/*") != look->live)
        return untrue(look, "no run directory without a VM that runs: %u for %u",
                      matching(look, "run/vm/*"), look->live);
    if (matching(look, "state/vm/*") != look->vms)
        return untrue(look, "a directory for each VM and no other: %u for %u",
                      matching(look, "state/vm/*"), look->vms);
    look->why = chain_find_strays(look->r);
    return !look->why && a_leaf_for_each_vm_that_runs(look);
}

void settled_await(struct rig *r, int ms)
{
    int64_t deadline = clock_mono_ms() + ms;

    for (;;) {
        struct look look = {.r = r};
        CLEANUP(mem_freep) char *why = NULL;

        if (every_operation_has_ended(&look) && all_vms_are_true(&look) &&
            nothing_is_left_over(&look))
            return;
        why = look.why;
        if (clock_mono_ms() > deadline)
            fail_msg("not true %d ms after the kill: %s (see %s/log)", ms, why, r->dir);
        (void)poll(NULL, 0, 30); /* asked again until it is so: it looks at all processes */
    }
}

void settled_service(struct rig *r, int ms)
{
    int64_t deadline = clock_mono_ms() + ms;
    int status = 0;

    for (;;) {
        json_decref(rig_call(r, "GET", "/healthz", NULL, &status));
        if (status == 200)
            return;
        if (clock_mono_ms() > deadline)
            fail_msg("no service %d ms after the kill (see %s/log)", ms, r->dir);
        (void)poll(NULL, 0, 10); /* asked again until it serves */
    }
}

void settled_clear_away(struct rig *r)
{
    CLEANUP(mem_freep) char *stray = chain_find_strays(r);
    pid_t main = rig_child(r, "vmmd-main");

    if (!stray || !main)
        return;
    kill(main, SIGKILL);
    rig_await_dead(main, CLEAR_MS);
    settled_service(r, CLEAR_MS);
}
