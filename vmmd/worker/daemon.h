/* The conversations with main: sockets, frames, fencing, queued answers. What the requests mean is
 * requests.c's business. Nothing here blocks, and no daemon can hurt the guest: one that breaks the
 * framing, does not read or is older than another is cut off. */
#pragma once
#include "core/base/frame.h"
#include "core/base/str.h"

struct worker;

#define CONV_MAX 5

struct conv {
    int sock;        /* -1: free */
    uint32_t number; /* never used twice */
    uint32_t epoch;  /* 0 before HELLO */
    bool broken;     /* to be closed by daemon_sweep() */
    bool closing;    /* to be closed when 'out' is empty */
    int64_t hello_by_ms;
    struct frame_reader in;
    struct strbuf out; /* frames not yet sent */
    size_t sent;       /* bytes of 'out' that are */
};

struct daemon {
    struct conv convs[CONV_MAX];
    uint32_t last_number;
    uint32_t current;       /* number of the conversation that is served; 0: none */
    uint32_t epoch;         /* the highest that said HELLO */
    int64_t alone_since_ms; /* when 'current' became 0 */
};

/* Who is to get an answer. Answers to a conversation that ended are dropped. */
struct request {
    uint32_t conv; /* 0: nobody */
    uint32_t id;
};

void daemon_init(struct worker *w);
/* Takes 'sock' over as a conversation. */
void daemon_add(struct worker *w, int sock);
/* Accepts from the listening socket; only our own uid and root may talk. */
void daemon_accept(struct worker *w);
void daemon_ready(struct worker *w, unsigned slot, short revents);
/* Closes what is broken or late. Returns the next deadline (monotonic ms), INT64_MAX when none. */
int64_t daemon_sweep(struct worker *w, int64_t now_ms);

/* Makes 'number' the one conversation that is served; the older one ends. BUSY when a newer daemon
 * was here; the conversation ends then, too. */
bool daemon_take_over(struct worker *w, uint32_t number, uint32_t epoch, struct err *err) MUST_USE;

void daemon_reply(struct worker *w, const struct request *to, const char *json_text);
void daemon_fail(struct worker *w, const struct request *to, const struct err *err);
/* A frame to the conversation that is served, if there is one. */
void daemon_notify(struct worker *w, uint16_t type, const void *data, size_t len);
/* True while the conversation that is served has unsent bytes. */
bool daemon_is_behind(const struct worker *w);
/* Writes what is queued, for at most 'ms'. */
void daemon_flush(struct worker *w, int ms);
