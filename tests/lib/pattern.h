/* A guest that fills its memory with what can be checked, writes a part of it anew all the time,
 * counts on its disk as the counting guest does (counter.h: the same sector, the same words on its
 * console), with a numbered block behind each number, and when asked checks all of it
 * (tests/pattern). Under TCG 64 MiB are filled in a fraction of a second. */
#pragma once
#include "tests/lib/rig.h"

#include <stdint.h>

struct pattern {
    const char *name;
    uint64_t memory_bytes;
    unsigned vcpus;
    unsigned stride;   /* every so many-th page of its memory is used; 1: all */
    unsigned hot;      /* pages of each processor that are written anew */
    unsigned burst;    /* so many at each of 20 ticks a second */
    const char *accel; /* NULL: "tcg" */
    const char *more;  /* members of the configuration, ",\"a\":1", or NULL */
};

/* Makes the VM, with one raw IDE disk in the pool "main" and the guest on it; it is off. */
void pattern_make(struct rig *r, const struct pattern *p);

/* What its console has told so far; zeroed for a new VM. */
struct pattern_heard {
    uint64_t offset;
    uint32_t last;  /* number */
    uint32_t first; /* the first one after a jump */
    unsigned boots, checks;
    uint64_t pages; /* that the last check looked at */
    bool jumps;     /* the caller takes the guest elsewhere: after a number that is not the next
                     * one, which it then waits for */
};
/* Fails when the guest is not what it must be, or a number is not the next one. */
void pattern_listen(struct rig *r, const char *name, struct pattern_heard *heard);
/* It says 'n' numbers more. */
void pattern_await(struct rig *r, const char *name, struct pattern_heard *heard, unsigned n);
/* It finds its memory and its blocks as they must be. */
void pattern_check(struct rig *r, const char *name, struct pattern_heard *heard);
