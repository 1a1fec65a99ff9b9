/* An empty dynamic VHD (Virtual Hard Disk Image Format Specification 1.0):
 *
 *   0     copy of the footer
 *   512   header: where the table is, how large blocks are
 *   1536  table of blocks: all of them nowhere
 *   …     footer
 *
 * Readers take the size of the disk from cylinders, heads and sectors unless the footer names a
 * program that means the size; it names QEMU, with the largest geometry, as qemu-img does with
 * force_size. Images that exist are never read (docs/adr/0041). */
#include "backends/qemu/blank.h"
#include "core/base/clock.h"
#include "core/base/id.h"
#include "core/base/mem.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR    512
#define BLOCK     (2u << 20)
#define TABLE_AT  1536
#define YEAR_2000 946684800 /* seconds after 1970 */

struct footer {
    char cookie[8];
    uint32_t features, version;
    uint64_t data_at;
    uint32_t made;
    char creator[4];
    uint32_t creator_version;
    char creator_os[4];
    uint64_t original_bytes, bytes;
    uint16_t cylinders;
    uint8_t heads, sectors;
    uint32_t type, sum;
    struct uuid id;
    uint8_t rest[428];
} __attribute__((packed));
_Static_assert(sizeof(struct footer) == SECTOR, "as the format says");

struct header {
    char cookie[8];
    uint64_t next, table_at;
    uint32_t version, entries, block, sum;
    uint8_t rest[984];
} __attribute__((packed));
_Static_assert(sizeof(struct header) == 1024, "as the format says");

/* With zero where it goes. */
static uint32_t sum_of(const void *data, size_t len)
{
    const uint8_t *p = data;
    uint32_t sum = 0;

    for (size_t i = 0; i < len; i++)
        sum += p[i];
    return htobe32(~sum);
}

static struct footer footer_of(uint64_t size_bytes)
{
    struct footer f = {.cookie = {'c', 'o', 'n', 'e', 'c', 't', 'i', 'x'},
                       .features = htobe32(2),
                       .version = htobe32(0x10000),
                       .data_at = htobe64(SECTOR),
                       .made = htobe32((uint32_t)(clock_wall_ms() / 1000 - YEAR_2000)),
                       .creator = {'q', 'e', 'm', '2'},
                       .creator_version = htobe32(0x50003),
                       .creator_os = {'W', 'i', '2', 'k'},
                       .original_bytes = htobe64(size_bytes),
                       .bytes = htobe64(size_bytes),
                       .cylinders = htobe16(65535),
                       .heads = 16,
                       .sectors = 255,
                       .type = htobe32(3),
                       .id = uuid_new()};

    f.sum = sum_of(&f, sizeof f);
    return f;
}

static bool put_table(int fd, uint64_t bytes, struct err *err)
{
    CLEANUP(mem_freep) char *nowhere = mem_alloc(bytes);

    memset(nowhere, 0xff, bytes);
    return image_put(fd, nowhere, bytes, TABLE_AT, err);
}

bool vhd_write(int fd, uint64_t size_bytes, struct err *err)
{
    const uint64_t entries = (size_bytes + BLOCK - 1) / BLOCK;
    const uint64_t table = (entries * 4 + SECTOR - 1) / SECTOR * SECTOR;
    const struct footer footer = footer_of(size_bytes);
    struct header header = {.cookie = {'c', 'x', 's', 'p', 'a', 'r', 's', 'e'},
                            .next = UINT64_MAX,
                            .table_at = htobe64(TABLE_AT),
                            .version = htobe32(0x10000),
                            .entries = htobe32((uint32_t)entries),
                            .block = htobe32(BLOCK)};

    if (!size_bytes || size_bytes > 2040ull << 30)
        return err_set(err, ERR_INVALID, "a vhd image has a disk of 2040 GiB at most");
    header.sum = sum_of(&header, sizeof header);
    return image_put(fd, &footer, sizeof footer, 0, err) &&
           image_put(fd, &header, sizeof header, SECTOR, err) && put_table(fd, table, err) &&
           image_put(fd, &footer, sizeof footer, TABLE_AT + table, err);
}
