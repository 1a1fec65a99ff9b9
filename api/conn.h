/* Connections: what the api knows of each beyond libmicrohttpd, and the watchdog that ends those
 * that are too slow. Used by server.c and the streams; knows nothing of HTTP. */
#pragma once
#include "api/request.h"
#include "core/base/thread.h"

#include <stdatomic.h>
#include <sys/types.h>

struct conn_list;

struct conn {
    struct conn_list *list;
    int fd;         /* libmicrohttpd's; valid while the connection is in the list */
    bool is_unix;   /* came by the unix socket */
    uid_t uid;      /* of the peer, if so */
    enum role role; /* that the user id alone gives */
    char peer[64];  /* for the logs */

    /* When the watchdog ends the connection (monotonic ms); 0: never. Written by the connection's
     * thread, read by the watchdog. */
    _Atomic int64_t deadline_ms;

    struct conn *next, *prev; /* under the list's lock, as is: */
    bool adopted;             /* libmicrohttpd has told us of it */

    struct request request; /* the one under way, on the connection's thread */
};

struct conn_list {
    struct lock lock;
    struct cond changed;
    struct conn *first GUARDED_BY(&lock);
    unsigned count GUARDED_BY(&lock);
    bool stopping GUARDED_BY(&lock);
    unsigned tick_ms; /* the watchdog looks at least so often while there are connections */
    pthread_t watchdog;
};

bool conn_list_start(struct conn_list *list, unsigned tick_ms, struct err *err) MUST_USE;
/* After libmicrohttpd has ended: frees what it never told us of. */
void conn_list_stop(struct conn_list *list);
/* A new entry for 'fd', or NULL when there are 'max' already. */
struct conn *conn_new(struct conn_list *list, int fd, unsigned max, unsigned first_ms) MUST_USE;
/* The entry that was made for 'fd' when libmicrohttpd begins to serve it. */
struct conn *conn_adopt(struct conn_list *list, int fd);
/* Takes it off the list and frees it: from here on the watchdog does not touch 'fd'. */
void conn_free(struct conn *conn);

void conn_deadline(struct conn *conn, int64_t ms_from_now); /* 0: none */
/* The client has hung up. For streams that wait for something to send. */
bool conn_is_gone(const struct conn *conn);
