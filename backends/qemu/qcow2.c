/* An empty qcow2 image, version 3 (docs/interop/qcow2.txt of QEMU), in clusters of 64 KiB:
 *
 *   0  header, its extensions, the name of the file below
 *   1  table of reference counts: one entry
 *   2  block of reference counts: 1 for each of these clusters
 *   3… L1 table: all zero, which means that there is nothing yet; a hole in the file
 *
 * Written here rather than by qemu-img, since starting a program takes ten times as long as all
 * the rest of a snapshot or a linked clone (docs/adr/0041). Images that exist are never read. */
#include "backends/qemu/qcow2.h"

#include "backends/qemu/blank.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CLUSTER_BITS 16
#define CLUSTER      (1ull << CLUSTER_BITS)
#define REFCOUNT_LOG 4  /* counts of 16 bits */
#define L2_BITS      29 /* what an L1 entry covers: 8192 clusters */
#define HEADER_BYTES 112
#define EXT_FORMAT   0xe2792acau
#define NAME_MAX_LEN 512

struct header {
    uint32_t magic, version;
    uint64_t backing_offset;
    uint32_t backing_len, cluster_bits;
    uint64_t size;
    uint32_t crypt, l1_entries;
    uint64_t l1_offset, refcount_offset;
    uint32_t refcount_clusters, n_snapshots;
    uint64_t snapshots_offset, incompatible, compatible, autoclear;
    uint32_t refcount_log, header_len;
    uint8_t compression, padding[7];
} __attribute__((packed));
_Static_assert(sizeof(struct header) == HEADER_BYTES, "as the format says");

/* The extension with the format of the file below, the end of the extensions, the name. */
static size_t put_backing(char *out, const struct image_parent *parent, struct header *h)
{
    const char *format = disk_drivers[parent->format];
    const uint32_t head[2] = {htobe32(EXT_FORMAT), htobe32((uint32_t)strlen(format))};
    size_t at = HEADER_BYTES;

    memcpy(out + at, head, sizeof head);
    memcpy(out + at + sizeof head, format, strlen(format)); /* NOLINT: it is no text there */
    at += sizeof head + (strlen(format) + 7) / 8 * 8;
    at += 8; /* an extension of type 0 and no length ends them */
    h->backing_offset = htobe64(at);
    h->backing_len = htobe32((uint32_t)strlen(parent->name));
    memcpy(out + at, parent->name, strlen(parent->name));
    return at + strlen(parent->name);
}

static bool put_header(int fd, uint64_t size_bytes, uint32_t l1_entries,
                       const struct image_parent *parent, struct err *err)
{
    char out[HEADER_BYTES + 64 + NAME_MAX_LEN] = {0};
    size_t len = HEADER_BYTES + 8;
    struct header h = {.magic = htobe32(0x514649fb),
                       .version = htobe32(3),
                       .cluster_bits = htobe32(CLUSTER_BITS),
                       .size = htobe64(size_bytes),
                       .l1_entries = htobe32(l1_entries),
                       .l1_offset = htobe64(3 * CLUSTER),
                       .refcount_offset = htobe64(CLUSTER),
                       .refcount_clusters = htobe32(1),
                       .refcount_log = htobe32(REFCOUNT_LOG),
                       .header_len = htobe32(HEADER_BYTES)};

    if (parent)
        len = put_backing(out, parent, &h);
    memcpy(out, &h, sizeof h);
    return image_put(fd, out, len, 0, err);
}

static bool put_counts(int fd, uint64_t clusters, struct err *err)
{
    const uint64_t table = htobe64(2 * CLUSTER);
    uint16_t counts[512];

    for (size_t i = 0; i < ARRAY_LEN(counts); i++)
        counts[i] = htobe16(1);
    if (!image_put(fd, &table, sizeof table, CLUSTER, err))
        return false;
    for (uint64_t at = 0; at < clusters; at += ARRAY_LEN(counts)) {
        uint64_t n = clusters - at < ARRAY_LEN(counts) ? clusters - at : ARRAY_LEN(counts);
        if (!image_put(fd, counts, n * sizeof *counts, 2 * CLUSTER + at * sizeof *counts, err))
            return false;
    }
    return true;
}

bool qcow2_write(int fd, uint64_t size_bytes, const struct image_parent *parent, struct err *err)
{
    uint64_t entries, clusters;

    if (!size_bytes || size_bytes > QCOW2_SIZE_MAX)
        return err_set(err, ERR_INVALID, "an image cannot be of this size");
    if (parent && strlen(parent->name) > NAME_MAX_LEN)
        return err_set(err, ERR_INTERNAL, "the name of an image's parent is too long");
    entries = ((size_bytes - 1) >> L2_BITS) + 1;
    clusters = 3 + (entries * 8 + CLUSTER - 1) / CLUSTER;
    return put_header(fd, size_bytes, (uint32_t)entries, parent, err) &&
           put_counts(fd, clusters, err) &&
           (ftruncate(fd, (off_t)(clusters * CLUSTER)) == 0 ||
            err_errno(err, errno, "give an image its size"));
}
