/* The fault walk in process: see steps.h. */
#include "tests/lib/steps.h"
#include "tests/lib/world_acts.h"

#include "core/base/failpoint.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#ifdef VMMD_FAILPOINTS
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEPS_MAX 300

static const struct step_walk *walked; /* by this program */

bool steps_ended_well(struct world *w, bool submitted, const struct uuid *op)
{
    CLEANUP(json_decrefp) json_t *job = submitted ? world_end_of(w, op) : NULL;
    const json_t *error = json_object_get(job, "error");

    if (!job || str_eq(json_get_text(job, "state"), "succeeded"))
        return job != NULL;
    assert_non_null(json_get_text(error, "code"));
    assert_true(strlen(json_get_text(error, "detail")) > 5);
    return false;
}

void steps_all_ended(struct world *w, const char *vm)
{
    struct err err = {0};
    CLEANUP(json_decrefp)
    json_t *list = world_list(w, &schema_operation, (struct query_ask){0}, &err);
    json_t *items = json_object_get(list, "items"), *item;
    size_t i;

    json_array_foreach (items, i, item) {
        struct uuid id;
        assert_true(uuid_parse(json_get_text(item, "id"), &id));
        CLEANUP(json_decrefp) json_t *end = world_end_of(w, &id);
        assert_non_null(end);
    }
    if (world_has_vm(w, vm))
        world_await(w, vm, "job", "null");
}

void steps_use_and_delete(struct world *w, const char *vm)
{
    const char *state;

    if (!world_has_vm(w, vm))
        return;
    state = world_vm(w, vm, "run.state");
    if (str_eq(state, "running") || str_eq(state, "paused"))
        assert_string_equal(world_act(w, vm, VM_VERB_STOP), "succeeded");
    assert_string_equal(world_act(w, vm, VM_VERB_START), "succeeded");
    assert_string_equal(world_act(w, vm, VM_VERB_STOP), "succeeded");
    assert_string_equal(world_delete(w, vm), "succeeded");
}

const char *steps_mode(void)
{
    return getenv("VMMD_WALK_ALL") ? "#" : "##";
}

static void look(struct world *w, const struct step_row *row, bool acked)
{
    assert_true(world_open(w));
    walked->holds(w);
    if (acked)
        row->acked(w);
    walked->use(w);
    world_remove(w);
}

/* True when it passed fewer than n. */
static bool fail_at(const struct step_row *row, unsigned n)
{
    CLEANUP(mem_freep) char *spec = str_format("%s%u=fail", steps_mode(), n);
    struct world w = {0};
    unsigned passed;
    bool acked;

    world_make(&w);
    row->before(&w);
    failpoint_arm(spec);
    acked = row->act(&w);
    passed = failpoint_passed();
    failpoint_arm(NULL);
    if (row->at_once)
        row->at_once(&w);
    world_close(&w);
    look(&w, row, acked);
    return passed < n;
}

struct told {
    unsigned passed;
    bool acked;
};

/* The child's life: a daemon that is killed at its n-th step. */
static void live_and_die(struct world *w, const struct step_row *row, unsigned n, int out)
{
    CLEANUP(mem_freep) char *spec = str_format("%s%u=kill", steps_mode(), n);
    struct told told;

    if (!world_open(w))
        _exit(2);
    failpoint_arm(spec);
    told.acked = row->act(w);
    told.passed = failpoint_passed();
    _exit(write(out, &told, sizeof told) == sizeof told ? 0 : 3);
}

/* The world of a daemon that was killed at its n-th step; of one that passed fewer, what it told.
 */
static struct told die_at(struct world *w, const struct step_row *row, unsigned n)
{
    struct told told = {UINT32_MAX, false};
    int out[2], status;
    pid_t child;

    world_make(w);
    row->before(w);
    world_close(w);
    assert_int_equal(pipe(out), 0);
    world_await_alone();
    child = fork();
    if (child == 0)
        live_and_die(w, row, n, out[1]);
    close(out[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status))
        assert_int_equal(WTERMSIG(status), SIGKILL);
    else
        assert_int_equal(WEXITSTATUS(status), 0);
    if (read(out[0], &told, sizeof told) < 0)
        fail_msg("read");
    close(out[0]);
    return told;
}

static bool kill_at(const struct step_row *row, unsigned n)
{
    struct world w = {0};
    struct told told = die_at(&w, row, n);

    look(&w, row, told.acked && told.passed < n);
    return told.passed < n;
}

/* Somebody had asked it to end before the daemon was killed, and it did not look any more. */
static bool cancel_at(const struct step_row *row, unsigned n)
{
    struct world w = {0};
    struct told told = die_at(&w, row, n);

    world_await_alone();
    (void)world_cancel_unfinished(&w, NULL);
    look(&w, row, told.acked && told.passed < n);
    return told.passed < n;
}

static void walk(const struct step_row *row, bool (*at)(const struct step_row *, unsigned),
                 const char *how)
{
    unsigned n = 1;

    while (!at(row, n))
        if (++n > STEPS_MAX)
            fail_msg("%s never runs through", row->name);
    print_message("%s: %s at %u steps\n", row->name, how, n - 1);
    assert_true(n > 2); /* a walk that meets no failpoint proves nothing */
}

static void no_failure_at_any_step_leaves_anything_behind(void **state)
{
    for (size_t i = 0; i < walked->n; i++)
        if (walked->rows[i].fails)
            walk(&walked->rows[i], fail_at, "failed");
}

static void no_kill_at_any_step_leaves_anything_behind(void **state)
{
    for (size_t i = 0; i < walked->n; i++)
        if (walked->rows[i].kills)
            walk(&walked->rows[i], kill_at, "killed");
}

static void no_cancellation_that_outlives_the_daemon_leaves_anything_behind(void **state)
{
    for (size_t i = 0; i < walked->n; i++)
        if (walked->rows[i].kills == true)
            walk(&walked->rows[i], cancel_at, "killed when it was cancelled");
}

int steps_main(const struct step_walk *steps, bool failures, bool kills)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_failure_at_any_step_leaves_anything_behind),
        cmocka_unit_test(no_kill_at_any_step_leaves_anything_behind),
        cmocka_unit_test(no_cancellation_that_outlives_the_daemon_leaves_anything_behind),
    };
    size_t n = (size_t)failures + 2 * (size_t)kills;

    walked = steps;
    world_without_qemu();
    return _cmocka_run_group_tests(steps->group, failures ? tests : tests + 1, n, NULL, NULL);
}
#else
int steps_main(const struct step_walk *steps, bool failures, bool kills)
{
    print_message("[  SKIPPED ] this build has no failpoints\n");
    return 0;
}
#endif
