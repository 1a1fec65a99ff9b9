/* vmmd-front: the process that the network sees. It terminates TLS, counts connections, and hands
 * each decrypted byte stream to vmmd-main; it knows nothing of HTTP but one fixed 503. Started by
 * vmmd with the descriptors of vmmd/priv/proto.h, in an empty directory that it makes its root.
 *
 *   main.c   confinement, the accept loop      conn.c   a connection's life, one thread each
 *   tls.c    certificate, key, TLS settings    relay.c  moving bytes
 *   gate.c   the way to main                   count.c  limits
 *
 * Theory of operation. The first thread polls {the parent's control socket, the listening socket, a
 * wake-up event}. It accepts while descriptors are left (80 % of the limit); connections beyond
 * that wait in the kernel's backlog until one ends. The parent's end means the end: whatever
 * happens, it starts a new front. */
#include "core/base/log.h"
#include "core/base/sock.h"
#include "core/base/str.h"
#include "vmmd/config/config.h"
#include "vmmd/filter/filter.h"
#include "vmmd/front/conn.h"
#include "vmmd/front/count.h"
#include "vmmd/front/gate.h"
#include "vmmd/front/tls.h"
#include "vmmd/priv/proto.h"

#include <cap-ng.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define OWN_FDS  16  /* descriptors that are not connections', generously */
#define PAUSE_MS 100 /* after the kernel refused to accept */

static int wake_up;        /* eventfd: a connection ended while accepting was paused */
static atomic_bool paused; /* somebody waits for wake_up */
static bool ask_certificates;
static uint32_t most_open; /* connections that the descriptor limit leaves room for */

static void on_conn_end(void)
{
    uint64_t one = 1;

    if (atomic_load(&paused))
        (void)!write(wake_up, &one, sizeof one);
}

/* The directory we stand in becomes the root. As root's child we were given the one capability for
 * it; as a user a user namespace may lend it, and where that is forbidden we go on without. */
static bool confine(struct err *err)
{
    bool lent =
        capng_get_caps_process() == 0 && capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_CHROOT);

    if (!lent && unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC) < 0)
        log_info("the front runs without a root of its own: %s", strerror(errno));
    else if (chroot(".") < 0 || chdir("/") < 0)
        return err_errno(err, errno, "enter the empty directory");
    capng_clear(CAPNG_SELECT_BOTH);
    if (capng_apply(CAPNG_SELECT_CAPS) < 0)
        return err_set(err, ERR_INTERNAL, "capabilities cannot be dropped");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_errno(err, errno, "set no_new_privs");
#ifndef VMMD_FAILPOINTS
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
    return filter_only_bytes(err);
}

/* False when the parent is gone. */
static bool on_control(void)
{
    struct front_state state;
    struct err err = {0};
    ssize_t n = sock_recv(FRONT_FD_CONTROL, &state, sizeof state, NULL, 0, NULL, &err);

    if (n != sizeof state || state.version != FRONT_VERSION)
        return false;
    gate_set(state.main_up);
    return true;
}

/* Accepts what is there; false when the kernel cannot give descriptors now. */
static bool accept_all(void)
{
    while (count_total() < most_open) {
        struct sockaddr_storage peer = {0};
        socklen_t len = sizeof peer;
        struct err err = {0};
        int tcp =
            accept4(FRONT_FD_LISTEN, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (tcp < 0)
            return errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM;
        if (!conn_start(tcp, &peer, &err))
            log_debug("connection refused: %s", err.detail);
    }
    return true;
}

/* Room for another connection? If not, asks to be woken when one ends (and looks again, for it may
 * have ended in between). */
static bool has_room(void)
{
    if (count_total() < most_open)
        return true;
    atomic_store(&paused, true);
    if (count_total() >= most_open)
        return false;
    atomic_store(&paused, false);
    return true;
}

static void loop(void)
{
    bool starved = false;

    for (;;) {
        struct pollfd p[] = {{.fd = FRONT_FD_CONTROL, .events = POLLIN},
                             {.fd = FRONT_FD_MAIN, .events = 0},
                             {.fd = wake_up, .events = POLLIN},
                             {.fd = FRONT_FD_LISTEN, .events = POLLIN}};
        uint64_t n;

        if (starved || !has_room())
            p[3].fd = -1;
        if (poll(p, ARRAY_LEN(p), starved ? PAUSE_MS : -1) < 0 && errno != EINTR)
            return;
        starved = false;
        if ((p[0].revents && !on_control()) || p[1].revents)
            return;
        if (p[2].revents && read(wake_up, &n, sizeof n) > 0)
            atomic_store(&paused, false);
        if (p[3].revents)
            starved = !accept_all();
    }
}

/* Our only options, always given by the parent: --connections N --per-address N [--certificates].
 */
static bool parse_arguments(int argc, char **argv)
{
    uint64_t most, each;
    struct rlimit files;

    ask_certificates = argc == 6 && str_eq(argv[5], "--certificates");
    if (argc != 5 + ask_certificates || !str_eq(argv[1], "--connections") ||
        !str_to_u64(argv[2], &most) || !str_eq(argv[3], "--per-address") ||
        !str_to_u64(argv[4], &each) || most < 1 || most > 65536 || each < 1 || each > 65536)
        return false;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur < 2 * OWN_FDS)
        return false;
    most_open = (uint32_t)((files.rlim_cur * 8 / 10 - OWN_FDS) / 2); /* two for each connection */
    if (most_open < most)
        log_warn("the limit of open files leaves room for %u connections of max_connections = %u",
                 most_open, (unsigned)most);
    count_init((uint32_t)most, (uint32_t)each);
    return true;
}

static int run(void)
{
    struct err err = {0};
    SSL_CTX *ctx = tls_context(FRONT_FD_CERT, FRONT_FD_KEY, ask_certificates, &err);

    if (!ctx) {
        log_error("%s", err.detail);
        return EXIT_CONFIG;
    }
    close(FRONT_FD_CERT);
    close(FRONT_FD_KEY);
    wake_up = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    conn_init(ctx, on_conn_end);
    if (wake_up < 0 || !gate_init(FRONT_FD_MAIN, &err) || !confine(&err)) {
        log_error("%s", err.detail);
        return EXIT_INTERNAL;
    }
    loop();
    log_info("vmmd is gone: leaving");
    return 0;
}

int main(int argc, char **argv)
{
    log_init("vmmd-front");
    prctl(PR_SET_NAME, "vmmd-front", 0, 0,
          0); /* executed by descriptor: older kernels show a number */
    signal(SIGPIPE, SIG_IGN);
    if (!parse_arguments(argc, argv)) {
        log_error("vmmd-front is started by vmmd, not by hand");
        return EXIT_USAGE;
    }
    /* Not exit(): connections' threads still run, and their memory with them. */
    _exit(run());
}
