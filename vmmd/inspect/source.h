/* The file that is looked into, and what all formats' files share: reading, numbers, refusing. What
 * is read is a stranger's; nothing here trusts a length. */
#pragma once
#include "core/port/image.h"

#include <endian.h>
#include <string.h>

/* QEMU copies a disk by pieces of this size, in which every byte is written if one is no zero. */
#define COPY_BYTES (64u << 10)

struct source {
    bool (*read)(void *ctx, uint64_t at, void *out, size_t len, struct err *err); /* within it */
    void *ctx;
    uint64_t bytes; /* how long it is */
    /* What of it is no hole, as the file system says, by pieces that a copy is made of. */
    uint64_t held_bytes;
};

/* INVALID for what lies outside the file. */
bool source_read(const struct source *s, uint64_t at, void *out, size_t len,
                 struct err *err) MUST_USE;
/* A table of 'n' entries of 'width' bytes (4 or 8), piece by piece: 'take' gets the entries as they
 * lie there. INVALID for what lies outside the file. */
typedef bool source_take(void *ctx, const void *entries, size_t n, struct err *err);
bool source_table(const struct source *s, uint64_t at, uint64_t n, unsigned width,
                  source_take *take, void *ctx, struct err *err) MUST_USE;

/* "The <format> image …": INVALID, always false. */
bool refuse(struct err *err, const char *format, const char *fmt, ...) PRINTF(3, 4);

/* What tables say is in the file, added up: more of it than the file is long is in it twice. */
struct claims {
    const char *format;
    uint64_t file_bytes;
    uint64_t plain_bytes; /* in the file, as they are: tables too */
    uint64_t data_bytes;  /* what it makes when it is unpacked */
    uint64_t copy_bytes;  /* ... and when it is copied, at most */
};
bool claim_plain(struct claims *c, uint64_t at, uint64_t bytes, bool is_data,
                 struct err *err) MUST_USE;
/* Something packed, of which only the beginning is known, and what it makes. */
bool claim_packed(struct claims *c, uint64_t at, uint64_t unpacked_bytes, struct err *err) MUST_USE;
/* The disk's size and what is in it, into the facts. */
bool claims_end(const struct claims *c, uint64_t virtual_bytes, struct image_facts *out,
                struct err *err) MUST_USE;

static inline uint16_t be16_at(const uint8_t *p)
{
    uint16_t v;

    memcpy(&v, p, sizeof v);
    return be16toh(v);
}

static inline uint32_t be32_at(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof v);
    return be32toh(v);
}

static inline uint64_t be64_at(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof v);
    return be64toh(v);
}

static inline uint16_t le16_at(const uint8_t *p)
{
    uint16_t v;

    memcpy(&v, p, sizeof v);
    return le16toh(v);
}

static inline uint32_t le32_at(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof v);
    return le32toh(v);
}

static inline uint64_t le64_at(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof v);
    return le64toh(v);
}

static inline bool is_power_of_2(uint64_t n)
{
    return n && !(n & (n - 1));
}

/* The formats: each has its file. */
bool qcow2_look(const struct source *s, struct image_facts *out, struct err *err) MUST_USE;
bool vhd_look(const struct source *s, struct image_facts *out, struct err *err) MUST_USE;
bool vhdx_look(const struct source *s, struct image_facts *out, struct err *err) MUST_USE;
bool vmdk_look(const struct source *s, struct image_facts *out, struct err *err) MUST_USE;
