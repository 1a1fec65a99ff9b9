/* Threads and locks. */
#include "tests/lib/harness.h"

#include "core/base/clock.h"
#include "core/base/thread.h"

#include <signal.h>
#include <string.h>

struct shared {
    struct lock lock;
    struct cond cond;
    unsigned count;
    bool signals_blocked;
    char name[16];
};

static void shared_init(struct shared *s)
{
    memset(s, 0, sizeof *s);
    lock_init(&s->lock);
    cond_init(&s->cond);
}

static void shared_clear(struct shared *s)
{
    cond_clear(&s->cond);
    lock_clear(&s->lock);
}

static void *count_up(void *arg)
{
    struct shared *s = arg;

    for (int i = 0; i < 5000; i++) {
        lock_take(&s->lock);
        s->count++;
        lock_drop(&s->lock);
    }
    return NULL;
}

static void a_lock_lets_one_in(void **state)
{
    struct err err = {0};
    struct shared s;
    pthread_t threads[4];

    shared_init(&s);
    for (int i = 0; i < 4; i++)
        assert_true(thread_start(&threads[i], "counter", count_up, &s, &err));
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(s.count, 20000);
    shared_clear(&s);
}

static void *introduce_myself(void *arg)
{
    struct shared *s = arg;
    sigset_t blocked;

    lock_take(&s->lock);
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    s->signals_blocked = sigismember(&blocked, SIGTERM) == 1;
    pthread_getname_np(pthread_self(), s->name, sizeof s->name);
    s->count = 1;
    cond_wake_all(&s->cond);
    lock_drop(&s->lock);
    return NULL;
}

static void a_thread_has_a_name_and_takes_no_signals(void **state)
{
    struct err err = {0};
    struct shared s;
    pthread_t thread;

    shared_init(&s);
    assert_true(thread_start(&thread, "a-name-far-too-long", introduce_myself, &s, &err));
    lock_take(&s.lock);
    while (!s.count)
        cond_wait(&s.cond, &s.lock);
    lock_drop(&s.lock);
    pthread_join(thread, NULL);
    assert_true(s.signals_blocked);
    assert_string_equal(s.name, "a-name-far-too-");
    shared_clear(&s);
}

static void a_wait_ends_at_its_deadline(void **state)
{
    int64_t start = clock_mono_ms();
    struct shared s;

    shared_init(&s);
    lock_take(&s.lock);
    while (cond_wait_until(&s.cond, &s.lock, start + 30))
        ; /* woken for nothing */
    lock_drop(&s.lock);
    assert_in_range(clock_mono_ms() - start, 29, 5000);
    shared_clear(&s);
}

static void a_wait_is_woken_before_its_deadline(void **state)
{
    struct err err = {0};
    struct shared s;
    bool in_time = true;

    shared_init(&s);
    lock_take(&s.lock);
    assert_true(thread_start_detached("waker", introduce_myself, &s, &err));
    while (!s.count && in_time)
        in_time = cond_wait_until(&s.cond, &s.lock, clock_mono_ms() + 10000);
    assert_true(in_time);
    lock_drop(&s.lock);
    /* the waker holds nothing of 's' once it has dropped the lock, which we have seen */
    shared_clear(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lock_lets_one_in),
        cmocka_unit_test(a_thread_has_a_name_and_takes_no_signals),
        cmocka_unit_test(a_wait_ends_at_its_deadline),
        cmocka_unit_test(a_wait_is_woken_before_its_deadline),
    };

    return cmocka_run_group_tests_name("base/thread", tests, NULL, NULL);
}
