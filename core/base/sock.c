/* Unix sockets that carry descriptors: see sock.h. */
#include "core/base/sock.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

union control {
    char bytes[CMSG_SPACE(SOCK_MAX_FDS * sizeof(int))];
    struct cmsghdr align;
};

bool sock_pair(int type, int out[2], struct err *err)
{
    return socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, out) == 0 ||
           err_errno(err, errno, "make a socket pair");
}

static bool send_failed(struct err *err)
{
    int e = errno;

    err_errno(err, e, "send to the peer");
    if (e == EPIPE || e == ECONNRESET || e == ENOTCONN)
        err->code = ERR_UNAVAILABLE;
    else if (e == EAGAIN)
        err->code = ERR_TIMEOUT;
    return false;
}

static void attach(struct msghdr *msg, union control *control, const int *fds, unsigned n_fds)
{
    struct cmsghdr *c;

    msg->msg_control = control->bytes;
    msg->msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
    c = CMSG_FIRSTHDR(msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
    memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
}

bool sock_send(int sock, const void *data, size_t len, const int *fds, unsigned n_fds,
               struct err *err)
{
    union control control = {0};
    const char *p = data;

    if (n_fds > SOCK_MAX_FDS)
        return err_set(err, ERR_INTERNAL, "%u descriptors in one message", n_fds);
    do {
        struct iovec part = {(void *)p, len};
        struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};
        ssize_t n;

        if (n_fds)
            attach(&msg, &control, fds, n_fds);
        n = sendmsg(sock, &msg, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return send_failed(err);
        n_fds = 0;
        p += n;
        len -= (size_t)n;
    } while (len);
    return true;
}

/* Collects the descriptors of one message; false when there are more than the caller takes. */
static bool collect(struct msghdr *msg, int *fds, unsigned cap, unsigned *n_fds)
{
    bool fits = !(msg->msg_flags & MSG_CTRUNC);
    unsigned n = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        unsigned here;
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        here = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        for (unsigned i = 0; i < here; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (fits && n < cap)
                fds[n++] = fd;
            else
                fits = false, close(fd);
        }
    }
    if (!fits)
        while (n)
            close(fds[--n]);
    *n_fds = n;
    return fits;
}

ssize_t sock_recv(int sock, void *data, size_t cap, int *fds, unsigned cap_fds, unsigned *n_fds,
                  struct err *err)
{
    union control control = {0};
    struct iovec part = {data, cap};
    struct msghdr msg = {.msg_iov = &part,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof control.bytes};
    unsigned got = 0;
    ssize_t n;

    do
        n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        bool empty = errno == EAGAIN;
        err_errno(err, errno, "receive from the peer");
        err->code = empty ? ERR_TIMEOUT : ERR_UNAVAILABLE;
        return -1;
    }
    if (!collect(&msg, fds, cap_fds, &got)) {
        err_set(err, ERR_UNAVAILABLE, "the peer sent more descriptors than expected");
        return -1;
    }
    if (n_fds)
        *n_fds = got;
    return n;
}

bool sock_set_timeout_ms(int sock, int ms, struct err *err)
{
    struct timeval t = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

    return (setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t) == 0 &&
            setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t) == 0) ||
           err_errno(err, errno, "set a socket's time limit");
}
