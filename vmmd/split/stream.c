/* The frame of QEMU's stream: see stream.h. The records inside the sections of memory are
 * stream_ram.c's.
 *
 * Each phase knows one kind of piece. A piece that is not there as a whole is tried again from its
 * start when more has come, so that no phase has a state within itself. */
#include "vmmd/split/stream.h"

#include "core/base/str.h"
#include "vmmd/split/piece.h"
#include "vmmd/split/proto.h"

#include <stdarg.h>
#include <stdio.h>

/* QEMU's words: migration/savevm.h. */
#define MAGIC   0x5145564du /* "QEVM" */
#define VERSION 3
enum word {
    WORD_START = 1,
    WORD_PART,
    WORD_END,
    WORD_FULL,
    WORD_SUBSECTION,
    WORD_CONFIGURATION = 7,
    WORD_FOOTER = 0x7e
};
#define RAM_SECTION      "ram"
#define RAM_VERSION      4
#define PAGE_BITS        12
#define CAPABILITIES_MAX 16

enum phase { HEAD, CONFIGURATION, SECTION, RECORD, SIZE, FOOTER, REST };

void stream_init(struct stream *s, uint64_t ram_bytes, const struct stream_sink *sink, void *to)
{
    s->sink = sink;
    s->to = to;
    s->ram_bytes = ram_bytes;
    s->phase = HEAD;
    s->at = s->sizes_left = s->state_bytes = s->window = s->end = 0;
    s->ram_began = s->ram_ended = s->names_addresses = s->any_sizes = false;
    s->section = 0;
    s->n_blocks = 0;
    s->ram = s->block = -1;
}

bool stream_is_complete(const struct stream *s)
{
    return s->phase == REST && s->end == s->at;
}

enum step stream_bad(const struct stream *s, struct err *err, const char *fmt, ...)
{
    char what[128];
    va_list args;

    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    err_set(err, ERR_MALFORMED, "%s, at byte %llu of QEMU's stream", what,
            (unsigned long long)s->at);
    return STEP_FAILED;
}

struct shown stream_shown(const uint8_t *name, size_t len)
{
    struct shown out;

    snprintf(out.text, sizeof out.text, "%.*s", (int)len, (const char *)name);
    str_scrub(out.text);
    return out;
}

enum step stream_emit(struct stream *s, const void *data, size_t len, struct err *err)
{
    if (s->state_bytes + len > SPLIT_STATE_MAX)
        return stream_bad(s, err, "the state of the devices is larger than %llu MiB",
                          SPLIT_STATE_MAX >> 20);
    s->state_bytes += len;
    return s->sink->state(s->to, data, len, err) ? STEP_DONE : STEP_FAILED;
}

enum step stream_pass(struct stream *s, const struct piece *p, struct err *err)
{
    return stream_emit(s, p->start, (size_t)(p->at - p->start), err);
}

static enum step head(struct stream *s, struct piece *p, struct err *err)
{
    uint32_t magic = piece_u32(p), version = piece_u32(p);

    if (p->is_short)
        return STEP_SHORT;
    if (magic != MAGIC)
        return stream_bad(s, err, "it begins with %08x, which is not a migration's", magic);
    if (version != VERSION)
        return stream_bad(s, err, "format version %u, only %u is known", version, VERSION);
    s->phase = CONFIGURATION;
    return stream_pass(s, p, err);
}

static enum step configuration(struct stream *s, struct piece *p, struct err *err)
{
    uint8_t word = piece_u8(p);
    uint32_t len = piece_u32(p);

    if (p->is_short)
        return STEP_SHORT;
    if (word != WORD_CONFIGURATION)
        return stream_bad(s, err, "word %u where the configuration belongs", word);
    if (len == 0 || len > 255)
        return stream_bad(s, err, "a machine's name of %u bytes", len);
    if (!piece_bytes(p, len))
        return STEP_SHORT;
    s->phase = SECTION;
    return stream_pass(s, p, err);
}

/* What both sides must have switched on. */
static enum step capabilities(struct stream *s, struct piece *p, struct err *err)
{
    uint32_t n = piece_u32(p);

    if (n > CAPABILITIES_MAX)
        return stream_bad(s, err, "a list of %u capabilities", n);
    for (uint32_t i = 0; i < n && !p->is_short; i++) {
        uint8_t len = piece_u8(p);
        const uint8_t *name = piece_bytes(p, len);
        if (name && !piece_is(name, len, "x-ignore-shared"))
            return stream_bad(s, err, "the capability '%s' is not known",
                              stream_shown(name, len).text);
        s->names_addresses |= name != NULL;
    }
    return STEP_DONE;
}

static enum step page_bits(struct stream *s, struct piece *p, struct err *err)
{
    uint32_t bits = piece_u32(p);

    if (!p->is_short && bits != PAGE_BITS)
        return stream_bad(s, err, "pages of 2^%u bytes, only 2^%u are known", bits, PAGE_BITS);
    return STEP_DONE;
}

static enum step subsection(struct stream *s, struct piece *p, struct err *err)
{
    static const struct {
        const char *name;
        enum step (*read)(struct stream *s, struct piece *p, struct err *err);
    } known[] = {{"configuration/capabilities", capabilities},
                 {"configuration/target-page-bits", page_bits}};
    uint8_t len = piece_u8(p);
    const uint8_t *name = piece_bytes(p, len);
    uint32_t version = piece_u32(p);
    enum step step = STEP_DONE;
    unsigned i = 0;

    if (p->is_short)
        return STEP_SHORT;
    if (s->ram_began)
        return stream_bad(s, err, "a part of the configuration behind it");
    while (i < ARRAY_LEN(known) && !piece_is(name, len, known[i].name))
        i++;
    if (i == ARRAY_LEN(known) || version != 1)
        return stream_bad(s, err, "version %u of '%s' is not known", version,
                          stream_shown(name, len).text);
    step = known[i].read(s, p, err);
    if (step == STEP_DONE && p->is_short)
        return STEP_SHORT;
    return step == STEP_DONE ? stream_pass(s, p, err) : step;
}

static enum step section_start(struct stream *s, struct piece *p, struct err *err)
{
    uint32_t id = piece_u32(p);
    uint8_t len = piece_u8(p);
    const uint8_t *name = piece_bytes(p, len);
    uint32_t instance = piece_u32(p), version = piece_u32(p);

    if (p->is_short)
        return STEP_SHORT;
    if (!piece_is(name, len, RAM_SECTION) || instance != 0)
        return stream_bad(s, err, "'%s' streams besides the memory", stream_shown(name, len).text);
    if (s->ram_began)
        return stream_bad(s, err, "the memory begins a second time");
    if (version != RAM_VERSION)
        return stream_bad(s, err, "memory of version %u, only %u is known", version, RAM_VERSION);
    s->ram_began = true;
    s->section = id;
    s->phase = RECORD;
    return stream_pass(s, p, err);
}

static enum step section_more(struct stream *s, struct piece *p, bool is_last, struct err *err)
{
    uint32_t id = piece_u32(p);

    if (p->is_short)
        return STEP_SHORT;
    if (!s->ram_began || s->ram_ended || id != s->section)
        return stream_bad(s, err, "section %u goes on and %s", id,
                          s->ram_ended ? "is over" : "has not begun");
    s->ram_ended = is_last;
    s->phase = RECORD;
    return stream_pass(s, p, err);
}

static enum step section(struct stream *s, struct piece *p, struct err *err)
{
    uint8_t word = piece_u8(p);

    if (p->is_short)
        return STEP_SHORT;
    switch (word) {
    case WORD_START:
        return section_start(s, p, err);
    case WORD_PART:
    case WORD_END:
        return section_more(s, p, word == WORD_END, err);
    case WORD_SUBSECTION:
        return subsection(s, p, err);
    case WORD_FULL:
        if (s->ram < 0)
            return stream_bad(s, err, "devices before the memory");
        p->at = p->start; /* the rest begins with this word */
        s->phase = REST;
        return STEP_DONE;
    default:
        return stream_bad(s, err, "word %u is not known", word);
    }
}

static enum step record(struct stream *s, struct piece *p, struct err *err)
{
    bool is_over = false;
    enum step step = stream_record(s, p, &is_over, err);

    if (step == STEP_DONE)
        s->phase = is_over ? FOOTER : s->sizes_left ? SIZE : RECORD;
    return step;
}

static enum step size(struct stream *s, struct piece *p, struct err *err)
{
    enum step step = stream_size(s, p, err);

    if (step == STEP_DONE)
        s->phase = s->sizes_left ? SIZE : RECORD;
    return step;
}

static enum step footer(struct stream *s, struct piece *p, struct err *err)
{
    uint8_t word = piece_u8(p);
    uint32_t id = piece_u32(p);

    if (p->is_short)
        return STEP_SHORT;
    if (word != WORD_FOOTER || id != s->section)
        return stream_bad(s, err, "word %u and section %u where section %u ends", word, id,
                          s->section);
    s->phase = SECTION;
    return stream_pass(s, p, err);
}

/* The devices, as they are. Their sections have no lengths; behind them stands a description, the
 * last thing in the stream, that has: 0, 6, its length, and text that begins with {" . The guest
 * can write such bytes into a device, but not behind the true ones. */
static enum step rest(struct stream *s, struct piece *p, struct err *err)
{
    uint64_t w = s->window;

    if (p->at == p->end)
        return STEP_SHORT;
    for (const uint8_t *b = p->at; b < p->end; b++) {
        w = w << 8 | *b;
        if (w >> 48 == 0x0006 && (w & 0xffff) == 0x7b22)
            s->end = s->at + (uint64_t)(b - p->at) - 1 + (w >> 16 & 0xffffffff);
    }
    s->window = w;
    p->at = p->end;
    return stream_pass(s, p, err);
}

bool stream_feed(struct stream *s, const uint8_t *data, size_t len, size_t *taken, struct err *err)
{
    static enum step (*const phases[])(struct stream *, struct piece *, struct err *) = {
        [HEAD] = head,       [CONFIGURATION] = configuration,
        [SECTION] = section, [RECORD] = record,
        [SIZE] = size,       [FOOTER] = footer,
        [REST] = rest};
    enum step step = STEP_DONE;

    *taken = 0;
    while (step == STEP_DONE) {
        struct piece p = {data + *taken, data + *taken, data + len, false};
        step = phases[s->phase](s, &p, err);
        if (step == STEP_DONE) {
            *taken += (size_t)(p.at - p.start);
            s->at += (uint64_t)(p.at - p.start);
        }
    }
    return step == STEP_SHORT;
}
