/* Images that come through the API, on a real folder: what lies there after each piece, after a
 * restart, and after everything that can go wrong. How they come by HTTP is in unit/api_uploads. */
#include "tests/lib/world_acts.h"
#include "tests/lib/world_disks.h"

#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/core/parts.h"
#include "core/disk/imports.h"
#include "core/disk/pool.h"
#include "core/disk/upload.h"

#include <dirent.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE 100000u

static struct world w;
static uint8_t image[SIZE];
static char digest[65];

static int setup(void **state)
{
    uint8_t sha256[32];

    for (size_t i = 0; i < SIZE; i++)
        image[i] = (uint8_t)(i * 7 + i / 251);
    assert_int_equal(EVP_Digest(image, SIZE, sha256, NULL, EVP_sha256(), NULL), 1);
    str_hex(sha256, sizeof sha256, digest);
    world_make(&w);
    return 0;
}

static int teardown(void **state)
{
    world_remove(&w);
    return 0;
}

static struct upload_ask piece(uint64_t from, uint64_t len)
{
    return (struct upload_ask){
        .root = "main", .name = "web.img", .from = from, .len = len, .total = SIZE};
}

/* "whole", "more", or why not. */
static const char *give(const struct upload_ask *ask)
{
    struct err err = {0};
    struct upload *u = upload_begin(w.core, ask, &err);
    bool whole = false;
    bool ok = u != NULL;

    for (uint64_t at = 0; ok && at < ask->len; at += 10000)
        ok = upload_add(u, image + ask->from + at, ask->len - at < 10000 ? ask->len - at : 10000,
                        &err);
    ok = ok && upload_end(u, &whole, &err);
    upload_close(u);
    return !ok ? err_slug(err.code) : whole ? "whole" : "more";
}

static const char *give_from(uint64_t from, uint64_t len)
{
    const struct upload_ask ask = piece(from, len);

    return give(&ask);
}

static uint64_t offset_of(const char *name)
{
    struct err err = {0};
    CLEANUP(json_decrefp) json_t *v = import_show(w.core, "main", name, &err);

    return v ? json_get_u64(v, "uploaded_bytes", 0) : UINT64_MAX;
}

static const char *state_of(const char *name)
{
    struct err err = {0};
    CLEANUP(json_decrefp) json_t *v = import_show(w.core, "main", name, &err);

    return !v                                           ? err_slug(err.code)
           : str_eq(json_get_text(v, "state"), "ready") ? "ready"
                                                        : "uploading";
}

static const char *drop(const char *name)
{
    struct err err = {0};

    return import_remove(w.core, "main", name, &world_admin, &err) ? "gone" : err_slug(err.code);
}

static int folder(void)
{
    CLEANUP(mem_freep) char *path = str_format("%s/root-main/imports", w.dir);

    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static unsigned entries(void)
{
    int fd = folder();
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    unsigned n = 0;

    for (struct dirent *e; dir && (e = readdir(dir));)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    if (dir)
        closedir(dir);
    return n;
}

static void assert_image_is_whole(void)
{
    CLEANUP(closep) int dir = folder();
    CLEANUP(closep) int fd = openat(dir, "web.img", O_RDONLY | O_CLOEXEC);
    CLEANUP(mem_freep) char *text = NULL;
    struct err err = {0};
    size_t len = 0;

    assert_string_equal(state_of("web.img"), "ready");
    assert_true(fs_read_all(fd, SIZE + 1, &text, &len, &err));
    assert_int_equal(len, SIZE);
    assert_memory_equal(text, image, SIZE);
    assert_int_equal(entries(), 1);
}

/* ---- the way it is meant ---- */

static void an_image_comes_in_one_go(void **state)
{
    struct upload_ask ask = piece(0, SIZE);

    ask.sha256 = digest;
    assert_string_equal(give(&ask), "whole");
    assert_image_is_whole();
    assert_string_equal(drop("web.img"), "gone");
    assert_string_equal(drop("web.img"), "not-found");
    assert_int_equal(entries(), 0);
}

static void pieces_go_behind_each_other_across_a_restart(void **state)
{
    struct upload_ask last = piece(60000, 40000);

    assert_string_equal(give_from(0, 20000), "more");
    assert_string_equal(state_of("web.img"), "uploading");
    assert_int_equal(offset_of("web.img"), 20000);
    world_close(&w);
    assert_true(world_open(&w));
    assert_int_equal(offset_of("web.img"), 20000);
    assert_string_equal(give_from(20000, 40000), "more");
    last.sha256 = digest;
    assert_string_equal(give(&last), "whole");
    assert_image_is_whole();
}

/* As from a program that sends a kilobyte at a time. */
static void a_hundred_thousand_bytes_come_one_piece_each_hundred(void **state)
{
    for (uint64_t at = 0; at + 100 < SIZE; at += 100)
        assert_string_equal(give_from(at, 100), "more");
    assert_string_equal(give_from(SIZE - 100, 100), "whole");
    assert_image_is_whole();
}

static void what_is_unfinished_is_listed_and_no_image(void **state)
{
    struct err err = {0};
    CLEANUP(json_decrefp)
    json_t *body = json_loads("{\"source\":{\"file\":\"web.img\",\"format\":\"raw\"}}", 0, NULL);
    CLEANUP(json_decrefp) json_t *list = NULL;
    const json_t *one;
    struct uuid op;

    assert_string_equal(give_from(0, 20000), "more");
    list = world_list(&w, &schema_import, (struct query_ask){.page_size = 10}, &err);
    assert_int_equal(json_array_size(json_object_get(list, "items")), 1);
    one = json_array_get(json_object_get(list, "items"), 0);
    assert_string_equal(json_get_text(one, "name"), "web.img");
    assert_string_equal(json_get_text(one, "state"), "uploading");
    assert_int_equal(json_get_u64(one, "size_bytes", 0), SIZE);
    assert_int_equal(json_get_u64(one, "uploaded_bytes", 0), 20000);
    world_create(&w, "web", "\"disks\":[]");
    assert_false(disk_add(w.core, "web", body, &world_admin, &op, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_string_equal(drop("web.img"), "gone");
    assert_int_equal(entries(), 0);
}

/* ---- what strangers ask for ---- */

static void pieces_that_do_not_fit_change_nothing(void **state)
{
    struct upload_ask other = piece(20000, 100), anew = piece(0, 50);

    assert_string_equal(give_from(20000, 100), "wrong-state"); /* nothing is there */
    assert_int_equal(entries(), 0);
    assert_string_equal(give_from(0, 20000), "more");
    assert_string_equal(give_from(20001, 100), "wrong-state"); /* a gap */
    assert_string_equal(give_from(19999, 100), "wrong-state"); /* twice */
    assert_string_equal(give_from(20000, SIZE), "invalid");    /* beyond the end */
    assert_string_equal(give_from(SIZE, 0), "wrong-state");    /* "that was all" */
    other.total = SIZE + 1;
    assert_string_equal(give(&other), "wrong-state");
    other.total = 0;
    assert_string_equal(give(&other), "invalid");
    assert_int_equal(offset_of("web.img"), 20000);
    anew.total = 1000; /* it is another image by now */
    assert_string_equal(give(&anew), "more");
    assert_int_equal(offset_of("web.img"), 50);
    assert_int_equal(entries(), 1);
}

static void names_stay_in_the_folder(void **state)
{
    static const char *const names[] = {
        "",    ".",    "..",  "../x", "a/b",        ".web.img.5.part",
        "a b", "a\nb", "-rf", "\xff", "/etc/passwd"};
    struct upload_ask ask = piece(0, 10);
    char longest[IMPORT_NAME_MAX + 2];

    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        ask.name = names[i];
        assert_string_equal(give(&ask), "invalid");
    }
    memset(longest, 'x', sizeof longest);
    longest[IMPORT_NAME_MAX + 1] = 0;
    ask.name = longest;
    assert_string_equal(give(&ask), "invalid");
    longest[IMPORT_NAME_MAX] = 0;
    assert_string_equal(give(&ask), "more");
    assert_string_equal(drop(longest), "gone");
    ask.name = "web.img";
    ask.root = "nowhere";
    assert_string_equal(give(&ask), "not-found");
    assert_int_equal(entries(), 0);
}

static void a_digest_that_does_not_fit_takes_all_of_it_away(void **state)
{
    struct upload_ask ask = piece(0, SIZE);

    ask.sha256 = "no digest";
    assert_string_equal(give(&ask), "invalid");
    ask.sha256 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    assert_string_equal(give(&ask), "invalid");
    assert_int_equal(entries(), 0);
}

static void nothing_is_replaced(void **state)
{
    struct upload_ask ask = piece(0, SIZE);

    world_image_is_there(&w);
    ask.name = "there.qcow2";
    assert_string_equal(give(&ask), "exists");
    assert_int_equal(entries(), 1);
}

static void one_body_an_image_and_eight_in_all(void **state)
{
    struct upload *taken[UPLOADS_AT_ONCE];
    struct upload_ask ask = piece(0, 10);
    struct err err = {0};
    char name[16];

    for (unsigned i = 0; i < UPLOADS_AT_ONCE; i++) {
        snprintf(name, sizeof name, "%u.img", i);
        ask.name = name;
        taken[i] = upload_begin(w.core, &ask, &err);
        assert_non_null(taken[i]);
        assert_string_equal(give(&ask), "busy"); /* the same once more */
        assert_string_equal(drop(name), "busy");
    }
    ask.name = "other.img";
    assert_string_equal(give(&ask), "busy");
    world_image_is_there(&w);
    assert_string_equal(drop("there.qcow2"), "gone"); /* nobody keeps others from making room */
    upload_close(taken[0]);
    assert_string_equal(give(&ask), "more");
    for (unsigned i = 1; i < UPLOADS_AT_ONCE; i++)
        upload_close(taken[i]);
    assert_int_equal(entries(), UPLOADS_AT_ONCE + 1);
}

static void there_is_an_end_to_what_lies_there_unfinished(void **state)
{
    struct upload_ask ask = piece(0, 10);
    char name[16];

    ask.name = name;
    for (unsigned i = 0; i < UPLOADS_LEFT; i++) {
        snprintf(name, sizeof name, "%u.img", i);
        assert_string_equal(give(&ask), "more");
    }
    ask.name = "web.img";
    assert_string_equal(give(&ask), "wrong-state");
    ask.name = "0.img"; /* one of them may begin anew */
    assert_string_equal(give(&ask), "more");
}

static void what_does_not_fit_is_refused_before_a_byte_is_taken(void **state)
{
    struct upload_ask ask = piece(0, 10);

    ask.total = 1ull << 45;
    assert_string_equal(give(&ask), "no-space");
    assert_int_equal(entries(), 0);
    assert_string_equal(give_from(0, 20000), "more");
    assert_string_equal(give(&ask), "no-space"); /* and what there was of it stays */
    assert_int_equal(offset_of("web.img"), 20000);
    ask.total = UPLOAD_BYTES_MAX + 1;
    assert_string_equal(give(&ask), "invalid");
}

static void links_and_pipes_in_the_folder_are_no_uploads(void **state)
{
    CLEANUP(closep) int dir = -1;
    struct stat st;

    assert_string_equal(give_from(0, 20000), "more");
    assert_string_equal(drop("web.img"), "gone");
    dir = folder();
    assert_int_equal(symlinkat("/etc/passwd", dir, ".web.img.100000.part"), 0);
    assert_int_equal(mkfifoat(dir, "pipe.img", 0600), 0);
    assert_string_equal(state_of("web.img"), "not-found");
    assert_string_equal(state_of("pipe.img"), "not-found");
    assert_string_equal(give_from(0, 20000), "exists"); /* nothing is followed or overwritten */
    assert_int_equal(fstatat(dir, ".web.img.100000.part", &st, AT_SYMLINK_NOFOLLOW), 0);
    assert_true(S_ISLNK(st.st_mode));
}

/* ---- later ---- */

static void what_nobody_goes_on_with_is_removed_after_a_week(void **state)
{
    const struct timespec old[2] = {{.tv_nsec = UTIME_NOW}, {.tv_sec = time(NULL) - 8 * 86400}};
    struct upload_ask ask = piece(0, 10);
    CLEANUP(closep) int dir = -1;

    assert_string_equal(give(&ask), "more");
    ask.name = "new.img";
    assert_string_equal(give(&ask), "more");
    dir = folder();
    uploads_sweep(w.core);
    assert_int_equal(entries(), 2);
    assert_int_equal(utimensat(dir, ".web.img.100000.part", old, 0), 0);
    uploads_sweep(w.core);
    assert_string_equal(state_of("web.img"), "not-found");
    assert_string_equal(state_of("new.img"), "uploading");
}

#ifdef VMMD_FAILPOINTS
/* Wherever it fails, what was said to be there is, and asking again ends it. */
static void whatever_fails_can_be_gone_on_with(void **state)
{
    static const char *const points[] = {"upload.make=fail", "upload.write=fail:2",
                                         "upload.flush=fail", "upload.flushed=fail",
                                         "upload.name=fail"};

    for (unsigned i = 0; i < ARRAY_LEN(points); i++) {
        uint64_t at;

        failpoint_arm(points[i]);
        assert_string_equal(give_from(0, SIZE), "internal");
        failpoint_arm(NULL);
        at = offset_of("web.img");
        if (at == UINT64_MAX)
            at = 0;
        assert_string_equal(give_from(at, SIZE - at), "whole");
        assert_image_is_whole();
        assert_string_equal(drop("web.img"), "gone");
    }
    failpoint_arm("upload.name.done=fail");
    assert_string_equal(give_from(0, SIZE), "internal");
    failpoint_arm(NULL);
    assert_image_is_whole(); /* it has its name: only the reply was lost */
}

/* The kernel says so once, and then shows what it could not write until it forgets it. */
static void what_was_not_flushed_has_not_come(void **state)
{
    struct upload_ask last = piece(20000, SIZE - 20000);

    assert_string_equal(give_from(0, 20000), "more");
    failpoint_arm("upload.flush=fail");
    assert_string_equal(give_from(20000, 40000), "internal");
    failpoint_arm(NULL);
    assert_int_equal(offset_of("web.img"), 20000);
    last.sha256 = digest;
    assert_string_equal(give(&last), "whole");
    assert_image_is_whole();
}
#endif

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(an_image_comes_in_one_go),
        T(pieces_go_behind_each_other_across_a_restart),
        T(a_hundred_thousand_bytes_come_one_piece_each_hundred),
        T(what_is_unfinished_is_listed_and_no_image),
        T(pieces_that_do_not_fit_change_nothing),
        T(names_stay_in_the_folder),
        T(a_digest_that_does_not_fit_takes_all_of_it_away),
        T(nothing_is_replaced),
        T(one_body_an_image_and_eight_in_all),
        T(there_is_an_end_to_what_lies_there_unfinished),
        T(what_does_not_fit_is_refused_before_a_byte_is_taken),
        T(links_and_pipes_in_the_folder_are_no_uploads),
        T(what_nobody_goes_on_with_is_removed_after_a_week),
#ifdef VMMD_FAILPOINTS
        T(whatever_fails_can_be_gone_on_with),
        T(what_was_not_flushed_has_not_come),
#endif
    };

    return cmocka_run_group_tests_name("core/uploads", tests, NULL, NULL);
}
