/* A disk that lies on many files: QEMU tells of each below the other, and a VM may have 200. The
 * guest counts (tests/lib/counter.h). With VMMD_SLOW=1 as many as there may be. */
#include "tests/lib/counter.h"

#include "core/base/mem.h"
#include "core/base/str.h"

#include <stdio.h>
#include <stdlib.h>

#define SOON_MS 60000
#define WEB     "/api/v1/vms/web"

static struct rig rig;

static int setup(void **state)
{
    CLEANUP(mem_freep) char *spec = counter_spec("web");

    rig_make(&rig, 0);
    json_decref(rig_do(&rig, "POST", "/api/v1/vms", spec, 201));
    counter_install(&rig);
    rig_act(&rig, "web", "start");
    counter_await_life(&rig, "web", SOON_MS);
    return 0;
}

static int teardown(void **state)
{
    rig_remove(&rig);
    return 0;
}

static void take(const char *name, const char *consistency)
{
    CLEANUP(mem_freep)
    char *body = str_format("{\"name\":\"%s\",\"consistency\":\"%s\"}", name, consistency);

    json_decref(rig_do(&rig, "POST", WEB "/snapshots", body, 200));
}

static void drop(const char *name)
{
    CLEANUP(mem_freep) char *query = str_format(WEB "/snapshots?filter=name==%s", name);
    CLEANUP(json_decrefp) json_t *list = rig_do(&rig, "GET", query, NULL, 200);
    CLEANUP(mem_freep)
    char *path = str_format("/api/v1/snapshots/%s",
                            json_get_text(json_array_get(json_object_get(list, "items"), 0), "id"));

    json_decref(rig_do(&rig, "DELETE", path, NULL, 200));
}

static void what_lies_on_many_files_is_kept_reverted_merged_and_started(void **state)
{
    const unsigned many = getenv("VMMD_SLOW") ? 196 : 33;
    char name[16];

    for (unsigned i = 0; i < many; i++) {
        snprintf(name, sizeof name, "s%u", i);
        take(name, "disk");
    }
    counter_await_life(&rig, "web", SOON_MS);
    take("busy", "running");
    counter_await_life(&rig, "web", SOON_MS);
    drop("s7");
    json_decref(rig_do(&rig, "POST", WEB "/actions/revert", "{\"snapshot\":\"busy\"}", 200));
    rig_act(&rig, "web", "save");
    rig_act(&rig, "web", "start");
    rig_act(&rig, "web", "stop");
    rig_act(&rig, "web", "start");
    counter_await_life(&rig, "web", SOON_MS);
    rig_act(&rig, "web", "stop");
    assert_true(counter_on_disk(&rig, "web") > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_lies_on_many_files_is_kept_reverted_merged_and_started,
                                        setup, teardown),
    };
    const char *why;

    if (!rig_possible_bare(&why)) {
        print_message("[  SKIPPED ] integration/deep: %s\n", why);
        return 0;
    }
    return cmocka_run_group_tests_name("integration/deep", tests, NULL, NULL);
}
