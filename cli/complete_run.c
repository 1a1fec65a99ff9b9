/* vmmctl __complete and vmmctl completion: what the shells call, and the scripts that call it.
 *
 * __complete never says what is wrong: whoever presses Tab gets what is known within a second. */
#include "cli/cli.h"
#include "cli/complete.h"
#include "cli/context.h"
#include "cli/interrupt.h"
#include "cli/text.h"
#include "core/base/json.h"
#include "core/base/mem.h"

#include <string.h>

#define ASK_MS 1000

static bool complete_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool completion_run(struct cli *cli, struct fault *fault) MUST_USE;

const struct command complete_commands[] = {
    {NULL, "WORD...", 0, 4096, USES_ANY_WORDS | USES_NO_SERVICE, NULL,
     "offer what the last of the words can be", NULL, NULL, complete_run, true},
    {0},
};
const struct command completion_commands[] = {
    {NULL, "bash|zsh|fish", 1, 1, USES_NO_SERVICE, NULL, "print the completion script for a shell",
     "Packages install it. Without one: for bash and zsh a line in ~/.bashrc or ~/.zshrc (behind "
     "compinit) as below, for fish a file. Names of VMs, pools, webhooks and operations are asked "
     "from the service, with the connection that the command line has.",
     "  source <(vmmctl completion bash)\n"
     "  source <(vmmctl completion zsh)\n"
     "  vmmctl completion fish >~/.config/fish/completions/vmmctl.fish",
     completion_run, false},
    {0},
};

/* Where the names are that an argument of the help stands for. */
static const struct source {
    const char *wanted; /* as the help calls it */
    const char *noun;   /* of the command; NULL: any */
    const char *path;
    const char *name, *about; /* members */
} sources[] = {
    {"VM", NULL, "/vms?page_size=1000", "name", "state"},
    {"TEMPLATE", NULL, "/templates?page_size=1000", "name", "notes"},
    {"POOL", NULL, "/pools?page_size=1000", "name", "root"},
    {"USER", NULL, "/users?page_size=1000", "name", "role"},
    {"TOKEN", NULL, "/tokens?page_size=1000", "name", "role"},
    {"WEBHOOK", NULL, "/webhooks?page_size=1000", "name", "url"},
    {"ISO", NULL, "/media?page_size=1000", "name", "pool"},
    {"DISK", NULL, "/disks?page_size=1000", "id", "pool"},
    {"ID", "op", "/operations?page_size=50", "id", "kind"},
};

static const struct source *find_source(const struct place *place, const char *wanted)
{
    for (size_t i = 0; i < ARRAY_LEN(sources); i++)
        if (str_eq(sources[i].wanted, wanted) &&
            (!sources[i].noun || (place->noun && str_eq(sources[i].noun, place->noun->name))))
            return &sources[i];
    return NULL;
}

static json_t *ask(const struct place *place, const struct source *source)
{
    const struct args args = {.given = place->given, .n_given = place->n_given};
    CLEANUP(connection_clear) struct connection connection = {0};
    CLEANUP(mem_freep) char *path = str_format("/api/v1%s", source->path);
    struct http_request request = {.method = "GET", .path = path, .timeout_ms = ASK_MS};
    struct fault nobody_reads;
    struct http *http;
    json_t *reply;

    if (!connection_load(&args, &connection, &nobody_reads))
        return NULL;
    http = http_open(&connection, interrupt_fd(), false, &nobody_reads);
    reply = http ? http_json(http, &request, &nobody_reads) : NULL;
    http_free(http);
    return reply;
}

static void offer_names(const struct place *place, const struct source *source, struct strbuf *out)
{
    CLEANUP(json_decrefp) json_t *reply = ask(place, source);
    struct offer offer = offer_for(place, out);
    const json_t *item;
    size_t i;

    json_array_foreach (json_object_get(reply, "items"), i, item) {
        const char *name = json_get_text(item, source->name);
        const char *about = json_get_text(item, source->about);
        CLEANUP(mem_freep) char *safe = text_escape(about ? about : "");

        if (name)
            offer_value(&offer, name, safe);
    }
}

static void offer_context(void *arg, const char *name)
{
    offer_value(arg, name, NULL);
}

static bool complete_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(place_clear) struct place place = {0};
    const struct source *source;
    struct strbuf out = {0};
    char wanted[32];

    (void)fault;
    place_find(cli->args->words, cli->args->n_words, &place);
    source = find_source(&place, offer_known(&place, &out, wanted));
    if (str_eq(wanted, "CONTEXT")) {
        struct offer offer = offer_for(&place, &out);
        context_each_name(offer_context, &offer);
    }
    if (source)
        offer_names(&place, source, &out);
    fputs(out.data ? out.data : "", cli->out);
    strbuf_clear(&out);
    return true;
}

extern const char shell_bash[], shell_bash_end[], shell_zsh[], shell_zsh_end[], shell_fish[],
    shell_fish_end[];

static bool completion_run(struct cli *cli, struct fault *fault)
{
    static const struct {
        const char *name, *begin, *end;
    } shells[] = {
        {"bash", shell_bash, shell_bash_end},
        {"zsh", shell_zsh, shell_zsh_end},
        {"fish", shell_fish, shell_fish_end},
    };
    const char *wanted = cli_word(cli, 0);

    for (size_t i = 0; i < ARRAY_LEN(shells); i++)
        if (str_eq(shells[i].name, wanted)) {
            fwrite(shells[i].begin, 1, (size_t)(shells[i].end - shells[i].begin), cli->out);
            return true;
        }
    return fault_set(fault, CLI_USAGE, "'%.40s': there are scripts for bash, zsh and fish", wanted);
}
