/* Failpoints: see failpoint.h. Compiled to nothing in product builds. */
#include "core/base/failpoint.h"

#ifdef VMMD_FAILPOINTS
#include "core/base/log.h"
#include "core/base/str.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SEEN_MAX 256 /* names there are, and some */
#define FEW      2

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct {
    bool loaded;
    char name[64]; /* "" when disarmed, "#" to count all */
    char action[8];
    uint64_t at;
    bool few;  /* only the first passages of each name count */
    bool stay; /* it fires from then on */
    unsigned hits, passed;
    struct {
        char name[64];
        unsigned passed;
    } seen[SEEN_MAX];
    unsigned n_seen;
} armed;

static void arm(const char *spec)
{
    char copy[96];
    char *equals, *colon;

    memset(&armed, 0, sizeof armed);
    armed.loaded = true;
    if (!spec || !*spec)
        return;
    str_copy(copy, sizeof copy, spec);
    equals = strchr(copy, '=');
    if (!equals)
        return;
    *equals = 0;
    colon = strchr(equals + 1, ':');
    if (colon)
        *colon = 0;
    if (!colon || !str_to_u64(colon + 1, &armed.at))
        armed.at = 1;
    armed.few = copy[0] == '#' && copy[1] == '#';
    if (copy[0] == '#' && str_to_u64(copy + 1 + armed.few, &armed.at))
        copy[1] = 0;
    str_copy(armed.name, sizeof armed.name, copy);
    str_copy(armed.action, sizeof armed.action, equals + 1);
    armed.stay = strcmp(armed.action, "break") == 0;
}

void failpoint_arm(const char *spec)
{
    pthread_mutex_lock(&mutex);
    arm(spec);
    pthread_mutex_unlock(&mutex);
}

unsigned failpoint_passed(void)
{
    unsigned n;

    pthread_mutex_lock(&mutex);
    n = armed.passed;
    pthread_mutex_unlock(&mutex);
    return n;
}

/* Connects to whoever walks this process; -1 when nobody does (any more). */
static int call_walker(void)
{
    const char *path = getenv("VMMD_FAILPOINT_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int sock;

    if (!path || str_copy(to.sun_path, sizeof to.sun_path, path) >= sizeof to.sun_path)
        return -1;
    sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (sock >= 0 && connect(sock, (struct sockaddr *)&to, sizeof to) < 0) {
        close(sock);
        return -1;
    }
    return sock;
}

static int kept = -1;

void failpoint_keep(void)
{
    kept = call_walker();
    if (kept >= 0 && send(kept, FAILPOINT_KEPT, strlen(FAILPOINT_KEPT), MSG_NOSIGNAL) < 0) {
        close(kept);
        kept = -1;
    }
}

/* Blocks as long as the walker likes. False when it says that the step fails. */
static bool ask_walker(const char *name)
{
    int sock = kept >= 0 ? kept : call_walker();
    char verdict = FAILPOINT_GO;
    ssize_t n = -1;

    if (sock < 0)
        return true;
    if (send(sock, name, strlen(name), MSG_NOSIGNAL) > 0)
        do
            n = recv(sock, &verdict, 1, 0);
        while (n < 0 && errno == EINTR);
    if (sock != kept)
        close(sock);
    return n != 1 || verdict != FAILPOINT_FAIL;
}

/* Whether this passage is one that counts. */
static bool counts(const char *name)
{
    unsigned i = 0;

    if (!armed.few)
        return true;
    while (i < armed.n_seen && strcmp(armed.seen[i].name, name) != 0)
        i++;
    if (i == SEEN_MAX)
        return true;
    if (i == armed.n_seen)
        str_copy(armed.seen[armed.n_seen++].name, sizeof armed.seen[i].name, name);
    return ++armed.seen[i].passed <= FEW;
}

bool failpoint(const char *name, struct err *err)
{
    bool fire, die, full, counted;

    pthread_mutex_lock(&mutex);
    if (!armed.loaded)
        arm(getenv("VMMD_FAILPOINT"));
    counted = counts(name);
    armed.passed += counted;
    fire = counted && (armed.name[0] == '#' || strcmp(armed.name, name) == 0) &&
           (++armed.hits == armed.at || (armed.stay && armed.hits > armed.at));
    die = fire && strcmp(armed.action, "kill") == 0;
    full = fire && strcmp(armed.action, "full") == 0;
    pthread_mutex_unlock(&mutex);
    if (die) {
        log_warn("failpoint %s: killing myself", name);
        kill(getpid(), SIGKILL);
    }
    if (!fire)
        fire = !ask_walker(name);
    return !fire || err_set(err, full ? ERR_NO_SPACE : ERR_INTERNAL, "failpoint %s", name);
}
#else
typedef int failpoint_not_compiled_in; /* ISO C wants a declaration in every file */
#endif
