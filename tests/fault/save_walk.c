/* The fault walk over what is saved: each operation is made to fail, and is killed, at its n-th
 * failpoint for n = 1 until it runs through. After a restart the VM is what it was or what was
 * asked for; what it is decides which files there are; and no guest says twice what it has said,
 * since no image is gone on from twice. */
#include "tests/lib/steps.h"
#include "tests/lib/ticks.h"

#include "backends/fake/fake.h"
#include "core/base/str.h"

#include <string.h>

#ifdef VMMD_FAILPOINTS
#define DISK  "\"disks\":[{\"size_bytes\":1048576,\"format\":\"raw\"}]"
#define SAVES DISK ",\"host_shutdown\":{\"action\":\"save\"}"

static void is_off(struct world *w)
{
    world_create(w, "web", SAVES);
}

static void runs(struct world *w)
{
    is_off(w);
    assert_string_equal(world_act(w, "web", VM_VERB_START), "succeeded");
    ticks_await(w, "web", 2);
}

static void is_saved(struct world *w)
{
    runs(w);
    assert_string_equal(world_act(w, "web", VM_VERB_SAVE), "succeeded");
}

static bool act(struct world *w, enum vm_verb verb)
{
    return str_eq(world_act(w, "web", verb), "succeeded");
}

static bool save(struct world *w)
{
    return act(w, VM_VERB_SAVE);
}

/* Fakes end with their daemon: one that is killed starts its guest itself. */
static bool start_and_save(struct world *w)
{
    return act(w, VM_VERB_START) && save(w);
}

static bool start(struct world *w)
{
    return act(w, VM_VERB_START);
}

static bool discard(struct world *w)
{
    return act(w, VM_VERB_DISCARD);
}

static bool delete_it(struct world *w)
{
    return str_eq(world_delete(w, "web"), "succeeded");
}

static bool shut_host_down(struct world *w)
{
    struct err err = {0};
    struct uuid op;

    return steps_ended_well(w, guests_shutdown(w->core, &world_admin, &op, &err), &op);
}

/* ---- what must hold after a restart ---- */

static bool state_is(struct world *w, const char *state)
{
    return str_eq(world_vm(w, "web", "run.state"), state);
}

/* Its image is there if it is saved, and only then. */
static void its_files_are_what_it_is(struct world *w)
{
    bool saved = state_is(w, "saved");

    assert_true(saved || state_is(w, "off") || state_is(w, "crashed"));
    assert_int_equal(str_eq(world_vm(w, "web", "saved"), "null"), !saved);
    assert_int_equal(world_files(w), saved ? 2 : 1);
}

/* From where it was if it is saved, else from its beginning. */
static void it_can_be_used(struct world *w)
{
    const bool saved = state_is(w, "saved");
    const struct ticks before = ticks_read(w, "web");

    assert_true(start(w));
    ticks_await(w, "web", saved ? before.last + 1 : 1);
    assert_int_equal(ticks_read(w, "web").boots, before.boots + !saved);
    assert_true(act(w, VM_VERB_STOP) && delete_it(w));
    assert_int_equal(world_files(w), 0);
}

static void holds(struct world *w)
{
    steps_all_ended(w, "web");
    if (!world_has_vm(w, "web")) {
        assert_int_equal(world_files(w), 0);
        return;
    }
    /* A start that was durable and not acknowledged is made by the next daemon. */
    if (state_is(w, "running"))
        assert_true(act(w, VM_VERB_STOP));
    its_files_are_what_it_is(w);
}

static void use(struct world *w)
{
    if (world_has_vm(w, "web"))
        it_can_be_used(w);
}

static void it_is_saved(struct world *w)
{
    assert_true(state_is(w, "saved"));
}

static void it_went_on_and_ended_with_its_daemon(struct world *w)
{
    assert_true(state_is(w, "crashed"));
}

static void it_is_off(struct world *w)
{
    assert_true(state_is(w, "off"));
}

static void it_is_gone(struct world *w)
{
    assert_false(world_has_vm(w, "web"));
}

static void it_is_saved_or_off(struct world *w)
{
    assert_true(state_is(w, "saved") || state_is(w, "off"));
}

static const struct step_row rows[] = {
    {"save", runs, save, it_is_saved, NULL, true, false},
    {"start and save", is_off, start_and_save, it_is_saved, NULL, false, true},
    {"start of a saved one", is_saved, start, it_went_on_and_ended_with_its_daemon, NULL, true,
     true},
    {"discard", is_saved, discard, it_is_off, NULL, true, true},
    {"delete of a saved one", is_saved, delete_it, it_is_gone, NULL, true, false},
    {"host down", runs, shut_host_down, it_is_saved_or_off, NULL, true, false},
};

int main(void)
{
    const struct step_walk walk = {.group = "fault/save_walk",
                                   .rows = rows,
                                   .n = sizeof rows / sizeof *rows,
                                   .holds = holds,
                                   .use = use};

    fake_tick_ms = 5;
    return steps_main(&walk, true, true);
}
#else
int main(void)
{
    print_message("[  SKIPPED ] this build has no failpoints\n");
    return 0;
}
#endif
