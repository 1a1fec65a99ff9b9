/* Faults: see fault.h. */
#include "cli/fault.h"

#include "cli/text.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <stdarg.h>
#include <string.h>

enum cli_exit exit_of_status(int status)
{
    switch (status) {
    case 401:
    case 403:
        return CLI_AUTH;
    case 404:
        return CLI_NOT_FOUND;
    case 409:
    case 412:
    case 423:
        return CLI_CONFLICT;
    case 408:
    case 504:
        return CLI_TIMED_OUT;
    case 421: /* a wrong address, not a wrong request */
    case 503:
        return CLI_UNREACHABLE;
    case 429:
        return CLI_FAILED;
    default:
        return status >= 400 && status < 500 ? CLI_INVALID : CLI_FAILED;
    }
}

bool fault_set(struct fault *fault, enum cli_exit exit, const char *fmt, ...)
{
    va_list args;

    *fault = (struct fault){.exit = exit};
    va_start(args, fmt);
    vsnprintf(fault->detail, sizeof fault->detail, fmt, args);
    va_end(args);
    return false;
}

bool fault_hint(struct fault *fault, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(fault->hint, sizeof fault->hint, fmt, args);
    va_end(args);
    return false;
}

bool fault_err(struct fault *fault, enum cli_exit exit, const struct err *err)
{
    fault_set(fault, exit, "%s", err->detail);
    str_copy(fault->where, sizeof fault->where, err->field);
    return false;
}

/* Appends "pointer" or, when it says more than the problem's own detail, "pointer: detail". */
static void add_where(struct fault *fault, const json_t *item)
{
    const char *pointer = json_get_text(item, "pointer");
    const char *detail = json_get_text(item, "detail");
    size_t used = strlen(fault->where);

    if (!pointer || !*pointer)
        return;
    bool more = detail && !str_eq(detail, fault->detail);
    snprintf(fault->where + used, sizeof fault->where - used, "%s%s%s%s", used ? "; " : "", pointer,
             more ? ": " : "", more ? detail : "");
}

static void add_blocker(struct fault *fault, const json_t *item)
{
    const char *detail = json_get_text(item, "detail"), *code = json_get_text(item, "code");
    const unsigned i = fault->n_others;

    if (!detail || str_eq(detail, fault->detail) || i == FAULT_OTHERS_MAX)
        return;
    str_copy(fault->others[i].detail, sizeof fault->others[i].detail, detail);
    str_copy(fault->others[i].code, sizeof fault->others[i].code, code ? code : "");
    fault->n_others++;
}

static void from_document(struct fault *fault, const json_t *problem)
{
    const char *detail = json_get_text(problem, "detail");
    const char *title = json_get_text(problem, "title");
    const char *code = json_get_text(problem, "code");
    const char *request_id = json_get_text(problem, "request_id");
    const json_t *item;
    size_t i;

    if (detail || title)
        str_copy(fault->detail, sizeof fault->detail, detail && *detail ? detail : title);
    if (code)
        str_copy(fault->code, sizeof fault->code, code);
    if (request_id)
        str_copy(fault->request_id, sizeof fault->request_id, request_id);
    json_array_foreach (json_object_get(problem, "errors"), i, item)
        add_where(fault, item);
    json_array_foreach (json_object_get(problem, "blockers"), i, item)
        add_blocker(fault, item);
}

/* What a person can do about it where the service, which does not know vmmctl, cannot say it. */
static void add_hint(struct fault *fault)
{
    if (str_eq(fault->code, "unauthenticated"))
        fault_hint(fault, "give a token by VMMD_TOKEN, --token-file or the configuration file");
    else if (str_eq(fault->code, "revision-conflict"))
        fault_hint(fault, "look at the object again and repeat the change");
}

bool fault_problem(struct fault *fault, int status, const char *body, size_t len,
                   const char *request_id)
{
    struct err ignored;
    CLEANUP(json_decrefp) json_t *problem = json_read(body ? body : "", len, &ignored);

    fault_set(fault, exit_of_status(status), "the service answered with status %d%s%.200s", status,
              len ? ": " : "", len ? body : "");
    if (request_id)
        str_copy(fault->request_id, sizeof fault->request_id, request_id);
    if (json_is_object(problem))
        from_document(fault, problem);
    add_hint(fault);
    return false;
}

static void print_others(const struct fault *fault, FILE *to)
{
    for (unsigned i = 0; i < fault->n_others; i++) {
        CLEANUP(mem_freep) char *detail = text_escape(fault->others[i].detail);
        CLEANUP(mem_freep) char *code = text_escape(fault->others[i].code);
        fprintf(to, "\n  also: %s [%s]", detail, code);
    }
}

void fault_print(const struct fault *fault, FILE *to, bool colour)
{
    CLEANUP(mem_freep) char *detail = text_escape(fault->detail);
    CLEANUP(mem_freep) char *where = text_escape(fault->where);
    CLEANUP(mem_freep) char *code = text_escape(fault->code);
    CLEANUP(mem_freep) char *request = text_escape(fault->request_id);
    CLEANUP(mem_freep) char *hint = text_escape(fault->hint);

    if (!*detail)
        return;
    fprintf(to, "%svmmctl: %s%s", colour ? "\033[1;31m" : "", colour ? "\033[0m" : "", detail);
    if (*code)
        fprintf(to, " [%s]", code);
    if (*where)
        fprintf(to, "\n  at: %s", where);
    print_others(fault, to);
    if (*hint)
        fprintf(to, "\n  hint: %s", hint);
    if (*request)
        fprintf(to, "\n  request: %s", request);
    fputc('\n', to);
}
