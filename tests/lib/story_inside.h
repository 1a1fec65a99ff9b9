/* What the two halves of the story share: story.c lives it, story_check.c looks at what is left. */
#pragma once
#include "tests/lib/story.h"

#include <pthread.h>

/* ---- what a client can see of one actor ---- */

enum { NO_VM = -1 };
enum { OFF, RUNS, SAVED };

struct truth {
    int notes; /* the VM's, NO_VM when there is none */
    int runs;  /* OFF, RUNS when it ran as the power went, SAVED */
    bool token, pool;
    bool key;     /* the Idempotency-Key of the VM's creation is known */
    int template; /* its revision, 0 when there is none */
    int holds;    /* what its guest wrote to its disks, and flushed */
    int tree;     /* its snapshots: 1 for "one", 2 for "two", 4 for "ram", with its memory */
    bool away;    /* its disks are in the other pool */
    int carried;  /* 1: its bundle is there, 2: and the VM that was made of it */
};

struct actor {
    struct world *w;
    unsigned number;
    char vm[16], token[16], pool[16], away[16], key[24], template[16], bundle[16], twin[16];
    void (*mark)(const char *note);
    unsigned from, to; /* steps */
    const struct truth *before, *after;
    pthread_t thread;
};

void name_actor(struct actor *a, struct world *w, unsigned number);
struct origin origin_of(const struct actor *a);
const struct truth *truth_after(unsigned step); /* what it is once that step was acknowledged */
