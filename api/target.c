/* Paths and queries: see target.h. libmicrohttpd is told not to decode anything itself. */
#include "api/target.h"

#include "api/routes.h"
#include "core/base/str.h"

#include <microhttpd.h>
#include <string.h>

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* One byte at '*s', which moves behind it. -1: not decodable, or one that has no business here. */
static int next_byte(const char **s)
{
    int c = (unsigned char)*(*s)++;

    if (c == '%') {
        int high = hex((*s)[0]), low = high < 0 ? -1 : hex((*s)[1]);
        if (low < 0)
            return -1;
        *s += 2;
        c = high << 4 | low;
    }
    return c < 0x20 || c == 0x7f ? -1 : c;
}

/* Decodes the 'len' bytes at 's' into rq->text; NULL when that is not possible. */
static const char *decode(struct request *rq, const char *s, size_t len)
{
    char *out = rq->text + rq->text_used;
    const char *end = s + len;
    size_t n = 0;

    if (rq->text_used + len + 1 > sizeof rq->text)
        return NULL;
    while (s < end) {
        int c = next_byte(&s);
        if (c < 0 || s > end)
            return NULL;
        out[n++] = (char)c;
    }
    out[n] = 0;
    rq->text_used += n + 1;
    return str_is_utf8(out, n) ? out : NULL;
}

static bool add_segment(struct request *rq, const char *s, size_t len, struct err *err)
{
    const char *segment = len ? decode(rq, s, len) : NULL;

    if (!segment || strchr(segment, '/') || strcmp(segment, ".") == 0 || strcmp(segment, "..") == 0)
        return err_set(err, ERR_MALFORMED,
                       "the path has an empty segment, '.', '..' or a character that may not "
                       "stand in a path");
    if (rq->n_segments == REQUEST_MAX_SEGMENTS)
        return err_set(err, ERR_NOT_FOUND, "no path has so many segments");
    rq->segments[rq->n_segments++] = segment;
    return true;
}

bool target_path(struct request *rq, struct err *err)
{
    const char *p = rq->path;

    if (*p != '/' || strlen(p) > REQUEST_MAX_TARGET)
        return err_set(err, ERR_MALFORMED, "a path begins with '/' and has up to %d bytes",
                       REQUEST_MAX_TARGET);
    if (!p[1])
        return true;
    while (*p) {
        size_t n = strcspn(++p, "/");
        if (!add_segment(rq, p, n, err))
            return false;
        p += n;
    }
    return true;
}

static bool is_known(const char *list, const char *name)
{
    size_t n = strlen(name);

    for (const char *p = list; *p; p += strspn(p, " ")) {
        size_t word = strcspn(p, " ");
        if (word == n && memcmp(p, name, n) == 0)
            return true;
        p += word;
    }
    return false;
}

struct collect {
    struct request *rq;
    struct err *err;
    bool ok;
};

static bool add_arg(struct request *rq, const char *name, const char *value, struct err *err)
{
    const char *text;

    if (!is_known(rq->route->query, name))
        return err_set(err, ERR_INVALID, "there is no query parameter '%.40s' here; known are: %s",
                       str_is_utf8(name, strlen(name)) ? name : "?",
                       rq->route->query[0] ? rq->route->query : "none");
    if (request_query(rq, name))
        return err_set(err, ERR_INVALID, "the query parameter '%.40s' comes twice", name);
    text = value && strlen(value) <= REQUEST_MAX_TARGET ? decode(rq, value, strlen(value)) : NULL;
    if (!text)
        return err_set(err, ERR_MALFORMED, "the query parameter '%.40s' cannot be read", name);
    rq->query[rq->n_query++] = (struct query_arg){name, text};
    return true;
}

static enum MHD_Result on_arg(void *cls, enum MHD_ValueKind kind, const char *name,
                              const char *value)
{
    struct collect *c = cls;

    (void)kind;
    c->ok = add_arg(c->rq, name, value, c->err);
    return c->ok ? MHD_YES : MHD_NO;
}

bool target_query(struct request *rq, struct err *err)
{
    struct collect c = {rq, err, true};

    MHD_get_connection_values(rq->mhd, MHD_GET_ARGUMENT_KIND, on_arg, &c);
    return c.ok;
}
