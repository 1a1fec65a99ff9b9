/* Copies of image files: what is in them, what they take, what a broken or full storage makes of
 * them. */
#include "tests/lib/world.h"

#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/copy.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB (1u << 20)

struct room {
    char *path;
    int dir;
    struct layer from, to;
    uint64_t heard; /* bytes that the copy told of */
    uint64_t refuse_from;
};

static int setup(void **state)
{
    struct room *r = mem_alloc(sizeof *r);

    r->path = tmp_dir_make();
    r->dir = open(r->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    r->from = (struct layer){.id = uuid_new(), .format = DISK_QCOW2, .dir = r->dir};
    r->to = (struct layer){.id = uuid_new(), .format = DISK_QCOW2, .dir = r->dir};
    r->refuse_from = UINT64_MAX;
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct room *r = *state;

    failpoint_arm(NULL);
    closep(&r->dir);
    tmp_dir_remove(r->path);
    free(r);
    return 0;
}

static bool hear(void *ctx, uint64_t bytes, struct err *err)
{
    struct room *r = ctx;

    r->heard += bytes;
    return r->heard < r->refuse_from || err_set(err, ERR_CANCELLED, "enough");
}

static void put(const struct layer *layer, off_t at, const void *data, size_t len)
{
    struct err err = {0};
    CLEANUP(closep) int fd = layer_open(layer, O_RDWR | O_CREAT, &err);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, len, at), len);
}

static void size_to(const struct layer *layer, off_t size)
{
    struct err err = {0};
    CLEANUP(closep) int fd = layer_open(layer, O_RDWR | O_CREAT, &err);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, size), 0);
}

static void get(const struct layer *layer, off_t at, void *data, size_t len)
{
    struct err err = {0};
    CLEANUP(closep) int fd = layer_open(layer, O_RDONLY, &err);

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, data, len, at), len);
}

static off_t size_of(const struct layer *layer)
{
    struct err err = {0};
    CLEANUP(closep) int fd = layer_open(layer, O_RDONLY, &err);
    struct stat st;

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    return st.st_size;
}

static bool copied(struct room *r, struct err *err)
{
    return layer_copy(&r->from, &r->to, hear, r, err);
}

static void a_copy_has_the_data_and_the_holes(void **state)
{
    struct room *r = *state;
    char data[5000], back[5000];
    struct err err = {0};

    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (char)(i * 31 + 7);
    size_to(&r->from, 64 * MIB + 513);
    put(&r->from, 0, data, sizeof data);
    put(&r->from, 3 * MIB - 100, data, sizeof data); /* across two pieces */
    put(&r->from, 64 * MIB, data, 513);              /* up to the end */
    assert_true(copied(r, &err));
    assert_int_equal(size_of(&r->to), 64 * MIB + 513);
    get(&r->to, 0, back, sizeof back);
    assert_memory_equal(back, data, sizeof data);
    get(&r->to, 3 * MIB - 100, back, sizeof back);
    assert_memory_equal(back, data, sizeof data);
    get(&r->to, 64 * MIB, back, 513);
    assert_memory_equal(back, data, 513);
    assert_true(layer_allocated(&r->to) < MIB);
    assert_true(r->heard >= 2 * (2 * sizeof data + 513)); /* read, and read again */
}

static void zeroes_that_were_written_take_no_space_in_the_copy(void **state)
{
    struct room *r = *state;
    CLEANUP(mem_freep) char *zeroes = mem_alloc(4 * MIB);
    struct err err = {0};

    put(&r->from, 0, zeroes, 4 * MIB);
    put(&r->from, 2 * MIB, "x", 1);
    assert_true(copied(r, &err));
    assert_true(layer_allocated(&r->from) >= 4 * MIB);
    assert_true(layer_allocated(&r->to) < MIB);
}

static void an_empty_file_and_one_that_is_a_hole_are_copied(void **state)
{
    struct room *r = *state;
    struct err err = {0};

    size_to(&r->from, 0);
    assert_true(copied(r, &err));
    assert_int_equal(size_of(&r->to), 0);
    size_to(&r->from, 8 * MIB);
    assert_true(copied(r, &err));
    assert_int_equal(size_of(&r->to), 8 * MIB);
}

static void what_an_earlier_attempt_left_is_replaced(void **state)
{
    struct room *r = *state;
    char back[4];
    struct err err = {0};

    put(&r->to, 0, "old old old", 11);
    put(&r->from, 4, "new", 3);
    assert_true(copied(r, &err));
    get(&r->to, 0, back, 4);
    assert_memory_equal(back, "\0\0\0\0", 4);
    assert_int_equal(size_of(&r->to), 7);
}

static void who_listens_can_end_it(void **state)
{
    struct room *r = *state;
    struct err err = {0};

    put(&r->from, 0, "something", 9);
    r->refuse_from = 1;
    assert_false(copied(r, &err));
    assert_int_equal(err.code, ERR_CANCELLED);
}

static void a_source_that_is_not_there_is_refused(void **state)
{
    struct room *r = *state;
    struct err err = {0};

    assert_false(copied(r, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_int_equal(layer_allocated(&r->to), 0);
}

/* Changes a byte of the copy between writing it and reading it again. */
static bool spoil(void *ctx, uint64_t bytes, struct err *err)
{
    struct room *r = ctx;

    if (!r->heard++)
        put(&r->to, 1, "!", 1);
    return true;
}

static void a_copy_that_the_storage_garbled_is_noticed(void **state)
{
    struct room *r = *state;
    struct err err = {0};

    put(&r->from, MIB, "data", 4);
    put(&r->from, 0, "data", 4);
    assert_false(layer_copy(&r->from, &r->to, spoil, r, &err));
    assert_int_equal(err.code, ERR_INTERNAL);
    assert_non_null(strstr(err.detail, "broken"));
}

/* A header as qcow2 has it, as far as the name below it goes. */
static void put_header(const struct layer *layer, const char *name, unsigned char at)
{
    unsigned char head[600] = "QFI\xfb\0\0\0\3";

    head[14] = 1; /* 256 + at */
    head[15] = at;
    head[19] = (unsigned char)strlen(name);
    memcpy(head + 256 + at, name, strlen(name));
    put(layer, 0, head, sizeof head);
}

static void the_header_follows_the_parent(void **state)
{
    struct room *r = *state;
    struct layer was = {.id = uuid_new(), .format = DISK_QCOW2},
                 is = {.id = uuid_new(), .format = DISK_QCOW2}, other = is;
    char name[FILE_NAME_BYTES], back[FILE_NAME_BYTES];
    struct err err = {0};

    layer_name(&was, name);
    put_header(&r->from, name, 9);
    other.format = DISK_RAW; /* ".raw" is shorter */
    assert_true(layer_rename_parent(&r->from, &was, &other, &err));
    get(&r->from, 265, back, strlen(name));
    assert_memory_equal(back, name, strlen(name));
    assert_true(layer_rename_parent(&r->from, &is, &is, &err)); /* it does not say that */
    get(&r->from, 265, back, strlen(name));
    assert_memory_equal(back, name, strlen(name));
    assert_true(layer_rename_parent(&r->from, &was, &is, &err));
    layer_name(&is, name);
    get(&r->from, 265, back, strlen(name));
    assert_memory_equal(back, name, strlen(name));
}

static void a_header_that_lies_changes_nothing(void **state)
{
    static const struct {
        unsigned at;
        unsigned char byte;
    } lies[] = {{0, 'x'}, {8, 255}, {12, 1}, {16, 255}, {19, 1}, {15, 250}};
    struct room *r = *state;
    struct layer was = {.id = uuid_new(), .format = DISK_QCOW2},
                 is = {.id = uuid_new(), .format = DISK_QCOW2};
    char name[FILE_NAME_BYTES], before[600], after[600];
    struct err err = {0};

    layer_name(&was, name);
    for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
        put_header(&r->from, name, 9);
        put(&r->from, lies[i].at, &lies[i].byte, 1);
        get(&r->from, 0, before, sizeof before);
        assert_true(layer_rename_parent(&r->from, &was, &is, &err));
        get(&r->from, 0, after, sizeof after);
        assert_memory_equal(before, after, sizeof after);
    }
}

int main(void)
{
#define STORY(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        STORY(a_copy_has_the_data_and_the_holes),
        STORY(zeroes_that_were_written_take_no_space_in_the_copy),
        STORY(an_empty_file_and_one_that_is_a_hole_are_copied),
        STORY(what_an_earlier_attempt_left_is_replaced),
        STORY(who_listens_can_end_it),
        STORY(a_source_that_is_not_there_is_refused),
        STORY(a_copy_that_the_storage_garbled_is_noticed),
        STORY(the_header_follows_the_parent),
        STORY(a_header_that_lies_changes_nothing),
    };

    world_without_qemu(); /* there is no world here, but the host of one */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
