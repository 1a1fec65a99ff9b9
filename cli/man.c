/* The man pages: see man.h. docs/man/vmmctl*.1 are these texts; a test compares them. */
#include "cli/man.h"

#include "cli/command.h"
#include "cli/help.h"
#include "cli/member.h"
#include "core/base/mem.h"
#include "core/model/vm.h"

#include <string.h>

/* Roff takes a backslash and a leading dot or quote for commands, and a bare - for a hyphen. */
static void text(struct strbuf *out, const char *s)
{
    bool line_start = true;

    for (; *s; s++) {
        if (line_start && (*s == '.' || *s == '\''))
            strbuf_adds(out, "\\&");
        if (*s == '\\')
            strbuf_adds(out, "\\e");
        else if (*s == '-')
            strbuf_adds(out, "\\-");
        else
            strbuf_add(out, s, 1);
        line_start = *s == '\n';
    }
}

static void line(struct strbuf *out, const char *macro, const char *s)
{
    strbuf_addf(out, ".%s ", macro);
    text(out, s);
    strbuf_adds(out, "\n");
}

/* ".TP", a bold tag, and what it means. */
static void item(struct strbuf *out, const char *tag, const char *meaning)
{
    strbuf_adds(out, ".TP\n.B ");
    text(out, tag);
    strbuf_adds(out, "\n");
    text(out, meaning);
    strbuf_adds(out, "\n");
}

static void literal(struct strbuf *out, const char *s)
{
    strbuf_adds(out, ".PP\n.nf\n");
    text(out, s);
    strbuf_adds(out, "\n.fi\n");
}

static void flags(struct strbuf *out, const struct flag *table)
{
    for (const struct flag *f = table; f && f->name; f++) {
        struct strbuf tag = {0};

        help_flag(f, &tag);
        item(out, tag.data, f->help);
        strbuf_clear(&tag);
    }
}

/* The shared tables by the section that explains them. */
static const struct shared {
    unsigned groups;
    const char *section;
} shared[] = {
    {USES_WAIT | USES_WAIT_VM, "WAITING"},
    {USES_LIST, "SELECTION"},
    {USES_CONFIRM, "CONFIRMATION"},
    {USES_OUTPUT, "OUTPUT"},
};

static void uses(struct strbuf *out, unsigned groups)
{
    bool any = false;

    for (size_t i = 0; i < ARRAY_LEN(shared); i++) {
        if (!(groups & shared[i].groups))
            continue;
        strbuf_addf(out, "%s%s", any ? ", " : ".PP\nAlso takes the flags of ", shared[i].section);
        any = true;
    }
    if (any)
        strbuf_adds(out, " in\n.BR vmmctl (1).\n");
}

static void command(struct strbuf *out, const struct noun *noun, const struct command *c)
{
    char name[64];
    struct strbuf title = {0};

    strbuf_addf(&title, "vmmctl %s%s%s", command_name(noun, c, name), *c->args ? " " : "", c->args);
    line(out, "SS", title.data);
    strbuf_clear(&title);
    strbuf_addf(out, "%c", c->summary[0] - 'a' + 'A');
    text(out, c->summary + 1);
    strbuf_adds(out, ".\n");
    if (c->details) {
        strbuf_adds(out, ".PP\n");
        text(out, c->details);
        strbuf_adds(out, "\n");
    }
    flags(out, c->flags);
    uses(out, c->uses);
    if (c->example)
        literal(out, c->example);
}

static bool is_shown(const struct noun *noun)
{
    return !noun->commands[0].hidden;
}

/* Each noun with its verbs, as pointers to the pages that say more. */
static void commands(struct strbuf *out)
{
    strbuf_adds(out, ".SH COMMANDS\n");
    for (const struct noun *n = nouns; n->name; n++) {
        struct strbuf verbs = {0};

        if (!is_shown(n))
            continue;
        strbuf_addf(&verbs, "%s", n->summary);
        for (const struct command *c = n->commands; c->run; c++)
            if (c->verb && !c->hidden)
                strbuf_addf(&verbs, "%s%s", c == n->commands ? ": " : ", ", c->verb);
        strbuf_addf(out, ".TP\n.BR vmmctl\\-%s (1)\n", n->name);
        text(out, verbs.data);
        strbuf_adds(out, "\n");
        strbuf_clear(&verbs);
    }
    strbuf_adds(out, ".SH SHORTCUTS\n");
    strbuf_adds(out, "The verbs of vm may stand alone: vmmctl pause web is vmmctl vm pause web. "
                     "ls and rm stand for list and delete.\n");
    for (const struct shortcut *s = shortcuts; s->word; s++) {
        CLEANUP(mem_freep) char *meaning = str_format("is vmmctl %s %s", s->noun, s->verb);

        item(out, s->word, meaning);
    }
}

static void shared_flags(struct strbuf *out)
{
    strbuf_adds(out, ".SH CONNECTION\nEvery command takes these.\n");
    flags(out, flags_connection);
    strbuf_adds(out,
                ".SH OUTPUT\nOnly data goes to standard output; messages, questions and "
                "progress go to standard error. JSON is the API's object as it came; lists are "
                "arrays of such objects, with jsonl one a line.\n");
    flags(out, flags_output);
    strbuf_adds(out,
                ".SH WAITING\nCtrl\\-C while waiting leaves the operation running and says how "
                "to follow it; a second Ctrl\\-C within two seconds cancels it. A condition "
                "is for commands about VMs; what the guest wrote before the command does not "
                "count.\n");
    flags(out, flags_wait_vm);
    strbuf_adds(out, ".SH SELECTION\nMembers are named as the API has them, inner ones with dots: "
                     "run.state, disks.pool, label.KEY. In a pattern behind ~= a * stands for any "
                     "characters; an empty value means that there is none.\n");
    flags(out, flags_list);
    strbuf_adds(out, ".SH CONFIRMATION\n");
    flags(out, flags_confirm);
}

static void exits(struct strbuf *out)
{
    strbuf_adds(out, ".SH EXIT STATUS\n");
#define X(name, code, meaning) item(out, #code, meaning);
    CLI_EXITS(X)
#undef X
}

static void member(void *arg, const char *path, const struct field *field)
{
    struct strbuf *out = arg, tag = {0};

    if (field->type == FIELD_LABELS)
        strbuf_adds(&tag, "label.KEY");
    else
        strbuf_adds(&tag, path);
    for (size_t i = 0; field->type == FIELD_ENUM && field->names[i]; i++)
        strbuf_addf(&tag, "%s%s", i ? "|" : "=", field->names[i]);
    if (field->flags & FIELD_CREATE_ONLY || str_starts(path, "disks."))
        strbuf_adds(&tag, " (vm create only)");
    item(out, tag.data, field->help);
    strbuf_clear(&tag);
}

static void members(struct strbuf *out)
{
    strbuf_adds(out, ".SH MEMBERS OF A VM\nFor \\-\\-set of vm create and vm edit, and for files. "
                     "On the command line \\- may stand for _, and _bytes and _s may be left out, "
                     "since the value says the unit: memory=1G. An empty value is the default. "
                     "N is an index, from 0 on; the first free one adds an element.\n");
    member_each(&vm_model, member, out);
}

static void environment(struct strbuf *out)
{
    strbuf_adds(out, ".SH ENVIRONMENT\n");
    item(out, "VMMD_URL", "address of the service, as --url");
    item(out, "VMMD_SOCKET", "unix socket of the service, as --socket; VMMD_URL wins");
    item(out, "VMMD_TOKEN", "the token");
    item(out, "VMMD_TOKEN_FILE", "file with the token, as --token-file");
    item(out, "VMMD_CACERT", "as --cacert");
    item(out, "VMMD_FINGERPRINT", "as --accept-fingerprint");
    item(out, "VMMD_CERT, VMMD_KEY", "as --cert and --key");
    item(out, "VMMD_CONTEXT", "as --context");
    item(out, "VMMD_CONFIG", "configuration file instead of the one below");
    item(out, "NO_COLOR", "no colours, if not empty");
    item(out, "COLUMNS", "width of the terminal");
    item(out, "TERM", "with dumb no progress bar and no colours");
    item(out, "VISUAL, EDITOR", "editor for vm edit (default vi)");
}

static void files(struct strbuf *out)
{
    strbuf_adds(out, ".SH FILES\n");
    item(out, "~/.config/vmmd/config",
         "Lines key = value with the keys url, socket, cacert, fingerprint, token, "
         "token_file, cert and key; "
         "# begins a comment. Sections [context NAME] have the same keys for other services, and "
         "context = NAME above them says which one is used. It must be closed to other users (mode "
         "0600). Flags win over the "
         "environment, the environment over this file.");
    item(out, "/run/vmmd/api.sock",
         "Where the service is asked when nothing else is given; for other users than root "
         "$XDG_RUNTIME_DIR/vmmd/api.sock where that variable is set.");
}

static void head(struct strbuf *out, const char *page, const char *summary)
{
    strbuf_adds(out, ".\\\" Made by \"vmmctl man\": edit cli/, not this file.\n.TH ");
    for (const char *p = page; *p; p++)
        strbuf_addf(out, "%c", *p >= 'a' && *p <= 'z' ? *p - 'a' + 'A' : *p);
    strbuf_adds(out, " 1 \"\" \"vmmd " VMMD_VERSION "\" \"vmmd\"\n.SH NAME\n");
    text(out, page);
    strbuf_adds(out, " \\- ");
    text(out, summary);
    strbuf_adds(out, "\n.SH SYNOPSIS\n");
}

static void main_page(struct strbuf *out)
{
    head(out, "vmmctl", "virtual machines from the command line");
    strbuf_adds(out, ".B vmmctl\n.I COMMAND\n.RI [ VERB ]\n.RI [ ARGUMENTS ]\n.RI [ FLAGS ]\n"
                     ".SH DESCRIPTION\nvmmctl manages the virtual machines of a vmmd service, on "
                     "this machine over a unix socket or elsewhere over HTTPS. It can do nothing "
                     "that the API cannot; see\n.BR vmmctl\\-api (1)\nfor the rest of it.\n"
                     ".PP\nFlags may stand anywhere; \\-\\- ends them. Sizes are bytes or have a "
                     "unit K, M, G or T (powers of 1024); times are seconds or have a unit ms, s, "
                     "m, h or d.\n");
    commands(out);
    shared_flags(out);
    exits(out);
    environment(out);
    files(out);
    strbuf_adds(out, ".SH SEE ALSO\n.BR vmmd (8),\n.BR vmmd.conf (5),\n.BR curl (1)\n");
}

static void synopsis(struct strbuf *out, const struct noun *noun)
{
    char name[64];

    for (const struct command *c = noun->commands; c->run; c++) {
        if (c->hidden)
            continue;
        strbuf_addf(out, "%s.B vmmctl ", c == noun->commands ? "" : ".br\n");
        text(out, command_name(noun, c, name));
        strbuf_adds(out, "\n");
        if (*c->args) {
            strbuf_adds(out, ".I \"");
            text(out, c->args);
            strbuf_adds(out, "\"\n");
        }
        strbuf_adds(out, ".RI [ FLAGS ]\n");
    }
}

static void noun_page(struct strbuf *out, const struct noun *noun)
{
    CLEANUP(mem_freep) char *page = str_format("vmmctl-%s", noun->name);

    head(out, page, noun->summary);
    synopsis(out, noun);
    strbuf_adds(out, ".SH COMMANDS\n");
    for (const struct command *c = noun->commands; c->run; c++)
        if (!c->hidden)
            command(out, noun, c);
    if (noun == &nouns[0])
        members(out);
    strbuf_adds(out,
                ".SH SEE ALSO\n.BR vmmctl (1)\nhas the flags of all commands, the exit status, "
                "the environment and the files.\n");
    if (str_eq(noun->name, "template") || str_eq(noun->name, "apply"))
        strbuf_adds(out, ".BR vmmctl\\-vm (1)\nlists the members of a VM.\n");
}

bool man_write(const char *name, struct strbuf *out)
{
    const struct noun *noun = str_starts(name, "vmmctl-") ? noun_find(name + 7) : NULL;

    if (str_eq(name, "vmmctl"))
        main_page(out);
    else if (noun && is_shown(noun))
        noun_page(out, noun);
    else
        return false;
    return true;
}

void man_each(void (*see)(void *arg, const char *name), void *arg)
{
    see(arg, "vmmctl");
    for (const struct noun *n = nouns; n->name; n++) {
        CLEANUP(mem_freep) char *name = str_format("vmmctl-%s", n->name);
        if (is_shown(n))
            see(arg, name);
    }
}
