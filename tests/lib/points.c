/* Whoever walks the failpoints: see points.h. */
#include "tests/lib/points.h"

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/str.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MAX_POINTS 4096
#define MAX_KEPT   64

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    char path[108];
    int listener;
    struct point passed[MAX_POINTS];
    size_t n_passed;
    struct point armed; /* nth 0: nothing is */
    bool fail, reached;
    int held;           /* connection of the process that waits, or -1 */
    int kept[MAX_KEPT]; /* connections over which a process says more than one point */
    unsigned n_kept;
} walker = {.lock = PTHREAD_MUTEX_INITIALIZER, .listener = -1, .held = -1};

/* Under the lock. */
static void answer(int sock, char verdict)
{
    ssize_t n = send(sock, &verdict, 1, MSG_NOSIGNAL);

    (void)n; /* it may be dead */
    for (unsigned i = 0; i < walker.n_kept; i++)
        if (walker.kept[i] == sock)
            return;
    close(sock);
}

/* Under the lock. */
static unsigned nth_passage(const char *name)
{
    unsigned n = 1;

    for (size_t i = 0; i < walker.n_passed; i++)
        n += strcmp(walker.passed[i].name, name) == 0;
    return n;
}

static void pass(int sock, const char *name)
{
    unsigned nth;
    bool hit;

    pthread_mutex_lock(&walker.lock);
    nth = nth_passage(name);
    if (walker.n_passed < MAX_POINTS) {
        struct point *p = &walker.passed[walker.n_passed++];
        str_copy(p->name, sizeof p->name, name);
        p->nth = nth;
    }
    hit = !walker.reached && walker.armed.nth == nth && strcmp(walker.armed.name, name) == 0;
    if (hit) {
        walker.reached = true;
        if (!walker.fail)
            walker.held = sock;
        pthread_cond_broadcast(&walker.changed);
    }
    if (!hit || walker.fail)
        answer(sock, hit ? FAILPOINT_FAIL : FAILPOINT_GO);
    pthread_mutex_unlock(&walker.lock);
}

static bool keep(int sock)
{
    bool room;

    pthread_mutex_lock(&walker.lock);
    room = walker.n_kept < MAX_KEPT;
    if (room)
        walker.kept[walker.n_kept++] = sock;
    pthread_mutex_unlock(&walker.lock);
    return room;
}

/* True when a process said something; false when it is gone. */
static bool listen_to(int sock)
{
    char name[POINT_NAME];
    ssize_t n = recv(sock, name, sizeof name - 1, 0);

    if (n <= 0)
        return false;
    name[n] = 0;
    if (strcmp(name, FAILPOINT_KEPT) == 0)
        return keep(sock);
    pass(sock, name);
    return true;
}

static void take_call(void)
{
    int sock = accept4(walker.listener, NULL, NULL, SOCK_CLOEXEC);

    if (sock >= 0 && !listen_to(sock))
        close(sock); /* killed between connect and send */
}

/* The one that is held may be it. */
static void forget_kept(unsigned i)
{
    pthread_mutex_lock(&walker.lock);
    if (walker.held == walker.kept[i])
        walker.held = -1;
    close(walker.kept[i]);
    walker.kept[i] = walker.kept[--walker.n_kept];
    pthread_mutex_unlock(&walker.lock);
}

static void *serve(void *arg)
{
    for (;;) {
        struct pollfd p[1 + MAX_KEPT] = {{.fd = walker.listener, .events = POLLIN}};
        unsigned n = walker.n_kept;

        for (unsigned i = 0; i < n; i++)
            p[1 + i] = (struct pollfd){.fd = walker.kept[i], .events = POLLIN};
        if (poll(p, 1 + n, -1) < 0)
            continue;
        for (unsigned i = n; i-- > 0;)
            if (p[1 + i].revents && !listen_to(walker.kept[i]))
                forget_kept(i);
        if (p[0].revents & (POLLHUP | POLLERR))
            return NULL; /* points_close() */
        if (p[0].revents)
            take_call();
    }
}

void points_open(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    pthread_condattr_t attr;

    assert_true(str_copy(a.sun_path, sizeof a.sun_path, path) < sizeof a.sun_path);
    str_copy(walker.path, sizeof walker.path, path);
    walker.listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_true(walker.listener >= 0);
    assert_int_equal(bind(walker.listener, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(chmod(path, 0777), 0); /* main and the workers have another uid */
    assert_int_equal(listen(walker.listener, 128), 0);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&walker.changed, &attr);
    pthread_condattr_destroy(&attr);
    assert_int_equal(setenv("VMMD_FAILPOINT_SOCKET", path, 1), 0);
    assert_int_equal(pthread_create(&walker.thread, NULL, serve, NULL), 0);
}

void points_close(void)
{
    points_release();
    shutdown(walker.listener, SHUT_RDWR);
    pthread_join(walker.thread, NULL);
    while (walker.n_kept)
        forget_kept(0);
    close(walker.listener);
    unlink(walker.path);
    unsetenv("VMMD_FAILPOINT_SOCKET");
}

static void arm(const struct point *p, bool fail)
{
    pthread_mutex_lock(&walker.lock);
    walker.n_passed = 0;
    walker.armed = p ? *p : (struct point){0};
    walker.fail = fail;
    walker.reached = false;
    pthread_mutex_unlock(&walker.lock);
}

void points_record(void)
{
    arm(NULL, false);
}

void points_arm(const struct point *p, bool fail)
{
    arm(p, fail);
}

size_t points_passed(struct point **list)
{
    size_t n;

    pthread_mutex_lock(&walker.lock);
    n = walker.n_passed;
    *list = calloc(n + 1, sizeof **list);
    assert_non_null(*list);
    memcpy(*list, walker.passed, n * sizeof **list);
    pthread_mutex_unlock(&walker.lock);
    assert_true(n < MAX_POINTS);
    return n;
}

bool points_reached(int ms)
{
    int64_t until = clock_mono_ms() + ms;
    struct timespec at = {until / 1000, until % 1000 * 1000000};
    bool reached;
    int rc = 0;

    pthread_mutex_lock(&walker.lock);
    while (!walker.reached && rc == 0)
        rc = pthread_cond_timedwait(&walker.changed, &walker.lock, &at);
    reached = walker.reached;
    pthread_mutex_unlock(&walker.lock);
    return reached;
}

void points_next(const struct point *p)
{
    pthread_mutex_lock(&walker.lock);
    walker.armed = p ? *p : (struct point){0};
    walker.reached = false;
    if (walker.held >= 0)
        answer(walker.held, FAILPOINT_GO);
    walker.held = -1;
    pthread_mutex_unlock(&walker.lock);
}

void points_release(void)
{
    points_next(NULL);
}
