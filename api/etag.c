/* Entity tags: see etag.h. */
#include "api/etag.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void etag_reply(struct request *rq, const struct etag *etag)
{
    reply_header(rq, "ETag", "\"%" PRIu64 ".%" PRIu64 "\"", etag->revision, etag->state_revision);
}

/* "41" or "41.7", with the quotes. */
static bool parse(const char *text, struct etag *out)
{
    char buffer[48], *dot;
    size_t len = strlen(text);

    if (len < 3 || len > sizeof buffer || text[0] != '"' || text[len - 1] != '"')
        return false;
    memcpy(buffer, text + 1, len - 2);
    buffer[len - 2] = 0;
    dot = strchr(buffer, '.');
    if (dot)
        *dot = 0;
    out->state_revision = 0;
    return str_to_u64(buffer, &out->revision) &&
           (!dot || str_to_u64(dot + 1, &out->state_revision));
}

bool etag_if_match(const struct request *rq, bool *given, struct etag *out, struct err *err)
{
    const char *text = rq->head.if_match;

    *given = text && strcmp(text, "*") != 0;
    if (!*given || parse(text, out))
        return true;
    return err_set(err, ERR_MALFORMED,
                   "If-Match takes one ETag of the object (\"41.7\"), its "
                   "revision (\"41\") or *");
}

bool etag_if_none_match(const struct request *rq, const struct etag *etag)
{
    const char *text = rq->head.if_none_match;
    char own[48];
    size_t len;

    if (!text)
        return false;
    if (strcmp(text, "*") == 0)
        return true;
    len = (size_t)snprintf(own, sizeof own, "\"%" PRIu64 ".%" PRIu64 "\"", etag->revision,
                           etag->state_revision);
    while (*text) {
        text += strspn(text, " \t,");
        if (strncmp(text, "W/", 2) == 0)
            text += 2; /* the weak comparison is the one meant here */
        if (strncmp(text, own, len) == 0 && (!text[len] || strchr(" \t,", text[len])))
            return true;
        text += strcspn(text, ",");
    }
    return false;
}
