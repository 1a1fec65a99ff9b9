/* Clones with the real daemon and a real QEMU. The guest counts on its disk (tests/lib/counter.h)
 * and says when it starts what it finds there: so its console tells whose data it has. */
#include "tests/lib/counter.h"
#include "tests/lib/rig.h"
#include "tests/lib/rig_shell.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define SOON_MS 30000

static struct rig rig;

struct said {
    uint32_t first; /* what the guest found on its disk when it started last */
    uint32_t last;  /* the newest number that is written */
    unsigned starts;
};

static struct said listen(const char *vm)
{
    CLEANUP(mem_freep) char *path = str_format("/api/v1/vms/%s/serial?offset=0", vm);
    CLEANUP(mem_freep) char *text = NULL;
    struct said said = {0};
    char *save = NULL;
    size_t len;

    text = rig_get_bytes(&rig, path, &len);
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if (line[0] == 'E')
            fail_msg("%s met a disk error after %x", vm, said.last);
        if ((line[0] != '+' && line[0] != 'B') || strlen(line) != 9)
            continue;
        said.last = (uint32_t)strtoul(line + 1, NULL, 16);
        if (line[0] == 'B') {
            said.first = said.last;
            said.starts++;
        }
    }
    return said;
}

static void count_to(const char *vm, uint32_t number)
{
    int64_t deadline_ms = clock_mono_ms() + SOON_MS;

    while (listen(vm).last < number) {
        if (clock_mono_ms() > deadline_ms)
            fail_msg("%s does not go on: it stands at %x", vm, listen(vm).last);
        (void)poll(NULL, 0, 20); /* asked again until it has counted */
    }
}

/* Waits for the first number after a start; what the guest found on its disk. */
static uint32_t found(const char *vm, unsigned start)
{
    int64_t deadline_ms = clock_mono_ms() + SOON_MS;

    while (listen(vm).starts < start) {
        if (clock_mono_ms() > deadline_ms)
            fail_msg("%s does not start", vm);
        (void)poll(NULL, 0, 20); /* asked again until it has */
    }
    return listen(vm).first;
}

static void post(const char *vm, const char *action, const char *body, int status)
{
    CLEANUP(mem_freep) char *path = str_format("/api/v1/vms/%s/actions/%s", vm, action);

    json_decref(rig_do(&rig, "POST", path, body, status));
}

static void erase(const char *vm)
{
    CLEANUP(mem_freep) char *path = str_format("/api/v1/vms/%s", vm);

    json_decref(rig_do(&rig, "DELETE", path, NULL, 200));
}

static int setup(void **state)
{
    CLEANUP(mem_freep) char *spec = counter_spec("web");

    rig_make(&rig, 0);
    json_decref(rig_do(&rig, "POST", "/api/v1/vms", spec, 201));
    counter_install(&rig);
    rig_act(&rig, "web", "start");
    count_to("web", 10);
    return 0;
}

static int teardown(void **state)
{
    rig_remove(&rig);
    return 0;
}

/* The clone boots with what the other had then, both write, neither sees what the other writes; the
 * original goes first, and the clone goes on. */
static void a_clone_and_its_original_go_their_own_ways(void **state)
{
    uint32_t before = listen("web").last, after, mine;

    post("web", "clone", "{\"name\":\"two\",\"start\":true}", 201);
    after = listen("web").last;
    assert_in_range(found("two", 1), before, after);
    count_to("web", after + 30);
    count_to("two", after + 5);
    rig_act(&rig, "two", "shutdown");
    mine = listen("two").last;
    count_to("web", mine + 30);
    rig_act(&rig, "two", "start");
    assert_in_range(found("two", 2), mine, mine + 1);
    rig_act(&rig, "web", "shutdown");
    mine = listen("web").last;
    rig_act(&rig, "web", "start");
    assert_in_range(found("web", 2), mine, mine + 1);
    rig_act(&rig, "web", "shutdown");
    erase("web");
    assert_int_equal(rig_files(&rig), 2);
    count_to("two", listen("two").last + 5);
    rig_act(&rig, "two", "shutdown");
    mine = listen("two").last;
    rig_act(&rig, "two", "start");
    assert_in_range(found("two", 3), mine, mine + 1);
    rig_act(&rig, "two", "shutdown");
    erase("two");
    assert_int_equal(rig_files(&rig), 0);
}

/* It is made independent while it counts. */
static void a_clone_that_is_made_independent_loses_nothing(void **state)
{
    uint32_t mine;

    post("web", "clone", "{\"name\":\"two\",\"start\":true}", 201);
    (void)found("two", 1);
    post("two", "flatten", NULL, 200);
    rig_act(&rig, "web", "shutdown");
    erase("web");
    assert_int_equal(rig_files(&rig), 1);
    count_to("two", listen("two").last + 5);
    rig_act(&rig, "two", "shutdown");
    mine = listen("two").last;
    rig_act(&rig, "two", "start");
    assert_in_range(found("two", 2), mine, mine + 1);
    rig_act(&rig, "two", "shutdown");
    erase("two");
}

static void a_full_clone_is_made_while_the_original_counts(void **state)
{
    uint32_t before = listen("web").last, after;

    post("web", "clone", "{\"name\":\"two\",\"full\":true}", 201);
    after = listen("web").last;
    rig_act(&rig, "web", "shutdown");
    erase("web");
    assert_int_equal(rig_files(&rig), 1);
    rig_act(&rig, "two", "start");
    assert_in_range(found("two", 1), before, after);
    count_to("two", after + 5);
    rig_act(&rig, "two", "shutdown");
    erase("two");
}

/* What qemu-img makes of it is what the guest had written when the snapshot was taken. */
static void export_as(const char *snapshot, const char *format, uint32_t from, uint32_t to)
{
    CLEANUP(mem_freep) char *path = str_format("/api/v1/snapshots/%s/actions/export", snapshot);
    CLEANUP(mem_freep) char *body = str_format("{\"format\":\"%s\"}", format);
    CLEANUP(json_decrefp) json_t *done = rig_do(&rig, "POST", path, body, 200);
    const char *name = json_get_text(json_object_get(done, "result"), "export");
    CLEANUP(mem_freep) char *content = str_format("/api/v1/exports/%s/content", name);
    CLEANUP(mem_freep) char *one = str_format("/api/v1/exports/%s", name);
    CLEANUP(mem_freep) char *image = str_format("%s/export.%s", rig.dir, format);
    CLEANUP(mem_freep) char *raw = str_format("%s/export.plain", rig.dir);
    CLEANUP(mem_freep)
    char *convert = str_format("qemu-img convert -f %s -O raw %s %s",
                               str_eq(format, "vhd") ? "vpc" : format, image, raw);
    CLEANUP(mem_freep) char *bytes = NULL;
    CLEANUP(closep) int fd = open(image, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct err err = {0};
    size_t len;

    bytes = rig_get_bytes(&rig, content, &len);
    assert_true(fs_write_all(fd, bytes, len, &err));
    assert_int_equal(system(convert), 0);
    assert_in_range(counter_in_file(raw), from, to);
    json_decref(rig_do(&rig, "DELETE", one, NULL, 204));
}

static void a_snapshot_is_exported_while_the_vm_counts(void **state)
{
    const uint32_t from = listen("web").last;
    CLEANUP(json_decrefp)
    json_t *taken = rig_do(&rig, "POST", "/api/v1/vms/web/snapshots", "{\"name\":\"one\"}", 200);
    const char *id = json_get_text(json_object_get(taken, "result"), "snapshot");
    const uint32_t to = listen("web").last;

    export_as(id, "raw", from, to);
    export_as(id, "vhdx", from, to);
    export_as(id, "vhd", from, to);
    export_as(id, "qcow2", from, to);
    assert_int_equal(rig_files(&rig), 2); /* what it needed itself is gone */
    count_to("web", to + 10);
    rig_act(&rig, "web", "shutdown");
    erase("web");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_clone_and_its_original_go_their_own_ways),
        T(a_clone_that_is_made_independent_loses_nothing),
        T(a_full_clone_is_made_while_the_original_counts),
        T(a_snapshot_is_exported_while_the_vm_counts),
    };
    const char *why;

    if (!rig_possible_bare(&why)) {
        print_message("[  SKIPPED ] integration/clones: %s\n", why);
        return 0;
    }
    return cmocka_run_group_tests_name("integration/clones", tests, NULL, NULL);
}
