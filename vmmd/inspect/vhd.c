/* Looking into VHD images, fixed and dynamic (Virtual Hard Disk Image Format Specification 1.0):
 *
 *   fixed    data … footer
 *   dynamic  copy of the footer ─► header ─► table of blocks ─► blocks (a bitmap and data) … footer
 *
 * How large the disk is, the size says and the geometry says, which cannot say every size. Which of
 * them counts depends on the program that made the image. Virtual PC and old QEMUs mean the
 * geometry, all others the size. QEMU 7.2 takes the size of some known programs only, and later
 * ones know others: a fixed image is copied without asking QEMU about it; a dynamic one whose disk
 * some QEMU would cut is refused. */
#include "core/base/str.h"
#include "vmmd/inspect/source.h"

#define SECTOR       512
#define HEADER_BYTES 1024
#define NO_BLOCK     0xffffffffu
#define CHS_MAX      (65535ull * 16 * 255)
#define TABLE_MAX    (64u << 20) /* entries: of the largest disk with the smallest usual blocks */

enum { TYPE_FIXED = 2, TYPE_DYNAMIC, TYPE_DIFFERENCING };

struct vhd {
    const struct source *source;
    uint64_t block, bitmap, left; /* of the disk, behind the block that is looked at */
    struct claims claims;
};

static bool bad(struct err *err, const char *why)
{
    return refuse(err, "vhd", "%s", why);
}

/* The complement of the sum of all bytes but those of the sum itself. */
static bool sum_is_right(const uint8_t *p, size_t len, size_t sum_at)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < len; i++)
        sum += i >= sum_at && i < sum_at + 4 ? 0 : p[i];
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    return true; /* sums are not what is to be found out about */
#endif
    return ~sum == be32_at(p + sum_at);
}

static bool made_by(const uint8_t *footer, const char (*programs)[4], size_t n)
{
    bool is = false;

    for (size_t i = 0; i < n; i++)
        is |= memcmp(footer + 28, programs[i], 4) == 0;
    return is;
}

/* 'cut': not every QEMU that finds the geometry knows that the size is meant. */
static uint64_t size_of(const uint8_t *footer, bool *cut)
{
    static const char by_size[][4] = {{'w', 'i', 'n', ' '},
                                      {'q', 'e', 'm', '2'},
                                      {'d', '2', 'v', ' '},
                                      {'t', 'a', 'p', 0},
                                      {'C', 'T', 'X', 'S'}};
    static const char by_geometry[][4] = {{'v', 'p', 'c', ' '}, {'q', 'e', 'm', 'u'}};
    const uint64_t chs = (uint64_t)be16_at(footer + 56) * footer[58] * footer[59];
    const uint64_t size = be64_at(footer + 48);

    *cut = false;
    if (chs == CHS_MAX || chs * SECTOR == size)
        return size;
    if (made_by(footer, by_geometry, ARRAY_LEN(by_geometry)))
        return chs * SECTOR;
    *cut = !made_by(footer, by_size, ARRAY_LEN(by_size));
    return size;
}

static bool take_blocks(void *ctx, const void *entries, size_t n, struct err *err)
{
    struct vhd *v = ctx;
    const uint8_t *at = entries;

    for (size_t i = 0; i < n; i++) {
        const uint32_t sector = be32_at(at + 4 * i);
        if (sector != NO_BLOCK &&
            !claim_plain(&v->claims, (uint64_t)sector * SECTOR, v->bitmap + v->block, true, err))
            return false;
    }
    return true;
}

static bool look_dynamic(struct vhd *v, const uint8_t *footer, uint64_t size, struct err *err)
{
    uint8_t head[HEADER_BYTES];
    uint64_t table_at, entries;

    if (!source_read(v->source, be64_at(footer + 16), head, sizeof head, err))
        return false;
    if (memcmp(head, "cxsparse", 8) != 0 || !sum_is_right(head, sizeof head, 36))
        return bad(err, "is damaged: its second header is none");
    table_at = be64_at(head + 16);
    entries = be32_at(head + 28);
    v->block = be32_at(head + 32);
    if (!is_power_of_2(v->block) || v->block < SECTOR || v->block > 256u << 20)
        return bad(err, "is damaged: its blocks have an impossible size");
    v->bitmap = (v->block / SECTOR / 8 + SECTOR - 1) / SECTOR * SECTOR;
    if (entries > TABLE_MAX || entries < (size + v->block - 1) / v->block)
        return bad(err, "is damaged: its table of blocks does not fit its disk");
    return source_table(v->source, table_at, entries, 4, take_blocks, v, err);
}

static bool look_fixed(struct vhd *v, uint64_t size, struct image_facts *out, struct err *err)
{
    if (size > v->source->bytes - SECTOR)
        return bad(err, "is damaged or cut off: its disk is larger than the file");
    out->is_plain = true;
    v->claims.copy_bytes = v->source->held_bytes;
    return claims_end(&v->claims, size, out, err);
}

/* A dynamic image begins with a copy of the footer, a fixed one has it at its end alone. */
static bool read_footer(const struct source *s, uint8_t footer[SECTOR], bool *is_first,
                        struct err *err)
{
    *is_first = false;
    if (s->bytes < SECTOR)
        return bad(err, "is too short to be one");
    if (!source_read(s, 0, footer, SECTOR, err))
        return false;
    *is_first = memcmp(footer, "conectix", 8) == 0;
    if (!*is_first && !source_read(s, s->bytes - SECTOR, footer, SECTOR, err))
        return false;
    if (memcmp(footer, "conectix", 8) != 0)
        return err_set(err, ERR_INVALID, "the file is no vhd image");
    return sum_is_right(footer, SECTOR, 64) || bad(err, "is damaged: its footer's sum is wrong");
}

bool vhd_look(const struct source *s, struct image_facts *out, struct err *err)
{
    struct vhd v = {.source = s, .claims = {.format = "vhd", .file_bytes = s->bytes}};
    uint8_t footer[SECTOR];
    bool is_first, cut;
    uint64_t size;
    uint32_t type;

    if (!read_footer(s, footer, &is_first, err))
        return false;
    type = be32_at(footer + 60);
    size = size_of(footer, &cut);
    if (type == TYPE_DIFFERENCING)
        return bad(err, "is a differencing one: it has only what differs from another file, which "
                        "is never opened; merge the two first (Merge-VHD)");
    if (type != (is_first ? (uint32_t)TYPE_DYNAMIC : (uint32_t)TYPE_FIXED))
        return bad(err, "is damaged, or of a kind that is not known here");
    str_copy(out->layout, sizeof out->layout, is_first ? "dynamic" : "fixed");
    if (!is_first)
        return look_fixed(&v, size, out, err);
    if (cut)
        return bad(err, "has a size that its geometry does not say, and QEMU may cut its disk: "
                        "make another of it with qemu-img convert --image-opts "
                        "driver=vpc,force_size_calc=current_size,file.filename=IMAGE -O qcow2 NEW");
    return look_dynamic(&v, footer, size, err) && claims_end(&v.claims, size, out, err);
}
