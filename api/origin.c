/* Host, Origin, Sec-Fetch-Site: see origin.h.
 *
 * An address in place of a name needs no list: a page can only have it as its own by being served
 * from there. "localhost" is never asked of a name server. */
#include "api/origin.h"

#include "api/server.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define MAX_HOST 256

/* The name or address of "name:port", "[::1]:port", "name"; false when it is none of them. */
static bool read_host(const char *header, char out[MAX_HOST])
{
    bool six = *header == '[';
    size_t n = six ? strcspn(header + 1, "]") : strcspn(header, ":");
    const char *rest = header + n + (six ? 2 : 0);

    if (!n || n >= MAX_HOST || (six && header[n + 1] != ']'))
        return false;
    memcpy(out, header + six, n);
    out[n] = 0;
    if (*rest == ':') {
        rest++;
        if (!*rest || strlen(rest) > 5)
            return false;
        rest += strspn(rest, "0123456789");
    }
    return !*rest;
}

static bool is_address(const char *text, bool six)
{
    struct in6_addr in6;
    struct in_addr in;

    return six ? inet_pton(AF_INET6, text, &in6) == 1 : inet_pton(AF_INET, text, &in) == 1;
}

static bool is_listed(const struct api *api, const char *name)
{
    for (size_t i = 0; i < api->n_host_names; i++)
        if (strcasecmp(api->host_names[i], name) == 0)
            return true;
    return strcasecmp(name, "localhost") == 0;
}

bool origin_check_host(const struct request *rq, struct err *err)
{
    const char *header = rq->head.host ? rq->head.host : "";
    char name[MAX_HOST];

    if (rq->conn->is_unix)
        return true;
    if (read_host(header, name) &&
        (*header == '[' ? is_address(name, true)
                        : is_address(name, false) || is_listed(rq->api, name)))
        return true;
    return err_set(err, ERR_MISDIRECTED,
                   "this host is not known by the name it was asked for: use a name of its "
                   "certificate or its address, or add the name to 'hostnames' in vmmd.conf");
}

bool origin_is_ours(const struct request *rq, struct err *err)
{
    const char *site = rq->head.sec_fetch_site, *origin = rq->head.origin;
    const char *host = rq->head.host ? rq->head.host : "";

    if (site && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0)
        return err_set(err, ERR_FORBIDDEN, "the request comes from a page of another site");
    if (!origin || (strncasecmp(origin, "https://", 8) == 0 && strcasecmp(origin + 8, host) == 0))
        return true;
    return err_set(err, ERR_FORBIDDEN, "the request comes from a page of another site");
}
