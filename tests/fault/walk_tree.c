/* The kill walk over the snapshot tree, and over what is asked of many VMs or in one go: see
 * tests/lib/walk.h. The guest counts, so each snapshot has a number of its own, which never
 * changes; a number that was said before it was asked for is in it. */
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "tests/lib/chain.h"
#include "tests/lib/counter.h"
#include "tests/lib/settled.h"
#include "tests/lib/walk.h"

#include <stdlib.h>
#include <string.h>

#define VM        "/api/v1/vms/" WALK_VM
#define PATIENCE  20000
#define TREE_MOST 8

/* ---- snapshots ---- */

static void take(struct rig *r, const char *name)
{
    CLEANUP(mem_freep) char *body = str_format("{\"name\":\"%s\"}", name);

    json_decref(rig_do(r, "POST", VM "/snapshots", body, 200));
}

/* Of the list of the VM's snapshots, the caller's; NULL when there is no VM. */
static json_t *snapshots(struct rig *r)
{
    int status;
    CLEANUP(json_decrefp) json_t *list = rig_call(r, "GET", VM "/snapshots", NULL, &status);

    return status == 200 ? json_incref(json_object_get(list, "items")) : NULL;
}

/* The id of one, the caller's; NULL when there is none. */
static char *find(struct rig *r, const char *name)
{
    CLEANUP(json_decrefp) json_t *list = snapshots(r);
    json_t *one;
    size_t i;

    json_array_foreach (list, i, one)
        if (strcmp(json_get_text(one, "name"), name) == 0)
            return str_dup(json_get_text(one, "id"));
    return NULL;
}

static bool has(struct rig *r, const char *name)
{
    CLEANUP(mem_freep) char *id = find(r, name);

    return id != NULL;
}

/* ---- taking one ---- */

static unsigned number;                 /* of the snapshot that is asked for */
static uint32_t numbers[TREE_MOST + 1]; /* what each was seen to hold; 0: not yet */
static uint32_t said_before;

static const char *name_of(unsigned n)
{
    static char name[16];

    snprintf(name, sizeof name, "s%u", n);
    return name;
}

static void a_tree_that_is_high_goes(struct rig *r)
{
    CLEANUP(mem_freep) char *state = NULL;

    if (++number <= TREE_MOST)
        return;
    state = rig_text(r, WALK_VM, "run.state");
    if (strcmp(state, "running") == 0)
        rig_act(r, WALK_VM, "stop");
    json_decref(rig_do(r, "DELETE", VM, NULL, 200));
    memset(numbers, 0, sizeof numbers);
    number = 1;
}

static void what_was_taken_does_not_change(struct rig *r)
{
    chain_hold(r);
    for (unsigned i = 1; i <= number; i++) {
        uint32_t holds = counter_in_snapshot(r, WALK_VM, name_of(i));
        if (numbers[i] && holds != numbers[i])
            fail_msg("the snapshot %s held %x, and now %x", name_of(i), numbers[i], holds);
        numbers[i] = holds;
    }
    chain_let_go();
}

static void it_has_said_something(struct rig *r)
{
    what_was_taken_does_not_change(r);
    said_before = counter_said(r, WALK_VM);
}

static char *the_next(void)
{
    return str_format("{\"name\":\"%s\"}", name_of(number));
}

static void it_holds_what_was_said(struct rig *r)
{
    uint32_t holds = counter_in_snapshot(r, WALK_VM, name_of(number));

    assert_true(has(r, name_of(number)));
    if (holds < said_before)
        fail_msg("the guest had said %x, and the snapshot holds %x", said_before, holds);
}

/* ---- deleting one ---- */

static void there_is_one(struct rig *r)
{
    if (has(r, "one"))
        return;
    take(r, "one");
    counter_await_life(r, WALK_VM, PATIENCE);
}

static char *its_path(struct rig *r)
{
    CLEANUP(mem_freep) char *id = find(r, "one");

    return str_format("/api/v1/snapshots/%s", id);
}

static void it_is_not_there(struct rig *r)
{
    assert_false(has(r, "one"));
}

/* ---- reverting, to the one and the other in turn ---- */

static const char *const two[] = {"near", "far"};
static uint32_t hold[2];
static unsigned target;

static void take_both(struct rig *r)
{
    rig_act(r, WALK_VM, "start");
    for (unsigned i = 0; i < ARRAY_LEN(two); i++) {
        counter_await_life(r, WALK_VM, PATIENCE);
        take(r, two[i]);
        hold[i] = counter_in_snapshot(r, WALK_VM, two[i]);
    }
    rig_act(r, WALK_VM, "stop");
    assert_true(hold[0] < hold[1]);
}

static void it_stands_on_the_other(struct rig *r)
{
    uint32_t is;

    if (!has(r, two[0])) {
        take_both(r);
        return;
    }
    target = !target;
    chain_hold(r);
    is = counter_on_disk(r, WALK_VM);
    assert_true(is >= hold[1] || is == hold[0]);
    for (unsigned i = 0; i < ARRAY_LEN(two); i++)
        assert_int_equal(counter_in_snapshot(r, WALK_VM, two[i]), hold[i]);
    chain_let_go();
}

static char *back(void)
{
    return str_format("{\"snapshot\":\"%s\"}", two[target]);
}

static void it_holds_what_it_held(struct rig *r)
{
    assert_int_equal(counter_on_disk(r, WALK_VM), hold[target]);
}

/* ---- many, or much at once ---- */

static char *spec_and_start(void)
{
    return counter_spec_with(WALK_VM, ",\"start\":true");
}

static char *this_one(void)
{
    return str_dup("{\"vms\":[\"" WALK_VM "\"]}");
}

static const char *const off[] = {"off", NULL};
static const char *const running[] = {"running", NULL};

static const struct walk_operation operations[] = {
    {.name = "create and start",
     .begin = WALK_ABSENT,
     .method = "POST",
     .path = "/api/v1/vms",
     .body = spec_and_start,
     .ends = running,
     .once = true,
     .brief = true},
    {.name = "start of many",
     .begin = WALK_OFF,
     .method = "POST",
     .path = "/api/v1/vms/actions/start",
     .body = this_one,
     .ends = running,
     .once = true,
     .brief = true},
    {.name = "take a snapshot",
     .begin = WALK_RUNNING,
     .method = "POST",
     .path = VM "/snapshots",
     .body = the_next,
     .ends = running,
     .after = it_holds_what_was_said,
     .once = true,
     .again = settled_clear_away,
     .same_guest = true,
     .prepare = a_tree_that_is_high_goes,
     .ready = it_has_said_something},
    {.name = "delete a snapshot",
     .begin = WALK_RUNNING,
     .method = "DELETE",
     .where = its_path,
     .ends = running,
     .after = it_is_not_there,
     .once = true,
     .again = settled_clear_away,
     .same_guest = true,
     .ready = there_is_one},
    {.name = "revert",
     .begin = WALK_OFF,
     .method = "POST",
     .path = VM "/actions/revert",
     .body = back,
     .ends = off,
     .after = it_holds_what_it_held,
     .once = true,
     .again = settled_clear_away,
     .goes_back = true,
     .ready = it_stands_on_the_other},
};

int main(void)
{
    return walk_all("fault/walk_tree", operations, ARRAY_LEN(operations), "");
}
