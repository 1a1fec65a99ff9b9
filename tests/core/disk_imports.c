/* Disks that come from an image, on the fake backend: what there is afterwards, in the
 * configuration and in the pools, when one came, was refused, failed or was cancelled. */
#include "tests/lib/points.h"
#include "tests/lib/world_acts.h"
#include "tests/lib/world_disks.h"

#include "backends/fake/fake.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/core/parts.h"
#include "core/disk/import.h"
#include "core/disk/imports.h"
#include "core/disk/pool.h"
#include "core/job/job.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#ifndef VMMD_TSAN /* vmmd-inspect may make too few calls for the thread sanitizer to live */

#define DISKS "\"disks\":[{\"size_bytes\":1048576,\"format\":\"raw\"}]"
#define MIB   (1ull << 20)

static struct world w;
static struct uuid op; /* of the last operation */

static int setup(void **state)
{
    world_make(&w);
    world_create(&w, "web", DISKS);
    return 0;
}

static int teardown(void **state)
{
    world_remove(&w);
    return 0;
}

static const char *add(const char *body)
{
    CLEANUP(json_decrefp) json_t *json = json_loads(body, 0, NULL);
    struct err err = {0};

    assert_non_null(json);
    return world_outcome(&w, disk_add(w.core, "web", json, &world_admin, &op, &err), &op, &err);
}

static void an_image_is_imported_and_stays_where_it_is(void **state)
{
    uint64_t size;

    assert_true(world_disk_import_one(&w));
    assert_int_equal(world_disks(&w, &size), 2);
    assert_int_equal(size, 2 * MIB);
    assert_int_equal(world_files(&w), 2);
    assert_string_equal(add("{\"source\":{\"file\":\"there.qcow2\",\"format\":\"qcow2\"},"
                            "\"size_bytes\":4194304,\"format\":\"vhdx\"}"),
                        "succeeded");
    assert_int_equal(world_disks(&w, &size), 3);
    assert_int_equal(size, 4 * MIB);
}

static int setup_in_memory(void **state)
{
    char *dir = str_dup("/dev/shm/vmmd-test-XXXXXX");

    assert_non_null(mkdtemp(dir));
    world_make_in(&w, dir);
    world_create(&w, "web", DISKS);
    return 0;
}

/* Else the kernel would end what copies. */
static void a_copy_to_memory_has_room_for_it(void **state)
{
    CLEANUP(closep) int dir = open(w.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    fake_in_memory_bytes = 7;
    assert_true(world_disk_import_one(&w));
    assert_int_equal(fake_in_memory_bytes, fs_is_in_memory(dir) ? import_file_max(2 * MIB) : 0);
}

static json_t *plan(const char *body, struct err *err)
{
    CLEANUP(json_decrefp) json_t *json = json_loads(body, 0, NULL);

    *err = (struct err){0};
    return disk_import_plan(w.core, "web", json, &world_admin, err);
}

static void a_dry_run_shows_what_an_image_is(void **state)
{
    struct err err;
    CLEANUP(json_decrefp) json_t *v = NULL;

    world_image_is_there(&w);
    v = plan("{\"source\":{\"file\":\"there.qcow2\"},\"format\":\"raw\",\"size_bytes\":4194304}",
             &err);
    assert_non_null(v);
    assert_string_equal(json_get_text(v, "image_format"), "qcow2");
    assert_string_equal(json_get_text(v, "format"), "raw");
    assert_string_equal(json_get_text(v, "pool"), "main");
    assert_int_equal(json_get_u64(v, "image_bytes", 0), 2 * MIB);
    assert_int_equal(json_get_u64(v, "size_bytes", 0), 4 * MIB);
    assert_null(plan("{\"source\":{\"file\":\"there.qcow2\",\"format\":\"vhdx\"}}", &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_null(plan("{\"source\":{\"file\":\"none.qcow2\"}}", &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_null(plan("{\"size_bytes\":1048576}", &err));
    assert_string_equal(err.field, "/source");
    assert_int_equal(world_disks(&w, NULL), 1);
    assert_int_equal(world_files(&w), 1);
    assert_string_equal(world_vm(&w, "web", "job"), "null");
}

static void a_size_that_is_none_is_refused(void **state)
{
    static const char *const sizes[] = {"\"10G\"", "-1", "0", "null"};

    world_image_is_there(&w);
    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
        CLEANUP(mem_freep)
        char *body =
            str_format("{\"source\":{\"file\":\"there.qcow2\"},\"size_bytes\":%s}", sizes[i]);
        assert_string_equal(add(body), "invalid");
    }
}

static void an_image_that_is_refused_leaves_nothing(void **state)
{
    world_image_is_there(&w);
    assert_string_equal(add("{\"source\":{\"file\":\"none.qcow2\"}}"), "not-found");
    assert_string_equal(add("{\"source\":{\"file\":\"there.qcow2\",\"format\":\"vmdk\"}}"),
                        "invalid");
    assert_string_equal(add("{\"source\":{\"file\":\"there.qcow2\"},\"size_bytes\":1048576}"),
                        "invalid"); /* smaller than the image's */
    assert_string_equal(add("{\"source\":{\"file\":\"there.qcow2\",\"root\":\"second\"}}"),
                        "not-found");
    assert_string_equal(add("{\"source\":{}}"), "invalid");
    assert_string_equal(add("{\"source\":7}"), "invalid");
    assert_int_equal(world_disks(&w, NULL), 1);
    assert_int_equal(world_files(&w), 1);
}

#ifdef VMMD_FAILPOINTS
static void an_import_that_fails_leaves_nothing(void **state)
{
    world_image_is_there(&w);
    failpoint_arm("import.mirror=fail");
    assert_string_not_equal(add("{\"source\":{\"file\":\"there.qcow2\"}}"), "succeeded");
    failpoint_arm(NULL);
    assert_int_equal(world_disks(&w, NULL), 1);
    assert_int_equal(world_files(&w), 1);
    assert_string_equal(world_vm(&w, "web", "job"), "null");
}

static const char *drop_image(void)
{
    struct err err = {0};

    return import_remove(w.core, "main", "there.qcow2", &world_admin, &err) ? "gone"
                                                                            : err_slug(err.code);
}

/* Held where the copy would begin: its image is kept for it, and a cancellation takes all back. */
static void an_import_that_is_cancelled_leaves_nothing(void **state)
{
    CLEANUP(mem_freep) char *path = str_format("%s/points", w.dir);
    CLEANUP(json_decrefp)
    json_t *body = json_loads("{\"source\":{\"file\":\"there.qcow2\"}}", 0, NULL);
    const struct point copying = {"import.mirror", 1};
    const char *while_read;
    struct err err = {0};

    world_image_is_there(&w);
    points_open(path);
    points_arm(&copying, false);
    assert_true(disk_add(w.core, "web", body, &world_admin, &op, &err));
    assert_true(points_reached(20000));
    while_read = drop_image();
    assert_true(job_cancel(w.core, &op, &world_admin, &err));
    points_release();
    points_close();
    assert_string_equal(while_read, "busy");
    assert_string_equal(world_outcome(&w, true, &op, &err), "cancelled");
    assert_int_equal(world_disks(&w, NULL), 1);
    assert_int_equal(world_files(&w), 1);
    assert_string_equal(world_vm(&w, "web", "job"), "null");
    assert_string_equal(drop_image(), "gone");
}
#endif

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(an_image_is_imported_and_stays_where_it_is),
        T(a_copy_to_memory_has_room_for_it),
        cmocka_unit_test_setup_teardown(a_copy_to_memory_has_room_for_it, setup_in_memory,
                                        teardown),
        T(a_dry_run_shows_what_an_image_is),
        T(a_size_that_is_none_is_refused),
        T(an_image_that_is_refused_leaves_nothing),
#ifdef VMMD_FAILPOINTS
        T(an_import_that_fails_leaves_nothing),
        T(an_import_that_is_cancelled_leaves_nothing),
#endif
    };

    return cmocka_run_group_tests_name("core/disk_imports", tests, NULL, NULL);
}
#else
int main(void)
{
    print_message(
        "[  SKIPPED ] core/disk_imports: vmmd-inspect does not run under the thread sanitizer\n");
    return 0;
}
#endif
