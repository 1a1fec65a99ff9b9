/* The commit log: what was written last is read, whatever happened to a slot. */
#include "tests/lib/harness.h"

#include "core/base/commitlog.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/json.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOG_BYTES ((off_t)COMMITLOG_SLOTS * COMMITLOG_SLOT_BYTES)

static char *path;
static int dir = -1, fd = -1;

static int set_up(void **state)
{
    struct err err = {0};

    path = tmp_dir_make();
    dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    fd = commitlog_open(dir, &err);
    if (fd < 0)
        fail_msg("%s", err.detail);
    return 0;
}

static int tear_down(void **state)
{
#ifdef VMMD_FAILPOINTS
    failpoint_arm(NULL);
#endif
    closep(&fd);
    closep(&dir);
    tmp_dir_remove(path);
    return 0;
}

static void write_number(uint64_t sequence)
{
    struct err err = {0};
    char text[32];

    snprintf(text, sizeof text, "{\"n\":%d}", (int)sequence);
    if (!commitlog_write(fd, sequence, text, &err))
        fail_msg("%s", err.detail);
}

static void expect_last(uint64_t sequence)
{
    CLEANUP(json_decrefp) json_t *record = NULL;
    struct err err = {0};
    uint64_t found = 99;

    assert_true(commitlog_last(fd, &found, &record, &err));
    assert_int_equal(found, sequence);
    if (sequence)
        assert_int_equal(json_get_u64(record, "n", 0), sequence);
    else
        assert_null(record);
}

static off_t slot_of(uint64_t sequence)
{
    return (off_t)(sequence % COMMITLOG_SLOTS) * COMMITLOG_SLOT_BYTES;
}

static void a_new_log_is_empty_and_has_its_size_already(void **state)
{
    struct stat st;

    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, LOG_BYTES);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_true(st.st_blocks * 512 >= LOG_BYTES);
    expect_last(0);
}

static void the_newest_record_is_read_also_by_who_opens_it_again(void **state)
{
    struct err err = {0};

    write_number(1);
    write_number(2);
    expect_last(2);
    close(fd);
    fd = commitlog_open(dir, &err);
    assert_true(fd >= 0);
    expect_last(2);
}

static void it_wraps_around(void **state)
{
    struct stat st;

    for (uint64_t n = COMMITLOG_SLOTS - 2; n <= COMMITLOG_SLOTS + 2; n++) {
        write_number(n);
        expect_last(n);
    }
    write_number(2 * COMMITLOG_SLOTS);
    expect_last(2 * COMMITLOG_SLOTS);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, LOG_BYTES);
}

static void a_torn_slot_is_as_if_it_were_empty(void **state)
{
    static const char zeros[512];

    write_number(6);
    write_number(7);
    assert_int_equal(pwrite(fd, zeros, sizeof zeros, slot_of(7) + 3 * 512), sizeof zeros);
    expect_last(7); /* zeros over zeros: nothing was lost */
    assert_int_equal(pwrite(fd, "x", 1, slot_of(7) + 3 * 512), 1);
    expect_last(6);
    assert_int_equal(pwrite(fd, zeros, sizeof zeros, slot_of(6)), sizeof zeros);
    expect_last(0);
}

static void a_wrong_checksum_is_seen_in_every_part_of_a_slot(void **state)
{
    static const off_t at[] = {0, 4, 8, 16, 20, 100, COMMITLOG_SLOT_BYTES - 1};

    for (size_t i = 0; i < ARRAY_LEN(at); i++) {
        char byte;
        write_number(1);
        assert_int_equal(pread(fd, &byte, 1, slot_of(1) + at[i]), 1);
        byte ^= 0x10;
        assert_int_equal(pwrite(fd, &byte, 1, slot_of(1) + at[i]), 1);
        expect_last(0);
    }
}

static void a_record_in_the_place_of_another_does_not_count(void **state)
{
    char slot[COMMITLOG_SLOT_BYTES];

    write_number(5);
    write_number(70);
    assert_int_equal(pread(fd, slot, sizeof slot, slot_of(70)), sizeof slot);
    assert_int_equal(pwrite(fd, slot, sizeof slot, slot_of(9)), sizeof slot);
    memset(slot, 0, sizeof slot);
    assert_int_equal(pwrite(fd, slot, sizeof slot, slot_of(70)), sizeof slot);
    expect_last(5);
}

static void a_record_that_is_no_object_does_not_count(void **state)
{
    struct err err = {0};

    write_number(1);
    assert_true(commitlog_write(fd, 2, "[1]", &err));
    assert_true(commitlog_write(fd, 3, "{\"n\":", &err));
    expect_last(1);
}

static void a_text_that_is_too_long_is_refused_and_one_that_fits_is_not(void **state)
{
    char text[COMMITLOG_TEXT_MAX + 2];
    struct err err = {0};

    memset(text, ' ', sizeof text);
    memcpy(text, "{\"n\":4}", 7);
    text[COMMITLOG_TEXT_MAX + 1] = 0;
    assert_false(commitlog_write(fd, 4, text, &err));
    assert_int_equal(err.code, ERR_INVALID);
    expect_last(0);
    text[COMMITLOG_TEXT_MAX] = 0;
    assert_true(commitlog_write(fd, 4, text, &err));
    expect_last(4);
    assert_false(commitlog_write(fd, 0, "{}", &err));
}

#ifdef VMMD_FAILPOINTS
static void a_failing_write_leaves_what_was_there(void **state)
{
    struct err err = {0};

    write_number(1);
    failpoint_arm("commitlog.write=fail");
    assert_false(commitlog_write(fd, 2, "{\"n\":2}", &err));
    expect_last(1);
}
#endif

static void a_full_disk_is_told(void **state)
{
    struct err err = {0};

    close(fd);
    fd = open("/dev/full", O_RDWR | O_CLOEXEC);
    assert_false(commitlog_write(fd, 3, "{}", &err));
    assert_int_equal(err.code, ERR_NO_SPACE);
}

#ifdef VMMD_FAILPOINTS
/* The record may be there or not: whoever is told so writes another after it. */
static void a_failing_flush_is_told(void **state)
{
    struct err err = {0};

    failpoint_arm("commitlog.flush=fail");
    assert_false(commitlog_write(fd, 1, "{\"n\":1}", &err));
    failpoint_arm(NULL);
    write_number(2);
    expect_last(2);
}
#endif

static void a_log_that_was_cut_off_while_it_was_made_is_completed(void **state)
{
    struct err err = {0};
    struct stat st;

    write_number(3);
    assert_int_equal(ftruncate(fd, 5 * COMMITLOG_SLOT_BYTES + 17), 0);
    close(fd);
    fd = commitlog_open(dir, &err);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, LOG_BYTES);
    expect_last(3);
    assert_int_equal(ftruncate(fd, LOG_BYTES + 1), 0);
    close(fd);
    fd = commitlog_open(dir, &err);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, LOG_BYTES);
    expect_last(3);
}

static void what_is_no_file_of_ours_is_not_opened(void **state)
{
    struct err err = {0};

    assert_int_equal(unlinkat(dir, COMMITLOG_NAME, 0), 0);
    assert_int_equal(symlinkat("/dev/zero", dir, COMMITLOG_NAME), 0);
    assert_int_equal(commitlog_open(dir, &err), -1);
    assert_int_not_equal(err.code, ERR_NONE);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(a_new_log_is_empty_and_has_its_size_already),
        T(the_newest_record_is_read_also_by_who_opens_it_again),
        T(it_wraps_around),
        T(a_torn_slot_is_as_if_it_were_empty),
        T(a_wrong_checksum_is_seen_in_every_part_of_a_slot),
        T(a_record_in_the_place_of_another_does_not_count),
        T(a_record_that_is_no_object_does_not_count),
        T(a_text_that_is_too_long_is_refused_and_one_that_fits_is_not),
        T(a_full_disk_is_told),
#ifdef VMMD_FAILPOINTS
        T(a_failing_write_leaves_what_was_there),
        T(a_failing_flush_is_told),
#endif
        T(a_log_that_was_cut_off_while_it_was_made_is_completed),
        T(what_is_no_file_of_ours_is_not_opened),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
