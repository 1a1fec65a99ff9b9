/* The api's life: starting, stopping, and connections that are handed in. See api.h. What is done
 * on a connection is in server.c. */
#include "api/api.h"

#include "api/routes.h"
#include "api/server.h"
#include "core/base/clock.h"
#include "core/base/id.h"
#include "core/base/log.h"
#include "core/base/mem.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define STOP_GRACE_MS 3000 /* for the last words of requests under way */

static void fill_defaults(struct api *api, const struct api_config *config)
{
    struct api_config *c = &api->config;
    uint8_t random[4];

    *c = *config;
    c->max_body_bytes = c->max_body_bytes ? c->max_body_bytes : 1u << 20;
    c->max_connections = c->max_connections ? c->max_connections : 512;
    c->head_ms = c->head_ms ? c->head_ms : 10000;
    c->idle_ms = c->idle_ms ? c->idle_ms : 75000;
    c->stall_ms = c->stall_ms ? c->stall_ms : 10000;
    c->send_ms = c->send_ms ? c->send_ms : 60000;
    c->heartbeat_ms = c->heartbeat_ms ? c->heartbeat_ms : 15000;
    c->body_ms = c->body_ms ? c->body_ms : 120000;
    c->strangers_each = c->strangers_each ? c->strangers_each : 8;
    c->stranger_ms = c->stranger_ms ? c->stranger_ms : 2000;
    c->web_dir_or_null = str_dup(config->web_dir_or_null);
    c->page_url_or_null = str_dup(config->page_url_or_null);
    api->admin_uids = mem_dup(config->admin_uids, config->n_admin_uids * sizeof(uint32_t));
    c->admin_uids = api->admin_uids;
    api->n_host_names = c->n_host_names;
    api->host_names = mem_array(c->n_host_names + 1, sizeof(char *));
    for (size_t i = 0; i < c->n_host_names; i++)
        api->host_names[i] = str_dup(c->host_names[i]);
    random_bytes(random, sizeof random);
    str_hex(random, sizeof random, api->id_prefix);
}

static unsigned tick_ms(const struct api_config *c)
{
    unsigned least = c->head_ms < c->stall_ms ? c->head_ms : c->stall_ms;

    return least / 4 ? least / 4 : 1;
}

static void set_up_limits(struct api *api)
{
    const struct api_config *c = &api->config;

    meter_init(&api->meter, n_routes);
    limit_init(&api->changes, c->changes_per_s, c->changes_burst);
    limit_init(&api->failures, c->auth_failures_per_min / 60.0, c->auth_failures_per_min);
    api->conns.meter = &api->meter;
    api->conns.tick_ms = tick_ms(c);
    api->conns.strangers_each = c->strangers_each;
    api->conns.stranger_ms = c->stranger_ms;
}

static void free_api(struct api *api)
{
    idem_keys_clear(&api->keys);
    guesses_clear(&api->guesses);
    for (size_t i = 0; i < api->n_host_names; i++)
        free(api->host_names[i]);
    free(api->host_names);
    limit_clear(&api->failures);
    limit_clear(&api->changes);
    meter_clear(&api->meter);
    free((char *)api->config.web_dir_or_null);
    free((char *)api->config.page_url_or_null);
    free(api->admin_uids);
    free(api);
}

struct api *api_start(const struct api_config *config, struct err *err)
{
    struct api *api = mem_alloc(sizeof *api);

    fill_defaults(api, config);
    idem_keys_init(&api->keys);
    guesses_init(&api->guesses);
    set_up_limits(api);
    if (!conn_list_start(&api->conns, err)) {
        free_api(api);
        return NULL;
    }
    api->daemon = server_start(api);
    if (api->daemon)
        return api;
    conn_list_stop(&api->conns);
    free_api(api);
    err_set(err, ERR_INTERNAL, "the HTTP server cannot be started");
    return NULL;
}

static void await_requests(struct api *api)
{
    int64_t deadline = clock_mono_ms() + STOP_GRACE_MS;

    lock_take(&api->conns.lock);
    while (atomic_load(&api->active) &&
           cond_wait_until(&api->conns.changed, &api->conns.lock, deadline))
        ;
    lock_drop(&api->conns.lock);
}

void api_stop(struct api *api)
{
    atomic_store(&api->stopping, true);
    core_interrupt(api->config.core);
    await_requests(api);
    MHD_stop_daemon(api->daemon);
    conn_list_stop(&api->conns);
    free_api(api);
}

static bool turn_away(int fd)
{
    static const char text[] = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n"
                               "Retry-After: 1\r\nContent-Length: 0\r\n\r\n";

    (void)!send(fd, text, sizeof text - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    close(fd);
    return false;
}

/* libmicrohttpd is told of a unix peer always, which is what the descriptor is; the client's
 * address stays with us. */
static bool hand_over(struct api *api, struct conn *conn, enum meter_door door)
{
    struct sockaddr_un none = {.sun_family = AF_UNIX};

    /* closes the descriptor itself when it fails */
    if (MHD_add_connection(api->daemon, conn->fd, (struct sockaddr *)&none, sizeof none) ==
        MHD_YES) {
        meter_count(&api->meter.accepted[door]);
        return true;
    }
    log_warn("a connection of %s could not be served", conn->peer);
    conn_free(conn);
    return false;
}

static void name_peer(const struct sockaddr *peer, socklen_t len, struct conn *conn)
{
    char text[INET6_ADDRSTRLEN] = "?";
    unsigned port = 0;

    if (peer && peer->sa_family == AF_INET && len >= sizeof(struct sockaddr_in)) {
        const struct sockaddr_in *in = (const void *)peer;
        inet_ntop(AF_INET, &in->sin_addr, text, sizeof text);
        port = ntohs(in->sin_port);
    } else if (peer && peer->sa_family == AF_INET6 && len >= sizeof(struct sockaddr_in6)) {
        const struct sockaddr_in6 *in6 = (const void *)peer;
        struct in6_addr net = in6->sin6_addr;
        inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof text);
        port = ntohs(in6->sin6_port);
        if (!IN6_IS_ADDR_V4MAPPED(&net)) {
            memset(net.s6_addr + 8, 0, 8); /* a host owns them all */
            inet_ntop(AF_INET6, &net, conn->address, sizeof conn->address);
        }
    }
    snprintf(conn->peer, sizeof conn->peer, "%s port %u", text, port);
    if (!conn->address[0])
        str_copy(conn->address, sizeof conn->address, text);
}

bool api_add_tls(struct api *api, int fd, const struct sockaddr *peer, socklen_t peer_len,
                 const uint8_t cert_sha256[32])
{
    static const uint8_t none[32];
    struct conn *conn = conn_new(fd);

    memcpy(conn->certificate_sha256, cert_sha256, sizeof conn->certificate_sha256);
    conn->has_certificate = memcmp(cert_sha256, none, sizeof none) != 0;
    name_peer(peer, peer_len, conn);
    if (!conn_enlist(&api->conns, conn, api->config.max_connections, api->config.head_ms))
        return turn_away(fd);
    return hand_over(api, conn, METER_TLS);
}

static bool is_admin(const struct api *api, uid_t uid)
{
    if (uid == 0 || uid == geteuid())
        return true;
    for (size_t i = 0; i < api->config.n_admin_uids; i++)
        if (api->admin_uids[i] == uid)
            return true;
    return false;
}

bool api_add_unix(struct api *api, int fd)
{
    struct ucred cred = {.uid = (uid_t)-1};
    socklen_t len = sizeof cred;
    struct conn *conn;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0)
        return turn_away(fd);
    conn = conn_new(fd);
    conn->is_unix = true;
    conn->uid = cred.uid;
    conn->role = is_admin(api, cred.uid) ? ROLE_ADMIN : ROLE_NONE;
    conn->is_free = conn->role != ROLE_NONE;
    conn->known = conn->is_free;
    snprintf(conn->peer, sizeof conn->peer, "uid %u", cred.uid);
    str_copy(conn->address, sizeof conn->address, conn->peer);
    if (!conn_enlist(&api->conns, conn, api->config.max_connections, api->config.head_ms))
        return turn_away(fd);
    return hand_over(api, conn, METER_UNIX);
}

void api_front_counts(struct api *api, uint32_t full, uint32_t address, uint32_t handshakes)
{
    atomic_store(&api->meter.front_full, full);
    atomic_store(&api->meter.front_address, address);
    atomic_store(&api->meter.front_handshakes, handshakes);
}
