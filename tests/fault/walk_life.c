/* The kill walk over a VM's making, changing, starting and deleting: see tests/lib/walk.h. */
#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "tests/lib/counter.h"
#include "tests/lib/walk.h"

#include <stdlib.h>
#include <string.h>

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

static bool is_being_deleted(struct rig *r)
{
    int status;
    CLEANUP(json_decrefp)
    json_t *vm = rig_call(r, "GET", "/api/v1/vms/" WALK_VM, NULL, &status);

    return status == 200 && strcmp(json_get_text(vm, "state"), "deleting") == 0;
}

/* What is being deleted can only be deleted; a daemon that began anew goes on by itself. */
static void once_more(struct rig *r)
{
    int64_t deadline = clock_mono_ms() + 15000;
    int status;

    while (is_being_deleted(r)) {
        assert_true(clock_mono_ms() < deadline);
        json_decref(rig_call(r, "DELETE", "/api/v1/vms/" WALK_VM, NULL, &status));
        assert_true(status / 100 == 2 || status == 0 || status == 404 || status == 409 ||
                    status == 503);
    }
}

static const char *const off[] = {"off", NULL};
static const char *const running[] = {"running", NULL};

static const struct walk_operation operations[] = {
    {.name = "create",
     .begin = WALK_ABSENT,
     .method = "POST",
     .path = "/api/v1/vms",
     .body = spec,
     .ends = off},
    {.name = "edit",
     .begin = WALK_RUNNING,
     .method = "PATCH",
     .path = "/api/v1/vms/" WALK_VM,
     .body = patch,
     .ends = running,
     .after = it_is_changed,
     .same_guest = true},
    {.name = "start",
     .begin = WALK_OFF,
     .method = "POST",
     .path = "/api/v1/vms/" WALK_VM "/actions/start",
     .ends = running,
     .starts = true},
    {.name = "delete",
     .begin = WALK_OFF,
     .method = "DELETE",
     .path = "/api/v1/vms/" WALK_VM,
     .again = once_more},
};

int main(void)
{
    return walk_all("fault/walk_life", operations, ARRAY_LEN(operations), "");
}
