/* Looking into qcow2 images, versions 2 and 3 (docs/interop/qcow2.txt of QEMU):
 *
 *   header ─► extensions ─► name of the backing file
 *     └─► L1 table ─► L2 tables ─► clusters: as they are, packed, or zeroes without a place
 *
 * Reference counts are not looked at: who only reads an image needs none. */
#include "core/base/str.h"
#include "vmmd/inspect/source.h"

#define V2_BYTES     72
#define V3_BYTES     104
#define L1_BYTES_MAX (32u << 20)
#define REFS_MAX     (8u << 20) /* of the table of reference counts, bytes */
#define EXTS_MAX     64

#define INCOMPAT_DIRTY     (1u << 0)
#define INCOMPAT_CORRUPT   (1u << 1)
#define INCOMPAT_DATA_FILE (1u << 2)
#define INCOMPAT_PACKING   (1u << 3)
#define INCOMPAT_L2        (1u << 4)
#define INCOMPAT_KNOWN     0x1fu

#define EXT_END       0u
#define EXT_FORMAT    0xe2792acau
#define EXT_DATA_FILE 0x44415441u
#define EXT_CRYPTO    0x0537be77u

#define ENTRY_OFFSET 0x00fffffffffffe00ull
#define ENTRY_PACKED (1ull << 62)
#define ENTRY_ZERO   1ull

struct qcow2 {
    const struct source *source;
    uint32_t version, cluster_bits;
    uint64_t cluster, backing_at, size, l1_at, incompatible;
    uint32_t backing_len, l1_n, header_len;
    struct claims claims;
};

static bool bad(struct err *err, const char *why)
{
    return refuse(err, "qcow2", "%s", why);
}

static bool look_incompatible(const struct qcow2 *q, const uint8_t *head, struct err *err)
{
    if (q->incompatible & INCOMPAT_DATA_FILE)
        return bad(err, "keeps its data in another file, which is never opened: make one file of "
                        "it with qemu-img convert -O qcow2");
    if (q->incompatible & (INCOMPAT_DIRTY | INCOMPAT_CORRUPT))
        return bad(err, "was not closed properly or is damaged: qemu-img check -r all repairs it");
    if (q->incompatible & ~(uint64_t)INCOMPAT_KNOWN)
        return bad(err, "uses features that are not known here: qemu-img convert -O qcow2 writes "
                        "it without them");
    if (q->incompatible & INCOMPAT_PACKING && (q->header_len < V3_BYTES + 1 || head[104] > 1))
        return bad(err, "is packed in a way that is not known here");
    return !(q->incompatible & INCOMPAT_L2) || q->cluster_bits >= 14 ||
           bad(err, "is damaged: its clusters are too small for their parts");
}

static bool look_tables(const struct qcow2 *q, const uint8_t *head, struct err *err)
{
    const uint64_t refs_at = be64_at(head + 48), refs = be32_at(head + 56);
    const uint64_t entries = q->cluster / (q->incompatible & INCOMPAT_L2 ? 16 : 8);
    const uint64_t covered = entries * q->cluster; /* by one entry of L1 */

    if (q->l1_n > L1_BYTES_MAX / 8 || q->l1_at % q->cluster)
        return bad(err, "is damaged: its first table is impossible");
    if (q->l1_n < q->size / covered + (q->size % covered != 0))
        return bad(err, "is damaged: its first table is too small for its disk");
    if (refs_at % q->cluster || refs * q->cluster > REFS_MAX || refs_at > q->source->bytes ||
        refs * q->cluster > q->source->bytes - refs_at)
        return bad(err, "is damaged: its table of reference counts is impossible");
    return true;
}

static bool look_header(struct qcow2 *q, struct err *err)
{
    uint8_t head[V3_BYTES + 8] = {0};
    const size_t n = q->source->bytes < sizeof head ? V2_BYTES : sizeof head;

    if (!source_read(q->source, 0, head, n, err))
        return false;
    q->version = be32_at(head + 4);
    q->backing_at = be64_at(head + 8);
    q->backing_len = be32_at(head + 16);
    q->cluster_bits = be32_at(head + 20);
    q->size = be64_at(head + 24);
    q->l1_n = be32_at(head + 36);
    q->l1_at = be64_at(head + 40);
    if (q->version != 2 && q->version != 3)
        return bad(err, "is of a version that is not known here: qemu-img convert -O qcow2 writes "
                        "one that is");
    if (q->cluster_bits < 9 || q->cluster_bits > 21)
        return bad(err, "is damaged: its clusters have an impossible size");
    q->cluster = 1ull << q->cluster_bits;
    q->header_len = q->version == 2 ? V2_BYTES : be32_at(head + 100);
    q->incompatible = q->version == 2 ? 0 : be64_at(head + 72);
    if (q->version == 3 && (n < sizeof head || q->header_len < V3_BYTES || q->header_len % 8 ||
                            q->header_len > q->cluster || be32_at(head + 96) > 6))
        return bad(err, "is damaged: its header is impossible");
    if (be32_at(head + 32))
        return bad(err, "is encrypted: decrypt it with qemu-img convert -O qcow2 first");
    if (be32_at(head + 60))
        return bad(err, "has snapshots inside, which would be lost: qemu-img convert writes the "
                        "disk without them, and with -l a snapshot's");
    return look_incompatible(q, head, err) && look_tables(q, head, err);
}

/* ---- extensions, backing file ---- */

static int format_of(const char *driver)
{
    for (int i = 0; disk_drivers[i]; i++)
        if (str_eq(disk_drivers[i], driver))
            return i;
    return IMAGE_UNKNOWN;
}

static bool look_extension(const struct qcow2 *q, uint32_t type, uint64_t at, uint32_t len,
                           struct image_facts *out, struct err *err)
{
    char word[16] = "";

    if (type == EXT_DATA_FILE)
        return bad(err, "names another file for its data, which is never opened: make one file of "
                        "it with qemu-img convert -O qcow2");
    if (type == EXT_CRYPTO)
        return bad(err, "is encrypted: decrypt it with qemu-img convert -O qcow2 first");
    if (type != EXT_FORMAT || len >= sizeof word)
        return true;
    if (!source_read(q->source, at, word, len, err))
        return false;
    out->backing_format = format_of(word);
    return true;
}

static bool look_extensions(const struct qcow2 *q, struct image_facts *out, struct err *err)
{
    const uint64_t end = q->backing_at ? q->backing_at : q->cluster;
    uint64_t at = q->header_len;

    for (unsigned i = 0; i < EXTS_MAX; i++) {
        uint8_t head[8];
        uint32_t type, len;
        if (at + sizeof head > end || at + sizeof head > q->source->bytes)
            return true;
        if (!source_read(q->source, at, head, sizeof head, err))
            return false;
        at += sizeof head;
        type = be32_at(head);
        len = be32_at(head + 4);
        if (type == EXT_END)
            return true;
        if (len > end - at)
            return bad(err, "is damaged: a part of its header is longer than the header");
        if (!look_extension(q, type, at, len, out, err))
            return false;
        at += (len + 7ull) / 8 * 8;
    }
    return bad(err, "has a header of too many parts");
}

static bool look_backing(const struct qcow2 *q, struct image_facts *out, struct err *err)
{
    if (!q->backing_at)
        return true;
    if (q->backing_at > q->cluster || q->backing_len > q->cluster - q->backing_at ||
        q->backing_len >= sizeof out->backing)
        return bad(err, "is damaged: the name of its backing file is not in its header");
    if (!source_read(q->source, q->backing_at, out->backing, q->backing_len, err))
        return false;
    if (memchr(out->backing, 0, q->backing_len))
        return bad(err, "is damaged: the name of its backing file is no text");
    out->has_backing = true;
    return true;
}

/* ---- tables ---- */

static bool take_cluster(struct qcow2 *q, uint64_t entry, struct err *err)
{
    const bool zero = entry & ENTRY_ZERO && q->version > 2 && !(q->incompatible & INCOMPAT_L2);
    const unsigned shift = 62 - (q->cluster_bits - 8);

    if (entry & ENTRY_PACKED)
        return claim_packed(&q->claims, entry & ((1ull << shift) - 1), q->cluster, err);
    if (!(entry & ENTRY_OFFSET))
        return true;
    return claim_plain(&q->claims, entry & ENTRY_OFFSET, q->cluster, !zero, err);
}

static bool take_clusters(void *ctx, const void *entries, size_t n, struct err *err)
{
    struct qcow2 *q = ctx;
    const size_t step = q->incompatible & INCOMPAT_L2 ? 2 : 1; /* the other half is a bitmap */
    const uint8_t *at = entries;

    for (size_t i = 0; i < n; i += step)
        if (!take_cluster(q, be64_at(at + 8 * i), err))
            return false;
    return true;
}

static bool take_tables(void *ctx, const void *entries, size_t n, struct err *err)
{
    struct qcow2 *q = ctx;
    const uint8_t *at = entries;

    for (size_t i = 0; i < n; i++) {
        const uint64_t table = be64_at(at + 8 * i) & ENTRY_OFFSET;
        if (!table)
            continue;
        if (table % q->cluster)
            return bad(err, "is damaged: a table in it lies where none can");
        if (!claim_plain(&q->claims, table, q->cluster, false, err) ||
            !source_table(q->source, table, q->cluster / 8, 8, take_clusters, q, err))
            return false;
    }
    return true;
}

bool qcow2_look(const struct source *s, struct image_facts *out, struct err *err)
{
    struct qcow2 q = {.source = s, .claims = {.format = "qcow2", .file_bytes = s->bytes}};

    if (!look_header(&q, err) || !look_extensions(&q, out, err) || !look_backing(&q, out, err))
        return false;
    str_copy(out->layout, sizeof out->layout, q.version == 2 ? "version 2" : "version 3");
    return source_table(s, q.l1_at, q.l1_n, 8, take_tables, &q, err) &&
           claims_end(&q.claims, q.size, out, err);
}
