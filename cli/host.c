/* vmmctl host and vmmctl doctor: the machine and what is wrong with it. */
#include "cli/host.h"

#include "cli/output.h"
#include "cli/text.h"
#include "core/base/json.h"
#include "core/base/mem.h"

static bool host_show_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool doctor_run(struct cli *cli, struct fault *fault) MUST_USE;

static const struct column host_columns[] = {
    {"HOSTNAME", "hostname", CELL_TEXT, false},
    {"VERSION", "version", CELL_TEXT, false},
    {"KERNEL", "kernel", CELL_TEXT, false},
    {"THREADS", "cpu.threads", CELL_TEXT, false},
    {"MEMORY", "memory.total_bytes", CELL_BYTES, false},
    {"AVAILABLE", "memory.available_bytes", CELL_BYTES, false},
    {"ACCEL", "accel.chosen", CELL_TEXT, false},
    {0},
};
static const struct column finding_columns[] = {
    {"SEVERITY", "severity", CELL_TEXT, false}, {"FINDING", "id", CELL_TEXT, false},
    {"TITLE", "title", CELL_TEXT, false},       {"FIX", "fix", CELL_TEXT, false},
    {"EVIDENCE", "evidence", CELL_TEXT, true},  {0},
};

const struct command host_commands[] = {
    {"show", "", 0, 0, USES_OUTPUT, NULL, "show the host: processors, memory, accelerator, roots",
     NULL, "  vmmctl host\n  vmmctl host --fields accel.chosen,accel.reason", host_show_run, false},
    {"devices", "[KIND]", 0, 1, USES_OUTPUT, NULL,
     "list the host's devices; KIND is pci, usb, nic, drive or numa",
     "Without KIND all are listed, with what they have in common. Everything at once, the "
     "processor "
     "with its flags and vulnerabilities too: vmmctl api GET /host/inventory.",
     "  vmmctl host devices pci -o wide\n  vmmctl host devices nic -o json", host_devices_run,
     false},
    {0},
};
const struct command doctor_commands[] = {
    {NULL, "", 0, 0, USES_OUTPUT, NULL, "say what is wrong with the host and how to mend it",
     "The exit code is 1 when a finding of severity error is among them, and 3 when the service "
     "cannot be reached at all.",
     "  vmmctl doctor || echo 'not ready'", doctor_run, false},
    {0},
};

static bool host_show_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/host");

    return output_shown(cli, path, host_columns, fault);
}

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
    const json_t *finding;
    size_t i;

    if (cli->output != OUTPUT_TABLE || cli->fields || cli->quiet)
        return output_list(cli, findings, finding_columns, fault);
    json_array_foreach (findings, i, finding)
        print_finding(cli, finding);
    if (!json_array_size(findings))
        cli_say(cli, "nothing is wrong");
    return true;
}

static bool doctor_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/host");
    CLEANUP(json_decrefp) json_t *host = http_get(cli->http, path, fault);
    const json_t *findings = json_object_get(host, "findings"), *finding;
    size_t i, errors = 0;

    if (!host)
        return false;
    if (!json_is_array(findings))
        return fault_set(fault, CLI_FAILED, "the reply has no findings; is this vmmd?");
    json_array_foreach (findings, i, finding)
        errors += str_eq(json_get_text(finding, "severity"), "error");
    if (!print_findings(cli, findings, fault))
        return false;
    return !errors || fault_set(fault, CLI_FAILED, "%zu error%s found", errors,
                                errors == 1 ? " was" : "s were");
}
