/* Storage that gives errors, under a guest that counts (tests/lib/counter.h): a part of the file
 * system below the pool "second" (tests/lib/small_fs.h) can neither be read nor written. Whatever
 * was to be done says why it failed, the guest counts on, nothing is left over, and once the
 * storage is well again the same is done. */
#include "tests/lib/chain.h"
#include "tests/lib/counter.h"
#include "tests/lib/rig.h"
#include "tests/lib/small_fs.h"

#include "core/base/clock.h"
#include "core/base/commitlog.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#define SOON_MS   60000
#define OPERATION "/api/v1/operations/%s"
#define VM        "/api/v1/vms/web"

static struct rig rig = {.before = small_fs_mount, .after = small_fs_unmount};

/* ---- the guest ---- */

static void count_on(void)
{
    const uint32_t than = counter_said(&rig, "web") + 5;
    int64_t deadline_ms = clock_mono_ms() + SOON_MS;

    while (counter_said(&rig, "web") <= than) {
        if (clock_mono_ms() > deadline_ms)
            fail_msg("the guest does not go on: it stands at %x", counter_said(&rig, "web"));
        (void)poll(NULL, 0, 20); /* asked again until it has counted */
    }
}

static void nothing_is_lost(void)
{
    const uint32_t said = counter_said(&rig, "web");
    const uint32_t is = counter_on_disk(&rig, "web");

    if (is < said)
        fail_msg("the guest said it wrote %x, on the disk is %x", said, is);
}

/* The one that matches, the caller's. */
static char *only(const char *below)
{
    CLEANUP(mem_freep) char *pattern = str_format("%s/%s", rig.dir, below);
    glob_t found;
    char *path;

    assert_int_equal(glob(pattern, GLOB_NOSORT, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    path = str_dup(found.gl_pathv[0]);
    globfree(&found);
    return path;
}

static size_t images_in(const char *root)
{
    CLEANUP(mem_freep) char *pattern = str_format("%s/%s/*/*.{raw,qcow2}", rig.dir, root);
    glob_t found;
    size_t n = glob(pattern, GLOB_NOSORT | GLOB_BRACE, NULL, &found) == 0 ? found.gl_pathc : 0;

    globfree(&found);
    return n;
}

/* Its disk has much on it, behind what the guest writes. */
static void has_much_on_its_disk(void)
{
    CLEANUP(mem_freep) char *path = only("*/*/*.raw");
    char block[65536];
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    memset(block, 'x', sizeof block);
    for (off_t at = 1 << 20; at < 16 << 20; at += (off_t)sizeof block)
        assert_int_equal(pwrite(fd, block, sizeof block, at), sizeof block);
    assert_int_equal(fsync(fd), 0);
    assert_int_equal(close(fd), 0);
}

static void a_guest_counts_in(const char *pool)
{
    CLEANUP(mem_freep)
    char *spec = str_format(
        "{\"name\":\"web\",\"machine\":\"pc\",\"accel\":\"tcg\",\"memory_bytes\":16777216,"
        "\"nics\":[],\"video\":{\"model\":\"none\"},\"pointer\":\"mouse\",\"rng\":false,"
        "\"disks\":[{\"size_bytes\":16777216,\"format\":\"raw\",\"bus\":\"ide\",\"pool\":\"%s\"}]}",
        pool);

    json_decref(rig_do(&rig, "POST", "/api/v1/vms", spec, 201));
    counter_install(&rig);
    has_much_on_its_disk();
    rig_act(&rig, "web", "start");
    counter_await_life(&rig, "web", SOON_MS);
}

/* What is written once this is free again lies in front of it. */
static void what_comes_next_lies_behind(void)
{
    CLEANUP(mem_freep) char *path = small_fs_path(&rig, "filler");
    CLEANUP(mem_freep) char *make = str_format("fallocate -l 24M %s", path);

    assert_int_equal(system(make), 0);
}

static char *take_snapshot(void)
{
    CLEANUP(json_decrefp)
    json_t *done = rig_do(&rig, "POST", VM "/snapshots", "{\"name\":\"one\"}", 200);

    count_on();
    return str_dup(json_get_text(json_object_get(done, "result"), "snapshot"));
}

/* ---- operations ---- */

/* Its end; the caller's. */
static json_t *run(const char *method, const char *path, const char *body)
{
    int64_t deadline_ms = clock_mono_ms() + SOON_MS;
    CLEANUP(json_decrefp) json_t *op = NULL;
    CLEANUP(mem_freep) char *where = NULL;
    int status;

    op = rig_send(&rig, method, path, body, NULL, &status);
    assert_int_equal(status, 202);
    where = str_format(OPERATION, json_get_text(op, "id"));
    for (;;) {
        CLEANUP(json_decrefp) json_t *now = rig_do(&rig, "GET", where, NULL, 200);
        if (json_get_text(now, "ended_at"))
            return json_incref(now);
        if (clock_mono_ms() > deadline_ms)
            fail_msg("%s %s does not end", method, path);
        (void)poll(NULL, 0, 20); /* asked again until it has */
    }
}

static void fails_with(const char *method, const char *path, const char *body, const char *why)
{
    CLEANUP(json_decrefp) json_t *op = run(method, path, body);
    const char *detail = json_get_text(json_object_get(op, "error"), "detail");

    if (!str_eq(json_get_text(op, "state"), "failed") || !detail || !strstr(detail, why))
        fail_msg("%s %s should fail with '%s': %s, %s", method, path, why,
                 json_get_text(op, "state"), detail);
}

static void works(const char *method, const char *path, const char *body)
{
    CLEANUP(json_decrefp) json_t *op = run(method, path, body);

    if (!str_eq(json_get_text(op, "state"), "succeeded"))
        fail_msg("%s %s: %s", method, path, json_get_text(json_object_get(op, "error"), "detail"));
}

static void all_is_as_it_was(unsigned in_main, unsigned in_second)
{
    CLEANUP(mem_freep) char *stray = NULL;

    count_on();
    nothing_is_lost();
    assert_int_equal(images_in("main"), in_main);
    assert_int_equal(images_in("second"), in_second);
    stray = chain_find_strays(&rig);
    if (stray)
        fail_msg("%s", stray);
}

#define MOVE VM "/actions/move-storage"
#define EIO_ "Input/output error"

static int setup(void **state)
{
    rig_make(&rig, 0);
    return 0;
}

static int teardown(void **state)
{
    small_fs_mend(&rig); /* a test that failed may have left it broken */
    rig_remove(&rig);
    return 0;
}

static void a_disk_that_cannot_be_read_to_its_end_stays_where_it_is(void **state)
{
    a_guest_counts_in("second");
    CLEANUP(mem_freep) char *disk = only("second/*/*.raw");
    small_fs_break(&rig, disk, 8 << 20, NULL);
    fails_with("POST", MOVE, "{\"pool\":\"main\"}", EIO_);
    all_is_as_it_was(0, 1);
    small_fs_mend(&rig);
    works("POST", MOVE, "{\"pool\":\"main\"}");
    all_is_as_it_was(1, 0);
}

static void a_lower_layer_that_cannot_be_read_is_not_moved_exported_merged_or_cloned(void **state)
{
    what_comes_next_lies_behind();
    a_guest_counts_in("second");
    small_fs_free_again(&rig);
    CLEANUP(mem_freep) char *disk = only("second/*/*.raw");
    CLEANUP(mem_freep) char *id = take_snapshot();
    CLEANUP(mem_freep) char *leaf = only("second/*/*.qcow2");
    CLEANUP(mem_freep) char *export = str_format("/api/v1/snapshots/%s/actions/export", id);
    CLEANUP(mem_freep) char *one = str_format("/api/v1/snapshots/%s", id);
    CLEANUP(json_decrefp) json_t *exports = NULL;

    /* the larger of the two, so that what lies below is copied into it */
    CLEANUP(mem_freep) char *larger = str_format("fallocate -n -l 20M %s", leaf);
    assert_int_equal(system(larger), 0);
    small_fs_break(&rig, disk, 8 << 20, leaf);
    fails_with("POST", MOVE, "{\"pool\":\"main\"}", EIO_);
    all_is_as_it_was(0, 2);
    fails_with("POST", export, "{\"format\":\"raw\",\"root\":\"main\"}", EIO_);
    exports = rig_do(&rig, "GET", "/api/v1/exports", NULL, 200);
    assert_int_equal(json_array_size(json_object_get(exports, "items")), 0);
    all_is_as_it_was(0, 2);
    fails_with("DELETE", one, NULL, EIO_);
    json_decref(rig_do(&rig, "GET", one, NULL, 200));
    all_is_as_it_was(0, 2);
    fails_with("POST", VM "/actions/clone", "{\"name\":\"two\",\"full\":true,\"snapshot\":\"one\"}",
               EIO_);
    json_decref(rig_do(&rig, "GET", "/api/v1/vms/two", NULL, 404));
    all_is_as_it_was(0, 2);
    small_fs_mend(&rig);
    works("DELETE", one, NULL);
    all_is_as_it_was(0, 1);
}

static void a_target_that_cannot_be_written_is_given_up(void **state)
{
    CLEANUP(mem_freep) char *mark = small_fs_path(&rig, "mark");
    CLEANUP(mem_freep) char *make = str_format("dd if=/dev/zero of=%s bs=1M count=1 2>&1", mark);

    /* what the kernel says of it differs: Input/output error, Cannot allocate memory */
    a_guest_counts_in("main");
    assert_int_equal(system(make), 0);
    small_fs_break(&rig, mark, 0, NULL);
    fails_with("POST", MOVE, "{\"pool\":\"second\"}", "copy");
    all_is_as_it_was(1, 0);
    json_decref(rig_do(&rig, "POST", VM "/snapshots", "{\"name\":\"one\"}", 200));
    fails_with("POST", MOVE, "{\"pool\":\"second\"}", "copy");
    all_is_as_it_was(2, 0);
    small_fs_mend(&rig);
    works("POST", MOVE, "{\"pool\":\"second\"}");
    all_is_as_it_was(0, 2);
}

/* The VM's directory with its commit log lies on the small file system from then on. */
static void its_commit_log_lies_there(const char *id)
{
    CLEANUP(mem_freep) char *dir = str_format("%s/state/vm/%s", rig.dir, id);
    CLEANUP(mem_freep)
    char *copy = str_format("cd %s/second && mkdir log && chown --reference=%s log && "
                            "chmod --reference=%s log && "
                            "dd if=/dev/zero of=log/space bs=1M count=4 2>/dev/null && "
                            "cp -a --sparse=never %s/. log/ && mv log/" COMMITLOG_NAME " first && "
                            "cp -a --sparse=never first log/" COMMITLOG_NAME " && rm first && "
                            "sync && mount --bind log %s",
                            rig.dir, dir, dir, dir, dir);

    assert_int_equal(system(copy), 0);
}

static void a_switch_that_cannot_be_recorded_leaves_the_disks_and_stops_the_guest(void **state)
{
    CLEANUP(mem_freep) char *id = NULL;
    CLEANUP(mem_freep) char *dir = NULL;
    CLEANUP(mem_freep) char *log = NULL;
    CLEANUP(mem_freep) char *snapshot = NULL;
    CLEANUP(mem_freep) char *one = NULL;
    int status;

    a_guest_counts_in("main");
    rig_act(&rig, "web", "stop");
    id = rig_text(&rig, "web", "id");
    dir = str_format("%s/state/vm/%s", rig.dir, id);
    log = str_format("%s/" COMMITLOG_NAME, dir);
    rig_stop(&rig);
    its_commit_log_lies_there(id);
    rig_spawn(&rig);
    rig_act(&rig, "web", "start");
    count_on();
    snapshot = take_snapshot();
    one = str_format("/api/v1/snapshots/%s", snapshot);
    small_fs_break(&rig, log, 0, NULL);
    fails_with("DELETE", one, NULL, "commit log");
    rig_await(&rig, "web", "paused", "io-error", SOON_MS);
    json_decref(rig_call(&rig, "POST", VM "/actions/resume", "{}", &status));
    assert_int_not_equal(status, 200);
    rig_await(&rig, "web", "paused", "io-error", 0);
    nothing_is_lost();
    small_fs_mend(&rig);
    rig_act(&rig, "web", "stop");
    nothing_is_lost();
    rig_act(&rig, "web", "start");
    count_on();
    rig_act(&rig, "web", "stop");
    nothing_is_lost();
    rig_stop(&rig);
    assert_int_equal(umount(dir), 0);
    rig_spawn(&rig);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_disk_that_cannot_be_read_to_its_end_stays_where_it_is),
        T(a_lower_layer_that_cannot_be_read_is_not_moved_exported_merged_or_cloned),
        T(a_target_that_cannot_be_written_is_given_up),
        T(a_switch_that_cannot_be_recorded_leaves_the_disks_and_stops_the_guest),
    };
    const char *why;

    if (!small_fs_possible(&why)) {
        print_message("[  SKIPPED ] integration/storage_errors: %s\n", why);
        return 0;
    }
    return cmocka_run_group_tests_name("integration/storage_errors", tests, NULL, NULL);
}
