/* All checks of a host: see findings.h. */
#include "core/inspect/findings.h"

#include "core/base/mem.h"
#include "core/base/str.h"

#include <stdarg.h>
#include <stdio.h>

const struct check_topic *const findings_topics[] = {
    &checks_configuration, &checks_cpu,  &checks_kvm,     &checks_memory, &checks_storage,
    &checks_isolation,     &checks_qemu, &checks_network, &checks_clock,  NULL};

static const char *const severity_names[] = {"ok", "info", "warning", "error"};

enum severity saw(struct sight *s, enum severity severity, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(s->evidence, sizeof s->evidence, fmt, args);
    va_end(args);
    str_scrub(s->evidence);
    return severity;
}

void advise(struct sight *s, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(s->fix, sizeof s->fix, fmt, args);
    va_end(args);
    str_scrub(s->fix);
}

static json_t *finding(const struct check_topic *topic, const struct check *check,
                       enum severity severity, const struct sight *s)
{
    const char *fix = s->fix[0] ? s->fix : check->fix;
    json_t *f = json_object();

    json_put_text(f, "id", check->id);
    json_put_text(f, "topic", topic->name);
    json_put_text(f, "severity", severity_names[severity]);
    json_put_text(f, "title", check->title);
    json_put_text(f, "evidence", s->evidence);
    json_put_text(f, "fix", severity > SEVERITY_OK ? fix : NULL);
    return f;
}

json_t *findings_read(const struct inspect_facts *facts)
{
    CLEANUP(mem_freep) struct cpu_facts *cpu = mem_alloc(sizeof *cpu);
    json_t *lists[ARRAY_LEN(severity_names)], *all = json_array();

    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        lists[i] = json_array();
    cpu_read(facts->root, cpu);
    for (const struct check_topic *const *t = findings_topics; *t; t++)
        for (const struct check *c = (*t)->checks; c < (*t)->checks + (*t)->n; c++) {
            struct sight s = {.facts = facts, .cpu = cpu};
            enum severity severity = c->look(&s);
            if (severity != SEVERITY_NONE)
                json_array_append_new(lists[severity], finding(*t, c, severity, &s));
        }
    for (size_t i = ARRAY_LEN(lists); i-- > 0; json_decref(lists[i]))
        json_array_extend(all, lists[i]);
    return all;
}
