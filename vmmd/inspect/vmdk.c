/* Looking into VMDK images of one file, monolithicSparse and streamOptimized (VMware Virtual Disk
 * Format 5.0):
 *
 *   header (or the one at the end) ─► descriptor: a text, which may name other files
 *     └─► directory ─► tables ─► grains: as they are, packed, or zeroes without a place
 *
 * A descriptor that names other files is why VMDK is dangerous: a program that follows it opens
 * whatever it says. Nothing but one sparse extent is let through. */
#include "core/base/str.h"
#include "vmmd/inspect/source.h"

#include <ctype.h>
#include <strings.h>

#define SECTOR         512
#define HEADER_BYTES   80
#define DESCRIPTOR_MAX (64u << 10)
#define HINT_BYTES     (20 * SECTOR)
#define GRAIN_MAX      (2u << 20) /* sectors */
#define TABLE_MAX      512        /* entries */
#define DIRECTORY_MAX  (32u << 20)
#define AT_END         UINT64_MAX /* of the directory: see the header at the end */
#define END_BYTES      (3 * SECTOR)

#define FLAG_SECOND_DIR (1u << 1)
#define FLAG_ZEROES     (1u << 2)
#define FLAG_PACKED     (1u << 16)

struct vmdk {
    const struct source *source;
    uint32_t flags, per_table;
    uint64_t capacity, grain, descriptor_at, descriptor_len, directory_at; /* sectors */
    bool is_packed;
    struct claims claims;
};

static bool bad(struct err *err, const char *why)
{
    return refuse(err, "vmdk", "%s", why);
}

static bool is_elsewhere(struct err *err)
{
    return bad(err, "names other files, which are never opened: make one file of it with qemu-img "
                    "convert -O vmdk -o subformat=monolithicSparse, or import the other file");
}

/* ---- header ---- */

static bool take_header(struct vmdk *v, const uint8_t *h, struct err *err)
{
    v->flags = le32_at(h + 8);
    v->capacity = le64_at(h + 12);
    v->grain = le64_at(h + 20);
    v->descriptor_at = le64_at(h + 28);
    v->descriptor_len = le64_at(h + 36);
    v->per_table = le32_at(h + 44);
    v->directory_at = le64_at(h + 56);
    v->is_packed = le16_at(h + 77) == 1;
    if (le32_at(h + 4) < 1 || le32_at(h + 4) > 3)
        return bad(err, "is of a version that is not known here");
    if (v->flags & FLAG_PACKED ? le16_at(h + 77) > 1 : le16_at(h + 77) != 0)
        return bad(err, "is packed in a way that is not known here");
    if (v->capacity == 0) /* programs look into the descriptor then, and open what it names */
        return is_elsewhere(err);
    return true;
}

/* A streamOptimized image is written from front to back: where the directory is, is known at the
 * end. A marker, the header again, a marker. */
static bool read_end(struct vmdk *v, struct err *err)
{
    uint8_t end[END_BYTES];

    if (v->source->bytes < END_BYTES || v->source->bytes % SECTOR) /* or programs see another end */
        return bad(err, "is cut off");
    if (!source_read(v->source, v->source->bytes - END_BYTES, end, sizeof end, err))
        return false;
    if (le32_at(end + 8) != 0 || le32_at(end + 12) != 3 || memcmp(end + SECTOR, "KDMV", 4) != 0 ||
        le64_at(end + 2 * SECTOR) != 0 || le32_at(end + 2 * SECTOR + 8) != 0 ||
        le32_at(end + 2 * SECTOR + 12) != 0)
        return bad(err, "is damaged or cut off: it has no end");
    return take_header(v, end + SECTOR, err) &&
           (v->directory_at != AT_END || bad(err, "is damaged: its directory is nowhere"));
}

static bool look_header(struct vmdk *v, struct err *err)
{
    uint8_t head[HEADER_BYTES];

    if (!source_read(v->source, 0, head, sizeof head, err) || !take_header(v, head, err))
        return false;
    if (v->directory_at == AT_END && !read_end(v, err))
        return false;
    if (!is_power_of_2(v->grain) || v->grain > GRAIN_MAX || v->per_table == 0 ||
        v->per_table > TABLE_MAX)
        return bad(err, "is damaged: its grains have an impossible size");
    if (v->capacity > UINT64_MAX / SECTOR / 2 ||
        v->capacity / (v->grain * v->per_table) >= DIRECTORY_MAX)
        return bad(err, "has a disk of an impossible size");
    return true;
}

/* ---- descriptor ---- */

static bool line_begins(const char *line, const char *word)
{
    return strncasecmp(line, word, strlen(word)) == 0;
}

/* "RW 2048 SPARSE "name"": an extent. How often access and type are written otherwise, the rest of
 * the descriptor decides: what is no extent is no matter. */
static bool is_extent(const char *line)
{
    return line_begins(line, "RW ") || line_begins(line, "RDONLY ") ||
           line_begins(line, "NOACCESS ");
}

static bool look_extent(const char *line, unsigned *n, struct err *err)
{
    for (unsigned words = 0; words < 2; words++) {
        line += strcspn(line, " \t");
        line += strspn(line, " \t");
    }
    return (line_begins(line, "SPARSE ") && ++*n == 1) || is_elsewhere(err);
}

static bool has_parent(struct err *err)
{
    return bad(err, "has only what differs from another file, which is never opened: make one "
                    "file of both (vmware-vdiskmanager -r, or qemu-img convert)");
}

/* Programs look for this word anywhere in so many bytes, however long the descriptor is. */
static bool look_hint(const struct source *s, struct err *err)
{
    static char text[HINT_BYTES];
    static const char word[] = "parentfilenamehint";
    const uint64_t left = s->bytes > SECTOR ? s->bytes - SECTOR : 0;
    const size_t len = left < sizeof text ? (size_t)left : sizeof text;

    if (!source_read(s, SECTOR, text, len, err))
        return false;
    for (size_t i = 0; i < len; i++)
        text[i] = (char)tolower((unsigned char)text[i]);
    return !memmem(text, len, word, sizeof word - 1) || has_parent(err);
}

static bool look_line(const char *line, unsigned *n_extents, struct image_facts *out,
                      struct err *err)
{
    line += strspn(line, " \t");
    if (is_extent(line))
        return look_extent(line, n_extents, err);
    if (line_begins(line, "parentCID") && !strcasestr(line, "ffffffff"))
        return has_parent(err);
    if (!line_begins(line, "createType"))
        return true;
    if (strstr(line, "\"monolithicSparse\""))
        str_copy(out->layout, sizeof out->layout, "monolithicSparse");
    else if (strstr(line, "\"streamOptimized\""))
        str_copy(out->layout, sizeof out->layout, "streamOptimized");
    else
        return is_elsewhere(err);
    return true;
}

static bool look_descriptor(struct vmdk *v, struct image_facts *out, struct err *err)
{
    static char text[DESCRIPTOR_MAX + 1];
    unsigned n_extents = 0;
    size_t len;
    char *rest;

    if (v->descriptor_len == 0 || v->descriptor_len > DESCRIPTOR_MAX / SECTOR ||
        v->descriptor_at != 1) /* where programs look for it, whatever the header says */
        return bad(err, "is damaged: its descriptor is impossible");
    len = v->descriptor_len * SECTOR;
    if (!source_read(v->source, v->descriptor_at * SECTOR, text, len, err))
        return false;
    if (!look_hint(v->source, err))
        return false;
    text[len] = 0;
    len = strlen(text); /* zeroes follow it */
    for (size_t i = 0; i < len; i++)
        if (text[i] == '\r')
            text[i] = '\n';
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        if (!look_line(line, &n_extents, out, err))
            return false;
    return out->layout[0] || bad(err, "is damaged: its descriptor does not say what it is");
}

/* ---- grains ---- */

static bool take_grains(void *ctx, const void *entries, size_t n, struct err *err)
{
    struct vmdk *v = ctx;
    const uint64_t bytes = v->grain * SECTOR;
    const uint8_t *at = entries;

    for (size_t i = 0; i < n; i++) {
        const uint64_t sector = le32_at(at + 4 * i);
        if (sector == 0 || (sector == 1 && v->flags & FLAG_ZEROES))
            continue;
        if (!(v->is_packed ? claim_packed(&v->claims, sector * SECTOR, bytes, err)
                           : claim_plain(&v->claims, sector * SECTOR, bytes, true, err)))
            return false;
    }
    return true;
}

static bool take_tables(void *ctx, const void *entries, size_t n, struct err *err)
{
    struct vmdk *v = ctx;
    const uint8_t *at = entries;

    for (size_t i = 0; i < n; i++) {
        const uint64_t sector = le32_at(at + 4 * i);
        if (sector == 0)
            continue;
        if (!claim_plain(&v->claims, sector * SECTOR, v->per_table * 4ull, false, err) ||
            !source_table(v->source, sector * SECTOR, v->per_table, 4, take_grains, v, err))
            return false;
    }
    return true;
}

/* Its first sector is never where a program's copy of the text was, or QEMU would read another. */
static bool is_sparse(const struct source *s, bool *yes, struct err *err)
{
    uint8_t magic[4];

    *yes = false;
    if (!source_read(s, 0, magic, sizeof magic, err))
        return false;
    *yes = memcmp(magic, "KDMV", 4) == 0;
    return true;
}

bool vmdk_look(const struct source *s, struct image_facts *out, struct err *err)
{
    struct vmdk v = {.source = s, .claims = {.format = "vmdk", .file_bytes = s->bytes}};
    uint64_t covered;
    bool sparse;

    if (!is_sparse(s, &sparse, err))
        return false;
    if (!sparse) /* a descriptor alone, or ESX's delta disks */
        return is_elsewhere(err);
    if (!look_header(&v, err) || !look_descriptor(&v, out, err))
        return false;
    if (v.directory_at > s->bytes / SECTOR)
        return bad(err, "is damaged or cut off: its directory lies behind its end");
    covered = v.grain * v.per_table;
    return source_table(s, v.directory_at * SECTOR,
                        v.capacity / covered + (v.capacity % covered != 0), 4, take_tables, &v,
                        err) &&
           claims_end(&v.claims, v.capacity * SECTOR, out, err);
}
