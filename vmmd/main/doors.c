/* The two doors: see doors.h. A connection that is not taken stays in its socket, and the daemon
 * that comes after this one serves it: the parent holds both sockets open. */
#include "vmmd/main/doors.h"

#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/sock.h"
#include "core/base/thread.h"
#include "vmmd/config/config.h"
#include "vmmd/front/proto.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

static struct {
    struct api *api;
    int front, listening;
    int stop; /* eventfd: readable for ever once the doors are closed */
    pthread_t threads[2];
} doors = {.stop = -1};

/* Waits for 'fd'; false when the doors are closed or the other side is gone. */
static bool wait_for(int fd)
{
    struct pollfd p[] = {{.fd = fd, .events = POLLIN}, {.fd = doors.stop, .events = POLLIN}};

    while (poll(p, 2, -1) < 0 && errno == EINTR)
        ;
    return !p[1].revents && (p[0].revents & POLLIN);
}

static socklen_t peer_of(const struct front_conn *conn, struct sockaddr_storage *out)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

    memset(out, 0, sizeof *out);
    if (conn->family == AF_INET) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(conn->port);
        memcpy(&v4->sin_addr, conn->address, sizeof v4->sin_addr);
        return sizeof *v4;
    }
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(conn->port);
    memcpy(&v6->sin6_addr, conn->address, sizeof v6->sin6_addr);
    return sizeof *v6;
}

static void *front_main(void *arg)
{
    while (wait_for(doors.front)) {
        struct sockaddr_storage peer;
        struct front_conn conn;
        struct err err = {0};
        unsigned n_fds = 0;
        int fd = -1;
        ssize_t n = sock_recv(doors.front, &conn, sizeof conn, &fd, 1, &n_fds, &err);

        if (n != sizeof conn || n_fds != 1 || conn.version != FRONT_VERSION ||
            (conn.family != AF_INET && conn.family != AF_INET6)) {
            closep(&fd);
            if (n <= 0)
                break;
            log_warn("the front sent something that is no connection");
            continue;
        }
        api_front_counts(doors.api, conn.refused_full, conn.refused_address, conn.handshakes);
        (void)api_add_tls(doors.api, fd, (struct sockaddr *)&peer, peer_of(&conn, &peer),
                          conn.cert_sha256);
    }
    return NULL;
}

static void *unix_main(void *arg)
{
    while (wait_for(doors.listening)) {
        int fd = accept4(doors.listening, NULL, NULL, SOCK_CLOEXEC);

        if (fd >= 0)
            (void)api_add_unix(doors.api, fd);
        else if (errno == EMFILE || errno == ENFILE)
            log_warn("no descriptor is left for a connection on the unix socket");
    }
    return NULL;
}

bool doors_open(struct api *api, int front, int listening, struct err *err)
{
    doors.api = api;
    doors.front = front;
    doors.listening = listening;
    doors.stop = eventfd(0, EFD_CLOEXEC);
    if (doors.stop < 0)
        return err_errno(err, errno, "make an eventfd");
    return thread_start(&doors.threads[0], "front-link", front_main, NULL, err) &&
           thread_start(&doors.threads[1], "unix-door", unix_main, NULL, err);
}

void doors_close(void)
{
    if (eventfd_write(doors.stop, 1) < 0)
        return;
    pthread_join(doors.threads[0], NULL);
    pthread_join(doors.threads[1], NULL);
}
