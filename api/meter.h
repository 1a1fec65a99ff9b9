/* What the api counts of itself: requests by route and class of status, connections, refusals.
 * Noting anything is an atomic addition; GET /metrics reads (metrics.c). */
#pragma once
#include "core/base/histogram.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Why a connection was not served or ended early, or a request refused. X(name, label) */
#define METER_REFUSALS(X)                                                                          \
    X(CONNECTIONS, "connections")         /* there are max_connections */                          \
    X(UNAUTHENTICATED, "unauthenticated") /* too many of one address that showed no token */       \
    X(HEAD, "slow-head")                  /* the head took longer than its deadline */             \
    X(BODY, "slow-body")                                                                           \
    X(REPLY, "slow-reply") /* the client does not take its reply, or its stream */                 \
    X(IDLE, "idle")
enum meter_refusal {
#define X(name, label) METER_##name,
    METER_REFUSALS(X)
#undef X
        METER_REFUSALS_COUNT
};
extern const char *const meter_refusal_labels[];

enum meter_door { METER_TLS, METER_UNIX, METER_DOORS };
enum meter_limit { METER_LIMIT_CHANGES, METER_LIMIT_AUTH, METER_LIMITS };

#define METER_CLASSES 5 /* 1xx … 5xx */

struct meter {
    size_t n_routes;
    struct histogram (*requests)[METER_CLASSES]; /* by route; the last one is "no such route" */
    atomic_uint_least64_t accepted[METER_DOORS];
    atomic_uint_least64_t refused[METER_REFUSALS_COUNT];
    atomic_uint_least64_t limited[METER_LIMITS];
    atomic_uint_least64_t failed_auth;
    /* As the front said last: it counts since its own start. */
    _Atomic uint32_t front_full, front_address, front_handshakes;
};

void meter_init(struct meter *meter, size_t n_routes);
void meter_clear(struct meter *meter);
/* 'route' is its place in the table, n_routes for none. */
void meter_request(struct meter *meter, size_t route, unsigned status, int64_t us);
static inline void meter_count(atomic_uint_least64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}
