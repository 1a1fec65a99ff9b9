/* vmmctl event watch: the event stream, without gaps.
 *
 * Theory of operation: every event has a number. The number to start behind is known before the
 * stream is opened (--after, or the newest one, asked for once), and after a broken connection the
 * stream is opened again behind the last event that was printed. So nothing is lost or printed
 * twice; what the service itself no longer keeps it announces by "event: reset". */
#include "cli/interrupt.h"
#include "cli/output.h"
#include "cli/sse.h"
#include "cli/text.h"
#include "core/base/json.h"
#include "core/base/mem.h"

#include <string.h>

#define FIRST_PAUSE_MS 250
#define LAST_PAUSE_MS  5000
#define FAR_FUTURE     "9007199254740991" /* no event has this number: "reset" tells the newest */

static bool event_watch_run(struct cli *cli, struct fault *fault) MUST_USE;

static const struct column columns[] = {
    {"TIME", "at", CELL_TIME, false},   {"SEQ", "seq", CELL_TEXT, false},
    {"TYPE", "type", CELL_TEXT, false}, {"OBJECT", "object.id", CELL_TEXT, false},
    {"DATA", "data", CELL_TEXT, false}, {0},
};
static const struct flag flags[] = {
    {"after", 0, "N",
     "begin behind event number N (default: only new events; 0: all that are kept)"},
    {"types", 0, "A,B", "only these types, or all that begin so: vm,operation.state"},
    {"count", 0, "N", "end after N events"},
    {0},
};

const struct command event_commands[] = {
    {"watch", "", 0, 0, USES_OUTPUT, flags, "print events as they happen, until Ctrl-C",
     "Survives restarts of the service without losing an event.",
     "  vmmctl event watch --types vm -o jsonl\n  vmmctl event watch --after 0 --count 10",
     event_watch_run, false},
    {0},
};

struct watch {
    struct cli *cli;
    uint64_t count, most; /* events printed; 0: no end */
    bool broken;          /* stdout is gone */
    struct sse sse;
};

/* ---- printing ---- */

static void print_line(struct cli *cli, const json_t *event)
{
    const json_t *object = json_object_get(event, "object");
    const char *type = json_get_text(event, "type"), *at = json_get_text(event, "at");
    const char *object_type = json_get_text(object, "type"), *id = json_get_text(object, "id");
    CLEANUP(mem_freep)
    char *data = json_dumps(json_object_get(event, "data"), JSON_COMPACT | JSON_ENCODE_ANY);
    CLEANUP(mem_freep)
    char *line = str_format("%s %llu %s %s%s%s %s", at ? at : "-",
                            (unsigned long long)json_get_u64(event, "seq", 0), type ? type : "-",
                            object_type ? object_type : "", object_type ? "/" : "", id ? id : "-",
                            data ? data : "");
    CLEANUP(mem_freep) char *safe = text_escape(line);

    fprintf(cli->out, "%s\n", safe);
}

static bool print_event(struct watch *w, const json_t *event)
{
    struct cli *cli = w->cli;
    CLEANUP(json_decrefp) json_t *list = json_array();
    struct fault ignored;

    if (cli->quiet) {
        fprintf(cli->out, "%llu\n", (unsigned long long)json_get_u64(event, "seq", 0));
    } else if (cli->output == OUTPUT_TABLE && !cli->fields) {
        print_line(cli, event);
    } else {
        json_array_append(list, (json_t *)event);
        if (!output_list(cli, list, columns, &ignored))
            return false;
        cli->headers = false; /* once, above the first event */
    }
    return fflush(cli->out) == 0;
}

static bool on_event(void *arg, const struct sse_event *event)
{
    struct watch *w = arg;
    CLEANUP(json_decrefp) json_t *value = NULL;
    struct fault ignored;

    if (str_eq(event->type, "reset")) {
        cli_say(w->cli,
                "events were lost: the service no longer keeps those behind the last one; "
                "going on from %s",
                event->id);
        return true;
    }
    value = http_parse(event->data, strlen(event->data), &ignored);
    if (!value) {
        cli_say(w->cli, "an event that is no JSON was skipped");
        return true;
    }
    w->broken = !print_event(w, value);
    w->count++;
    return !w->broken && (!w->most || w->count < w->most);
}

static bool on_bytes(void *arg, const char *data, size_t len)
{
    struct watch *w = arg;

    return sse_feed(&w->sse, data, len);
}

/* ---- streaming ---- */

/* Which event is the newest, so that the first connection may already break without a gap. */
static bool find_start(struct watch *w, struct fault *fault)
{
    uint64_t after;
    CLEANUP(mem_freep) char *path = http_path("/events?wait=0&after=" FAR_FUTURE);
    CLEANUP(json_decrefp) json_t *list = NULL;

    if (!args_number(w->cli->args, "after", 0, &after, fault))
        return false;
    if (!args_has(w->cli->args, "after")) {
        list = http_get(w->cli->http, path, fault);
        if (!list)
            return false;
        after = json_get_u64(list, "next_after", 0);
    }
    snprintf(w->sse.id, sizeof w->sse.id, "%llu", (unsigned long long)after);
    return true;
}

static bool stream_once(struct watch *w, struct fault *fault)
{
    const char *types = args_text(w->cli->args, "types");
    CLEANUP(mem_freep)
    char *path = types ? http_path("/events?types={}", types) : http_path("/events");
    CLEANUP(mem_freep) char *last = str_format("Last-Event-ID: %s", w->sse.id);
    const char *const headers[] = {"Accept: text/event-stream", last, NULL};
    CLEANUP(http_reply_clear) struct http_reply reply = {0};
    struct http_request request = {.method = "GET",
                                   .path = path,
                                   .headers = headers,
                                   .timeout_ms = -1,
                                   .sink = on_bytes,
                                   .sink_arg = w};

    sse_restart(&w->sse);
    return http_call(w->cli->http, &request, &reply, fault);
}

static bool is_enough(const struct watch *w)
{
    return w->broken || (w->most && w->count >= w->most);
}

static bool watch_loop(struct watch *w, struct fault *fault)
{
    int64_t pause = FIRST_PAUSE_MS;

    for (;;) {
        uint64_t before = w->count;
        bool ok = stream_once(w, fault);

        if (is_enough(w))
            return !w->broken || fault_set(fault, CLI_FAILED, "%s", "");
        if (!ok && fault->exit != CLI_UNREACHABLE && fault->exit != CLI_TIMED_OUT)
            return false;
        if (w->count != before)
            pause = FIRST_PAUSE_MS;
        if (pause == FIRST_PAUSE_MS)
            cli_say(w->cli, "connection lost, trying again behind event %s", w->sse.id);
        if (interrupt_wait(pause))
            return fault_set(fault, CLI_INTERRUPTED, "%s", "");
        pause = pause * 2 > LAST_PAUSE_MS ? LAST_PAUSE_MS : pause * 2;
    }
}

static bool event_watch_run(struct cli *cli, struct fault *fault)
{
    struct watch w = {.cli = cli, .sse = {.on_event = on_event}};
    bool ok;

    w.sse.arg = &w;
    if (cli->output == OUTPUT_JSON)
        cli->output = OUTPUT_JSONL; /* a stream has no end at which a list could close */
    ok = args_number(cli->args, "count", 0, &w.most, fault) && find_start(&w, fault) &&
         watch_loop(&w, fault);
    sse_clear(&w.sse);
    return ok;
}
