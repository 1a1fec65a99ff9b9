/* The kill walk over a VM's making, changing, starting and deleting: see tests/lib/walk.h. */
#include "core/base/failpoint.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "tests/lib/counter.h"
#include "tests/lib/walk.h"

#include <stdlib.h>
#include <string.h>

#ifdef VMMD_FAILPOINTS
static char *spec(void)
{
    return counter_spec(WALK_VM);
}

static char *patch(void)
{
    return str_dup("{\"notes\":\"new\"}");
}

static void it_is_changed(struct rig *r)
{
    CLEANUP(mem_freep) char *notes = rig_text(r, WALK_VM, "notes");

    assert_string_equal(notes, "new");
}

/* What is being deleted can only be deleted. */
static void once_more(struct rig *r)
{
    int status;
    CLEANUP(json_decrefp)
    json_t *vm = rig_call(r, "GET", "/api/v1/vms/" WALK_VM, NULL, &status);

    if (status == 200 && strcmp(json_get_text(vm, "state"), "deleting") == 0)
        json_decref(rig_do(r, "DELETE", "/api/v1/vms/" WALK_VM, NULL, 200));
}

static const char *const off[] = {"off", NULL};
static const char *const running[] = {"running", NULL};

static const struct walk_operation operations[] = {
    {"create", WALK_ABSENT, "POST", "/api/v1/vms", spec, off, NULL, false, NULL, NULL, NULL},
    {"edit", WALK_RUNNING, "PATCH", "/api/v1/vms/" WALK_VM, patch, running, it_is_changed, true,
     NULL, NULL, NULL},
    {"start", WALK_OFF, "POST", "/api/v1/vms/" WALK_VM "/actions/start", NULL, running, NULL, false,
     NULL, NULL, NULL},
    {"delete", WALK_OFF, "DELETE", "/api/v1/vms/" WALK_VM, NULL, NULL, NULL, false, NULL, once_more,
     NULL},
};

int main(void)
{
    const char *why;

    if (rig_possible_bare(&why))
        return walk_all("fault/walk_life", operations, ARRAY_LEN(operations), "");
    print_message("[  SKIPPED ] fault/walk_life: %s\n", why);
    return 0;
}
#else
int main(void)
{
    print_message("[  SKIPPED ] this build has no failpoints\n");
    return 0;
}
#endif
