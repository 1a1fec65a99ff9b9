/* How many connections there are, in all and from one address. Thread-safe. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* What counts as one address: an IPv4 address, or the /64 of an IPv6 one (a host owns them all). */
struct count_key {
    uint8_t b[16];
};

struct count_key count_key(const struct sockaddr_storage *peer);
void count_init(uint32_t most, uint32_t most_each);
bool count_enter(const struct count_key *key); /* false: one of the limits is reached */
void count_leave(const struct count_key *key);
uint32_t count_total(void);
/* How many were refused so far: in all, and for their address. */
void count_refused(uint32_t *full, uint32_t *address);
