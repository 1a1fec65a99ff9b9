/* The worker's end of vmmd-net (vmmd/net/proto.h), under which the guest's passt runs. */
#pragma once
#include "vmmd/worker/spec.h"

struct worker;

struct net_link {
    int sock;   /* -1: there is none, or it has ended */
    bool asked; /* for passt: an end of it is news */
};

/* A worker that was started without one cannot have a VM with a network: UNSUPPORTED. */
bool net_link_check(const struct worker *w, const struct spec *spec, struct err *err) MUST_USE;
/* Has passt started with the spec's words, 'sock' and 'messages' (all borrowed). What goes wrong
 * from here on shows as its end. */
bool net_link_run(struct worker *w, const struct spec *spec, int sock, int messages,
                  struct err *err) MUST_USE;
/* passt's status, or the end of the socket. */
void net_link_ready(struct worker *w);
