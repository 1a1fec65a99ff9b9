/* The ring log: every byte read is the byte that was written at that offset, whatever wraps or
 * races. */
#include "tests/lib/harness.h"

#include "core/base/cleanup.h"
#include "core/base/ringlog.h"
#include "core/base/thread.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The byte that belongs at an offset. */
static char byte_at(uint64_t offset)
{
    return (char)((offset * 2654435761u >> 7) ^ offset >> 11);
}

static int log_file(uint64_t capacity)
{
    int fd = memfd_create("log", MFD_CLOEXEC);
    struct err err = {0};

    assert_true(fd >= 0);
    if (!ringlog_open(fd, capacity, &err))
        fail_msg("%s", err.detail);
    return fd;
}

/* Appends 'len' of the bytes that belong at '*end'. */
static void append(int fd, size_t len, uint64_t *end)
{
    char data[8192];
    struct err err = {0};
    uint64_t now = 0;

    for (size_t i = 0; i < len; i++)
        data[i] = byte_at(*end + i);
    if (!ringlog_append(fd, data, len, &now, &err))
        fail_msg("%s", err.detail);
    *end += len;
    assert_int_equal(now, *end);
}

/* Reads once from '*at' on and checks each byte; '*at' moves on. Returns the bytes read. */
static ssize_t read_checked(int fd, uint64_t *at, size_t cap, uint64_t *end)
{
    char data[8192];
    struct err err = {0};
    ssize_t n = ringlog_read(fd, at, data, cap < sizeof data ? cap : sizeof data, end, &err);

    if (n < 0)
        fail_msg("%s", err.detail);
    for (ssize_t i = 0; i < n; i++)
        if (data[i] != byte_at(*at + (uint64_t)i))
            fail_msg("a wrong byte at offset %llu", (unsigned long long)(*at + (uint64_t)i));
    *at += (uint64_t)n;
    return n;
}

static void what_was_appended_can_be_read(void **state)
{
    int fd = log_file(1000);
    uint64_t end = 0, at = 0, seen = 99;

    assert_int_equal(read_checked(fd, &at, 100, &seen), 0);
    assert_int_equal(seen, 0);
    append(fd, 5, &end);
    append(fd, 0, &end);
    append(fd, 6, &end);
    assert_int_equal(read_checked(fd, &at, 4, &seen), 4);
    assert_int_equal(read_checked(fd, &at, 100, &seen), 7);
    assert_int_equal(seen, 11);
    assert_int_equal(read_checked(fd, &at, 100, &seen), 0);
    close(fd);
}

static void offsets_out_of_range_are_brought_back(void **state)
{
    int fd = log_file(1000);
    uint64_t end = 0, at = 12345, seen;

    append(fd, 10, &end);
    assert_int_equal(read_checked(fd, &at, 100, &seen), 0);
    assert_int_equal(at, 10);
    for (unsigned i = 0; i < 30; i++)
        append(fd, 100, &end);
    at = 0;
    assert_true(read_checked(fd, &at, 10, &seen) > 0);
    assert_in_range(at, end - 1000, end - 800);
    close(fd);
}

static void every_capacity_wraps_correctly(void **state)
{
    srandom(7);
    for (uint64_t capacity = 1; capacity < 70; capacity++) {
        int fd = log_file(capacity);
        uint64_t end = 0, at = 0, seen;
        for (unsigned i = 0; i < 60; i++) {
            append(fd, (size_t)random() % 40, &end);
            while (read_checked(fd, &at, (size_t)random() % 30 + 1, &seen) > 0)
                ;
            assert_int_equal(seen, end);
            assert_int_equal(at, end);
            at = (uint64_t)random() % (end + 5);
        }
        close(fd);
    }
}

static void more_than_the_capacity_keeps_the_newest(void **state)
{
    int fd = log_file(512);
    uint64_t end = 0, at = 0, seen, total = 0;
    ssize_t n;

    append(fd, 8000, &end);
    while ((n = read_checked(fd, &at, 8192, &seen)) > 0)
        total += (uint64_t)n;
    assert_int_equal(at, 8000);
    assert_in_range(total, 512 - 512 / 8, 512);
    close(fd);
}

static void an_open_log_keeps_its_content_and_capacity(void **state)
{
    int fd = log_file(300);
    uint64_t end = 0, at = 0, seen;
    struct err err = {0};

    append(fd, 20, &end);
    assert_true(ringlog_open(fd, 5000, &err));
    append(fd, 5, &end);
    assert_int_equal(read_checked(fd, &at, 100, &seen), 25);
    for (unsigned i = 0; i < 20; i++)
        append(fd, 100, &end);
    at = 0;
    assert_true(read_checked(fd, &at, 1, &seen) == 1);
    assert_true(at > end - 301);
    close(fd);
}

static void other_files_are_refused_but_lost_beginnings_are_not(void **state)
{
    int fd = memfd_create("log", MFD_CLOEXEC);
    struct err err = {0};
    char out[10];
    uint64_t at = 0;

    assert_int_equal(write(fd, "#!/bin/sh\n", 10), 10);
    assert_false(ringlog_open(fd, 100, &err));
    assert_int_equal(ringlog_read(fd, &at, out, sizeof out, NULL, &err), -1);
    assert_false(ringlog_append(fd, "x", 1, NULL, &err));
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(ftruncate(fd, 4096), 0); /* what a power cut may leave of the first write */
    assert_true(ringlog_open(fd, 100, &err));
    assert_true(ringlog_append(fd, "x", 1, NULL, &err));
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_false(ringlog_open(fd, 0, &err)); /* no room for anything */
    close(fd);
}

/* As a power cut leaves a log of which 'lost' bytes of the head were never written. */
static void lose_head(int fd, size_t lost)
{
    static const char zeroes[64];

    assert_int_equal(pwrite(fd, zeroes, lost, 0), lost);
}

static void a_log_whose_beginning_a_power_cut_took_keeps_its_records(void **state)
{
    static const size_t lost[] = {16, 24}; /* without the end of the log, and with it */
    struct err err = {0};

    for (size_t i = 0; i < ARRAY_LEN(lost); i++) {
        int fd = log_file(1000);
        uint64_t end = 0, at = 0, seen = 99;
        append(fd, 300, &end);
        lose_head(fd, lost[i]);
        assert_int_equal(read_checked(fd, &at, 100, &seen), 0);
        assert_int_equal(seen, 0);
        assert_true(ringlog_open(fd, 1000, &err));
        assert_int_equal(read_checked(fd, &at, 400, &seen), 300);
        append(fd, 900, &end); /* and it goes round where it did */
        at = 0;
        while (read_checked(fd, &at, 400, &seen) > 0)
            ;
        assert_int_equal(at, 1200);
        close(fd);
    }
}

static void one_that_had_gone_round_goes_on_where_its_end_was(void **state)
{
    int fd = log_file(1000);
    uint64_t end = 0, at = 0, seen;
    struct err err = {0};

    for (unsigned i = 0; i < 17; i++)
        append(fd, 100, &end);
    lose_head(fd, 16);
    assert_true(ringlog_open(fd, 1000, &err));
    assert_int_equal(read_checked(fd, &at, 1, &seen), 1);
    assert_int_equal(seen, 1700);
    append(fd, 100, &end);
    close(fd);
}

static void one_that_is_longer_than_asked_for_is_not_cut(void **state)
{
    int fd = log_file(1000);
    uint64_t end = 0, at = 0, seen;
    struct err err = {0};

    for (unsigned i = 0; i < 12; i++)
        append(fd, 100, &end);
    lose_head(fd, 16);
    assert_true(ringlog_open(fd, 500, &err));
    while (read_checked(fd, &at, 400, &seen) > 0)
        ;
    assert_int_equal(at, 1200);
    close(fd);
}

struct race {
    int fd;
    atomic_bool done;
};

static void *write_much(void *arg)
{
    struct race *r = arg;
    uint64_t end = 0;

    for (unsigned i = 0; i < 6000; i++)
        append(r->fd, 1 + i * 37 % 3000, &end);
    atomic_store(&r->done, true);
    return NULL;
}

static void a_reader_that_races_the_writer_gets_no_wrong_byte(void **state)
{
    struct race r = {.fd = log_file(4096)};
    struct err err = {0};
    pthread_t writer;
    uint64_t at = 0, seen = 0, read_bytes = 0, rounds = 0;

    atomic_init(&r.done, false);
    assert_true(thread_start(&writer, "writer", write_much, &r, &err));
    while (!atomic_load(&r.done) || at < seen) {
        uint64_t from = at;
        read_bytes += (uint64_t)read_checked(r.fd, &at, 8192, &seen);
        assert_true(at >= from); /* offsets never go back */
        if (++rounds % 7 == 0)
            at = 0; /* a reader that has to catch up */
    }
    pthread_join(writer, NULL);
    assert_true(read_bytes > 4096);
    close(r.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_appended_can_be_read),
        cmocka_unit_test(offsets_out_of_range_are_brought_back),
        cmocka_unit_test(every_capacity_wraps_correctly),
        cmocka_unit_test(more_than_the_capacity_keeps_the_newest),
        cmocka_unit_test(an_open_log_keeps_its_content_and_capacity),
        cmocka_unit_test(other_files_are_refused_but_lost_beginnings_are_not),
        cmocka_unit_test(a_log_whose_beginning_a_power_cut_took_keeps_its_records),
        cmocka_unit_test(one_that_had_gone_round_goes_on_where_its_end_was),
        cmocka_unit_test(one_that_is_longer_than_asked_for_is_not_cut),
        cmocka_unit_test(a_reader_that_races_the_writer_gets_no_wrong_byte),
    };

    return cmocka_run_group_tests_name("base/ringlog", tests, NULL, NULL);
}
