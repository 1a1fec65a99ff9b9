/* passt: see passt.h. */
#include "net/passt.h"

#include "core/base/fs.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define STR_(x) #x
#define STR(x)  STR_(x)

/* One-off: it ends with its only client. */
static const char *const fixed[] = {PASST_PATH,  "--foreground", "--quiet", "--stderr",
                                    "--one-off", "--no-map-gw",  "--fd",    STR(PASST_FD)};

/* What a caller may add. Nothing here names a file or a user. */
static const struct {
    const char *name;
    bool has_value;
} allowed[] = {
    {"--address", true},    {"--dns", true},        {"--dns-forward", true}, {"--gateway", true},
    {"--ipv4-only", false}, {"--ipv6-only", false}, {"--mac-addr", true},    {"--mtu", true},
    {"--netmask", true},    {"--no-dhcp", false},   {"--no-dhcpv6", false},  {"--no-icmp", false},
    {"--no-ndp", false},    {"--no-ra", false},     {"--search", true},      {"--tcp-ports", true},
    {"--udp-ports", true},
};

static bool is_value(const char *s)
{
    size_t n = strnlen(s, 256);

    if (n == 0 || n == 256 || s[0] == '-')
        return false;
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && !strchr(".:,/~%_- ", *s))
            return false;
    return true;
}

/* How many words the option at 'words' takes: 0 when it is not allowed. */
static unsigned option_words(const char *const *words, unsigned left)
{
    for (unsigned i = 0; i < ARRAY_LEN(allowed); i++) {
        if (strcmp(words[0], allowed[i].name) != 0)
            continue;
        if (!allowed[i].has_value)
            return 1;
        return left >= 2 && is_value(words[1]) ? 2 : 0;
    }
    return 0;
}

bool passt_is_present(void)
{
    return access(PASST_PATH, X_OK) == 0;
}

bool passt_argv(const char *const *options, unsigned n_options, const char *argv[PASST_MAX_ARGS],
                struct err *err)
{
    unsigned n = 0;

    if (n_options > PASST_MAX_OPTIONS)
        return err_set(err, ERR_INVALID, "more than %d words for passt", PASST_MAX_OPTIONS);
    for (unsigned i = 0; i < ARRAY_LEN(fixed); i++)
        argv[n++] = fixed[i];
    for (unsigned i = 0; i < n_options;) {
        unsigned words = option_words(options + i, n_options - i);
        if (!words)
            return err_set(err, ERR_INVALID,
                           "passt's option '%.64s' is not allowed or not complete", options[i]);
        for (; words; words--)
            argv[n++] = options[i++];
    }
    argv[n] = NULL;
    return true;
}

/* Between fork and exec: only what is safe there. 'parent' notices a parent that died meanwhile. */
static _Noreturn void run(const char *const *argv, int sock, int messages, pid_t parent)
{
    static char *const environment[] = {"PATH=/usr/bin", "LC_ALL=C", NULL};
    sigset_t none;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    sigemptyset(&none);
    for (int s = 1; s < NSIG; s++)
        signal(s, SIG_DFL);
    if (null < 0 || sigprocmask(SIG_SETMASK, &none, NULL) < 0 ||
        prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0) < 0 || getppid() != parent)
        _exit(1);
    messages = fcntl(messages, F_DUPFD_CLOEXEC, 10); /* out of the way of the numbers below */
    sock = fcntl(sock, F_DUPFD_CLOEXEC, 10);
    null = fcntl(null, F_DUPFD_CLOEXEC, 10);
    if (messages < 0 || sock < 0 || null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 ||
        dup2(messages, 2) < 0 || dup2(sock, PASST_FD) < 0)
        _exit(1);
    close_range(PASST_FD + 1, ~0u, 0);
    execve(argv[0], (char *const *)argv, environment);
    _exit(127);
}

int passt_start(const char *const *options, unsigned n_options, int sock, int messages,
                struct err *err)
{
    const char *argv[PASST_MAX_ARGS];
    pid_t self = getpid(), pid;
    int pidfd;

    if (!passt_argv(options, n_options, argv, err))
        return -1;
    if (!passt_is_present()) {
        err_set(err, ERR_UNSUPPORTED,
                "%s is missing: install the package passt, or remove the VM's network adapters",
                PASST_PATH);
        return -1;
    }
    pid = fork();
    if (pid == 0)
        run(argv, sock, messages, self);
    if (pid < 0) {
        err_errno(err, errno, "start passt");
        return -1;
    }
    pidfd = pidfd_open(pid, 0);
    if (pidfd < 0) {
        err_errno(err, errno, "hold passt's process");
        kill(pid, SIGKILL); /* not reaped yet by anybody else: the number is still its own */
    }
    return pidfd;
}
