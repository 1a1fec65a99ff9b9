/* The terminal in raw mode: see tty.h. SIGINT, SIGTERM and SIGHUP come through interrupt.h and end
 * the program in order; the signals here are those after which nothing else runs. */
#include "cli/tty.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>

static struct termios saved;
static volatile sig_atomic_t raw_fd = -1;

void tty_restore(void)
{
    int fd = raw_fd;

    raw_fd = -1;
    if (fd >= 0)
        tcsetattr(fd, TCSAFLUSH, &saved); /* async-signal-safe (POSIX) */
}

static void on_fatal(int number)
{
    tty_restore();
    raise(number); /* SA_RESETHAND: now with the default action */
}

bool tty_raw(int fd, struct fault *fault)
{
    static const int fatal[] = {SIGABRT, SIGQUIT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    struct sigaction act = {.sa_handler = on_fatal, .sa_flags = (int)SA_RESETHAND};
    static bool hooked;
    struct termios raw;

    if (tcgetattr(fd, &saved) < 0)
        return fault_set(fault, CLI_FAILED, "the terminal: %s", strerror(errno));
    for (size_t i = 0; !hooked && i < ARRAY_LEN(fatal); i++)
        sigaction(fatal[i], &act, NULL);
    if (!hooked)
        atexit(tty_restore);
    hooked = true;
    raw = saved;
    cfmakeraw(&raw);
    raw_fd = fd;
    if (tcsetattr(fd, TCSAFLUSH, &raw) == 0)
        return true;
    raw_fd = -1;
    return fault_set(fault, CLI_FAILED, "the terminal: %s", strerror(errno));
}
