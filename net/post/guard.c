/* The guard of outgoing requests: see guard.h.
 *
 * A webhook's address is an administrator's, but its name may lead anywhere, and elsewhere a moment
 * later. So the check is made on the address that is about to be connected to. What is refused
 * without being asked for in vmmd.conf is what nobody's receiver lives on but secrets do: this host
 * itself, link-local addresses (the metadata services of clouds), multicast. Private networks are
 * where CI servers live: they are allowed (docs/adr/0034). */
#include "net/post/guard.h"

#include "core/base/cidr.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_RANGES 64
#define MAX_HOSTS  64

static const struct {
    const char *range, *why;
} refused[] = {
    {"127.0.0.0/8", "it is this host's loopback"},
    {"::1/128", "it is this host's loopback"},
    {"0.0.0.0/8", "it is this host"},
    {"::/128", "it is this host"},
    {"169.254.0.0/16", "it is link-local"},
    {"fe80::/10", "it is link-local"},
    {"fd00:ec2::/32", "it is a metadata service"},
    {"100.100.100.200/32", "it is a metadata service"},
    {"192.0.0.192/32", "it is a metadata service"},
    {"168.63.129.16/32", "it is a metadata service"},
    {"224.0.0.0/3", "it is multicast or reserved"},
    {"ff00::/8", "it is multicast"},
};

static struct {
    struct cidr ranges[MAX_RANGES];
    unsigned n_ranges;
    char hosts[MAX_HOSTS][128];
    unsigned n_hosts;
    in_port_t port; /* of our own API, 0: none */
} guard;

static bool add(const char *word, struct err *err)
{
    struct cidr range;

    if (cidr_parse(word, &range) && guard.n_ranges < MAX_RANGES)
        guard.ranges[guard.n_ranges++] = range;
    else if (!strpbrk(word, "/:") && strlen(word) < sizeof guard.hosts[0] &&
             guard.n_hosts < MAX_HOSTS)
        str_copy(guard.hosts[guard.n_hosts++], sizeof guard.hosts[0], word);
    else
        return err_set(err, ERR_INVALID, "webhook_allow: %.100s is no address, range or host",
                       word);
    return true;
}

static in_port_t port_of(const struct sockaddr *sa)
{
    return sa->sa_family == AF_INET    ? ((const struct sockaddr_in *)(const void *)sa)->sin_port
           : sa->sa_family == AF_INET6 ? ((const struct sockaddr_in6 *)(const void *)sa)->sin6_port
                                       : 0;
}

bool guard_init(const char *allow, const struct sockaddr *own, struct err *err)
{
    CLEANUP(mem_freep) char *copy = str_dup(allow ? allow : "");
    char *save = NULL;

    memset(&guard, 0, sizeof guard);
    guard.port = own ? port_of(own) : 0;
    for (char *word = strtok_r(copy, " \t,", &save); word; word = strtok_r(NULL, " \t,", &save))
        if (!add(word, err))
            return false;
    return true;
}

static bool is_own(const uint8_t address[16])
{
    struct ifaddrs *all, *one;
    bool found = false;

    if (getifaddrs(&all) != 0)
        return true; /* not known: rather refused */
    for (one = all; one && !found; one = one->ifa_next) {
        uint8_t a[16];
        found = one->ifa_addr && cidr_address(one->ifa_addr, a) && memcmp(a, address, 16) == 0;
    }
    freeifaddrs(all);
    return found;
}

const char *guard_refuses(const char *host, const struct sockaddr *sa)
{
    struct cidr range;
    uint8_t address[16];

    if (!cidr_address(sa, address))
        return "it is no internet address";
    for (unsigned i = 0; i < guard.n_hosts; i++)
        if (strcasecmp(guard.hosts[i], host) == 0)
            return NULL;
    for (unsigned i = 0; i < guard.n_ranges; i++)
        if (cidr_has(&guard.ranges[i], address))
            return NULL;
    for (unsigned i = 0; i < ARRAY_LEN(refused); i++)
        if (cidr_parse(refused[i].range, &range) && cidr_has(&range, address))
            return refused[i].why;
    return guard.port && port_of(sa) == guard.port && is_own(address) ? "it is vmmd's own API"
                                                                      : NULL;
}
