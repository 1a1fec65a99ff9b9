/* Errors as problem documents: see problem.h. Pure. */
#include "api/problem.h"

#include <stdio.h>

unsigned problem_retry_s(enum err_code code)
{
    return code == ERR_BUSY || code == ERR_RATE_LIMITED || code == ERR_UNAVAILABLE ? 1 : 0;
}

static json_t *culprits(const struct err *err)
{
    json_t *list = json_array(), *one = json_object();

    json_put_text(one, "pointer", err->field);
    json_put_text(one, "code", err_slug(err->code));
    json_put_text(one, "detail", err->detail);
    json_array_append_new(list, one);
    return list;
}

/* Texts of elsewhere may hold a piece of a client's bytes, cut anywhere: never fail for that. */
static json_t *text_or_title(const char *text, const char *title)
{
    json_t *value = json_string(text);

    return value ? value : json_string(title);
}

json_t *problem_json(const struct err *err, const char *instance, const char *request_id,
                     unsigned retry_s, json_t *blockers)
{
    json_t *p = json_object();
    const char *title = err_title(err->code);
    char type[96];

    snprintf(type, sizeof type, "https://vmmd.invalid/problems/%s", err_slug(err->code));
    json_put_text(p, "type", type);
    json_put_text(p, "title", title);
    json_put_u64(p, "status", (uint64_t)err_status(err->code));
    json_put(p, "detail", text_or_title(err->detail[0] ? err->detail : title, title));
    json_put(p, "instance", text_or_title(instance, ""));
    json_put_text(p, "code", err_slug(err->code));
    if (err->field[0])
        json_put(p, "errors", culprits(err));
    if (blockers)
        json_put(p, "blockers", json_incref(blockers));
    json_put_text(p, "request_id", request_id);
    if (retry_s)
        json_put_u64(p, "retry_after_s", retry_s);
    return p;
}
