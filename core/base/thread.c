/* Threads and locks: see thread.h. */
#include "core/base/thread.h"

#include "core/base/mem.h"
#include "core/base/str.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

void lock_init(struct lock *l)
{
    pthread_mutex_init(&l->mutex, NULL);
}

void lock_clear(struct lock *l)
{
    pthread_mutex_destroy(&l->mutex);
}

NO_TSA void lock_take(struct lock *l)
{
    int e = pthread_mutex_lock(&l->mutex);

    assert(e == 0);
    (void)e;
}

NO_TSA void lock_drop(struct lock *l)
{
    int e = pthread_mutex_unlock(&l->mutex);

    assert(e == 0);
    (void)e;
}

void cond_init(struct cond *c)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->cond, &attr);
    pthread_condattr_destroy(&attr);
}

void cond_clear(struct cond *c)
{
    pthread_cond_destroy(&c->cond);
}

void cond_wake_all(struct cond *c)
{
    pthread_cond_broadcast(&c->cond);
}

void cond_wake_one(struct cond *c)
{
    pthread_cond_signal(&c->cond);
}

void cond_wait(struct cond *c, struct lock *l)
{
    pthread_cond_wait(&c->cond, &l->mutex);
}

bool cond_wait_until(struct cond *c, struct lock *l, int64_t deadline_mono_ms)
{
    struct timespec at = {.tv_sec = deadline_mono_ms / 1000,
                          .tv_nsec = deadline_mono_ms % 1000 * 1000000};

    return pthread_cond_timedwait(&c->cond, &l->mutex, &at) != ETIMEDOUT;
}

struct start {
    void *(*run)(void *);
    void *arg;
    char name[16];
};

static void *entry(void *arg)
{
    struct start start = *(struct start *)arg;

    free(arg);
    pthread_setname_np(pthread_self(), start.name);
    return start.run(start.arg);
}

bool thread_start(pthread_t *out, const char *name, void *(*run)(void *), void *arg,
                  struct err *err)
{
    struct start *start = mem_alloc(sizeof *start);
    sigset_t all, old;
    int e;

    start->run = run;
    start->arg = arg;
    str_copy(start->name, sizeof start->name, name);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    e = pthread_create(out, NULL, entry, start);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (e == 0)
        return true;
    free(start);
    return err_errno(err, e, "start the thread %s", name);
}

bool thread_start_detached(const char *name, void *(*run)(void *), void *arg, struct err *err)
{
    pthread_t thread;

    if (!thread_start(&thread, name, run, arg, err))
        return false;
    pthread_detach(thread);
    return true;
}
