/* What the front tells main and what the parent tells the front: see docs/processes.md.
 *
 * Both ends of the front-main link are also held by the parent, so a connection that is queued in
 * it survives the restart of either side. */
#pragma once
#include <stdint.h>

#define FRONT_VERSION 2

/* front -> main, SEQPACKET, with one descriptor: the decrypted byte stream. */
struct front_conn {
    uint32_t version;
    uint32_t family;     /* AF_INET or AF_INET6 */
    uint64_t id;         /* the front's number of the connection, for the logs */
    uint8_t address[16]; /* of the peer, network order; the first 4 for AF_INET */
    uint16_t port;       /* host order */
    uint16_t pad[3];
    uint8_t cert_sha256[32]; /* of the client's certificate; zero if it showed none */
    /* What the front has counted since its start; for GET /metrics. */
    uint32_t refused_full;    /* connections refused: too many in all … */
    uint32_t refused_address; /* … or of their address */
    uint32_t handshakes;      /* that failed or took too long */
    uint32_t pad2;
};

/* parent -> front, SEQPACKET */
struct front_state {
    uint32_t version;
    uint32_t main_up; /* 1: main serves; 0: hold new connections (5 s at most), then 503 */
};
