/* A guest's memory goes where its VM goes, and through the archive, with the real daemon and a real
 * QEMU: the guest that counts (tests/lib/counter.h) goes on from it, without having booted. */
#include "tests/lib/counter.h"
#include "tests/lib/rig.h"

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <glob.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SOON_MS 60000
#define VM      "/api/v1/vms/web"

static struct rig rig;

/* ---- what the guest says ---- */

struct said {
    uint32_t last;        /* the newest number that is written */
    unsigned boots, back; /* times it said a smaller one than before */
};

static struct said listen_to_it(void)
{
    struct said said = {0};
    CLEANUP(mem_freep) char *text = NULL;
    char *save = NULL;
    size_t len;

    text = rig_get_bytes(&rig, VM "/serial?offset=0", &len);
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        uint32_t now;
        if (line[0] == 'E')
            fail_msg("the guest met a disk error after %x", said.last);
        if ((line[0] != '+' && line[0] != 'B') || strlen(line) != 9)
            continue;
        now = (uint32_t)strtoul(line + 1, NULL, 16);
        said.boots += line[0] == 'B';
        said.back += now < said.last;
        said.last = now;
    }
    return said;
}

/* Five numbers more, after it went back 'back' times. */
static void await_more(uint32_t than, unsigned back)
{
    int64_t deadline_ms = clock_mono_ms() + SOON_MS;
    struct said said = listen_to_it();

    while (said.back < back || said.last <= than + 5) {
        if (clock_mono_ms() > deadline_ms)
            fail_msg("the guest does not go on: it stands at %x", said.last);
        (void)poll(NULL, 0, 20); /* asked again until it has counted */
        said = listen_to_it();
    }
}

/* ---- files ---- */

struct found {
    size_t n;
    uint64_t bytes; /* of all of them on the disk */
};

static struct found images_in(const char *pool)
{
    CLEANUP(mem_freep) char *pattern = str_format("%s/%s/*/*.mem", rig.dir, pool);
    struct found found = {0};
    glob_t list;

    if (glob(pattern, GLOB_NOSORT, NULL, &list) == 0)
        for (; found.n < list.gl_pathc; found.n++) {
            struct stat st;
            assert_int_equal(stat(list.gl_pathv[found.n], &st), 0);
            found.bytes += (uint64_t)st.st_blocks * 512;
        }
    globfree(&list);
    return found;
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
    await_more(0, 0);
    return 0;
}

static int teardown(void **state)
{
    rig_remove(&rig);
    return 0;
}

static void a_saved_guest_moves_and_goes_on_with_the_next_number(void **state)
{
    uint32_t said;

    rig_act(&rig, "web", "save");
    said = listen_to_it().last;
    post(VM "/actions/move-storage", "{\"pool\":\"second\"}");
    assert_int_equal(images_in("main").n, 0);
    assert_int_equal(images_in("second").n, 1);
    assert_in_range(counter_on_disk(&rig, "web"), said, said + 1); /* written, not said yet */
    rig_act(&rig, "web", "start");
    await_more(said, 0);
    assert_int_equal(listen_to_it().boots, 1);
    assert_int_equal(listen_to_it().back, 0);
    assert_int_equal(images_in("second").n, 0);
}

/* Its path by id; the caller's. */
static char *snapshot_path(const char *end)
{
    CLEANUP(json_decrefp) json_t *list = rig_do(&rig, "GET", VM "/snapshots", NULL, 200);
    const json_t *one = json_array_get(json_object_get(list, "items"), 0);

    return str_format("/api/v1/snapshots/%s%s", json_get_text(one, "id"), end);
}

static void a_memory_that_was_archived_and_moved_is_gone_on_with(void **state)
{
    CLEANUP(mem_freep) char *archive = NULL;
    CLEANUP(mem_freep) char *unarchive = NULL;
    struct found plain, packed, again;
    uint32_t then;

    post(VM "/snapshots", "{\"name\":\"busy\",\"consistency\":\"running\"}");
    then = counter_in_snapshot(&rig, "web", "busy");
    archive = snapshot_path("/actions/archive");
    unarchive = snapshot_path("/actions/unarchive");
    plain = images_in("main");
    post(archive, NULL);
    packed = images_in("main");
    assert_int_equal(packed.n, 1);
    assert_true(packed.bytes < plain.bytes);
    post(VM "/actions/move-storage", "{\"pool\":\"second\",\"bandwidth\":0}");
    assert_int_equal(images_in("main").n, 0);
    post(VM "/actions/revert", "{\"snapshot\":\"busy\",\"start\":false}");
    again = images_in("second"); /* the archived one, and the VM's own */
    assert_int_equal(again.n, 2);
    assert_in_range(again.bytes - packed.bytes, plain.bytes / 2, plain.bytes * 2);
    rig_act(&rig, "web", "start");
    await_more(then, 1);
    assert_int_equal(images_in("second").n, 1);
    post(unarchive, NULL);
    again = images_in("second");
    assert_int_equal(again.n, 1);
    assert_in_range(again.bytes, plain.bytes / 2, plain.bytes * 2);
    post(VM "/actions/revert", "{\"snapshot\":\"busy\"}");
    await_more(then, 2);
    assert_int_equal(listen_to_it().boots, 1);
    assert_int_equal(listen_to_it().back, 2);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_saved_guest_moves_and_goes_on_with_the_next_number),
        T(a_memory_that_was_archived_and_moved_is_gone_on_with),
    };
    const char *why;

    if (!rig_possible_bare(&why)) {
        print_message("[  SKIPPED ] integration/carry: %s\n", why);
        return 0;
    }
    return cmocka_run_group_tests_name("integration/carry", tests, NULL, NULL);
}
