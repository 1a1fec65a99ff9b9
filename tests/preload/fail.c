/* The n-th call of a kind fails: see watch_fail(). */
#include "tests/preload/disk.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct {
    char root[PATH_MAX];
    unsigned calls, n, passed;
    int error;
} plan;

void watch_fail(const char *root, unsigned calls, unsigned n, int error)
{
    pthread_mutex_lock(&mutex);
    snprintf(plan.root, sizeof plan.root, "%s", root);
    plan.calls = calls;
    plan.n = n;
    plan.passed = 0;
    plan.error = error;
    pthread_mutex_unlock(&mutex);
}

unsigned watch_passed(void)
{
    unsigned n;

    pthread_mutex_lock(&mutex);
    n = plan.passed;
    pthread_mutex_unlock(&mutex);
    return n;
}

static bool count(void)
{
    bool fails;

    pthread_mutex_lock(&mutex);
    fails = ++plan.passed == plan.n;
    pthread_mutex_unlock(&mutex);
    if (fails)
        errno = plan.error;
    return fails;
}

bool fails_here(int fd, enum watch_call call)
{
    return plan.calls & call && fd_is_below(fd, plan.root) && count();
}

bool fails_there(int dirfd, const char *path, enum watch_call call)
{
    return plan.calls & call && path_is_below(dirfd, path, plan.root) && count();
}
