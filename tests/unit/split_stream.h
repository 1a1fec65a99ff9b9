/* A stream that is made by hand, word by word, fed to vmmd-split's parser in pieces, and what came
 * out. Included by the tests of the parser, one program each. */
#pragma once
#include "tests/lib/harness.h"

#include "core/base/mem.h"
#include "core/base/str.h"
#include "vmmd/split/proto.h"
#include "vmmd/split/stream.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define RAM (8u * SPLIT_PAGE)

/* ---- where it goes ---- */

struct taken {
    uint8_t ram[RAM];
    unsigned pages, zeroes;
    struct strbuf state;
};

static inline bool take_page(void *to, uint64_t offset, const uint8_t *page, struct err *err)
{
    struct taken *t = to;

    assert_true(offset < RAM && offset % SPLIT_PAGE == 0);
    memcpy(t->ram + offset, page, SPLIT_PAGE);
    t->pages++;
    return true;
}

static inline bool take_zero(void *to, uint64_t offset, struct err *err)
{
    struct taken *t = to;

    assert_true(offset < RAM && offset % SPLIT_PAGE == 0);
    memset(t->ram + offset, 0, SPLIT_PAGE);
    t->zeroes++;
    return true;
}

static inline bool take_state(void *to, const void *data, size_t len, struct err *err)
{
    strbuf_add(&((struct taken *)to)->state, data, len);
    return true;
}

static const struct stream_sink sink = {take_page, take_zero, take_state};
static struct stream stream;
static struct taken taken;

/* All of it, 'step' bytes more at a time, each time from an allocation of its exact size. */
static inline bool feed(const struct strbuf *in, size_t step, struct err *err)
{
    size_t done = 0;

    strbuf_clear(&taken.state);
    memset(&taken, 0, sizeof taken);
    stream_init(&stream, RAM, &sink, &taken);
    for (size_t have = 0; have < in->len;) {
        have = have + step < in->len ? have + step : in->len;
        CLEANUP(mem_freep) char *exact = mem_dup(in->data + done, have - done);
        size_t n;
        if (!stream_feed(&stream, (uint8_t *)exact, have - done, &n, err))
            return false;
        assert_true(n <= have - done && have - done - n < STREAM_PIECE_MAX);
        done += n;
    }
    return true;
}

/* ---- a stream that is made by hand ---- */

static inline void put8(struct strbuf *b, uint8_t v)
{
    strbuf_add(b, &v, 1);
}

static inline void put32(struct strbuf *b, uint32_t v)
{
    v = htobe32(v);
    strbuf_add(b, &v, sizeof v);
}

static inline void put64(struct strbuf *b, uint64_t v)
{
    v = htobe64(v);
    strbuf_add(b, &v, sizeof v);
}

static inline void put_name(struct strbuf *b, const char *name)
{
    put8(b, (uint8_t)strlen(name));
    strbuf_adds(b, name);
}

static inline void put_page(struct strbuf *b, uint64_t head, const char *block, char fill)
{
    char page[SPLIT_PAGE];

    memset(page, fill, sizeof page);
    put64(b, head);
    if (block)
        put_name(b, block);
    strbuf_add(b, page, head & 2 ? 1 : sizeof page);
}

static inline void put_head(struct strbuf *b)
{
    strbuf_add(b, "QEVM", 4);
    put32(b, 3);
    put8(b, 7);
    put32(b, 2);
    strbuf_adds(b, "pc");
}

static inline void put_subsection(struct strbuf *b, const char *name, uint32_t version)
{
    put8(b, 5);
    put_name(b, name);
    put32(b, version);
}

static inline void put_capabilities(struct strbuf *b)
{
    put_subsection(b, "configuration/capabilities", 1);
    put32(b, 1);
    put_name(b, "x-ignore-shared");
}

static inline void put_start(struct strbuf *b)
{
    put8(b, 1);
    put32(b, 2);
    put_name(b, "ram");
    put32(b, 0);
    put32(b, 4);
}

static inline void put_size(struct strbuf *b, const char *name, uint64_t bytes)
{
    put_name(b, name);
    put64(b, bytes);
    put64(b, 0xc0000);
}

static inline void put_section(struct strbuf *b, uint8_t word)
{
    put8(b, word);
    put32(b, 2);
}

static inline void put_end(struct strbuf *b) /* of a section */
{
    put64(b, 0x10);
    put_section(b, 0x7e);
}

/* As far as the list of blocks. */
static inline void put_known(struct strbuf *b)
{
    put_head(b);
    put_capabilities(b);
    put_start(b);
    put64(b, (RAM + SPLIT_PAGE) | 4);
    put_size(b, "pc.ram", RAM);
    put_size(b, "pc.rom", SPLIT_PAGE);
}

static inline void put_devices(struct strbuf *b)
{
    const char description[] = "{\"page_size\": 4096}";

    put8(b, 4);
    strbuf_adds(b, "what devices have to say");
    put8(b, 0);
    put8(b, 6);
    put32(b, sizeof description - 1);
    strbuf_adds(b, description);
}
