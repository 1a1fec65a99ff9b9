/* A guest that fills its memory with what can be checked, and says whether it still is as it must
 * be. Runs on the bare machine (start.S), with tests/lib/pattern.h for those who use it.
 *
 *   fill    all memory above 1 MiB, or every n-th page of it: each word of a page is made of its
 *           address and of the page's generation. Page i is processor i mod n's
 *   tick    20 times a second, each processor writes some of its "hot" pages anew, a generation
 *           further, one after the other: so how many it has written says what generation each
 *           page has. The first one then writes the counter to sector 1, as counter_guest.S does,
 *           and a numbered block behind it; flushes; and says "+<counter>"
 *   'v'     on the console has every processor check its pages, and the first one the blocks:
 *           "V<counter> <pages>", or "X<address>" of the first that is wrong
 *
 * All that it knows of itself lies in the first 64 KiB of "struct state", which goes into an image
 * as the pages do: one that is lost there is noticed as well. */
#include <stdbool.h>
#include <stdint.h>

#define PAGE       4096
#define WORDS      (PAGE / 8)
#define ABOVE      (1ull << 20)
#define CPUS       16
#define SPANS      8
#define HZ         20
#define BLOCKS     64 /* sectors with a number each, in turn */
#define BLOCKS_AT  64
#define TICK       0x20
#define CALL       0x31
#define COM1       0x3f8
#define DISK       0x1f0
#define LAPIC      0xfee00000ul
#define PM1_STATUS 0x600

struct settings {
    uint32_t stride; /* every so many-th page is used */
    uint32_t hot;    /* pages of each processor that are written anew; 0: none */
    uint32_t burst;  /* ... at each tick */
    uint32_t pad;
};
extern volatile struct settings settings;

struct region {
    uint64_t base, length;
    uint32_t type, more;
};
#define MAP ((const struct region *)0x6000)

struct span {
    uint64_t base, pages; /* of those that are used */
};

struct cpu {
    volatile uint64_t written; /* pages, since the memory was filled */
    volatile uint64_t checked, wrong;
    volatile uint32_t ready, answered;
};

struct gate {
    uint16_t low, selector;
    uint8_t stack, type;
    uint16_t mid;
    uint32_t high, pad;
};

/* start.S knows where the first two are. */
struct state {
    volatile uint32_t begun; /* processors */
    uint32_t pad;
    volatile uint64_t ticks;
    volatile uint32_t counter, question, go;
    uint32_t cpus;
    uint64_t pages;
    struct span spans[SPANS];
    struct cpu cpu[CPUS];
    uint32_t sector[128];
    struct gate gates[256];
    uint16_t limit_pad[3], limit;
    uint64_t gates_at;
};
#define STATE ((struct state *)0x30000)

void run(uint32_t self);
void on_tick(void);
void on_call(void);

/* ---- the machine ---- */

static void outb(uint16_t port, uint8_t v)
{
    __asm__ volatile("outb %0, %1" ::"a"(v), "Nd"(port));
}

static void outw(uint16_t port, uint16_t v)
{
    __asm__ volatile("outw %0, %1" ::"a"(v), "Nd"(port));
}

static uint8_t inb(uint16_t port)
{
    uint8_t v;

    __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}

static void lapic(uint32_t reg, uint32_t v)
{
    *(volatile uint32_t *)(LAPIC + reg) = v;
}

static void doze(void)
{
    __asm__ volatile("sti; hlt; cli" ::: "memory");
}

static void put(char c)
{
    while (!(inb(COM1 + 5) & 0x20))
        ;
    outb(COM1, (uint8_t)c);
}

static void put_number(uint64_t n, int digits)
{
    while (digits--)
        put("0123456789abcdef"[n >> (4 * digits) & 15]);
}

static void say(char what, uint64_t n, int digits)
{
    put(what);
    put_number(n, digits);
    put('\n');
}

static _Noreturn void give_up(char what, uint64_t n)
{
    say(what, n, 16);
    for (;;)
        __asm__ volatile("cli; hlt");
}

/* ---- the disk ---- */

static void await_disk(uint8_t bits)
{
    uint8_t status;

    do
        status = inb(DISK + 7);
    while (status & 0x80 || (status & bits) != bits);
    if (status & 0x21)
        give_up('E', status);
}

static void command(uint32_t sector, uint8_t what)
{
    await_disk(0x40);
    outb(DISK + 6, 0xe0);
    outb(DISK + 2, 1);
    outb(DISK + 3, (uint8_t)sector);
    outb(DISK + 4, (uint8_t)(sector >> 8));
    outb(DISK + 5, (uint8_t)(sector >> 16));
    outb(DISK + 7, what);
    for (int i = 0; i < 4; i++) /* it needs a moment until its status is true */
        (void)inb(0x3f6);
}

static void read_sector(uint32_t sector)
{
    void *to = STATE->sector;
    uint64_t n = 256;

    command(sector, 0x20);
    await_disk(0x08);
    __asm__ volatile("rep insw" : "+D"(to), "+c"(n) : "d"((uint16_t)DISK) : "memory");
}

static void write_sector(uint32_t sector)
{
    const void *from = STATE->sector;
    uint64_t n = 256;

    command(sector, 0x30);
    await_disk(0x08);
    __asm__ volatile("rep outsw" : "+S"(from), "+c"(n) : "d"((uint16_t)DISK) : "memory");
    await_disk(0x40);
}

static void flush(void)
{
    command(0, 0xe7);
    await_disk(0x40);
}

static uint32_t block_word(uint32_t number, uint32_t i)
{
    return (number + i) * 2654435761u;
}

static void write_block(uint32_t number)
{
    for (uint32_t i = 0; i < 128; i++)
        STATE->sector[i] = block_word(number, i);
    write_sector(BLOCKS_AT + number % BLOCKS);
}

static void check_blocks(void)
{
    uint32_t last = STATE->counter, first = last > BLOCKS ? last - BLOCKS + 1 : 1;

    for (uint32_t n = first; n <= last; n++) {
        read_sector(BLOCKS_AT + n % BLOCKS);
        for (uint32_t i = 0; i < 128; i++)
            if (STATE->sector[i] != block_word(n, i))
                give_up('D', n);
    }
}

static void write_counter(void)
{
    for (uint32_t i = 0; i < 128; i++)
        STATE->sector[i] = 0;
    STATE->sector[0] = 0x31544e43; /* CNT1 */
    STATE->sector[1] = STATE->sector[127] = STATE->counter;
    STATE->sector[2] = STATE->cpus - 1;
    write_sector(1);
}

/* ---- the memory ---- */

static volatile uint64_t *page_at(uint64_t n)
{
    const struct span *s = STATE->spans;

    while (n >= s->pages)
        n -= s++->pages;
    return (volatile uint64_t *)(s->base + n * settings.stride * PAGE);
}

static uint64_t first_word(const volatile uint64_t *page, uint64_t generation)
{
    return (uint64_t)page * 0x9e3779b97f4a7c15u ^ (generation + 1) * 0xc2b2ae3d27d4eb4fu;
}

#define WORD_STEP 0x165667b19e3779f9u

static void write_page(volatile uint64_t *page, uint64_t generation)
{
    uint64_t word = first_word(page, generation);

    for (int i = 0; i < WORDS; i++, word += WORD_STEP)
        page[i] = word;
}

static bool is_right(const volatile uint64_t *page, uint64_t generation)
{
    uint64_t word = first_word(page, generation);

    for (int i = 0; i < WORDS; i++, word += WORD_STEP)
        if (page[i] != word)
            return false;
    return true;
}

static uint64_t pages_of(uint32_t self)
{
    return (STATE->pages + STATE->cpus - 1 - self) / STATE->cpus;
}

static uint64_t hot_of(uint32_t self)
{
    uint64_t mine = pages_of(self);

    return settings.hot < mine ? settings.hot : mine;
}

static void fill(uint32_t self)
{
    for (uint64_t n = 0, mine = pages_of(self); n < mine; n++)
        write_page(page_at(n * STATE->cpus + self), 0);
}

static void write_anew(uint32_t self)
{
    struct cpu *me = &STATE->cpu[self];
    uint64_t hot = hot_of(self);

    for (uint32_t i = 0; i < settings.burst && hot; i++) {
        uint64_t at = me->written;
        write_page(page_at(at % hot * STATE->cpus + self), at / hot + 1);
        me->written = at + 1;
    }
}

static uint64_t generation_of(uint32_t self, uint64_t n)
{
    uint64_t hot = hot_of(self), written = STATE->cpu[self].written;

    return n < hot ? written / hot + (n < written % hot) : 0;
}

static void check(uint32_t self)
{
    struct cpu *me = &STATE->cpu[self];
    uint64_t mine = pages_of(self);

    me->wrong = 0;
    for (uint64_t n = 0; n < mine && !me->wrong; n++) {
        const volatile uint64_t *page = page_at(n * STATE->cpus + self);
        if (!is_right(page, generation_of(self, n)))
            me->wrong = (uint64_t)page;
    }
    me->checked = mine;
}

static void add_span(uint64_t base, uint64_t end, unsigned *n)
{
    base = ((base < ABOVE ? ABOVE : base) + PAGE - 1) & ~(PAGE - 1ull);
    end &= ~(PAGE - 1ull);
    if (base >= end || *n == SPANS)
        return;
    STATE->spans[*n].base = base;
    STATE->spans[*n].pages = ((end - base) / PAGE + settings.stride - 1) / settings.stride;
    STATE->pages += STATE->spans[(*n)++].pages;
}

static void look_for_memory(void)
{
    unsigned n = 0;

    for (const struct region *r = MAP; r->length; r++)
        if (r->type == 1)
            add_span(r->base, r->base + r->length, &n);
}

/* ---- processors ---- */

static void gate(unsigned n, void (*at)(void))
{
    uint64_t address = (uint64_t)at;

    STATE->gates[n] = (struct gate){
        .low = (uint16_t)address, .selector = 8, .type = 0x8e, .mid = (uint16_t)(address >> 16)};
}

static void listen(void)
{
    STATE->limit = sizeof STATE->gates - 1;
    STATE->gates_at = (uint64_t)STATE->gates;
    __asm__ volatile("lidt (%0)" ::"r"(&STATE->limit) : "memory");
    lapic(0xf0, 0x1ff);
}

static void begin_ticks(void)
{
    static const uint8_t words[][2] = {{0x20, 0x11}, {0xa0, 0x11}, {0x21, TICK}, {0xa1, 0x28},
                                       {0x21, 4},    {0xa1, 2},    {0x21, 1},    {0xa1, 1},
                                       {0x21, 0xfe}, {0xa1, 0xff}};

    for (unsigned i = 0; i < sizeof words / sizeof *words; i++)
        outb(words[i][0], words[i][1]);
    lapic(0x350, 0x700);
    outb(0x43, 0x34);
    outb(0x40, (uint8_t)(1193182 / HZ));
    outb(0x40, (uint8_t)(1193182 / HZ >> 8));
}

static void rest(unsigned ticks)
{
    for (uint64_t until = STATE->ticks + ticks; STATE->ticks < until;)
        doze();
}

static void call_others(uint32_t how)
{
    if (STATE->cpus > 1)
        lapic(0x300, 0xc4000 | how);
}

/* As many as QEMU says there are. */
static void begin_others(void)
{
    outw(0x510, 5);
    STATE->cpus = inb(0x511);
    if (STATE->cpus > CPUS)
        give_up('E', STATE->cpus);
    call_others(0x500);
    rest(1);
    call_others(0x600 | 0x8000 >> 12);
    while (STATE->begun < STATE->cpus)
        rest(1);
    STATE->go = 1;
    call_others(CALL);
}

static void be_another(uint32_t self)
{
    struct cpu *me = &STATE->cpu[self];

    while (!STATE->go)
        doze();
    fill(self);
    me->ready = 1;
    for (;;) {
        doze();
        if (me->answered != STATE->question) {
            check(self);
            me->answered = STATE->question;
        } else {
            write_anew(self);
        }
    }
}

/* ---- the first ---- */

static bool is_asked(void)
{
    bool asked = false;

    while (inb(COM1 + 5) & 1)
        asked |= inb(COM1) == 'v';
    return asked;
}

static void answer(void)
{
    uint64_t checked = 0;

    STATE->question++;
    call_others(CALL);
    check(0);
    STATE->cpu[0].answered = STATE->question;
    check_blocks();
    for (uint32_t i = 0; i < STATE->cpus; i++) {
        while (STATE->cpu[i].answered != STATE->question) {
            rest(1);
            call_others(CALL);
        }
        if (STATE->cpu[i].wrong)
            give_up('X', STATE->cpu[i].wrong);
        checked += STATE->cpu[i].checked;
    }
    put('V');
    put_number(STATE->counter, 8);
    say(' ', checked, 8);
}

static void tick(void)
{
    STATE->counter++;
    call_others(CALL);
    write_anew(0);
    write_block(STATE->counter);
    write_counter();
    flush();
    say('+', STATE->counter, 8);
    if (is_asked())
        answer();
    if (inb(PM1_STATUS + 1) & 1) /* the power button; S5 */
        outw(PM1_STATUS + 4, 0x2000);
}

static void be_first(void)
{
    outw(PM1_STATUS + 2, 0x100);
    gate(TICK, on_tick);
    gate(CALL, on_call);
    listen();
    begin_ticks();
    look_for_memory();
    begin_others();
    fill(0);
    for (uint32_t i = 1; i < STATE->cpus; i++)
        while (!STATE->cpu[i].ready) {
            call_others(CALL); /* one that was not listening yet */
            rest(1);
        }
    read_sector(1);
    if (STATE->sector[0] == 0x31544e43)
        STATE->counter = STATE->sector[1];
    say('B', STATE->counter, 8);
    for (;;) {
        tick();
        rest(1);
    }
}

void run(uint32_t self)
{
    if (self == 0)
        be_first();
    listen();
    be_another(self);
}
