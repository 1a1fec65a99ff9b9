/* Asking vmmd-pam: see pam.h. Each question takes a socket pair with it, so there is nothing to
 * match and nothing to lock while one waits; when the other end closes without an answer there is
 * none. */
#include "vmmd/main/pam.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/sock.h"
#include "core/base/str.h"
#include "vmmd/pam/proto.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct {
    int link;
    int stop; /* eventfd: readable from the end on */
    atomic_uint asking;
} client = {.link = -1, .stop = -1};

bool pam_client_init(int link, struct err *err)
{
    client.stop = eventfd(0, EFD_CLOEXEC);
    if (client.stop < 0 || fcntl(link, F_SETFL, O_NONBLOCK) < 0)
        return err_errno(err, errno, "set up the link to vmmd-pam");
    client.link = link;
    return true;
}

void pam_client_stop(void)
{
    const uint64_t one = 1;

    if (client.stop >= 0)
        (void)!write(client.stop, &one, sizeof one);
}

static bool nobody(const char *why, struct err *err)
{
    log_error("the host's passwords cannot be checked: %s", why);
    return err_set(err, ERR_UNAVAILABLE,
                   "the host's passwords cannot be checked at the moment: try again; the log of "
                   "vmmd on the host says why");
}

static bool wait_for(int sock, struct err *err)
{
    int64_t deadline = clock_mono_ms() + PAM_WAIT_MS;

    for (;;) {
        struct pollfd p[] = {{.fd = sock, .events = POLLIN}, {.fd = client.stop, .events = POLLIN}};
        int n = poll(p, ARRAY_LEN(p), (int)clock_left_ms(deadline));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return nobody("no answer came in time", err);
        if (p[1].revents)
            return err_set(err, ERR_UNAVAILABLE, "vmmd stops: try again");
        return true;
    }
}

static bool read_answer(int sock, enum pam_answer *answer, struct err *err)
{
    struct err ignored = {0};
    struct pam_reply reply;
    ssize_t n;

    if (!wait_for(sock, err))
        return false;
    n = sock_recv(sock, &reply, sizeof reply, NULL, 0, NULL, &ignored);
    if (n != sizeof reply || reply.version != PAM_WIRE_VERSION || reply.answer > PAM_SAYS_GOOD)
        return nobody("vmmd-pam gave no answer", err);
    *answer = (enum pam_answer)reply.answer;
    return true;
}

static void copy_address(char *out, size_t cap, const char *text)
{
    unsigned char ignored[16];

    if (inet_pton(AF_INET, text, ignored) == 1 || inet_pton(AF_INET6, text, ignored) == 1)
        str_copy(out, cap, text);
}

static bool exchange(struct pam_question *q, enum pam_answer *answer, struct err *err)
{
    CLEANUP(closep) int ours = -1;
    struct err ignored = {0};
    int pair[2];
    bool sent;

    if (!sock_pair(SOCK_SEQPACKET, pair, err))
        return false;
    ours = pair[0];
    sent = sock_send(client.link, q, sizeof *q, &pair[1], 1, &ignored);
    close(pair[1]);
    return sent ? read_answer(ours, answer, err) : nobody("vmmd-pam takes no questions", err);
}

bool pam_client_ask(const char *user, const char *password, const char *address,
                    enum pam_answer *answer, struct err *err)
{
    struct pam_question q = {.version = PAM_WIRE_VERSION};
    bool ok;

    *answer = PAM_SAYS_WRONG;
    if (strlen(password) >= sizeof q.password || strlen(user) >= sizeof q.user)
        return true;
    if (atomic_fetch_add(&client.asking, 1) >= PAM_AT_ONCE) {
        atomic_fetch_sub(&client.asking, 1);
        return err_set(err, ERR_UNAVAILABLE,
                       "too many passwords are being checked at the moment: try again");
    }
    str_copy(q.user, sizeof q.user, user);
    str_copy(q.password, sizeof q.password, password);
    copy_address(q.address, sizeof q.address, address);
    ok = exchange(&q, answer, err);
    explicit_bzero(&q, sizeof q);
    atomic_fetch_sub(&client.asking, 1);
    return ok;
}
