/* What an operation is at: see progress.h. */
#include "cli/progress.h"

#include "cli/quantity.h"
#include "cli/text.h"
#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/mem.h"

#include <stdio.h>

#define BAR 20

static char *subject(const json_t *operation)
{
    const json_t *object = json_object_get(operation, "object");
    const char *name = json_get_text(object, "name");
    const char *kind = json_get_text(operation, "kind");
    const char *step = json_get_text(operation, "step");
    const char *state = json_get_text(operation, "state");
    CLEANUP(mem_freep)
    char *text =
        str_format("%s%s%s: %s", name ? name : "", name ? " " : "", kind ? kind : "operation",
                   step && *step ? step
                   : state       ? state
                                 : "?");

    return text_escape(text);
}

static void add_bar(struct strbuf *b, const json_t *progress)
{
    uint64_t done = json_get_u64(progress, "done", 0), total = json_get_u64(progress, "total", 0);
    double part = total ? (double)done / (double)total : 0;
    int full;

    if (!total)
        return;
    part = part > 1 ? 1 : part;
    full = (int)(part * BAR);
    strbuf_adds(b, " [");
    for (int i = 0; i < BAR; i++)
        strbuf_adds(b, i < full ? "#" : ".");
    strbuf_addf(b, "] %d%%", (int)(part * 100));
}

/* Only what copies bytes has a rate worth showing. */
static void add_rate(struct strbuf *b, const json_t *operation)
{
    const json_t *progress = json_object_get(operation, "progress");
    uint64_t rate = json_get_u64(progress, "rate", 0);
    char text[QUANTITY_TEXT];

    if (!rate || !json_get_bool(operation, "limitable", false))
        return;
    size_text(rate, text);
    strbuf_addf(b, " %s/s, %llu s left", text,
                (unsigned long long)json_get_u64(progress, "left_s", 0));
}

char *progress_line(const json_t *operation, unsigned columns, int64_t elapsed_s)
{
    CLEANUP(mem_freep) char *what = subject(operation);
    struct strbuf b = {0};

    strbuf_adds(&b, what);
    add_bar(&b, json_object_get(operation, "progress"));
    add_rate(&b, operation);
    if (elapsed_s > 0)
        strbuf_addf(&b, " %llds", (long long)elapsed_s);
    b.len = text_fit(b.data, columns);
    b.data[b.len] = 0;
    return strbuf_take(&b);
}

void progress_init(struct progress *p, const struct cli *cli)
{
    *p = (struct progress){.cli = cli, .since_ms = clock_mono_ms()};
}

static void say_step(struct progress *p, const json_t *operation)
{
    const char *step = json_get_text(operation, "step");
    CLEANUP(mem_freep) char *line = NULL;

    if (!step || str_eq(p->step, step))
        return;
    str_copy(p->step, sizeof p->step, step);
    line = subject(operation);
    fprintf(p->cli->err, "%s\n", line);
}

void progress_show(struct progress *p, const json_t *operation)
{
    CLEANUP(mem_freep) char *line = NULL;

    if (p->cli->quiet)
        return;
    if (!p->cli->err_tty) {
        say_step(p, operation);
        return;
    }
    line = progress_line(operation, p->cli->columns - 1, (clock_mono_ms() - p->since_ms) / 1000);
    fprintf(p->cli->err, "\r\033[K%s", line);
    fflush(p->cli->err);
    p->drawn = true;
}

void progress_end(struct progress *p)
{
    if (p->drawn)
        fputs("\r\033[K", p->cli->err);
    fflush(p->cli->err);
    p->drawn = false;
}
