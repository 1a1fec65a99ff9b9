/* The HTTPS API: HTTP/1.1 over streams that others accepted, every route of openapi.yaml on top of
 * core's calls. It opens no socket of its own. Called by vmmd/main; routes.c is the index. */
#pragma once
#include "core/base/err.h"
#include "core/core/core.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct api;

/* Texts and arrays are borrowed for the call of api_start() only; 0 means the default in brackets.
 */
struct api_config {
    struct core *core;           /* outlives the api */
    const char *web_dir_or_null; /* serve the web UI from here instead of the built-in files */
    unsigned max_body_bytes;     /* of JSON [1 MiB] */
    const uint32_t *admin_uids;  /* besides 0 and our own: admins on the unix socket */
    size_t n_admin_uids;
    const char *page_url_or_null;  /* "https://host:8443", for links that are made on the host */
    const char *const *host_names; /* what "Host" may say besides addresses and localhost */
    size_t n_host_names;
    unsigned max_connections; /* of the network, and as many again of the unix socket [512] */
    unsigned head_ms;         /* for a request's head [10 s] */
    unsigned idle_ms;         /* between two requests of a connection [75 s] */
    unsigned stall_ms;        /* grace for a body, which then has to come at 1 KiB/s [10 s] */
    unsigned body_ms;         /* for a whole body, however fast it comes [120 s] */
    unsigned send_ms;         /* the same for a reply that the client takes too slowly [60 s] */
    unsigned heartbeat_ms;    /* of event streams [15 s] */
    unsigned strangers_each;  /* connections of an address without a good token … [8] */
    unsigned stranger_ms;     /* … for longer than this [2 s] */
    /* Rates; here 0 means no limit. The unix socket has none. */
    unsigned changes_per_s, changes_burst; /* of one principal */
    unsigned auth_failures_per_min;        /* of one address */
};

/* NULL with INTERNAL when the threads cannot be made. */
struct api *api_start(const struct api_config *config, struct err *err) MUST_USE;
/* Serves a decrypted stream of the front. 'fd' is taken whatever comes out; 'cert_sha256' is zero
 * when the client showed no certificate. False when there are too many connections (the client got
 * a 503). Does not block; any thread. */
bool api_add_tls(struct api *api, int fd, const struct sockaddr *peer, socklen_t peer_len,
                 const uint8_t cert_sha256[32]);
/* The same for a connection accepted on the unix socket. Its user is asked of the kernel: root,
 * the daemon's own user and admin_uids are admins, others need a token. */
bool api_add_unix(struct api *api, int fd);
/* What the front has counted since its start, for GET /metrics: connections that it refused (too
 * many in all, too many of one address) and handshakes that came to nothing. */
void api_front_counts(struct api *api, uint32_t full, uint32_t address, uint32_t handshakes);
/* Ends waits and event streams (core_interrupt()), then closes all connections and frees. Blocks
 * until the requests under way have ended (those that dawdle over their reply get 3 s). No
 * connection may be added while or after it runs. */
void api_stop(struct api *api);
