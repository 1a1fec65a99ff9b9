/* Guesses at passwords: see guess.h. */
#include "api/guess.h"

#include "core/base/mem.h"
#include "core/base/str.h"

#include <stdlib.h>
#include <uthash.h>

struct guess {
    char key[GUESS_KEY];
    unsigned wrong;
    int64_t last_ms, until_ms;
    UT_hash_handle hh;
};

void guesses_init(struct guesses *guesses)
{
    guesses->all = NULL;
    lock_init(&guesses->lock);
}

NO_TSA void guesses_clear(struct guesses *guesses)
{
    struct guess *g, *next;

    HASH_ITER (hh, guesses->all, g, next) {
        HASH_DELETE(hh, guesses->all, g);
        free(g);
    }
    lock_clear(&guesses->lock);
}

static void drop(struct guesses *guesses, struct guess *g) REQUIRES(guesses->lock);
static void drop(struct guesses *guesses, struct guess *g)
{
    HASH_DELETE(hh, guesses->all, g);
    free(g);
}

static void make_room(struct guesses *guesses) REQUIRES(guesses->lock);
static void make_room(struct guesses *guesses)
{
    struct guess *quiet = guesses->all;

    for (struct guess *g = guesses->all; g; g = g->hh.next)
        if (g->last_ms < quiet->last_ms)
            quiet = g;
    drop(guesses, quiet);
}

static struct guess *find(struct guesses *guesses, const char *key) REQUIRES(guesses->lock);
static struct guess *find(struct guesses *guesses, const char *key)
{
    char cut[GUESS_KEY];
    struct guess *g;

    str_copy(cut, sizeof cut, key);
    HASH_FIND_STR(guesses->all, cut, g);
    return g;
}

static struct guess *add(struct guesses *guesses, const char *key) REQUIRES(guesses->lock);
static struct guess *add(struct guesses *guesses, const char *key)
{
    struct guess *g = mem_alloc(sizeof *g);

    if (HASH_COUNT(guesses->all) >= GUESS_KEYS)
        make_room(guesses);
    str_copy(g->key, sizeof g->key, key);
    HASH_ADD_STR(guesses->all, key, g);
    return g;
}

static int64_t delay_ms(unsigned wrong, unsigned free)
{
    unsigned over = wrong > free ? wrong - free : 0;
    unsigned s = over > 6 ? GUESS_MAX_S : over ? 1u << (over - 1) : 0;

    return 1000 * (int64_t)(s < GUESS_MAX_S ? s : GUESS_MAX_S);
}

unsigned guess_begin(struct guesses *guesses, const char *key, unsigned free, int64_t now_ms)
{
    struct guess *g;
    int64_t wait = 0;

    lock_take(&guesses->lock);
    g = find(guesses, key);
    if (g && now_ms - g->last_ms >= GUESS_FORGET_MS)
        g->wrong = 0;
    if (g && g->wrong)
        wait = g->until_ms - now_ms;
    if (wait <= 0) {
        g = g ? g : add(guesses, key);
        g->wrong++;
        g->last_ms = now_ms;
        g->until_ms = now_ms + delay_ms(g->wrong, free);
    }
    lock_drop(&guesses->lock);
    return wait > 0 ? (unsigned)((wait + 999) / 1000) : 0;
}

void guess_end(struct guesses *guesses, const char *key, enum guess_end end, bool forgive)
{
    struct guess *g;

    if (end == GUESS_WRONG)
        return;
    lock_take(&guesses->lock);
    g = find(guesses, key);
    if (g && ((end == GUESS_GOOD && forgive) || g->wrong <= 1)) {
        drop(guesses, g);
    } else if (g) {
        g->wrong--;
        g->until_ms = 0;
    }
    lock_drop(&guesses->lock);
}
