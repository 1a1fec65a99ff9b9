/* The helper's side of proto.h: reads main's requests, checks them, answers. */
#pragma once
#include "vmmd/priv/host.h"
#include "vmmd/priv/permit.h"

/* What one incarnation of main may still do. */
struct helper {
    const struct host *host;
    bool ready; /* main said READY */
    struct permit_use uses[PRIV_OP_COUNT];
};

enum helper_result {
    HELPER_SERVED, /* answered */
    HELPER_READY,  /* answered, and main has become ready with it */
    HELPER_CLOSED, /* main's end is closed */
    HELPER_MUTE,   /* main does not take its replies: it has to be ended */
    HELPER_BROKEN  /* a request that main never sends: logged; the parent has to leave */
};

/* Reads one request from 'sock' (main's conversation, non-blocking) and answers it. Blocks as long
 * as the operation takes: 10 s for a spawn, 5 s for a kill at most. Uses no heap. */
enum helper_result helper_serve(struct helper *helper, int sock);
