/* An empty dynamic VHDX (MS-VHDX):
 *
 *   0     who made it
 *   64K   two headers: the second one is true        192K, 256K  where the regions are, twice
 *   1M    log: empty
 *   2M    metadata: sizes of disk, blocks and sectors, the disk's id
 *   3M    table of blocks: none is there, a hole in the file
 *
 * Images that exist are never read (docs/adr/0041). */
#include "backends/qemu/blank.h"
#include "core/base/crc.h"
#include "core/base/id.h"
#include "core/base/mem.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define KIB             1024ull
#define MIB             (1024ull * 1024)
#define GIB             (1024ull * MIB)
#define SECTOR          512ull
#define LOG_AT          MIB
#define METADATA_AT     (2 * MIB)
#define TABLE_AT        (3 * MIB)
#define ITEMS_AT        (64 * KIB) /* of the metadata, in their region */
#define IS_REQUIRED     4u
#define IS_VIRTUAL_DISK 2u

struct guid {
    uint8_t bytes[16];
} __attribute__((packed));

struct header {
    char signature[4];
    uint32_t sum;
    uint64_t sequence;
    struct uuid file_write, data_write, log;
    uint16_t log_version, version;
    uint32_t log_bytes;
    uint64_t log_at;
    uint8_t rest[4016];
} __attribute__((packed));
_Static_assert(sizeof(struct header) == 4096, "as the format says");

struct region {
    struct guid id;
    uint64_t at;
    uint32_t bytes, required;
} __attribute__((packed));

struct regions {
    char signature[4];
    uint32_t sum, n, reserved;
    struct region list[2];
    uint8_t rest[64 * 1024 - 80];
} __attribute__((packed));
_Static_assert(sizeof(struct regions) == 64 * 1024, "as the format says");

struct item {
    struct guid id;
    uint32_t at, bytes, flags, reserved;
} __attribute__((packed));

struct metadata {
    char signature[8];
    uint16_t reserved, n;
    uint8_t rest[20];
    struct item items[5];
} __attribute__((packed));

struct values {
    uint32_t block, has_parent;
    uint64_t bytes;
    struct uuid id;
    uint32_t sector, physical_sector;
} __attribute__((packed));

static const struct guid guid_table = {{0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42, 0x9d, 0x64,
                                        0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08}},
                         guid_metadata = {{0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b, 0xb8,
                                           0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e}};

static const struct {
    struct guid id;
    size_t at, bytes;
    uint32_t flags;
} items[] = {
    {{{0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d, 0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7,
       0x6b}},
     offsetof(struct values, block),
     8,
     IS_REQUIRED},
    {{{0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48, 0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4,
       0xb8}},
     offsetof(struct values, bytes),
     8,
     IS_REQUIRED | IS_VIRTUAL_DISK},
    {{{0xab, 0x12, 0xca, 0xbe, 0xe6, 0xb2, 0x23, 0x45, 0x93, 0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7,
       0x46}},
     offsetof(struct values, id),
     16,
     IS_REQUIRED | IS_VIRTUAL_DISK},
    {{{0x1d, 0xbf, 0x41, 0x81, 0x6f, 0xa9, 0x09, 0x47, 0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab,
       0x5f}},
     offsetof(struct values, sector),
     4,
     IS_REQUIRED | IS_VIRTUAL_DISK},
    {{{0xc7, 0x48, 0xa3, 0xcd, 0x5d, 0x44, 0x71, 0x44, 0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51, 0xc5,
       0x56}},
     offsetof(struct values, physical_sector),
     4,
     IS_REQUIRED | IS_VIRTUAL_DISK},
};

/* As qemu-img chooses it. */
static uint64_t block_of(uint64_t size_bytes)
{
    return size_bytes > 32 * 1024 * GIB ? 64 * MIB
           : size_bytes > 100 * GIB     ? 32 * MIB
           : size_bytes > GIB           ? 16 * MIB
                                        : 8 * MIB;
}

/* After every 'ratio' blocks the table has an entry for a bitmap that only differencing images
 * have. */
static uint64_t table_bytes(uint64_t size_bytes)
{
    const uint64_t block = block_of(size_bytes), blocks = (size_bytes + block - 1) / block;
    const uint64_t ratio = (SECTOR << 23) / block;

    return ((blocks + (blocks - 1) / ratio) * 8 + MIB - 1) / MIB * MIB;
}

static bool put_headers(int fd, struct err *err)
{
    CLEANUP(mem_freep) struct header *h = mem_alloc(sizeof *h);

    *h = (struct header){.signature = {'h', 'e', 'a', 'd'},
                         .file_write = uuid_new(),
                         .data_write = uuid_new(),
                         .version = htole16(1),
                         .log_bytes = htole32((uint32_t)MIB),
                         .log_at = htole64(LOG_AT)};
    for (uint64_t i = 1; i <= 2; i++) {
        h->sequence = htole64(i);
        h->sum = 0;
        h->sum = htole32(crc32c(0, h, sizeof *h));
        if (!image_put(fd, h, sizeof *h, 64 * KIB * i, err))
            return false;
    }
    return true;
}

static bool put_regions(int fd, uint64_t size_bytes, struct err *err)
{
    CLEANUP(mem_freep) struct regions *r = mem_alloc(sizeof *r);

    *r = (struct regions){
        .signature = {'r', 'e', 'g', 'i'},
        .n = htole32(2),
        .list = {
            {guid_table, htole64(TABLE_AT), htole32((uint32_t)table_bytes(size_bytes)), htole32(1)},
            {guid_metadata, htole64(METADATA_AT), htole32((uint32_t)MIB), htole32(1)}}};
    r->sum = htole32(crc32c(0, r, sizeof *r));
    return image_put(fd, r, sizeof *r, 192 * KIB, err) &&
           image_put(fd, r, sizeof *r, 256 * KIB, err);
}

static bool put_metadata(int fd, uint64_t size_bytes, struct err *err)
{
    struct metadata m = {.signature = {'m', 'e', 't', 'a', 'd', 'a', 't', 'a'},
                         .n = htole16(ARRAY_LEN(items))};
    const struct values values = {.block = htole32((uint32_t)block_of(size_bytes)),
                                  .bytes = htole64(size_bytes),
                                  .id = uuid_new(),
                                  .sector = htole32(512),
                                  .physical_sector = htole32(4096)};

    for (size_t i = 0; i < ARRAY_LEN(items); i++)
        m.items[i] = (struct item){.id = items[i].id,
                                   .at = htole32((uint32_t)(ITEMS_AT + items[i].at)),
                                   .bytes = htole32((uint32_t)items[i].bytes),
                                   .flags = htole32(items[i].flags)};
    return image_put(fd, &m, sizeof m, METADATA_AT, err) &&
           image_put(fd, &values, sizeof values, METADATA_AT + ITEMS_AT, err);
}

bool vhdx_write(int fd, uint64_t size_bytes, struct err *err)
{
    static const char made[] = "vhdxfilev\0m\0m\0d\0";

    if (!size_bytes || size_bytes > 64 * 1024 * GIB)
        return err_set(err, ERR_INVALID, "a vhdx image has a disk of 64 TiB at most");
    return image_put(fd, made, sizeof made, 0, err) && put_headers(fd, err) &&
           put_regions(fd, size_bytes, err) && put_metadata(fd, size_bytes, err) &&
           (ftruncate(fd, (off_t)(TABLE_AT + table_bytes(size_bytes))) == 0 ||
            err_errno(err, errno, "give an image its size"));
}
