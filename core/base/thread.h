/* Threads and locks, annotated for clang's -Wthread-safety. Nobody holds a lock across QMP, helper
 * calls, file copies or sleeps. Lock order: a VM's 'writing' -> store (an open transaction) ->
 * registry
 * -> jobs -> events: a transaction is never begun with one of the last three held. */
#pragma once
#include "core/base/err.h"

#include <pthread.h>
#include <stdint.h>

#if defined(__clang__)
#define TSA(x) __attribute__((x))
#else
#define TSA(x)
#endif
#define CAPABILITY(name) TSA(capability(name))
/* Says which lock guards a member. For the reader: clang 14 cannot resolve a neighbouring member in
 * C. What is checked is REQUIRES() on the functions that touch it. */
#define GUARDED_BY(lock)
#define ACQUIRES(...) TSA(acquire_capability(__VA_ARGS__))
#define RELEASES(...) TSA(release_capability(__VA_ARGS__))
#define REQUIRES(...) TSA(requires_capability(__VA_ARGS__))
#define NO_TSA        TSA(no_thread_safety_analysis)

struct CAPABILITY("mutex") lock {
    pthread_mutex_t mutex;
};
void lock_init(struct lock *l);
void lock_clear(struct lock *l);
void lock_take(struct lock *l) ACQUIRES(l);
void lock_drop(struct lock *l) RELEASES(l);

/* A condition on the monotonic clock. */
struct cond {
    pthread_cond_t cond;
};
void cond_init(struct cond *c);
void cond_clear(struct cond *c);
void cond_wake_all(struct cond *c);
void cond_wake_one(struct cond *c);
void cond_wait(struct cond *c, struct lock *l) REQUIRES(l);
/* False when 'deadline_mono_ms' has passed. */
bool cond_wait_until(struct cond *c, struct lock *l, int64_t deadline_mono_ms) REQUIRES(l);

/* A detached or joinable thread with signals blocked and 'name' (15 bytes) for ps and gdb. */
bool thread_start(pthread_t *out, const char *name, void *(*run)(void *), void *arg,
                  struct err *err) MUST_USE;
bool thread_start_detached(const char *name, void *(*run)(void *), void *arg,
                           struct err *err) MUST_USE;
