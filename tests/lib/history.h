/* Clients that remember what they were told, and the check of it: the external witness of the
 * random kills.
 *
 * Each client has VMs of its own, so that it knows what must be there. It sends one request after
 * the other, follows operations to their end over any number of restarts, repeats a creation whose
 * answer was lost with the same Idempotency-Key, and keeps for each VM what the daemon has
 * acknowledged and what it may have done besides. Runs on threads: what contradicts the history is
 * kept as a sentence, and told by history_check(). */
#pragma once
#include "tests/lib/rig.h"

#define HISTORY_CLIENTS 3
#define HISTORY_VMS     2 /* of each client */

struct history_totals {
    unsigned long requests, acknowledged, refused, unanswered, repeated;
    unsigned long snapshots, merges, reverts, moves; /* that succeeded, over whatever was killed */
};

void history_init(struct rig *r, unsigned seed);
/* The clients begin; they stop after the request that is under way, its operation followed to its
 * end, once history_stop() is called, which waits for them. */
void history_go(void);
void history_stop(void);
/* A VM's name, for whoever looks for a victim; and that its guest was hit: the state it was brought
 * to is not promised any more. Only between history_go() and history_stop(). */
const char *history_name(unsigned n);
void history_hit(unsigned n);
/* Whether a move, or a snapshot's deletion, is under way. */
bool history_is_copying(void);
/* Fails unless all that was acknowledged is there and nothing else. Only while the clients stand.
 * What was unanswered is known after it. */
void history_check(void);
const struct history_totals *history_totals(void);
