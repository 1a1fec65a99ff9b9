/* A pattern in a stream: see until.h. */
#include "cli/until.h"

#include <string.h>

bool until_init(struct until *u, const char *pattern, struct fault *fault)
{
    char why[120];
    int failed;

    *u = (struct until){0};
    if (!pattern)
        return true;
    failed = regcomp(&u->regex, pattern, REG_EXTENDED | REG_NOSUB | REG_NEWLINE);
    if (failed) {
        regerror(failed, &u->regex, why, sizeof why);
        return fault_set(fault, CLI_USAGE, "--until '%.60s': %s", pattern, why);
    }
    u->active = true;
    return true;
}

/* A carriage return before the line's end would keep $ from matching; NULs would end the text. */
static void add_cleaned(struct strbuf *window, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (data[i] != '\r')
            strbuf_add(window, data[i] ? &data[i] : " ", 1);
}

bool until_seen(struct until *u, const char *data, size_t len)
{
    if (!u->active)
        return false;
    while (len) {
        size_t part = len < UNTIL_WINDOW ? len : UNTIL_WINDOW;

        if (u->window.len > UNTIL_WINDOW) {
            size_t drop = u->window.len - UNTIL_WINDOW;
            memmove(u->window.data, u->window.data + drop, UNTIL_WINDOW + 1);
            u->window.len = UNTIL_WINDOW;
        }
        add_cleaned(&u->window, data, part);
        if (u->window.data && regexec(&u->regex, u->window.data, 0, NULL, 0) == 0)
            return true;
        data += part;
        len -= part;
    }
    return false;
}

void until_clear(struct until *u)
{
    if (u->active)
        regfree(&u->regex);
    strbuf_clear(&u->window);
    u->active = false;
}
