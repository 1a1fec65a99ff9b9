/* JSON-lines log on stderr: see log.h. One write(2) a line, so lines of several processes that
 * share the descriptor do not mix. No heap: the jail and the helper log too. */
#include "core/base/log.h"

#include "core/base/clock.h"
#include "core/base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *program = "vmmd";
static enum log_level least = LOG_INFO;
static bool to_journal;
static _Thread_local struct {
    char request[64], job[64], vm[64];
} context;

static const char *const names[] = {"debug", "info", "warn", "error"};
static const char *const priorities[] = {"<7>", "<6>", "<4>", "<3>"}; /* syslog(3) */

/* systemd says which file leads to its journal; stderr may have been led elsewhere since. */
static bool is_journal(int fd)
{
    const char *stream = getenv("JOURNAL_STREAM");
    char own[48];
    struct stat st;

    if (!stream || fstat(fd, &st) < 0)
        return false;
    snprintf(own, sizeof own, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    return strcmp(own, stream) == 0;
}

void log_init(const char *program_)
{
    const char *wanted = getenv("VMMD_LOG");

    program = program_;
    to_journal = is_journal(STDERR_FILENO);
    for (unsigned i = 0; wanted && i < ARRAY_LEN(names); i++)
        if (strcmp(wanted, names[i]) == 0)
            least = (enum log_level)i;
}

/* Appends 'text' as the inside of a JSON string; returns the new length. */
static size_t escape(char *out, size_t at, size_t cap, const char *text)
{
    for (const char *p = text; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (at + 8 >= cap && c >> 6 != 2) /* a started character is finished: 3 bytes at most */
            break;
        if (c == '"' || c == '\\')
            out[at++] = '\\', out[at++] = (char)c;
        else if (c < 0x20 || c == 0x7f)
            at += (size_t)snprintf(out + at, 7, "\\u%04x", c);
        else
            out[at++] = (char)c;
    }
    return at;
}

static size_t member(char *out, size_t at, size_t cap, const char *key, const char *text)
{
    if (!*text || at + strlen(key) + 16 > cap)
        return at;
    at += (size_t)snprintf(out + at, cap - at, "\"%s\":\"", key);
    at = escape(out, at, cap, text);
    out[at++] = '"';
    out[at++] = ',';
    return at;
}

void log_write(enum log_level level, const char *fmt, ...)
{
    char message[1024], line[2048], now[CLOCK_TEXT];
    size_t at = 0;
    va_list args;

    if (level < least)
        return;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    str_scrub_utf8(message);
    clock_text(clock_wall_ms(), now);
    if (to_journal)
        at = str_copy(line, sizeof line, priorities[level]);
    line[at++] = '{';
    at = member(line, at, sizeof line, "ts", now);
    at = member(line, at, sizeof line, "level", names[level]);
    at = member(line, at, sizeof line, "prog", program);
    at = member(line, at, sizeof line, "req", context.request);
    at = member(line, at, sizeof line, "job", context.job);
    at = member(line, at, sizeof line, "vm", context.vm);
    at = member(line, at, sizeof line, "msg", message[0] ? message : " ");
    line[at - 1] = '}';
    line[at++] = '\n';
    if (write(STDERR_FILENO, line, at) < 0)
        return; /* nowhere left to say it */
}

void log_set_request(const char *id)
{
    str_copy(context.request, sizeof context.request, id ? id : "");
}

void log_set_job(const char *id)
{
    str_copy(context.job, sizeof context.job, id ? id : "");
}

void log_set_vm(const char *id)
{
    str_copy(context.vm, sizeof context.vm, id ? id : "");
}
