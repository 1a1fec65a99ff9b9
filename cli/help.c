/* Help texts: see help.h. */
#include "cli/help.h"

#include "cli/cli.h"
#include "core/base/mem.h"

#include <string.h>

#define LEFT      30 /* where a flag's help starts */
#define MIN_WIDTH 50
#define MAX_WIDTH 100

static void blanks(struct strbuf *out, size_t n)
{
    strbuf_addf(out, "%*s", (int)n, "");
}

void help_wrap(const char *text, unsigned indent, unsigned columns, struct strbuf *out)
{
    size_t at = 0;

    for (const char *p = text; *p;) {
        size_t word = strcspn(p, " \n");

        if (*p == '\n') {
            strbuf_adds(out, "\n");
            at = 0;
            p++;
            continue;
        }
        if (word == 0) {
            p++;
            continue;
        }
        if (at && at + 1 + word > columns) {
            strbuf_adds(out, "\n");
            at = 0;
        }
        if (at)
            strbuf_adds(out, " ");
        else
            blanks(out, indent);
        at = (at ? at + 1 : indent) + word;
        strbuf_add(out, p, word);
        p += word;
    }
    strbuf_adds(out, "\n");
}

void help_flag(const struct flag *flag, struct strbuf *out)
{
    if (flag->letter)
        strbuf_addf(out, "-%c, ", flag->letter);
    strbuf_addf(out, "--%s%s%s", flag->name, flag_needs_value(flag) ? " " : "",
                flag->value ? flag->value : "");
}

/* "left    right", the right side wrapped beneath itself. */
static void pair(const char *left, const char *right, unsigned columns, struct strbuf *out)
{
    struct strbuf text = {0};

    strbuf_addf(out, "  %s", left);
    if (strlen(left) + 2 < LEFT)
        blanks(out, LEFT - strlen(left) - 2);
    else
        strbuf_addf(out, "\n%*s", LEFT, "");
    help_wrap(right, LEFT, columns, &text);
    strbuf_adds(out, text.data + LEFT);
    strbuf_clear(&text);
}

static void flag_tables(const struct command *command, unsigned columns, struct strbuf *out)
{
    struct flag_tables tables = command_flags(command);

    for (unsigned t = 0; t < tables.n; t++) {
        strbuf_addf(out, "\n%s:\n", tables.title[t]);
        for (const struct flag *f = tables.table[t]; f->name; f++) {
            struct strbuf left = {0};

            if (!f->letter)
                strbuf_adds(&left, "    ");
            help_flag(f, &left);
            pair(left.data, f->help, columns, out);
            strbuf_clear(&left);
        }
    }
}

static void shortcut_line(const struct noun *noun, const struct command *command,
                          struct strbuf *out)
{
    const char *word = noun == &nouns[0] ? command->verb : NULL;

    for (const struct shortcut *s = shortcuts; s->word; s++)
        if (str_eq(s->noun, noun->name) && str_eq(s->verb, command->verb))
            word = s->word;
    if (word)
        strbuf_addf(out, "Shortcut: vmmctl %s%s%s\n", word, *command->args ? " " : "",
                    command->args);
}

static void command_help(const struct noun *noun, const struct command *command, unsigned columns,
                         struct strbuf *out)
{
    char name[64];

    strbuf_addf(out, "Usage: vmmctl %s%s%s [FLAGS]\n", command_name(noun, command, name),
                *command->args ? " " : "", command->args);
    shortcut_line(noun, command, out);
    strbuf_adds(out, "\n");
    strbuf_addf(out, "%c%s.\n", command->summary[0] - 'a' + 'A', command->summary + 1);
    if (command->details) {
        strbuf_adds(out, "\n");
        help_wrap(command->details, 0, columns, out);
    }
    if (command->example)
        strbuf_addf(out, "\nExample:\n%s\n", command->example);
    flag_tables(command, columns, out);
}

static void noun_help(const struct noun *noun, unsigned columns, struct strbuf *out)
{
    strbuf_addf(out, "Usage: vmmctl %s VERB [ARGUMENTS] [FLAGS]\n\nVerbs for %s:\n", noun->name,
                noun->summary);
    for (const struct command *c = noun->commands; c->run; c++) {
        CLEANUP(mem_freep) char *left = str_format("%s %s", c->verb, c->args);
        if (!c->hidden)
            pair(left, c->summary, columns, out);
    }
    strbuf_addf(out, "\nMore: vmmctl %s VERB --help, man vmmctl-%s\n", noun->name, noun->name);
}

static bool is_hidden(const struct noun *noun)
{
    return noun->commands[0].hidden;
}

static void all_help(unsigned columns, struct strbuf *out)
{
    strbuf_adds(out, "vmmctl: virtual machines from the command line\n\n"
                     "Usage: vmmctl COMMAND [VERB] [ARGUMENTS] [FLAGS]\n\nCommands:\n");
    for (const struct noun *n = nouns; n->name; n++) {
        if (!is_hidden(n))
            pair(n->name, n->summary, columns, out);
    }
    strbuf_adds(out, "\nShortcuts:\n");
    for (const struct shortcut *s = shortcuts; s->word; s++) {
        CLEANUP(mem_freep) char *right = str_format("vmmctl %s %s", s->noun, s->verb);
        pair(s->word, right, columns, out);
    }
    pair("VERB ...", "every verb of vm: vmmctl pause web is vmmctl vm pause web", columns, out);
    strbuf_adds(out, "\nA first VM:\n"
                     "  vmmctl doctor\n"
                     "  vmmctl vm create web --memory 1G --disk size=8G --start\n"
                     "  vmmctl console web\n\n"
                     "More: vmmctl COMMAND --help, man vmmctl\n");
}

void help_write(const struct args *args, unsigned columns, struct strbuf *out)
{
    columns = columns < MIN_WIDTH ? MIN_WIDTH : columns > MAX_WIDTH ? MAX_WIDTH : columns;
    if (args->command)
        command_help(args->noun, args->command, columns, out);
    else if (args->noun)
        noun_help(args->noun, columns, out);
    else
        all_help(columns, out);
}
