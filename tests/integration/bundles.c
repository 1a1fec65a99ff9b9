/* A VM is carried as a folder, with the real daemon and a real QEMU: what is made of it goes on
 * from the memory that it was saved with, and from that of a snapshot, with the disks that belong
 * to it. The guest counts (tests/lib/counter.h), and never boots again. */
#include "tests/lib/counter.h"
#include "tests/lib/rig.h"

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SOON_MS 60000
#define WEB     "/api/v1/vms/web"
#define TWIN    "/api/v1/vms/twin"

static struct rig rig;

/* What a guest has said since its VM was made. */
struct said {
    uint32_t first, last;
    unsigned boots, back; /* times it said a smaller one than before */
};

static struct said listen_to(const char *vm)
{
    CLEANUP(mem_freep) char *path = str_format("%s/serial?offset=0", vm);
    CLEANUP(mem_freep) char *text = NULL;
    struct said said = {0};
    char *save = NULL;
    size_t len;

    text = rig_get_bytes(&rig, path, &len);
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        uint32_t now;
        if (line[0] == 'E')
            fail_msg("the guest met a disk error after %x", said.last);
        if ((line[0] != '+' && line[0] != 'B') || strlen(line) != 9)
            continue;
        now = (uint32_t)strtoul(line + 1, NULL, 16);
        said.first = said.first ? said.first : now;
        said.boots += line[0] == 'B';
        said.back += now < said.last;
        said.last = now;
    }
    return said;
}

/* Five numbers more, after it went back 'back' times. */
static void await_more(const char *vm, uint32_t than, unsigned back)
{
    const int64_t deadline_ms = clock_mono_ms() + SOON_MS;
    struct said said = listen_to(vm);

    while (said.back < back || said.last <= than + 5) {
        if (clock_mono_ms() > deadline_ms)
            fail_msg("the guest does not go on: it stands at %x", said.last);
        (void)poll(NULL, 0, 20); /* asked again until it has counted */
        said = listen_to(vm);
    }
}

static void post(const char *path, const char *body)
{
    json_decref(rig_do(&rig, "POST", path, body, 200));
}

static int setup(void **state)
{
    CLEANUP(mem_freep) char *spec = counter_spec("web");

    rig_make(&rig, 0);
    json_decref(rig_do(&rig, "POST", "/api/v1/vms", spec, 201));
    counter_install(&rig);
    rig_act(&rig, "web", "start");
    await_more(WEB, 0, 0);
    return 0;
}

static int teardown(void **state)
{
    rig_remove(&rig);
    return 0;
}

/* As somebody does who brings it to another host. */
static void carry(const char *name)
{
    CLEANUP(mem_freep) char *from = str_format("%s/main/vmmd-bundles/%s", rig.dir, name);
    CLEANUP(mem_freep) char *folder = str_format("%s/second/vmmd-bundles", rig.dir);
    CLEANUP(mem_freep) char *to = str_format("%s/%s", folder, name);

    assert_int_equal(mkdir(folder, 0755), 0);
    assert_int_equal(rename(from, to), 0);
}

static void a_guest_goes_on_where_it_was_carried_to(void **state)
{
    uint32_t then, saved;

    post(WEB "/snapshots", "{\"name\":\"busy\",\"consistency\":\"running\"}");
    then = counter_in_snapshot(&rig, "web", "busy");
    await_more(WEB, then, 0);
    rig_act(&rig, "web", "save");
    saved = listen_to(WEB).last;
    post(WEB "/actions/export", "{\"pool\":\"main\",\"name\":\"carried\"}");
    json_decref(rig_do(&rig, "DELETE", WEB, NULL, 200));
    carry("carried");
    post("/api/v1/vms/actions/import",
         "{\"bundle\":\"carried\",\"pool\":\"second\",\"name\":\"twin\"}");
    assert_int_equal(counter_in_snapshot(&rig, "twin", "busy"), then);
    assert_in_range(counter_on_disk(&rig, "twin"), saved, saved + 1); /* written, not said yet */
    rig_act(&rig, "twin", "start");
    await_more(TWIN, saved, 0);
    assert_in_range(listen_to(TWIN).first, saved, saved + 2);
    post(TWIN "/actions/revert", "{\"snapshot\":\"busy\"}");
    await_more(TWIN, then, 1);
    assert_int_equal(listen_to(TWIN).boots, 0);
    assert_int_equal(listen_to(TWIN).back, 1);
}

/* The guest goes on beside its export, and what comes of the bundle where it was then. */
static void a_guest_that_runs_is_carried_as_it_was_then(void **state)
{
    uint32_t before = listen_to(WEB).last, after;
    struct said twin;

    post(WEB "/actions/export", "{\"pool\":\"main\",\"consistency\":\"running\"}");
    after = listen_to(WEB).last;
    await_more(WEB, after, 0);
    post("/api/v1/vms/actions/import",
         "{\"bundle\":\"web\",\"pool\":\"main\",\"name\":\"twin\",\"start\":true}");
    await_more(TWIN, before, 0);
    twin = listen_to(TWIN);
    assert_in_range(twin.first, before, after + 1);
    assert_int_equal(twin.boots, 0);
    assert_int_equal(twin.back, 0);
    assert_int_equal(listen_to(WEB).boots, 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_guest_goes_on_where_it_was_carried_to),
        T(a_guest_that_runs_is_carried_as_it_was_then),
    };
    const char *why;

    if (!rig_possible_bare(&why)) {
        print_message("[  SKIPPED ] integration/bundles: %s\n", why);
        return 0;
    }
    return cmocka_run_group_tests_name("integration/bundles", tests, NULL, NULL);
}
