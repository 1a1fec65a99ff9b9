/* passt: see passt.h. */
#include "net/passt.h"

#include <ctype.h>
#include <string.h>
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
