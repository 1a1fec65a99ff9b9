/* The kill walk over what a running VM is told: see tests/lib/walk.h. */
#include "core/base/failpoint.h"
#include "tests/lib/walk.h"

#ifdef VMMD_FAILPOINTS
static const char *const off[] = {"off", NULL};
static const char *const running[] = {"running", NULL};

static const char *const paused[] = {"paused", NULL};

#define ACT(name, begin, ends, same_guest)                                                         \
    {                                                                                              \
        name, begin, "POST", "/api/v1/vms/" WALK_VM "/actions/" name, NULL, ends, NULL, same_guest \
    }
static const struct walk_operation operations[] = {
    ACT("pause", WALK_RUNNING, paused, true),  ACT("resume", WALK_PAUSED, running, true),
    ACT("reset", WALK_RUNNING, running, true), ACT("shutdown", WALK_RUNNING, off, false),
    ACT("stop", WALK_RUNNING, off, false),
};

int main(void)
{
    const char *why;

    if (rig_possible_bare(&why))
        return walk_all("fault/walk_power", operations, ARRAY_LEN(operations));
    print_message("[  SKIPPED ] fault/walk_power: %s\n", why);
    return 0;
}
#else
int main(void)
{
    print_message("[  SKIPPED ] this build has no failpoints\n");
    return 0;
}
#endif
