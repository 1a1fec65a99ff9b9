/* The terminal in raw mode: see tty.h. SIGINT, SIGTERM and SIGHUP come through interrupt.h and end
 * the program in order; the signals here are those after which nothing else runs. */
#include "cli/tty.h"

#include "cli/interrupt.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

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

static void hook_fatal(void)
{
    static const int fatal[] = {SIGABRT, SIGQUIT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    struct sigaction act = {.sa_handler = on_fatal, .sa_flags = (int)SA_RESETHAND};
    static bool hooked;

    for (size_t i = 0; !hooked && i < ARRAY_LEN(fatal); i++)
        sigaction(fatal[i], &act, NULL);
    if (!hooked)
        atexit(tty_restore);
    hooked = true;
}

/* Keeps the terminal as it is now for tty_restore() and sets another mode. */
static bool set_mode(int fd, const struct termios *mode, struct fault *fault)
{
    hook_fatal();
    raw_fd = fd;
    if (tcsetattr(fd, TCSAFLUSH, mode) == 0)
        return true;
    raw_fd = -1;
    return fault_set(fault, CLI_FAILED, "the terminal: %s", strerror(errno));
}

bool tty_raw(int fd, struct fault *fault)
{
    struct termios raw;

    if (tcgetattr(fd, &saved) < 0)
        return fault_set(fault, CLI_FAILED, "the terminal: %s", strerror(errno));
    raw = saved;
    cfmakeraw(&raw);
    return set_mode(fd, &raw, fault);
}

bool tty_ask_secret(int fd, FILE *to, const char *question, char *out, size_t size,
                    struct fault *fault)
{
    struct termios quiet;
    ssize_t n;

    if (tcgetattr(fd, &saved) < 0)
        return fault_set(fault, CLI_FAILED, "the terminal: %s", strerror(errno));
    quiet = saved;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    if (!set_mode(fd, &quiet, fault))
        return false;
    fputs(question, to);
    fflush(to);
    n = interrupt_or_input(fd) ? read(fd, out, size - 1) : 0;
    tty_restore();
    fputs("\n", to);
    out[n > 0 ? n : 0] = 0;
    out[strcspn(out, "\r\n")] = 0;
    if (interrupt_signal())
        return fault_set(fault, CLI_INTERRUPTED, "%s", "");
    return n >= 0 || fault_set(fault, CLI_FAILED, "the terminal: %s", strerror(errno));
}
