/* vmmctl doctor: what is wrong with the host and how to mend it. The service is asked, since it
 * knows what it may do; when it does not answer and would be on this machine, vmmctl makes the same
 * checks by itself (doctor_here.c). */
#include "cli/host.h"

#include "cli/output.h"
#include "cli/text.h"
#include "core/base/json.h"
#include "core/base/mem.h"

#include <string.h>

static bool doctor_run(struct cli *cli, struct fault *fault) MUST_USE;

static const struct column finding_columns[] = {
    {"SEVERITY", "severity", CELL_TEXT, false},
    {"FINDING", "id", CELL_TEXT, false},
    {"TITLE", "title", CELL_TEXT, false},
    {"FIX", "fix", CELL_TEXT, false},
    {"EVIDENCE", "evidence", CELL_TEXT, true},
    {"TOPIC", "topic", CELL_TEXT, true},
    {0},
};
static const struct flag doctor_flags[] = {
    {"all", 'a', NULL, "show in the table what is well, too (other formats always do)"},
    {"config", 0, "FILE",
     "with --local: the service's configuration, where it is not the usual one"},
    {"local", 0, NULL, "look at this machine without asking the service"},
    {"strict", 0, NULL, "exit with 1 for warnings, too"},
    {0},
};
const struct command doctor_commands[] = {
    {NULL, "", 0, 0, USES_OUTPUT, doctor_flags,
     "say what is wrong with the host and how to mend it",
     "When the service of this machine does not answer, vmmctl makes the checks by itself, as far "
     "as the user who runs it may; so does --local.\n\n"
     "The exit code is 0 when nothing graver than a warning was found, 1 when a finding of "
     "severity "
     "error is among them (with --strict: or a warning), and 3 when the service cannot be reached.",
     "  vmmctl doctor || echo 'not ready'\n  vmmctl doctor --local -o json", doctor_run, false},
    {0},
};

static const char *colour_of(const struct cli *cli, const char *severity)
{
    if (!cli->out_tty || !cli->colour)
        return "";
    return str_eq(severity, "error") ? "\033[1;31m" : str_eq(severity, "warning") ? "\033[33m" : "";
}

static void print_part(const struct cli *cli, const char *label, const char *text)
{
    CLEANUP(mem_freep) char *safe = text_escape(text ? text : "");

    if (*safe)
        fprintf(cli->out, "%10s%s%s\n", "", label, safe);
}

/* Sentences are too long for a table's columns: a row for the title, its reason and fix below. */
static void print_finding(const struct cli *cli, const json_t *finding)
{
    const char *severity = json_get_text(finding, "severity");
    const char *title = json_get_text(finding, "title");
    const char *colour = colour_of(cli, severity);
    CLEANUP(mem_freep) char *safe_severity = text_escape(severity ? severity : "?");
    CLEANUP(mem_freep) char *safe_title = text_escape(title ? title : "?");

    fprintf(cli->out, "%s%-9s%s %s\n", colour, safe_severity, *colour ? "\033[0m" : "", safe_title);
    print_part(cli, "seen: ", json_get_text(finding, "evidence"));
    print_part(cli, "fix:  ", json_get_text(finding, "fix"));
}

static bool print_findings(struct cli *cli, const json_t *findings, struct fault *fault)
{
    bool all = args_has(cli->args, "all");
    const json_t *finding;
    size_t i, well = 0;

    if (cli->output != OUTPUT_TABLE || cli->fields || cli->quiet)
        return output_list(cli, findings, finding_columns, fault);
    json_array_foreach (findings, i, finding) {
        bool ok = str_eq(json_get_text(finding, "severity"), "ok");
        well += ok;
        if (!ok || all)
            print_finding(cli, finding);
    }
    if (well == json_array_size(findings))
        cli_say(cli, "nothing is wrong");
    else if (well && !all)
        cli_say(cli, "%zu other checks found nothing wrong (--all shows them)", well);
    return true;
}

static size_t count(const json_t *findings, const char *severity)
{
    const json_t *finding;
    size_t i, n = 0;

    json_array_foreach (findings, i, finding)
        n += str_eq(json_get_text(finding, "severity"), severity);
    return n;
}

/* True when the service that was meant would be on this machine. */
static bool is_here(const struct connection *c)
{
    static const char *const hosts[] = {"localhost", "127.0.0.1", "[::1]"};
    const char *host = c->url ? strstr(c->url, "://") : NULL;

    if (c->socket || !host)
        return c->socket != NULL;
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++)
        if (str_starts(host + 3, hosts[i]) && strchr(":/", host[3 + strlen(hosts[i])]))
            return true;
    return false;
}

/* Prints them and judges: false for errors, with --strict for warnings. */
static bool tell(struct cli *cli, const json_t *findings, struct fault *fault)
{
    size_t errors = count(findings, "error"), warnings = count(findings, "warning");

    if (!print_findings(cli, findings, fault))
        return false;
    if (errors)
        return fault_set(fault, CLI_FAILED, "%zu error%s found", errors,
                         errors == 1 ? " was" : "s were");
    if (warnings && args_has(cli->args, "strict"))
        return fault_set(fault, CLI_FAILED, "%zu warning%s found", warnings,
                         warnings == 1 ? " was" : "s were");
    return true;
}

/* The service did not answer: what can be seen from here may say why. The fault stays. */
static bool tell_without_service(struct cli *cli, struct fault *fault)
{
    CLEANUP(json_decrefp) json_t *findings = doctor_look_here(args_text(cli->args, "config"));
    struct fault ignored = {0};

    cli_say(cli, "the service does not answer; this is what vmmctl sees of this machine:");
    if (!print_findings(cli, findings, &ignored))
        *fault = ignored; /* wrong --fields */
    return false;
}

static bool doctor_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/host");
    CLEANUP(json_decrefp) json_t *host = NULL;

    if (args_has(cli->args, "local")) {
        CLEANUP(json_decrefp) json_t *here = doctor_look_here(args_text(cli->args, "config"));
        return tell(cli, here, fault);
    }
    host = http_get(cli->http, path, fault);
    if (!host)
        return fault->exit == CLI_UNREACHABLE && is_here(&cli->connection) &&
               tell_without_service(cli, fault);
    if (!json_is_array(json_object_get(host, "findings")))
        return fault_set(fault, CLI_FAILED, "the reply has no findings; is this vmmd?");
    return tell(cli, json_object_get(host, "findings"), fault);
}
