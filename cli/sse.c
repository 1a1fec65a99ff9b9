/* Server-sent events: see sse.h. */
#include "cli/sse.h"

#include <string.h>

static void field(struct sse *sse, const char *name, const char *value)
{
    if (strcmp(name, "data") == 0) {
        if (sse->has_data)
            strbuf_adds(&sse->data, "\n");
        strbuf_adds(&sse->data, value);
        sse->has_data = true;
    } else if (strcmp(name, "event") == 0) {
        strbuf_clear(&sse->type);
        strbuf_adds(&sse->type, value);
    } else if (strcmp(name, "id") == 0 && strlen(value) < sizeof sse->next_id) {
        str_copy(sse->next_id, sizeof sse->next_id, value);
    }
}

/* An empty line ends an event; one without data is not given out, but its id counts. */
static bool dispatch(struct sse *sse)
{
    struct sse_event event = {
        .id = sse->id,
        .type = sse->type.len ? sse->type.data : "message",
        .data = sse->data.data ? sse->data.data : "",
    };
    bool go_on;

    str_copy(sse->id, sizeof sse->id, sse->next_id);
    go_on = !sse->has_data || sse->on_event(sse->arg, &event);
    strbuf_clear(&sse->data);
    strbuf_clear(&sse->type);
    sse->has_data = false;
    return go_on;
}

static bool line_end(struct sse *sse)
{
    char *line = sse->line.data ? sse->line.data : (char[1]){0};
    char *colon;
    bool go_on = true;

    if (!sse->started && str_starts(line, "\xef\xbb\xbf"))
        line += 3;
    sse->started = true;
    colon = strchr(line, ':');
    if (!*line) {
        go_on = dispatch(sse);
    } else if (colon != line) { /* ":…" is a comment: the heartbeat */
        char *value = colon ? colon + 1 : line + strlen(line);
        if (colon)
            *colon = 0;
        field(sse, line, *value == ' ' ? value + 1 : value);
    }
    sse->line.len = 0;
    if (sse->line.data)
        sse->line.data[0] = 0;
    return go_on;
}

bool sse_feed(struct sse *sse, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = bytes[i];
        bool swallow = c == '\n' && sse->after_cr;

        sse->after_cr = c == '\r';
        if (swallow)
            continue;
        if (c == '\r' || c == '\n') {
            if (!line_end(sse))
                return false;
        } else if (sse->line.len + sse->data.len >= SSE_MAX_EVENT) {
            return false;
        } else {
            strbuf_add(&sse->line, &c, 1);
        }
    }
    return true;
}

void sse_restart(struct sse *sse)
{
    strbuf_clear(&sse->line);
    strbuf_clear(&sse->data);
    strbuf_clear(&sse->type);
    str_copy(sse->next_id, sizeof sse->next_id, sse->id);
    sse->has_data = sse->after_cr = sse->started = false;
}

void sse_clear(struct sse *sse)
{
    sse_restart(sse);
}
