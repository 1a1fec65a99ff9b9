/* The kill walk over moving the storage of a running VM, with a snapshot below its leaf: see
 * tests/lib/walk.h. The guest counts on its disks all the while; what it said is on the chain of
 * record, in whichever pool that is, and the snapshot holds what it held. */
#include "core/base/mem.h"
#include "core/base/str.h"
#include "tests/lib/chain.h"
#include "tests/lib/counter.h"
#include "tests/lib/settled.h"
#include "tests/lib/walk.h"

#include <stdlib.h>
#include <string.h>

#define VM       "/api/v1/vms/" WALK_VM
#define PATIENCE 20000

static const char *const pools[] = {"main", "second"};
static unsigned target;
static uint32_t holds;

static bool is_in(struct rig *r, const char *pool)
{
    CLEANUP(mem_freep) char *dir = str_format("%s/%s/", r->dir, pool);
    struct chain chain;

    assert_true(chain_of_disk(r, WALK_VM, 0, &chain));
    for (unsigned i = 0; i < chain.n; i++)
        if (!str_starts(chain.files[i].path, dir))
            return false;
    return true;
}

static void it_has_a_snapshot_and_is_elsewhere(struct rig *r)
{
    struct chain chain;

    if (!chain_of_snapshot(r, WALK_VM, "one", 0, &chain)) {
        json_decref(rig_do(r, "POST", VM "/snapshots", "{\"name\":\"one\"}", 200));
        holds = counter_in_snapshot(r, WALK_VM, "one");
        counter_await_life(r, WALK_VM, PATIENCE);
    }
    target = is_in(r, pools[0]);
}

static char *there(void)
{
    return str_format("{\"pool\":\"%s\",\"bandwidth\":0}", pools[target]);
}

static void all_of_it_is_there(struct rig *r)
{
    assert_true(is_in(r, pools[target]));
}

static void the_snapshot_holds_what_it_held(struct rig *r)
{
    assert_int_equal(counter_in_snapshot(r, WALK_VM, "one"), holds);
}

static const char *const running[] = {"running", NULL};

static const struct walk_operation operations[] = {
    {.name = "move",
     .begin = WALK_RUNNING,
     .method = "POST",
     .path = VM "/actions/move-storage",
     .body = there,
     .ends = running,
     .after = all_of_it_is_there,
     .same_guest = true,
     .once = true,
     .ready = it_has_a_snapshot_and_is_elsewhere,
     .again = settled_clear_away,
     .always = the_snapshot_holds_what_it_held},
};

int main(void)
{
    return walk_all("fault/walk_move", operations, ARRAY_LEN(operations), "");
}
