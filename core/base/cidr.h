/* Ranges of addresses: "10.0.0.0/8", "fd00::/8", or one address. An IPv4 address that comes as IPv6
 * (mapped, NAT64 64:ff9b::/96, 6to4 2002::/16) counts as what it leads to. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct cidr {
    uint8_t address[16]; /* IPv4 as ::ffff:a.b.c.d */
    unsigned bits;       /* of the 128 */
};

/* False when 'text' is no range, or has bits behind its prefix. */
bool cidr_parse(const char *text, struct cidr *out);
/* The address of a sockaddr in the form above; false for other families. */
bool cidr_address(const struct sockaddr *sa, uint8_t out[16]);
bool cidr_has(const struct cidr *range, const uint8_t address[16]);
