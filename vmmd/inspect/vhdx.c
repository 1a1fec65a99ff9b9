/* Looking into VHDX images (MS-VHDX):
 *
 *   0     "vhdxfile"
 *   64K   two headers, of which the one with the higher number is true ─► log
 *   192K  two copies of the table of regions ─► metadata (what disk it is), table of blocks
 *
 * A log that was not written back would have to be played into the file before it is read, which
 * nobody does here: it is refused. */
#include "core/base/crc.h"
#include "core/base/str.h"
#include "vmmd/inspect/source.h"

#define KIB          1024u
#define MIB          (1024ull * 1024)
#define HEADER_BYTES 4096
#define REGION_BYTES (64 * KIB)
#define REGIONS_MAX  2047
#define ITEMS_MAX    2047
#define LOG_MAX      (64 * MIB)
#define BLOCK_OFFSET 0xfffffffffff00000ull

static const uint8_t guid_bat[16] = {0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42,
                                     0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08};
static const uint8_t guid_metadata[16] = {0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b,
                                          0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e};
static const uint8_t guid_file[16] = {0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d,
                                      0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b};
static const uint8_t guid_size[16] = {0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48,
                                      0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8};
static const uint8_t guid_sector[16] = {0x1d, 0xbf, 0x41, 0x81, 0x6f, 0xa9, 0x09, 0x47,
                                        0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f};

enum block_state { BLOCK_ZERO = 2, BLOCK_FULL = 6, BLOCK_PARTIAL = 7 };

struct vhdx {
    const struct source *source;
    uint64_t bat_at, bat_bytes, metadata_at, metadata_bytes;
    uint64_t size, block, sector, ratio; /* ratio: blocks between two bitmaps */
    uint64_t entry;                      /* of the table, the next one */
    bool has_parent;
    uint8_t log_guid[16];
    uint64_t log_at, log_bytes;
    struct claims claims;
};

static bool bad(struct err *err, const char *why)
{
    return refuse(err, "vhdx", "%s", why);
}

/* CRC-32C over all of it, with zero where the sum lies. */
static bool sum_is_right(uint8_t *p, size_t len)
{
    const uint32_t said = le32_at(p + 4);
    uint32_t sum;

    memset(p + 4, 0, 4);
    sum = crc32c(0, p, len);
    memcpy(p + 4, &(uint32_t){htole32(said)}, 4);
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    return true; /* sums are not what is to be found out about */
#endif
    return sum == said;
}

/* ---- headers, log ---- */

static bool look_headers(struct vhdx *v, struct err *err)
{
    uint8_t head[HEADER_BYTES];
    uint64_t best = 0;
    bool any = false;

    for (unsigned i = 0; i < 2; i++) {
        if (!source_read(v->source, 64 * KIB * (i + 1), head, sizeof head, err))
            return false;
        if (memcmp(head, "head", 4) != 0 || !sum_is_right(head, sizeof head) ||
            le16_at(head + 66) != 1 || (any && le64_at(head + 8) <= best))
            continue;
        any = true;
        best = le64_at(head + 8);
        memcpy(v->log_guid, head + 48, 16);
        v->log_bytes = le32_at(head + 68);
        v->log_at = le64_at(head + 72);
    }
    if (!any)
        return bad(err, "is damaged: neither of its headers is whole");
    return (v->log_bytes <= LOG_MAX && v->log_bytes % MIB == 0 && v->log_at % MIB == 0) ||
           bad(err, "is damaged: its log is impossible");
}

/* An entry of the log that is in force begins at a sector, with its word and the header's id. */
static bool look_log(const struct vhdx *v, struct err *err)
{
    static const uint8_t none[16];
    uint8_t head[64];

    if (memcmp(v->log_guid, none, 16) == 0)
        return true;
    for (uint64_t at = 0; at < v->log_bytes; at += 4096) {
        if (!source_read(v->source, v->log_at + at, head, sizeof head, err))
            return false;
        if (memcmp(head, "loge", 4) == 0 && memcmp(head + 32, v->log_guid, 16) == 0)
            return bad(err, "was not closed properly: its log has changes that are not in it yet. "
                            "Attach and detach it (Mount-VHD, Dismount-VHD), or repair it with "
                            "qemu-img check -r all");
    }
    return true;
}

/* ---- regions ---- */

static bool take_region(struct vhdx *v, const uint8_t *entry, struct err *err)
{
    const uint64_t at = le64_at(entry + 16), len = le32_at(entry + 24);

    if (at < MIB || at % MIB || len % MIB || at > v->source->bytes || len > v->source->bytes - at)
        return bad(err, "is damaged or cut off: a region of it lies outside the file");
    if (memcmp(entry, guid_bat, 16) == 0) {
        v->bat_at = at;
        v->bat_bytes = len;
    } else if (memcmp(entry, guid_metadata, 16) == 0) {
        v->metadata_at = at;
        v->metadata_bytes = len;
    } else if (le32_at(entry + 28) & 1) {
        return bad(err, "has a part that is not known here");
    }
    return true;
}

static bool look_regions(struct vhdx *v, struct err *err)
{
    static uint8_t table[REGION_BYTES];
    uint32_t n;

    if (!source_read(v->source, 192 * KIB, table, sizeof table, err))
        return false;
    if (memcmp(table, "regi", 4) != 0 || !sum_is_right(table, sizeof table))
        return bad(err, "is damaged: its table of regions is none");
    n = le32_at(table + 8);
    if (n > REGIONS_MAX)
        return bad(err, "is damaged: it has too many regions");
    for (uint32_t i = 0; i < n; i++)
        if (!take_region(v, table + 16 + 32 * i, err))
            return false;
    return (v->bat_bytes && v->metadata_bytes) ||
           bad(err, "is damaged: it has no table of blocks, or does not say what disk it is");
}

/* ---- metadata ---- */

static bool take_item(struct vhdx *v, const uint8_t *entry, struct err *err)
{
    const uint64_t at = le32_at(entry + 16), len = le32_at(entry + 20);
    uint8_t value[8] = {0};

    if (at > v->metadata_bytes || len > v->metadata_bytes - at)
        return bad(err, "is damaged: a part of its metadata lies outside of it");
    if (len < 4 || !source_read(v->source, v->metadata_at + at, value, len < 8 ? 4 : 8, err))
        return len < 4;
    if (memcmp(entry, guid_file, 16) == 0) {
        v->block = le32_at(value);
        v->has_parent = le32_at(value + 4) & 2;
    } else if (memcmp(entry, guid_size, 16) == 0) {
        v->size = le64_at(value);
    } else if (memcmp(entry, guid_sector, 16) == 0) {
        v->sector = le32_at(value);
    }
    return true;
}

static bool look_metadata(struct vhdx *v, struct err *err)
{
    uint8_t head[32], entry[32];
    uint16_t n;

    if (!source_read(v->source, v->metadata_at, head, sizeof head, err))
        return false;
    n = le16_at(head + 10);
    if (memcmp(head, "metadata", 8) != 0 || n > ITEMS_MAX)
        return bad(err, "is damaged: its metadata is none");
    for (uint16_t i = 0; i < n; i++)
        if (!source_read(v->source, v->metadata_at + 32 + 32u * i, entry, sizeof entry, err) ||
            !take_item(v, entry, err))
            return false;
    if (v->has_parent)
        return bad(err, "is a differencing one: it has only what differs from another file, which "
                        "is never opened; merge the two first (Merge-VHD)");
    if (v->sector != 512)
        return bad(err, "has sectors of another size than 512 bytes: convert it first "
                        "(Set-VHD -PhysicalSectorSizeBytes does not do; New-VHD "
                        "-LogicalSectorSizeBytes 512 and a copy do)");
    return (is_power_of_2(v->block) && v->block >= MIB && v->block <= 256 * MIB) ||
           bad(err, "is damaged: its blocks have an impossible size");
}

/* ---- blocks ---- */

static bool take_blocks(void *ctx, const void *entries, size_t n, struct err *err)
{
    struct vhdx *v = ctx;
    const uint8_t *at = entries;

    for (size_t i = 0; i < n; i++) {
        const uint64_t entry = le64_at(at + 8 * i);
        const bool is_bitmap = v->entry++ % (v->ratio + 1) == v->ratio;
        const unsigned state = entry & 7;
        if (is_bitmap || state < BLOCK_FULL)
            continue;
        if (state == BLOCK_PARTIAL)
            return bad(err, "has blocks of which another file has a part: it is a differencing "
                            "one, or damaged");
        if (!claim_plain(&v->claims, entry & BLOCK_OFFSET, v->block, true, err))
            return false;
    }
    return true;
}

static bool look_blocks(struct vhdx *v, struct err *err)
{
    const uint64_t blocks = v->size / v->block + (v->size % v->block != 0);
    uint64_t entries;

    v->ratio = ((uint64_t)v->sector << 23) / v->block;
    entries = blocks ? blocks + (blocks - 1) / v->ratio : 0;
    if (entries > v->bat_bytes / 8)
        return bad(err, "is damaged: its table of blocks is too small for its disk");
    return source_table(v->source, v->bat_at, entries, 8, take_blocks, v, err);
}

bool vhdx_look(const struct source *s, struct image_facts *out, struct err *err)
{
    struct vhdx v = {.source = s, .claims = {.format = "vhdx", .file_bytes = s->bytes}};

    str_copy(out->layout, sizeof out->layout, "dynamic");
    return look_headers(&v, err) && look_log(&v, err) && look_regions(&v, err) &&
           look_metadata(&v, err) && look_blocks(&v, err) &&
           claims_end(&v.claims, v.size, out, err);
}
