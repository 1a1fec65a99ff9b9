/* The kill walk over what keeps a guest's memory: see tests/lib/walk.h. The guest counts, so that
 * what was promised can be looked up on its disk; that its memory is right, page by page, is shown
 * in integration/memory_pattern.
 *
 * Of a start from what was saved only the reading of its state is walked: before and behind it the
 * next daemon finds a QEMU that must not go on, and one that must.
 *
 * With VMMD_SLOW=1 all of it is; worker and QEMU are killed as well, at their own points too; the
 * VM is saved (fault/save_walk has that in process); and a snapshot is taken that the guest stands
 * still for.
 */
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "tests/lib/counter.h"
#include "tests/lib/settled.h"
#include "tests/lib/walk.h"

#include <stdlib.h>
#include <string.h>

#define VM        "/api/v1/vms/" WALK_VM
#define TREE_MOST 6

static unsigned number; /* of the snapshot that is asked for */
static uint32_t said_before;

/* ---- taking one ---- */

static bool is_there(struct rig *r)
{
    int status;

    json_decref(rig_call(r, "GET", VM, NULL, &status));
    return status == 200;
}

static void stop(struct rig *r)
{
    CLEANUP(mem_freep) char *state = rig_text(r, WALK_VM, "run.state");

    if (str_eq(state, "running") || str_eq(state, "paused"))
        rig_act(r, WALK_VM, "stop");
    else if (str_eq(state, "saved"))
        rig_act(r, WALK_VM, "discard");
}

static void a_tree_that_is_high_goes(struct rig *r)
{
    if (++number <= TREE_MOST)
        return;
    if (is_there(r)) {
        stop(r);
        json_decref(rig_do(r, "DELETE", VM, NULL, 200));
    }
    number = 1;
}

static void it_has_said_something(struct rig *r)
{
    said_before = counter_said(r, WALK_VM);
}

/* Its memory is an image from then on. */
static void it_goes_on_from_an_image(struct rig *r)
{
    rig_act(r, WALK_VM, "save");
    rig_act(r, WALK_VM, "start");
    counter_await_life(r, WALK_VM, 20000);
    it_has_said_something(r);
}

static char *with_memory(void)
{
    return str_format("{\"name\":\"s%u\",\"consistency\":\"running\"}", number);
}

static json_t *find(struct rig *r)
{
    CLEANUP(mem_freep) char *path = str_format(VM "/snapshots?filter=name==s%u", number);
    CLEANUP(json_decrefp) json_t *list = rig_do(r, "GET", path, NULL, 200);

    return json_incref(json_array_get(json_object_get(list, "items"), 0));
}

static void its_memory_is_there(struct rig *r)
{
    CLEANUP(mem_freep) char *name = str_format("s%u", number);
    CLEANUP(json_decrefp) json_t *one = find(r);
    uint32_t holds;

    assert_non_null(one);
    assert_string_equal(json_get_text(json_object_get(one, "memory"), "state"), "ready");
    holds = counter_in_snapshot(r, WALK_VM, name);
    if (holds < said_before)
        fail_msg("the guest had said %x, and the snapshot holds %x", said_before, holds);
}

/* ---- saving ---- */

static void it_goes_on_with_the_next_number(struct rig *r)
{
    uint32_t said = counter_said(r, WALK_VM);

    rig_act(r, WALK_VM, "start");
    counter_await_life(r, WALK_VM, 20000);
    assert_true(counter_said(r, WALK_VM) >= said); /* which fails when it went back */
}

static void it_is_saved(struct rig *r)
{
    rig_act(r, WALK_VM, "save");
    it_has_said_something(r);
}

static void it_has_gone_on(struct rig *r)
{
    counter_await_life(r, WALK_VM, 20000);
    assert_true(counter_said(r, WALK_VM) >= said_before);
}

static const char *const running[] = {"running", NULL};
static const char *const saved[] = {"saved", NULL};

static struct walk_operation operations[] = {
    {.name = "take a snapshot with memory",
     .begin = WALK_RUNNING,
     .method = "POST",
     .path = VM "/snapshots",
     .body = with_memory,
     .ends = running,
     .after = its_memory_is_there,
     .once = true,
     .brief = true,
     .again = settled_clear_away,
     .same_guest = true,
     .prepare = a_tree_that_is_high_goes,
     .ready = it_has_said_something},
    {.name = "start of a saved one",
     .begin = WALK_RUNNING,
     .method = "POST",
     .path = VM "/actions/start",
     .ends = running,
     .after = it_has_gone_on,
     .once = true,
     .own = "qemu.restore",
     .ready = it_is_saved},
    {.name = "save",
     .begin = WALK_RUNNING,
     .method = "POST",
     .path = VM "/actions/save",
     .ends = saved,
     .after = it_goes_on_with_the_next_number,
     .once = true,
     .brief = true,
     .again = settled_clear_away},
    {.name = "take a snapshot that it stands still for",
     .begin = WALK_RUNNING,
     .method = "POST",
     .path = VM "/snapshots",
     .body = with_memory,
     .ends = running,
     .after = its_memory_is_there,
     .once = true,
     .again = settled_clear_away,
     .same_guest = true,
     .prepare = a_tree_that_is_high_goes,
     .ready = it_goes_on_from_an_image},
};

int main(void)
{
    const bool slow = getenv("VMMD_SLOW") != NULL;
    const unsigned n = ARRAY_LEN(operations);

    for (unsigned i = 0; i < n; i++) {
        operations[i].brief = !slow;
        if (slow)
            operations[i].own = NULL;
    }
    return walk_all("fault/walk_memory", operations, slow ? n : 2, "");
}
