/* The error value: see err.h. Details and pointers quote what a client sent and are cut to their
 * room, so every text is scrubbed to printable UTF-8: it must fit into a JSON reply. */
#include "core/base/err.h"

#include "core/base/log.h"
#include "core/base/str.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    int status;
    const char *slug;
    const char *title;
} table[] = {[ERR_NONE] = {200, "none", "No error"},
#define X(name, status_, slug_, title_) [ERR_##name] = {status_, slug_, title_},
             ERR_LIST(X)
#undef X
};

bool err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
    va_list args;

    *err = (struct err){.code = code};
    va_start(args, fmt);
    vsnprintf(err->detail, sizeof err->detail, fmt, args);
    va_end(args);
    str_scrub(err->detail);
    return false;
}

bool err_field(struct err *err, enum err_code code, const char *pointer, const char *fmt, ...)
{
    va_list args;

    *err = (struct err){.code = code};
    snprintf(err->field, sizeof err->field, "%s", pointer);
    str_scrub(err->field);
    va_start(args, fmt);
    vsnprintf(err->detail, sizeof err->detail, fmt, args);
    va_end(args);
    str_scrub(err->detail);
    return false;
}

bool err_errno(struct err *err, int errnum, const char *fmt, ...)
{
    char what[sizeof err->detail / 2];
    enum err_code code = errnum == ENOSPC || errnum == EDQUOT ? ERR_NO_SPACE
                         : errnum == ETIMEDOUT                ? ERR_TIMEOUT
                                                              : ERR_INTERNAL;
    va_list args;

    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    return err_set(err, code, "%s: %s", what, strerror(errnum));
}

bool err_prefix(struct err *err, const char *fmt, ...)
{
    char front[sizeof err->detail / 4];
    char whole[sizeof err->detail + sizeof front + 2];
    va_list args;

    va_start(args, fmt);
    vsnprintf(front, sizeof front, fmt, args);
    va_end(args);
    snprintf(whole, sizeof whole, "%s: %s", front, err->detail);
    memcpy(err->detail, whole, sizeof err->detail);
    err->detail[sizeof err->detail - 1] = 0;
    str_scrub(err->detail);
    return false;
}

bool err_under(struct err *err, const char *pointer)
{
    char whole[2 * sizeof err->field];

    snprintf(whole, sizeof whole, "%.60s%s", pointer, err->field);
    memcpy(err->field, whole, sizeof err->field);
    err->field[sizeof err->field - 1] = 0;
    str_scrub(err->field);
    return false;
}

void err_ignore(bool ok, const struct err *err)
{
    if (!ok)
        log_debug("ignored: %s: %s", err_slug(err->code), err->detail);
}

int err_status(enum err_code code)
{
    return table[code].status;
}

const char *err_slug(enum err_code code)
{
    return table[code].slug;
}

const char *err_title(enum err_code code)
{
    return table[code].title;
}

enum err_code err_from_slug(const char *slug)
{
    for (enum err_code code = 0; code < ERR_COUNT; code++)
        if (slug && strcmp(table[code].slug, slug) == 0)
            return code;
    return ERR_INTERNAL;
}
