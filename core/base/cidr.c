/* Ranges of addresses: see cidr.h. Pure. */
#include "core/base/cidr.h"

#include "core/base/str.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};

static void from_v4(const void *v4, uint8_t out[16])
{
    memcpy(out, mapped, sizeof mapped);
    memcpy(out + 12, v4, 4);
}

static bool bit(const uint8_t *address, unsigned i)
{
    return address[i / 8] >> (7 - i % 8) & 1;
}

bool cidr_parse(const char *text, struct cidr *out)
{
    char host[INET6_ADDRSTRLEN + 1];
    const char *slash = strchr(text, '/');
    size_t n = slash ? (size_t)(slash - text) : strlen(text);
    uint8_t v4[4];
    uint64_t bits;
    bool is_v4;

    if (!n || n >= sizeof host)
        return false;
    memcpy(host, text, n);
    host[n] = 0;
    is_v4 = inet_pton(AF_INET, host, v4) == 1;
    if (is_v4)
        from_v4(v4, out->address);
    else if (inet_pton(AF_INET6, host, out->address) != 1)
        return false;
    bits = is_v4 ? 32 : 128;
    if (slash && (!str_to_u64(slash + 1, &bits) || bits > (is_v4 ? 32 : 128)))
        return false;
    out->bits = (unsigned)bits + (is_v4 ? 96 : 0);
    for (unsigned i = out->bits; i < 128; i++)
        if (bit(out->address, i))
            return false;
    return true;
}

bool cidr_address(const struct sockaddr *sa, uint8_t out[16])
{
    const struct sockaddr_in6 *in6 = (const void *)sa;
    const uint8_t *a;

    if (sa->sa_family == AF_INET) {
        from_v4(&((const struct sockaddr_in *)(const void *)sa)->sin_addr, out);
        return true;
    }
    if (sa->sa_family != AF_INET6)
        return false;
    a = in6->sin6_addr.s6_addr;
    if (memcmp(a, nat64, sizeof nat64) == 0)
        from_v4(a + 12, out);
    else if (a[0] == 0x20 && a[1] == 0x02)
        from_v4(a + 2, out);
    else
        memcpy(out, a, 16);
    return true;
}

bool cidr_has(const struct cidr *range, const uint8_t address[16])
{
    for (unsigned i = 0; i < range->bits; i++)
        if (bit(range->address, i) != bit(address, i))
            return false;
    return true;
}
