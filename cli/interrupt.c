/* Signals as a descriptor: see interrupt.h. */
#include "cli/interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int fd = -1;
static volatile sig_atomic_t last;

static void on_signal(int number)
{
    int saved = errno;
    uint64_t one = 1;

    last = number;
    if (write(fd, &one, sizeof one) < 0)
        last = number; /* the counter is full: it is readable anyway */
    errno = saved;
}

void interrupt_init(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction act = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, old;

    if (fd >= 0)
        return;
    fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    sigemptyset(&act.sa_mask);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        /* nohup and background jobs of a shell ignore some: so do we */
        if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(numbers[i], &act, NULL);
    }
    signal(SIGPIPE, SIG_IGN);
}

int interrupt_fd(void)
{
    return fd;
}

int interrupt_signal(void)
{
    return last;
}

void interrupt_clear(void)
{
    uint64_t count;

    last = 0;
    if (read(fd, &count, sizeof count) < 0)
        return; /* nothing was there */
}

bool interrupt_wait(int64_t ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    while (poll(&p, 1, ms > INT_MAX ? INT_MAX : (int)ms) < 0 && errno == EINTR && !last)
        continue;
    return last != 0;
}

bool interrupt_or_input(int input)
{
    struct pollfd both[] = {{.fd = input, .events = POLLIN},
                            {.fd = interrupt_fd(), .events = POLLIN}};

    while (poll(both, 2, -1) < 0 && errno == EINTR)
        continue;
    return !interrupt_signal();
}
