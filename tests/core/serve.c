/* Serving disks of snapshots, on the fake backend: who may, how many at a time, and what is left.
 */
#include "tests/lib/world.h"

#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/snap/serve.h"
#include "core/snap/snap.h"

#include <string.h>
#include <sys/socket.h>

static struct world w;

static void take(const char *name)
{
    struct err err = {0};
    struct uuid op;

    assert_true(snapshot_create(w.core, "web", name, NULL, &world_admin, &op, &err));
    json_decref(world_end_of(&w, &op));
}

static int setup(void **state)
{
    world_make(&w);
    world_create(&w, "web", "\"disks\":[{\"size_bytes\":1048576},{\"size_bytes\":1048576}]");
    take("a");
    return 0;
}

static int teardown(void **state)
{
    world_remove(&w);
    return 0;
}

static struct serve *serve(unsigned disk, int *fd)
{
    struct err err = {0};
    struct serve *s = NULL;

    if (!snapshot_serve(w.core, "web", "a", disk, &world_admin, &s, fd, &err))
        fail_msg("%s", err.detail);
    return s;
}

static void refused(const char *vm, const char *snapshot, unsigned disk, int code)
{
    struct err err = {0};
    struct serve *s;
    int fd;

    assert_false(snapshot_serve(w.core, vm, snapshot, disk, &world_admin, &s, &fd, &err));
    assert_int_equal(err.code, code);
    assert_null(s);
    assert_int_equal(fd, -1);
}

static void the_stream_is_the_server_s(void **state)
{
    CLEANUP(closep) int fd = -1;
    struct serve *s = serve(1, &fd);
    char greeting[18];

    assert_int_equal(recv(fd, greeting, sizeof greeting, MSG_WAITALL), sizeof greeting);
    assert_memory_equal(greeting, "NBDMAGICIHAVEOPT", 16);
    serve_end(s);
    assert_int_equal(world_files(&w), 4);
}

static void what_is_not_there_is_not_served(void **state)
{
    refused("none", "a", 0, ERR_NOT_FOUND);
    refused("web", "none", 0, ERR_NOT_FOUND);
    refused("web", "a", 2, ERR_NOT_FOUND);
    assert_int_equal(world_files(&w), 4);
}

static void there_are_only_so_many_at_a_time(void **state)
{
    struct serve *all[SERVES_MAX];
    int fds[SERVES_MAX];

    for (unsigned i = 0; i < SERVES_MAX; i++)
        all[i] = serve(i % 2, &fds[i]);
    refused("web", "a", 0, ERR_BUSY);
    assert_int_equal(world_files(&w), 4 + SERVES_MAX);
    for (unsigned i = 0; i < SERVES_MAX; i++) {
        serve_end(all[i]);
        closep(&fds[i]);
    }
    assert_int_equal(world_files(&w), 4);
    all[0] = serve(0, &fds[0]);
    serve_end(all[0]);
    closep(&fds[0]);
}

static void a_snapshot_is_deleted_and_its_files_are_served_on(void **state)
{
    CLEANUP(closep) int fd = -1;
    struct serve *s = serve(0, &fd);
    struct err err = {0};
    struct uuid op;

    assert_true(snapshot_delete(w.core, "web", "a", NULL, &world_admin, &op, &err));
    CLEANUP(json_decrefp) json_t *job = world_end_of(&w, &op);
    assert_string_equal(json_get_text(job, "state"), "succeeded");
    assert_string_equal(world_delete(&w, "web"), "succeeded");
    assert_int_equal(world_files(&w), 2); /* what is served, and the overlay */
    serve_end(s);
    assert_int_equal(world_files(&w), 0);
}

#ifdef VMMD_FAILPOINTS
static void one_that_fails_leaves_nothing(void **state)
{
    static const char *const points[] = {"serve.rows=fail", "snapshot.helper=fail",
                                         "serve.nbd=fail", "fake.serve=fail"};

    for (size_t i = 0; i < ARRAY_LEN(points); i++) {
        struct err err = {0};
        struct serve *s;
        int fd;
        failpoint_arm(points[i]);
        assert_false(snapshot_serve(w.core, "web", "a", 0, &world_admin, &s, &fd, &err));
        failpoint_arm(NULL);
        assert_int_equal(world_files(&w), 4);
    }
    world_close(&w);
    assert_true(world_open(&w));
    assert_int_equal(world_files(&w), 4);
}
#endif

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(the_stream_is_the_server_s),       T(what_is_not_there_is_not_served),
        T(there_are_only_so_many_at_a_time), T(a_snapshot_is_deleted_and_its_files_are_served_on),
#ifdef VMMD_FAILPOINTS
        T(one_that_fails_leaves_nothing),
#endif
    };

    return cmocka_run_group_tests_name("core/serve", tests, NULL, NULL);
}
