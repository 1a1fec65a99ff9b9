/* vmmctl version, help and man: about vmmctl itself. */
#include "cli/help.h"
#include "cli/man.h"
#include "cli/output.h"
#include "cli/suggest.h"
#include "core/base/json.h"
#include "core/base/mem.h"

static bool version_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool help_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool man_run(struct cli *cli, struct fault *fault) MUST_USE;

static const struct column columns[] = {
    {"CLIENT", "client", CELL_TEXT, false},
    {"SERVICE", "service.version", CELL_TEXT, false},
    {"API", "service.api", CELL_TEXT, false},
    {0},
};
static const struct flag version_flags[] = {
    {"client", 0, NULL, "do not ask the service"},
    {0},
};

static const struct flag man_flags[] = {
    {"to", 0, "DIR", "write all pages into this folder"},
    {0},
};

const struct command version_commands[] = {
    {NULL, "", 0, 0, USES_OUTPUT, version_flags, "print the versions of vmmctl and of the service",
     NULL, "  vmmctl version --client", version_run, false},
    {0},
};
const struct command help_commands[] = {
    {NULL, "[COMMAND [VERB]]", 0, 2, USES_NO_SERVICE, NULL, "show help for a command", NULL,
     "  vmmctl help vm create", help_run, false},
    {0},
};
const struct command man_commands[] = {
    {NULL, "[COMMAND]", 0, 1, USES_NO_SERVICE, man_flags, "print the source of a man page", NULL,
     "  vmmctl man vm\n  vmmctl man --to docs/man", man_run, true},
    {0},
};

static bool version_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/version");
    CLEANUP(json_decrefp) json_t *both = json_object();
    json_t *service = NULL;

    json_put_text(both, "client", VMMD_VERSION);
    if (!args_has(cli->args, "client"))
        service = http_get(cli->http, path, fault);
    json_put(both, "service", service);
    if (cli->output_given || cli->fields) {
        if (!output_object(cli, both, columns, fault))
            return false;
    } else {
        fprintf(cli->out, "vmmctl %s\n", VMMD_VERSION);
        if (service)
            fprintf(cli->out, "vmmd %s (API %s)\n", json_get_text(service, "version"),
                    json_get_text(service, "api"));
    }
    return service || args_has(cli->args, "client");
}

static void print(struct cli *cli, struct strbuf *text)
{
    fputs(text->data ? text->data : "", cli->out);
    strbuf_clear(text);
}

/* As "vmmctl COMMAND VERB --help". */
static bool help_run(struct cli *cli, struct fault *fault)
{
    char *argv[] = {"vmmctl", "--help", (char *)cli_word(cli, 0), (char *)cli_word(cli, 1)};
    struct args wanted;
    struct strbuf text = {0};

    if (!args_parse(2 + (int)cli->args->n_words, argv, &wanted, fault))
        return false;
    help_write(&wanted, cli->columns, &text);
    args_clear(&wanted);
    print(cli, &text);
    return true;
}

/* Files in the folder --to, for the source tree. */
struct pages {
    const char *folder;
    struct fault *fault;
    bool failed;
};

static void write_page(void *arg, const char *name)
{
    struct pages *p = arg;
    CLEANUP(mem_freep) char *path = str_format("%s/%s.1", p->folder, name);
    FILE *file = p->failed ? NULL : fopen(path, "we");
    struct strbuf text = {0};

    if (!p->failed && man_write(name, &text))
        p->failed = !file || fputs(text.data, file) < 0;
    if (file)
        p->failed = fclose(file) != 0 || p->failed;
    if (p->failed)
        fault_set(p->fault, CLI_FAILED, "%.200s cannot be written", path);
    strbuf_clear(&text);
}

static bool man_run(struct cli *cli, struct fault *fault)
{
    const char *noun = cli_word(cli, 0);
    CLEANUP(mem_freep) char *name = str_format("vmmctl%s%s", noun ? "-" : "", noun ? noun : "");
    struct pages pages = {.folder = args_text(cli->args, "to"), .fault = fault};
    struct strbuf text = {0};

    if (pages.folder) {
        man_each(write_page, &pages);
        return !pages.failed;
    }
    if (!man_write(name, &text))
        return fault_set(fault, CLI_USAGE, "there is no page %.60s", name);
    print(cli, &text);
    return true;
}
