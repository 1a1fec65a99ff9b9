/* The way to main: see gate.h. The link is a SEQPACKET socket: messages of several threads do not
 * mix. */
#include "vmmd/front/gate.h"

#include "core/base/clock.h"
#include "core/base/sock.h"
#include "core/base/thread.h"

#define HOLD_MS 5000

static struct lock lock = {.mutex = PTHREAD_MUTEX_INITIALIZER};
static struct cond changed;
static bool up GUARDED_BY(lock);
static int front_link;

bool gate_init(int link, struct err *err)
{
    cond_init(&changed);
    front_link = link;
    return sock_set_timeout_ms(link, HOLD_MS, err);
}

void gate_set(bool main_up)
{
    lock_take(&lock);
    up = main_up;
    cond_wake_all(&changed);
    lock_drop(&lock);
}

static bool wait_up(int64_t deadline)
{
    bool ok;

    lock_take(&lock);
    while (!up && cond_wait_until(&changed, &lock, deadline))
        ;
    ok = up;
    lock_drop(&lock);
    return ok;
}

bool gate_pass(const struct front_conn *conn, int stream, struct err *err)
{
    if (!wait_up(clock_mono_ms() + HOLD_MS))
        return err_set(err, ERR_UNAVAILABLE, "vmmd-main does not serve");
    return sock_send(front_link, conn, sizeof *conn, &stream, 1, err);
}
