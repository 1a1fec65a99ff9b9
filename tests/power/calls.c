/* System calls that fail: each operation is tried with its n-th call of a kind failing, for n = 1
 * until none is left, as a full disk, a broken one or too many open files would make it. It must
 * fail with a code and a sentence or not at all, nothing may be half, and a second try must
 * succeed; when the store could not be trusted any more, after a restart.
 *
 * There are many writes and they are alike, so only some are taken: $VMMD_SEED chooses which, and
 * $VMMD_ALL takes all. */
#include "tests/lib/world.h"
#include "tests/preload/watch.h"
#include "tests/store/with_store.h"

#include "core/disk/pool.h"
#include "core/user/session.h"
#include "core/user/token.h"
#include "core/user/user.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DISKS  "\"disks\":[{\"size_bytes\":1048576,\"format\":\"raw\"},{\"size_bytes\":1048576}]"
#define N_MOST 400

static unsigned seed = 1;

static const struct failing {
    const char *name;
    unsigned calls;
    int error;
    unsigned stride; /* one in so many is taken, on the average */
} failing[] = {
    {"open: too many files", WATCH_CALL_OPEN, EMFILE, 1},
    {"write: disk full", WATCH_CALL_WRITE | WATCH_CALL_TRUNCATE | WATCH_CALL_MKDIR, ENOSPC, 4},
    {"write: broken disk", WATCH_CALL_WRITE, EIO, 4},
    {"fsync: broken disk", WATCH_CALL_FLUSH, EIO, 1},
    {"rename, unlink: broken disk", WATCH_CALL_RENAME | WATCH_CALL_UNLINK, EIO, 1},
    {"mmap: no memory", WATCH_CALL_MMAP, ENOMEM, 1},
};

/* ---- operations: each can be tried again ---- */

static bool ended_well(struct world *w, const struct uuid *op, struct err *err)
{
    CLEANUP(json_decrefp) json_t *job = world_end_of(w, op);
    const json_t *error = json_object_get(job, "error");

    if (!job)
        return err_set(err, ERR_INTERNAL, "the store broke");
    if (str_eq(json_get_text(job, "state"), "succeeded"))
        return true;
    assert_non_null(json_get_text(error, "code"));
    return err_set(err, ERR_INTERNAL, "%s", json_get_text(error, "detail"));
}

static bool make_vm(struct world *w, struct err *err)
{
    struct uuid op;

    return world_has_vm(w, "web") ||
           (world_try_create(w, "web", DISKS, &op, err) && ended_well(w, &op, err));
}

static bool drop_vm(struct world *w, struct err *err)
{
    struct uuid op;

    return !world_has_vm(w, "web") ||
           (vm_delete(w->core, "web", NULL, &world_admin, &op, err) && ended_well(w, &op, err));
}

static bool act(struct world *w, enum vm_verb verb, struct err *err)
{
    struct uuid op;

    return vm_act(w->core, "web", verb, NULL, &world_admin, &op, err) && ended_well(w, &op, err);
}

static bool start(struct world *w, struct err *err)
{
    return strcmp(world_vm(w, "web", "run.state"), "running") == 0 || act(w, VM_VERB_START, err);
}

static bool stop(struct world *w, struct err *err)
{
    return strcmp(world_vm(w, "web", "run.state"), "running") != 0 || act(w, VM_VERB_STOP, err);
}

static bool edit_to(struct world *w, const char *notes, struct err *err)
{
    CLEANUP(json_decrefp) json_t *patch = json_pack("{s:s}", "notes", notes);
    CLEANUP(json_decrefp) json_t *vm = NULL;
    struct etag etag;

    vm = vm_edit(w->core, "web", patch, NULL, &world_admin, &etag, err);
    return vm != NULL;
}

static bool edit(struct world *w, struct err *err)
{
    return edit_to(w, "new", err);
}

static bool edit_back(struct world *w, struct err *err)
{
    return edit_to(w, "old", err);
}

static bool is_there(json_t *object)
{
    json_decref(object);
    return object != NULL;
}

static bool make_pool(struct world *w, struct err *err)
{
    struct err none = {0};
    struct uuid id;

    return is_there(pool_show(w->core, "extra", &none)) ||
           pool_create(w->core, "extra", "second", &world_admin, &id, err);
}

static bool drop_pool(struct world *w, struct err *err)
{
    struct err none = {0};

    return !is_there(pool_show(w->core, "extra", &none)) ||
           pool_delete(w->core, "extra", &world_admin, err);
}

static bool make_token(struct world *w, struct err *err)
{
    char text[TOKEN_TEXT];
    struct err none = {0};
    struct uuid id;

    return is_there(token_show(w->core, "ci", &none)) ||
           token_create(w->core, "ci", ROLE_VIEWER, 0, &world_admin, &id, text, err);
}

static bool drop_token(struct world *w, struct err *err)
{
    struct err none = {0};

    return !is_there(token_show(w->core, "ci", &none)) ||
           token_revoke(w->core, "ci", &world_admin, err);
}

static bool make_user(struct world *w, struct err *err)
{
    const struct user_spec spec = {.name = "ann", .role = ROLE_VIEWER};
    struct err none = {0};
    struct uuid id;

    return is_there(user_show(w->core, "ann", &none)) ||
           user_create(w->core, &spec, &world_admin, &id, err);
}

static bool sign_in(struct world *w, struct err *err)
{
    char text[SESSION_TEXT];
    struct who who;

    return session_begin_for(w->core, "ann", "here", &who, text, err) &&
           session_check(w->core, text, &who, err);
}

static bool drop_user(struct world *w, struct err *err)
{
    struct err none = {0};

    return !is_there(user_show(w->core, "ann", &none)) ||
           user_delete(w->core, "ann", &world_admin, err);
}

static bool restart(struct world *w, struct err *err)
{
    world_close(w);
    return world_open(w) || err_set(err, ERR_INTERNAL, "the daemon did not start");
}

static const struct operation {
    const char *name;
    bool (*act)(struct world *w, struct err *err);
    bool (*back)(struct world *w, struct err *err); /* brings back what was before it */
    bool vm, runs;                                  /* what it needs */
} operations[] = {
    {"create", make_vm, drop_vm, false, false},
    {"delete", drop_vm, make_vm, true, false},
    {"edit", edit, edit_back, true, false},
    {"start", start, stop, true, false},
    {"stop", stop, start, true, true},
    {"create a pool", make_pool, drop_pool, false, false},
    {"delete a pool", drop_pool, make_pool, false, false},
    {"create a token", make_token, drop_token, false, false},
    {"revoke a token", drop_token, make_token, false, false},
    {"create a user", make_user, drop_user, false, false},
    {"sign in", sign_in, make_user, false, false},
    {"delete a user", drop_user, make_user, false, false},
    {"restart", restart, restart, true, false},
};

/* ---- the walk ---- */

/* After a failure: the disk is well again. A daemon whose store broke, or that did not start, is
 * started anew. */
static void recover(struct world *w)
{
    if (w->core && !core_is_broken(w->core))
        return;
    world_close(w);
    if (!world_open(w))
        fail_msg("the daemon does not start although the disk is well again");
}

/* Waits until nothing is under way, then tries until it has succeeded: what fails in a second try
 * may only be that the first goes on. */
static void must(struct world *w, bool (*act_again)(struct world *, struct err *), const char *what)
{
    struct err err = {0};

    world_settle(w, "web");
    if (!act_again(w, &err))
        fail_msg("%s on a disk that is well: %s", what, err.detail);
}

static void nothing_is_half(struct world *w)
{
    world_settle(w, "web");
    assert_int_equal(world_files(w), world_has_vm(w, "web") ? 2 : 0);
}

/* True when the operation made its n-th call. */
static bool fail_nth(struct world *w, const struct operation *op, const struct failing *f,
                     unsigned n, unsigned *failures)
{
    struct err err = {0};
    bool ok, came;

    watch_fail(w->dir, f->calls, n, f->error);
    ok = op->act(w, &err);
    came = watch_passed() >= n;
    watch_fail("", 0, 0, 0);
    if (!ok) {
        ++*failures;
        assert_true(err.code != 0);
        assert_true(strlen(err.detail) > 5);
    }
    recover(w);
    if (op->act != restart)
        must(w, op->act, op->name);
    nothing_is_half(w);
    must(w, op->back, op->name);
    return came;
}

static void prepare(struct world *w, const struct operation *op)
{
    must(w, op->vm ? make_vm : stop, op->name);
    if (!op->vm)
        must(w, drop_vm, op->name);
    else
        must(w, op->runs ? start : stop, op->name);
    if (op->back == make_pool || op->back == make_token || op->back == make_user)
        must(w, op->back, op->name);
}

static unsigned next_n(const struct failing *f, unsigned n)
{
    return f->stride == 1 || getenv("VMMD_ALL")
               ? n + 1
               : n + 1 + (unsigned)rand_r(&seed) % (2 * f->stride - 1);
}

static void walk(struct world *w, const struct failing *f)
{
    unsigned tried = 0, failures = 0;

    for (size_t i = 0; i < ARRAY_LEN(operations); i++) {
        unsigned n = next_n(f, 0);
        prepare(w, &operations[i]);
        while (fail_nth(w, &operations[i], f, n, &failures)) {
            tried++;
            n = next_n(f, n);
            if (n > N_MOST)
                fail_msg("%s makes too many calls", operations[i].name);
        }
    }
    print_message("%s: %u calls failed, %u operations with them\n", f->name, tried, failures);
    assert_true(tried > 0);
}

static void a_call_that_fails_breaks_nothing(void **state)
{
    CLEANUP(mem_freep) char *dir = NULL;
    struct world w = {0};

    world_make(&w);
    for (size_t i = 0; i < ARRAY_LEN(failing); i++)
        walk(&w, &failing[i]);
    world_close(&w);
    dir = str_format("%s/state", w.dir);
    assert_null(whole(dir));
    world_remove(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_call_that_fails_breaks_nothing)};

    if (getenv("VMMD_SEED"))
        seed = (unsigned)atoi(getenv("VMMD_SEED"));
    setenv("VMMD_LOG", "error", 0);
    setenv("TMPDIR", "/dev/shm", 0);
    world_without_qemu();
    return cmocka_run_group_tests_name("power/calls", tests, NULL, NULL);
}
