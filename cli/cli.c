/* One run of vmmctl: from argv to the exit code. */
#include "cli/cli.h"

#include "cli/help.h"
#include "cli/interrupt.h"
#include "cli/suggest.h"
#include "cli/text.h"
#include "core/base/fs.h"
#include "core/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DEFAULT_WAIT_MS 120000
#define MAX_INPUT       (8u << 20)

static bool is_tty(FILE *file)
{
    int fd = fileno(file);

    return fd >= 0 && isatty(fd);
}

static unsigned terminal_columns(FILE *file)
{
    const char *text = getenv("COLUMNS");
    struct winsize size;
    uint64_t columns;

    if (text && str_to_u64(text, &columns) && columns >= 20 && columns <= 10000)
        return (unsigned)columns;
    if (fileno(file) >= 0 && ioctl(fileno(file), TIOCGWINSZ, &size) == 0 && size.ws_col >= 20)
        return size.ws_col;
    return 80;
}

static void look_around(struct cli *cli)
{
    const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
    bool dumb = !term || str_eq(term, "dumb");

    cli->out_tty = is_tty(cli->out);
    cli->err_tty = is_tty(cli->err) && !dumb;
    cli->in_tty = cli->in >= 0 && isatty(cli->in);
    cli->colour = cli->err_tty && !(no_color && *no_color);
    cli->columns = terminal_columns(cli->out_tty ? cli->out : cli->err);
}

static bool choose_output(struct cli *cli, struct fault *fault)
{
    const char *text = args_text(cli->args, "output");
    struct suggest s = {.typed = text};
    char did_you[96];

    cli->output_given = text != NULL;
    for (unsigned i = 0; text && i < OUTPUT_COUNT; i++) {
        if (str_eq(output_names[i], text)) {
            cli->output = (enum output)i;
            return true;
        }
        suggest_try(&s, output_names[i]);
    }
    if (!text)
        return true;
    return fault_set(fault, CLI_USAGE,
                     "--output '%.40s' is not known%s (table, wide, json, jsonl, yaml, name, csv)",
                     text, suggest_text(&s, "", did_you));
}

static bool read_flags(struct cli *cli, struct fault *fault)
{
    const struct args *args = cli->args;

    cli->fields = args_text(args, "fields");
    cli->headers = !args_has(args, "no-headers");
    cli->quiet = args_has(args, "quiet");
    cli->wait = !args_has(args, "no-wait");
    cli->wait_for = args_text_or(args, "wait", NULL);
    cli->yes = args_has(args, "yes");
    if (args_has(args, "wait") && args_has(args, "no-wait"))
        return fault_set(fault, CLI_USAGE, "--wait and --no-wait cannot be given together");
    return choose_output(cli, fault) &&
           args_duration(args, "timeout", DEFAULT_WAIT_MS, &cli->timeout_ms, fault);
}

static bool run(struct cli *cli, struct fault *fault)
{
    const struct args *args = cli->args;
    bool ok;

    if (!read_flags(cli, fault))
        return false;
    if (args->command->uses & USES_NO_SERVICE)
        return args->command->run(cli, fault);
    if (!connection_load(args, &cli->connection, fault))
        return false;
    cli->http = http_open(&cli->connection, interrupt_fd(), args_has(args, "debug"), fault);
    if (!cli->http)
        return false;
    ok = args->command->run(cli, fault);
    http_free(cli->http);
    return ok;
}

static void print_help(struct cli *cli)
{
    struct strbuf b = {0};

    help_write(cli->args, cli->columns, &b);
    fputs(b.data, cli->out);
    strbuf_clear(&b);
}

/* A full disk or a closed pipe must not look like success. */
static bool flush(struct cli *cli, struct fault *fault)
{
    bool broken = fflush(cli->out) != 0 || ferror(cli->out);

    if (broken && errno == EPIPE)
        return fault_set(fault, CLI_FAILED, "%s", "");
    return !broken || fault_set(fault, CLI_FAILED, "writing the output: %s", strerror(errno));
}

/* Everybody tries --version first. */
static char *const version_argv[] = {"vmmctl", "version", "--client", NULL};

int cli_main(int argc, char *const *argv, FILE *out, FILE *err, int in)
{
    struct args args;
    struct cli cli = {.args = &args, .out = out, .err = err, .in = in};
    struct fault fault = {0}, flush_fault = {0};
    bool ok;

    text_init();
    interrupt_init();
    look_around(&cli);
    if (argc == 1) {
        args = (struct args){.help = true};
        cli.out = err;
        print_help(&cli);
        return CLI_USAGE;
    }
    if (argc == 2 && str_eq(argv[1], "--version")) {
        argv = version_argv;
        argc = 3;
    }
    ok = args_parse(argc, argv, &args, &fault);
    if (ok && args.help)
        print_help(&cli);
    else if (ok)
        ok = run(&cli, &fault);
    connection_clear(&cli.connection);
    args_clear(&args);
    if (!flush(&cli, &flush_fault) && ok) {
        fault = flush_fault;
        ok = false;
    }
    if (!ok)
        fault_print(&fault, err, cli.colour);
    return ok ? CLI_OK : (int)fault.exit;
}

void cli_say(const struct cli *cli, const char *fmt, ...)
{
    CLEANUP(mem_freep) char *line = NULL, *safe = NULL;
    va_list args;

    if (cli->quiet)
        return;
    va_start(args, fmt);
    if (vasprintf(&line, fmt, args) < 0)
        line = NULL;
    va_end(args);
    safe = line ? text_escape(line) : NULL;
    if (safe)
        fprintf(cli->err, "%s\n", safe);
}

bool cli_confirm(const struct cli *cli, const char *question, struct fault *fault)
{
    CLEANUP(mem_freep) char *safe = text_escape(question);
    char answer[16];
    ssize_t n;

    if (cli->yes || !cli->in_tty || !is_tty(cli->err))
        return true;
    fprintf(cli->err, "%s [y/N] ", safe);
    fflush(cli->err);
    n = interrupt_or_input(cli->in) ? read(cli->in, answer, sizeof answer - 1) : 0;
    if (n > 0 && (answer[0] == 'y' || answer[0] == 'Y'))
        return true;
    return fault_set(fault, interrupt_signal() ? CLI_INTERRUPTED : CLI_FAILED, "nothing was done");
}

bool cli_read_input(const struct cli *cli, const char *path, char **text, size_t *len,
                    struct fault *fault)
{
    CLEANUP(closep) int opened = str_eq(path, "-") ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    struct err err;

    if (opened < 0 && !str_eq(path, "-"))
        return fault_set(fault, CLI_USAGE, "%.200s: %s", path, strerror(errno));
    if (!fs_read_all(opened >= 0 ? opened : cli->in, MAX_INPUT, text, len, &err)) {
        err_prefix(&err, "%.100s", path);
        return fault_err(fault, CLI_USAGE, &err);
    }
    return true;
}

const char *cli_word(const struct cli *cli, size_t i)
{
    return i < cli->args->n_words ? cli->args->words[i] : NULL;
}
