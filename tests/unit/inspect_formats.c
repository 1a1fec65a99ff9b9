/* Looking into images: what qemu-img writes is told as it is, in every format and layout; what
 * lies, is damaged, names other files or would unpack to more than it can have is refused, each
 * with its sentence. By vmmd-inspect's own functions, over images in memory. */
#include "tests/lib/harness.h"

#include "core/base/crc.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "vmmd/inspect/look.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIB (1ull << 20)

enum pattern {
    PLAIN,
    PACKED,
    OLD,
    OVERLAY,
    DATA_FILE,
    VHD,
    VHD_FIXED,
    VHDX,
    VMDK,
    STREAM,
    N_MODELS
};

static const struct {
    const char *file, *made; /* by qemu-img from "disk", 16 MiB with 3 MiB in it */
    int format;
    const char *layout;
} models[N_MODELS] = {
    [PLAIN] = {"a.qcow2", "convert -O qcow2 disk", IMAGE_QCOW2, "version 3"},
    [PACKED] = {"c.qcow2", "convert -c -O qcow2 -o compression_type=zstd disk", IMAGE_QCOW2,
                "version 3"},
    [OLD] = {"o.qcow2", "convert -O qcow2 -o compat=0.10 disk", IMAGE_QCOW2, "version 2"},
    [OVERLAY] = {"b.qcow2", "create -f qcow2 -b disk -F raw", IMAGE_QCOW2, "version 3"},
    [DATA_FILE] = {"d.qcow2", "convert -O qcow2 -o data_file=elsewhere disk", IMAGE_QCOW2, ""},
    [VHD] = {"a.vhd", "convert -O vpc -o force_size=on disk", IMAGE_VHD, "dynamic"},
    [VHD_FIXED] = {"f.vhd", "convert -O vpc -o subformat=fixed,force_size=on disk", IMAGE_VHD,
                   "fixed"},
    [VHDX] = {"a.vhdx", "convert -O vhdx -o block_size=1M disk", IMAGE_VHDX, "dynamic"},
    [VMDK] = {"a.vmdk", "convert -O vmdk disk", IMAGE_VMDK, "monolithicSparse"},
    [STREAM] = {"s.vmdk", "convert -O vmdk -o subformat=streamOptimized disk", IMAGE_VMDK,
                "streamOptimized"},
};

static struct bytes {
    uint8_t *data;
    size_t len;
} whole[N_MODELS];

static struct image_facts facts;
static struct err err;

static bool read_bytes(void *ctx, uint64_t at, void *out, size_t len, struct err *e)
{
    const struct bytes *b = ctx;

    assert_true(at <= b->len && len <= b->len - at);
    memcpy(out, b->data + at, len); /* NOLINT: of 'len' bytes */
    return true;
}

static bool look_at(struct bytes b, int stated)
{
    struct source source = {.read = read_bytes, .ctx = &b, .bytes = b.len, .held_bytes = b.len};

    err = (struct err){0};
    return image_look(&source, stated, &facts, &err);
}

static int make_images(void **state)
{
    char *dir = tmp_dir_make();
    char pattern[4096];

    if (chdir(dir) < 0)
        return -1;
    memset(pattern, 'x', sizeof pattern);
    CLEANUP(closep) int disk = open("disk", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    for (off_t at = 0; at < (off_t)(3 * MIB); at += sizeof pattern)
        assert_int_equal(pwrite(disk, pattern, sizeof pattern, (off_t)(5 * MIB) + at),
                         sizeof pattern);
    assert_int_equal(ftruncate(disk, 16 * MIB), 0);
    for (int i = 0; i < N_MODELS; i++) {
        CLEANUP(mem_freep)
        char *line = str_format("qemu-img %s %s >/dev/null", models[i].made, models[i].file);
        struct err e = {0};
        if (system(line) != 0) /* NOLINT: the test's own words */
            return -1;
        CLEANUP(closep) int fd = open(models[i].file, O_RDONLY | O_CLOEXEC);
        assert_true(fs_read_all(fd, 64 * MIB, (char **)&whole[i].data, &whole[i].len, &e));
    }
    assert_int_equal(chdir("/"), 0);
    tmp_dir_remove(dir);
    return 0;
}

static int drop_images(void **state)
{
    for (int i = 0; i < N_MODELS; i++)
        free(whole[i].data);
    return 0;
}

static struct bytes copy_of(int model)
{
    return (struct bytes){mem_dup(whole[model].data, whole[model].len), whole[model].len};
}

/* ---- honest ones ---- */

static void what_is_honest_is_told_as_it_is(void **state)
{
    for (int i = 0; i < N_MODELS; i++) {
        if (i == DATA_FILE)
            continue;
        for (int known = 0; known < 2; known++) {
            if (!look_at(whole[i], known ? models[i].format : IMAGE_UNKNOWN))
                fail_msg("%s: %s", models[i].file, err.detail);
            assert_int_equal(facts.format, models[i].format);
            assert_int_equal(facts.virtual_bytes, 16 * MIB);
            assert_string_equal(facts.layout, models[i].layout);
            assert_int_equal(facts.file_bytes, whole[i].len);
            assert_int_equal(facts.has_backing, i == OVERLAY);
            if (i != OVERLAY)
                assert_in_range(facts.data_bytes, 3 * MIB, 16 * MIB);
        }
    }
}

static void a_backing_file_is_told_and_not_looked_for(void **state)
{
    assert_true(look_at(whole[OVERLAY], IMAGE_QCOW2));
    assert_true(facts.has_backing);
    assert_string_equal(facts.backing, "disk");
    assert_int_equal(facts.backing_format, IMAGE_RAW);
    assert_int_equal(facts.data_bytes, 0);
}

/* A guest may write a header of any format to the beginning of its disk. */
static void raw_is_only_what_is_said_to_be_raw(void **state)
{
    for (int i = 0; i < N_MODELS; i++) {
        assert_true(look_at(whole[i], IMAGE_RAW));
        assert_int_equal(facts.format, IMAGE_RAW);
        assert_false(facts.has_backing);
        assert_in_range(facts.virtual_bytes, whole[i].len, whole[i].len + 511);
    }
    static uint8_t noise[4096] = {1, 2, 3};
    assert_false(look_at((struct bytes){noise, sizeof noise}, IMAGE_UNKNOWN));
    assert_non_null(strstr(err.detail, "say the format raw"));
}

static void an_image_is_of_the_format_it_is_said_to_be(void **state)
{
    for (int i = 0; i < N_MODELS; i++)
        for (int format = 0; format < IMAGE_FORMATS; format++)
            if (format != IMAGE_RAW && format != models[i].format) {
                assert_false(look_at(whole[i], format));
                assert_int_equal(err.code, ERR_INVALID);
            }
}

/* ---- hostile ones ---- */

static const uint8_t *find(struct bytes b, const void *what, size_t len)
{
    const uint8_t *at = memmem(b.data, b.len, what, len);

    assert_non_null(at);
    return at;
}

static void one_word_is_enough_to_be_refused(void **state)
{
    static const struct {
        int model;
        uint32_t at, value; /* big-endian for qcow2, little-endian for VMDK */
        const char *why;
    } lies[] = {
        {PLAIN, 4, 7, "version"},
        {PLAIN, 20, 40, "clusters have an impossible size"},
        {PLAIN, 24, 60u << 8, "too small for its disk"}, /* 60 TiB in this megabyte */
        {PLAIN, 28, 0x1234567, "no whole number of sectors"},
        {PLAIN, 32, 1, "encrypted"},
        {PLAIN, 36, 0x7fffffff, "first table is impossible"},
        {PLAIN, 36, 0, "too small for its disk"},
        {PLAIN, 40, 0x10, "cut off"},
        {PLAIN, 44, 0x33, "first table is impossible"},
        {PLAIN, 48, 0x7fff0000, "reference counts"},
        {PLAIN, 56, 0x7fffffff, "reference counts"},
        {PLAIN, 60, 1, "snapshots inside"},
        {PLAIN, 76, 1, "not closed properly"},
        {PLAIN, 76, 2, "not closed properly"},
        {PLAIN, 76, 4, "in another file"},
        {PLAIN, 76, 8 | 32, "not known here"},
        {PLAIN, 72, 1, "not known here"},
        {PLAIN, 96, 60, "header is impossible"},
        {PLAIN, 100, 0xfffffff0, "header is impossible"},
        {OVERLAY, 8, 1, "name of its backing file"},
        {OVERLAY, 16, 0x7fffffff, "name of its backing file"},
        {OVERLAY, 16, 1024, "name of its backing file"},
        {PACKED, 104, 0x07000000, "packed in a way"},
        {VMDK, 4, 9, "version"},
        {VMDK, 12, 0, "names other files"}, /* a capacity of 0: "see the descriptor" */
        {VMDK, 16, 0x7fffffff, "impossible size"},
        {VMDK, 20, 0, "grains have an impossible size"},
        {VMDK, 20, 0x40000000, "grains have an impossible size"},
        {VMDK, 28, 7, "descriptor is impossible"},
        {VMDK, 36, 0x7fffffff, "descriptor is impossible"},
        {VMDK, 44, 0, "grains have an impossible size"},
        {VMDK, 44, 4096, "grains have an impossible size"},
        {VMDK, 56, 0x7fffffff, "directory lies behind its end"},
        {STREAM, 77, 5, "packed in a way"},
    };

    for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
        struct bytes b = copy_of(lies[i].model);
        const bool big = models[lies[i].model].format == IMAGE_QCOW2;
        const uint32_t value = big ? htobe32(lies[i].value) : htole32(lies[i].value);
        memcpy(b.data + lies[i].at, &value, sizeof value);
        if (look_at(b, IMAGE_UNKNOWN) || err.code != ERR_INVALID ||
            !strstr(err.detail, lies[i].why))
            fail_msg("%s with %u at %u: %s", models[lies[i].model].file, lies[i].value, lies[i].at,
                     err.detail);
        free(b.data);
    }
}

static void data_in_another_file_is_refused(void **state)
{
    assert_false(look_at(whole[DATA_FILE], IMAGE_QCOW2));
    assert_non_null(strstr(err.detail, "never opened"));
}

static void a_descriptor_that_names_files_is_refused(void **state)
{
    static uint8_t flat[] = "# Disk DescriptorFile\nversion=1\nparentCID=ffffffff\n"
                            "createType=\"monolithicFlat\"\n"
                            "RW 1 FLAT \"/etc/hostname\" 0\n";
    static const struct {
        const char *from, *to; /* of one length */
    } lies[] = {
        {"\"monolithicSparse\"", "\"monolithicFlat\"  "},
        {"\"monolithicSparse\"", "\"vmfsRawDeviceMap\""},
        {" SPARSE \"", " FLAT   \""},
        {"RW 32768 SPARSE \"a.vmdk\"", "RW 3 SPARSE \"a\"\nRW 3 FLAT \"b\""},
        {"parentCID=ffffffff", "parentCID=12345678"},
        {"# The Disk Data Base", "parentFileNameHint=a"},
    };

    assert_false(look_at((struct bytes){flat, sizeof flat}, IMAGE_UNKNOWN));
    assert_non_null(strstr(err.detail, "never opened"));
    for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
        struct bytes b = copy_of(VMDK);
        const size_t len = strlen(lies[i].from);
        uint8_t *at = b.data + (find(b, lies[i].from, len) - b.data);
        memset(at, ' ', len);
        memcpy(at, lies[i].to, strlen(lies[i].to)); /* NOLINT: it is no text there */
        if (look_at(b, IMAGE_VMDK) || !strstr(err.detail, "never opened"))
            fail_msg("%s: %s", lies[i].to, err.detail);
        free(b.data);
    }
}

/* Programs look for the word anywhere in the first 20 sectors. */
static void a_parent_is_found_wherever_it_is_named(void **state)
{
    static const struct {
        uint64_t at;
        const char *text;
    } lies[] = {
        {1000, "ddb.x = \"parentFileNameHint=\\\"/etc/passwd\\\"\""},
        {1000, "PARENTFILENAMEHINT=x"},
        {512 + 20 * 512 - 18, "parentFileNameHint"},
    };

    for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
        struct bytes b = copy_of(VMDK);
        const uint64_t one = htole64(1);
        uint8_t *end = memchr(b.data + 512, 0, 512);
        assert_non_null(end);
        memcpy(b.data + 36, &one, sizeof one); /* sectors of the descriptor */
        memset(end, '\n', (size_t)(b.data + 1024 - end));
        assert_true(look_at(b, IMAGE_VMDK));
        if (lies[i].at < 1024)
            memcpy(b.data + 1024 - strlen(lies[i].text), lies[i].text, strlen(lies[i].text));
        else
            memcpy(b.data + lies[i].at, lies[i].text, strlen(lies[i].text));
        if (look_at(b, IMAGE_VMDK) || !strstr(err.detail, "differs from another file"))
            fail_msg("%s: %s", lies[i].text, err.detail);
        free(b.data);
    }
}

/* Or there would be two ends, this one and the one that QEMU finds: it counts whole sectors. */
static void a_stream_has_one_end(void **state)
{
    const size_t len = (whole[STREAM].len + 511) / 512 * 512;

    for (size_t more = 0; more < 8; more += 7) {
        struct bytes b = {mem_alloc(len + more + 1536), len + more + 1536};
        uint8_t *end = b.data + len + more;
        memcpy(b.data, whole[STREAM].data, whole[STREAM].len);
        end[12] = 3; /* a marker: the header follows, its directory as in the first */
        memcpy(end + 512, b.data, 512);
        memset(b.data + 56, 0xff, 8);
        assert_int_equal(look_at(b, IMAGE_VMDK), more == 0);
        assert_true(more == 0 || strstr(err.detail, "is cut off"));
        free(b.data);
    }
}

static void vhd_sum(uint8_t *p, size_t len, size_t at)
{
    uint32_t sum = 0;

    memset(p + at, 0, 4);
    for (size_t i = 0; i < len; i++)
        sum += p[i];
    sum = htobe32(~sum);
    memcpy(p + at, &sum, sizeof sum);
}

static void a_differencing_vhd_and_a_damaged_one_are_refused(void **state)
{
    struct bytes b = copy_of(VHD);
    const uint64_t head = be64_at(b.data + 16);

    b.data[63] = 4;
    assert_false(look_at(b, IMAGE_VHD));
    assert_non_null(strstr(err.detail, "sum is wrong"));
    vhd_sum(b.data, 512, 64);
    assert_false(look_at(b, IMAGE_VHD));
    assert_non_null(strstr(err.detail, "differencing"));
    b.data[63] = 3;
    b.data[49] = 60 >> 2; /* terabytes, for this table */
    vhd_sum(b.data, 512, 64);
    assert_false(look_at(b, IMAGE_VHD));
    assert_non_null(strstr(err.detail, "does not fit its disk"));
    b.data[49] = 0;
    vhd_sum(b.data, 512, 64);
    assert_true(look_at(b, IMAGE_VHD));
    b.data[head + 32] = 0xff; /* size of blocks */
    vhd_sum(b.data + head, 1024, 36);
    assert_false(look_at(b, IMAGE_VHD));
    assert_non_null(strstr(err.detail, "blocks have an impossible size"));
    free(b.data);

    b = copy_of(VHD_FIXED);
    b.data[b.len - 512 + 48] = 1;
    vhd_sum(b.data + b.len - 512, 512, 64);
    assert_false(look_at(b, IMAGE_VHD));
    assert_non_null(strstr(err.detail, "larger than the file"));
    free(b.data);
}

static void vhdx_sum(uint8_t *p, size_t len)
{
    uint32_t sum;

    memset(p + 4, 0, 4);
    sum = htole32(crc32c(0, p, len));
    memcpy(p + 4, &sum, sizeof sum);
}

static void a_differencing_vhdx_and_one_with_a_log_are_refused(void **state)
{
    static const uint8_t file[] = {0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d};
    struct bytes b = copy_of(VHDX);
    const uint8_t *item = find(b, file, sizeof file);
    uint8_t *const metadata = b.data + ((item - b.data) & ~0xffffull);
    uint8_t *const params = metadata + le32_at(item + 16);
    const uint64_t log_at = le64_at(b.data + 0x10000 + 72);

    params[4] |= 2;
    assert_false(look_at(b, IMAGE_VHDX));
    assert_non_null(strstr(err.detail, "differencing"));
    params[4] = 0;
    params[0] = 1;
    assert_false(look_at(b, IMAGE_VHDX));
    assert_non_null(strstr(err.detail, "impossible size"));
    params[0] = 0;
    assert_true(look_at(b, IMAGE_VHDX));

    for (uint32_t at = 0x10000; at <= 0x20000; at += 0x10000) {
        memset(b.data + at + 48, 7, 16);
        vhdx_sum(b.data + at, 4096);
    }
    memset(b.data + log_at, 0, 4096);
    assert_true(look_at(b, IMAGE_VHDX)); /* a name for a log, and nothing in it */
    memcpy(b.data + log_at, "loge", 4);
    memset(b.data + log_at + 32, 7, 16);
    assert_false(look_at(b, IMAGE_VHDX));
    assert_non_null(strstr(err.detail, "log"));
    b.data[0x10000] = b.data[0x20000] = 0;
    assert_false(look_at(b, IMAGE_VHDX));
    assert_non_null(strstr(err.detail, "neither of its headers"));
    free(b.data);
}

/* A table of entries for what is in the file once. */
static void the_same_data_is_not_in_a_disk_twice(void **state)
{
    struct bytes b = copy_of(VMDK);
    uint8_t *const directory = b.data + le64_at(b.data + 56) * 512;
    uint8_t *const table = b.data + le32_at(directory) * 512ull;
    uint32_t grain = 0;

    for (int i = 0; i < 512; i++)
        grain = le32_at(table + 4 * i) ? le32_at(table + 4 * i) : grain;
    assert_int_not_equal(grain, 0);
    grain = htole32(grain);
    for (int i = 0; i < 512; i++)
        memcpy(table + 4 * i, &grain, 4);
    assert_false(look_at(b, IMAGE_VMDK));
    assert_non_null(strstr(err.detail, "more than once"));
    free(b.data);
}

static void put64(struct bytes b, uint64_t at, uint64_t value)
{
    value = htobe64(value);
    memcpy(b.data + at, &value, sizeof value);
}

/* A qcow2 of 2 MiB clusters: header, counts, L1, one L2. */
static struct bytes big_clusters(uint64_t size)
{
    struct bytes b = {mem_alloc(8 * MIB + 512), 8 * MIB + 512};
    const uint32_t words[] = {htobe32(0x514649fb), htobe32(3)}, bits = htobe32(21),
                   entries = htobe32((uint32_t)((size + (1ull << 39) - 1) >> 39)), one = htobe32(1),
                   len = htobe32(104);

    memcpy(b.data, words, sizeof words);
    memcpy(b.data + 20, &bits, 4);
    put64(b, 24, size);
    memcpy(b.data + 36, &entries, 4);
    put64(b, 40, 4 * MIB);
    put64(b, 48, 2 * MIB);
    memcpy(b.data + 56, &one, 4);
    memcpy(b.data + 100, &len, 4);
    return b;
}

static void a_large_disk_of_nothing_is_no_bomb_and_a_packed_one_is(void **state)
{
    struct bytes b = big_clusters(60ull << 40);

    if (!look_at(b, IMAGE_QCOW2)) /* the caller has quotas */
        fail_msg("%s", err.detail);
    assert_int_equal(facts.virtual_bytes, 60ull << 40);
    assert_int_equal(facts.data_bytes, 0);
    for (uint64_t at = 4 * MIB; at < 4 * MIB + 120 * 8; at += 8)
        put64(b, at, 6 * MIB);
    assert_false(look_at(b, IMAGE_QCOW2)); /* one table for all of it */
    assert_non_null(strstr(err.detail, "more than once"));
    memset(b.data + 4 * MIB, 0, 4096);
    put64(b, 4 * MIB, 6 * MIB);
    for (uint64_t at = 6 * MIB; at < 8 * MIB; at += 8)
        put64(b, at, 1ull << 62 | 8 * MIB); /* all of it the same packed bytes */
    assert_false(look_at(b, IMAGE_QCOW2));
    assert_non_null(strstr(err.detail, "1100 times its size"));
    put64(b, 24, 65ull << 40);
    assert_false(look_at(b, IMAGE_QCOW2));
    free(b.data);
}

static void what_is_cut_anywhere_keeps_within_its_bounds(void **state)
{
    for (int i = 0; i < N_MODELS; i++)
        for (size_t len = 0; len < whole[i].len; len = len * 9 / 8 + 37) {
            struct bytes b = {mem_dup(whole[i].data, len), len}; /* overruns are seen */
            if (look_at(b, models[i].format))
                assert_true(facts.data_bytes <=
                            (i == PACKED || i == STREAM ? 16 * MIB : len + 2 * MIB));
            else
                assert_int_equal(err.code, ERR_INVALID);
            free(b.data);
        }
}

static void what_is_packed_or_of_others_is_refused_with_what_to_do(void **state)
{
    static const struct {
        const char *bytes, *why;
    } files[] = {{"\x1f\x8b\x08", "gzip"},
                 {"PK\x03\x04", "zip"},
                 {"\xfd"
                  "7zXZ",
                  "xz"},
                 {"LUKS\xba\xbe", "LUKS"},
                 {"COWD", "never opened"}};

    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        uint8_t data[2048] = {0};
        memcpy(data, files[i].bytes, strlen(files[i].bytes));
        assert_false(look_at((struct bytes){data, sizeof data}, IMAGE_UNKNOWN));
        assert_non_null(strstr(err.detail, files[i].why));
    }
    assert_false(look_at((struct bytes){NULL, 0}, IMAGE_UNKNOWN));
    assert_false(look_at((struct bytes){NULL, 0}, IMAGE_RAW));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_honest_is_told_as_it_is),
        cmocka_unit_test(a_backing_file_is_told_and_not_looked_for),
        cmocka_unit_test(raw_is_only_what_is_said_to_be_raw),
        cmocka_unit_test(an_image_is_of_the_format_it_is_said_to_be),
        cmocka_unit_test(one_word_is_enough_to_be_refused),
        cmocka_unit_test(data_in_another_file_is_refused),
        cmocka_unit_test(a_descriptor_that_names_files_is_refused),
        cmocka_unit_test(a_parent_is_found_wherever_it_is_named),
        cmocka_unit_test(a_stream_has_one_end),
        cmocka_unit_test(a_differencing_vhd_and_a_damaged_one_are_refused),
        cmocka_unit_test(a_differencing_vhdx_and_one_with_a_log_are_refused),
        cmocka_unit_test(the_same_data_is_not_in_a_disk_twice),
        cmocka_unit_test(a_large_disk_of_nothing_is_no_bomb_and_a_packed_one_is),
        cmocka_unit_test(what_is_cut_anywhere_keeps_within_its_bounds),
        cmocka_unit_test(what_is_packed_or_of_others_is_refused_with_what_to_do),
    };

    return cmocka_run_group_tests(tests, make_images, drop_images);
}
