/* The kill walk over what a running VM is told: see tests/lib/walk.h. */
#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "tests/lib/walk.h"

static const char *const off[] = {"off", NULL};
static const char *const running[] = {"running", NULL};

static const char *const paused[] = {"paused", NULL};

/* Without an exit record a guest that powered itself off has crashed. */
static bool is_down(struct rig *r)
{
    CLEANUP(mem_freep) char *state = rig_text(r, WALK_VM, "run.state");

    return str_eq(state, "off") || str_eq(state, "crashed");
}

/* The button may have been pressed: whether the guest still lives is open until it is stopped. */
static void by_force(struct rig *r)
{
    int64_t deadline = clock_mono_ms() + 15000;
    int status = 0;

    while (status / 100 != 2 && status != 409) {
        assert_true(clock_mono_ms() < deadline); /* a daemon whose flush failed leaves first */
        json_decref(rig_call(r, "POST", "/api/v1/vms/" WALK_VM "/actions/stop", "{}", &status));
    }
    while (!is_down(r))
        assert_true(clock_mono_ms() < deadline);
}

#define ACT(name_, begin_, ends_, same_guest_, again_)                                             \
    {                                                                                              \
        .name = name_, .begin = begin_, .method = "POST",                                          \
        .path = "/api/v1/vms/" WALK_VM "/actions/" name_, .ends = ends_,                           \
        .same_guest = same_guest_, .again = again_                                                 \
    }
static const struct walk_operation operations[] = {
    ACT("pause", WALK_RUNNING, paused, true, NULL),
    ACT("resume", WALK_PAUSED, running, true, NULL),
    ACT("reset", WALK_RUNNING, running, true, NULL),
    ACT("shutdown", WALK_RUNNING, off, false, by_force),
    ACT("stop", WALK_RUNNING, off, false, by_force),
};

int main(void)
{
    return walk_all("fault/walk_power", operations, ARRAY_LEN(operations), "");
}
