/* Connections: what the api knows of each beyond libmicrohttpd, and the watchdog that ends those
 * that are too slow. Used by server.c and the streams; knows nothing of HTTP. */
#pragma once
#include "api/meter.h"
#include "api/request.h"
#include "core/base/thread.h"

#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/types.h>

struct conn_list;

struct conn {
    struct conn_list *list;
    int fd;                         /* libmicrohttpd's; valid while the connection is in the list */
    bool is_unix;                   /* came by the unix socket */
    uid_t uid;                      /* of the peer, if so */
    enum role role;                 /* that the user id alone gives */
    bool is_free;                   /* of an administrator on the unix socket: no limit counts it */
    bool has_certificate;           /* the client has proved to have the key of … */
    uint8_t certificate_sha256[32]; /* … this one */
    char peer[64];                  /* for the logs */
    char address[INET6_ADDRSTRLEN]; /* what counts as one client: IPv4, the /64 of IPv6, the uid */
    int64_t began_ms;               /* monotonic */
    atomic_bool known;              /* showed a token that was good, or is free */

    /* When the watchdog ends the connection (monotonic ms); 0: never. Written by the connection's
     * thread, read by the watchdog. */
    _Atomic int64_t deadline_ms;
    _Atomic int waits_for;       /* enum meter_refusal: what it was late with then */
    _Atomic uint64_t feed_after; /* event streams: the last number sent, plus 1; 0: no stream */

    struct conn *next, *prev; /* under the list's lock, as are: */
    bool adopted;             /* libmicrohttpd has told us of it */
    bool stranger;            /* unknown for longer than it should be: counts for its address */

    struct request request; /* the one under way, on the connection's thread */
};

struct conn_list {
    struct lock lock;
    struct cond changed;
    struct conn *first GUARDED_BY(&lock);
    unsigned count[METER_DOORS] GUARDED_BY(&lock);
    bool stopping GUARDED_BY(&lock);
    unsigned tick_ms;        /* the watchdog looks at least so often while there are connections */
    unsigned strangers_each; /* of one address, that stay unknown for … */
    unsigned stranger_ms;    /* … longer than this */
    struct meter *meter;
    pthread_t watchdog;
};

/* What GET /metrics tells of connections. */
struct conn_facts {
    unsigned open[METER_DOORS];
    unsigned strangers, feeds;
    uint64_t feed_after; /* of the event stream that is farthest behind; UINT64_MAX: none */
};
void conn_list_facts(struct conn_list *list, struct conn_facts *out);
/* Fill in tick_ms, strangers_each, stranger_ms and meter before. */
bool conn_list_start(struct conn_list *list, struct err *err) MUST_USE;
/* After libmicrohttpd has ended: frees what it never told us of. */
void conn_list_stop(struct conn_list *list);
/* A connection that is in no list yet: the caller says whose it is. */
struct conn *conn_new(int fd) MUST_USE;
/* False, and 'conn' is freed, when 'max' came by its door (network or unix socket) already. */
bool conn_enlist(struct conn_list *list, struct conn *conn, unsigned max,
                 unsigned first_ms) MUST_USE;
/* The entry that was made for 'fd' when libmicrohttpd begins to serve it. */
struct conn *conn_adopt(struct conn_list *list, int fd);
/* Takes it off the list and frees it: from here on the watchdog does not touch 'fd'. */
void conn_free(struct conn *conn);

/* 0: none. 'waits_for' is what the client is late with when it passes. */
void conn_deadline(struct conn *conn, enum meter_refusal waits_for, int64_t ms_from_now);
/* A good token was shown: the connection no longer counts as a stranger's. */
void conn_is_known(struct conn *conn);
/* The client has hung up. For streams that wait for something to send. */
bool conn_is_gone(const struct conn *conn);
