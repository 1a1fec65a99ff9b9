/* The number of the last event that was delivered of each VM, so that a machine which was lost and
 * is attached again by the same daemon neither misses an event nor tells one twice. A new daemon
 * starts with nothing: what is true then stands in attach()'s report. Called by event.c, attach.c,
 * launch.c. */
#include "backends/qemu/machine.h"

#include "core/base/mem.h"
#include "core/base/thread.h"

#include <stdlib.h>

struct seen {
    struct seen *next;
    struct uuid vm;
    uint64_t seq;
};

static struct lock lock = {PTHREAD_MUTEX_INITIALIZER};
static struct seen *list GUARDED_BY(lock);

/* Where the VM's entry hangs, or would. */
static struct seen **find(const struct uuid *vm) REQUIRES(lock)
{
    struct seen **at = &list;

    while (*at && !uuid_eq(&(*at)->vm, vm))
        at = &(*at)->next;
    return at;
}

void seen_put(const struct uuid *vm, uint64_t seq)
{
    struct seen **at;

    lock_take(&lock);
    at = find(vm);
    if (!*at) {
        *at = mem_alloc(sizeof **at);
        (*at)->vm = *vm;
    }
    (*at)->seq = seq;
    lock_drop(&lock);
}

bool seen_get(const struct uuid *vm, uint64_t *seq)
{
    struct seen *s;

    lock_take(&lock);
    s = *find(vm);
    if (s)
        *seq = s->seq;
    lock_drop(&lock);
    return s != NULL;
}

void seen_forget(const struct uuid *vm)
{
    struct seen **at, *s;

    lock_take(&lock);
    at = find(vm);
    s = *at;
    if (s)
        *at = s->next;
    lock_drop(&lock);
    free(s);
}
