/* Looking into images: what a copy is made of. How large the disk of a VHD is, whoever made it, and
 * how much a copy takes when little pieces of data are far from each other. */
#include "tests/lib/harness.h"

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "vmmd/inspect/look.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIB      (1ull << 20)
#define SIZE     (5 * MIB + 512) /* no geometry says that */
#define GEOMETRY (150u * 4 * 17 * 512)

enum made { VHD, VHD_FIXED, VMDK, QCOW2, PACKED, N_MADE };

static const char *const made[N_MADE] = {
    [VHD] = "-O vpc -o force_size=on even",
    [VHD_FIXED] = "-O vpc -o subformat=fixed,force_size=on even",
    [VMDK] = "-O vmdk far",
    [QCOW2] = "-O qcow2 -o cluster_size=512 far",
    [PACKED] = "-c -O qcow2 -o cluster_size=512 far",
};

static struct bytes {
    uint8_t *data;
    size_t len;
} whole[N_MADE];

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

/* "far" has a sector in every 64 KiB. */
static int make_images(void **state)
{
    char *dir = tmp_dir_make();
    char sector[512];

    if (chdir(dir) < 0)
        return -1;
    memset(sector, 'x', sizeof sector);
    CLEANUP(closep) int even = open("even", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CLEANUP(closep) int far = open("far", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(even, SIZE), 0);
    assert_int_equal(ftruncate(far, 4 * MIB), 0);
    for (off_t at = 0; at < (off_t)(4 * MIB); at += 65536)
        assert_int_equal(pwrite(far, sector, sizeof sector, at), sizeof sector);
    for (int i = 0; i < N_MADE; i++) {
        CLEANUP(mem_freep) char *line = str_format("qemu-img convert %s made >/dev/null", made[i]);
        struct err e = {0};
        if (system(line) != 0) /* NOLINT: the test's own words */
            return -1;
        CLEANUP(closep) int fd = open("made", O_RDONLY | O_CLOEXEC);
        assert_true(fs_read_all(fd, 64 * MIB, (char **)&whole[i].data, &whole[i].len, &e));
    }
    assert_int_equal(chdir("/"), 0);
    tmp_dir_remove(dir);
    return 0;
}

static int drop_images(void **state)
{
    for (int i = 0; i < N_MADE; i++)
        free(whole[i].data);
    return 0;
}

/* ---- how large the disk of a VHD is ---- */

static void vhd_say(uint8_t *footer, const char program[4], const uint8_t geometry[4])
{
    uint32_t sum = 0;

    memcpy(footer + 28, program, 4);
    memcpy(footer + 56, geometry, 4);
    memset(footer + 64, 0, 4);
    for (size_t i = 0; i < 512; i++)
        sum += footer[i];
    sum = htobe32(~sum);
    memcpy(footer + 64, &sum, sizeof sum);
}

static bool look_at_vhd(enum made which, const char program[4], const uint8_t geometry[4])
{
    struct bytes b = {mem_dup(whole[which].data, whole[which].len), whole[which].len};
    bool ok;

    vhd_say(b.data + (which == VHD ? 0 : b.len - 512), program, geometry);
    ok = look_at(b, IMAGE_VHD);
    free(b.data);
    return ok;
}

static void what_a_vhd_means_by_its_size_depends_on_who_made_it(void **state)
{
    static const uint8_t small[] = {0, 150, 4, 17}, largest[] = {255, 255, 16, 255};
    static const struct {
        char program[5];
        uint64_t bytes;
        bool known; /* to every QEMU */
    } programs[] = {
        {"win ", SIZE, true},      {"qem2", SIZE, true},    {"d2v ", SIZE, true},
        {"tap\0", SIZE, true},     {"CTXS", SIZE, true},    {"vpc ", GEOMETRY, true},
        {"qemu", GEOMETRY, true},  {"wa\0\0", SIZE, false}, {"vbox", SIZE, false},
        {"\0\0\0\0", SIZE, false},
    };

    for (size_t i = 0; i < ARRAY_LEN(programs); i++) {
        const char *program = programs[i].program;
        if (!look_at_vhd(VHD_FIXED, program, small) || facts.virtual_bytes != programs[i].bytes)
            fail_msg("fixed, by %s: %llu, %s", program, (unsigned long long)facts.virtual_bytes,
                     err.detail);
        assert_true(facts.is_plain);
        if (look_at_vhd(VHD, program, small) != programs[i].known)
            fail_msg("dynamic, by %s: %s", program, err.detail);
        if (programs[i].known)
            assert_int_equal(facts.virtual_bytes, programs[i].bytes);
        else
            assert_non_null(strstr(err.detail, "force_size_calc=current_size"));
        assert_false(facts.is_plain);
        assert_true(look_at_vhd(VHD, program, largest));
        assert_int_equal(facts.virtual_bytes, SIZE);
    }
}

/* Its first bytes are a guest's. */
static void a_fixed_vhd_is_one_whatever_its_disk_looks_like(void **state)
{
    static const char *const begins[] = {"QFI\xfb", "\x1f\x8b", "KDMV"};
    struct bytes b = {mem_dup(whole[VHD_FIXED].data, whole[VHD_FIXED].len), whole[VHD_FIXED].len};

    for (size_t i = 0; i < ARRAY_LEN(begins); i++) {
        memcpy(b.data, begins[i], strlen(begins[i])); /* NOLINT: it is no text there */
        if (!look_at(b, IMAGE_VHD))
            fail_msg("%s", err.detail);
        assert_int_equal(facts.format, IMAGE_VHD);
        assert_int_equal(facts.virtual_bytes, SIZE);
        assert_false(look_at(b, IMAGE_UNKNOWN));
    }
    b.len -= 512;
    assert_false(look_at(b, IMAGE_VHD));
    assert_string_equal(err.detail, "the file is no vhd image");
    free(b.data);
}

/* ---- how much a copy takes ---- */

static void a_piece_is_copied_whole_however_little_is_in_it(void **state)
{
    for (int i = VMDK; i < N_MADE; i++) {
        assert_true(look_at(whole[i], IMAGE_UNKNOWN));
        assert_int_equal(facts.virtual_bytes, 4 * MIB);
        assert_int_equal(facts.data_bytes, 4 * MIB);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_vhd_means_by_its_size_depends_on_who_made_it),
        cmocka_unit_test(a_fixed_vhd_is_one_whatever_its_disk_looks_like),
        cmocka_unit_test(a_piece_is_copied_whole_however_little_is_in_it),
    };

    return cmocka_run_group_tests_name("inspect/copies", tests, make_images, drop_images);
}
