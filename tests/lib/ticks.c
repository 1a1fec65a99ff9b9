/* What a fake guest has said: see ticks.h. */
#include "tests/lib/ticks.h"

#include "core/base/clock.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define LOG_BYTES (1 << 20)
#define AWAIT_MS  10000

static void read_line(const char *line, struct ticks *t)
{
    uint64_t n;

    if (strstr(line, "fake machine booted")) {
        t->boots++;
        t->last = 0;
    }
    line = strstr(line, "tick ");
    if (!line)
        return;
    n = strtoull(line + strlen("tick "), NULL, 10);
    if (n != t->last + 1)
        fail_msg("after %llu it said %llu", (unsigned long long)t->last, (unsigned long long)n);
    t->last = n;
}

struct ticks ticks_read(struct world *w, const char *vm)
{
    char *log = malloc(LOG_BYTES + 1), *rest = log, *line;
    struct ticks t = {0};
    struct err err = {0};
    uint64_t offset = 0, end;
    ssize_t n;

    assert_non_null(log);
    n = vm_serial_read(w->core, vm, 0, &offset, log, LOG_BYTES, 0, &end, &err);
    assert_true(n >= 0 && offset == 0);
    log[n] = 0;
    while ((line = strsep(&rest, "\n")) && rest) /* the last one may not be whole */
        read_line(line, &t);
    free(log);
    return t;
}

void ticks_await(struct world *w, const char *vm, uint64_t n)
{
    int64_t deadline_ms = clock_mono_ms() + AWAIT_MS;

    while (ticks_read(w, vm).last < n) {
        if (clock_mono_ms() > deadline_ms)
            fail_msg("%s did not come to %llu", vm, (unsigned long long)n);
        (void)poll(NULL, 0, 2); /* asked again until it has */
    }
}
