/* The nouns of vmmctl and the flags that commands share: see command.h. */
#include "cli/command.h"

#include "core/base/str.h"

#include <stdio.h>

const struct noun nouns[] = {
    {"vm", "virtual machines", vm_commands, NULL},
    {"snapshot", "states of a VM to go back to", snapshot_commands, NULL},
    {"bundle", "folders that VMs were exported to", bundle_commands, NULL},
    {"template", "configurations to make VMs from", template_commands, NULL},
    {"apply", "objects as files describe them", apply_commands, NULL},
    {"console", "the serial console of a VM", console_commands, NULL},
    {"screenshot", "a picture of a VM's screen", screenshot_commands, NULL},
    {"op", "operations: long work and its outcome", op_commands, NULL},
    {"event", "what happens, as it happens", event_commands, NULL},
    {"user", "people who sign in", user_commands, NULL},
    {"token", "API tokens", token_commands, NULL},
    {"audit", "who changed what, and who was refused", audit_commands, NULL},
    {"webhook", "events sent to an address", webhook_commands, NULL},
    {"pool", "storage pools", pool_commands, NULL},
    {"media", "ISO files for CD drives", media_commands, NULL},
    {"disk", "disks of VMs", disk_commands, NULL},
    {"host", "the machine the service runs on", host_commands, "show"},
    {"doctor", "what is wrong with the host, and the fix", doctor_commands, NULL},
    {"recover", "a new database of what the VMs' copies say", recover_commands, NULL},
    {"api", "any request to the API", api_commands, NULL},
    {"context", "services by name", context_commands, "list"},
    {"login", "connect to a service elsewhere and remember it", login_commands, NULL},
    {"whoami", "who one is to the service", whoami_commands, NULL},
    {"completion", "completion of commands and names in the shell", completion_commands, NULL},
    {"version", "versions of vmmctl and of the service", version_commands, NULL},
    {"help", "help for a command", help_commands, NULL},
    {"man", "the man page", man_commands, NULL},
    {"__complete", "for the completion scripts", complete_commands, NULL},
    {0},
};

const struct shortcut shortcuts[] = {
    {"ls", "vm", "list"},
    {"rm", "vm", "delete"},
    {0},
};

const struct flag flags_connection[] = {
    {"context", 0, "CONTEXT", "a service from the configuration file (see: vmmctl context list)"},
    {"url", 0, "URL", "address of the service, https://HOST:8443"},
    {"socket", 0, "PATH", "unix socket of the service on this machine"},
    {"cacert", 0, "FILE", "trust the certificates in this PEM file"},
    {"accept-fingerprint", 0, "SHA256", "trust the certificate with this SHA-256 fingerprint only"},
    {"token-file", 0, "FILE", "read the token from the first line of this file"},
    {"cert", 0, "FILE", "say who one is by the certificate in this PEM file"},
    {"key", 0, "FILE", "its private key (default: it is in the same file)"},
    {"debug", 0, NULL, "show requests and replies on stderr (never the token)"},
    {"help", 'h', NULL, "show help and exit"},
    {0},
};

const struct flag flags_list[] = {
    {"filter", 0, "FILTER",
     "only those for which all comparisons hold: state==running,label.ci==true,name~=web-*, also "
     "with !=, <, <=, >, >="},
    {"order", 0, "A,-B", "by these members, - for descending: -memory_bytes,name"},
    {"limit", 0, "N", "N at most"},
    {0},
};

const struct flag flags_pick[] = {
    {"filter", 0, "FILTER", "all VMs for which this holds, instead of names: label.ci==true"},
    {0},
};

const struct flag flags_output[] = {
    {"output", 'o', "FORMAT", "table, wide, json, jsonl, yaml, name or csv"},
    {"fields", 0, "A,B", "only these members; inner ones as run.state"},
    {"no-headers", 0, NULL, "no heading above a table or CSV"},
    {"quiet", 'q', NULL, "only ids on stdout, no progress on stderr"},
    {0},
};

const struct flag flags_wait[] = {
    {"wait", 0, NULL, "wait for the end of the operation (the default)"},
    {"no-wait", 0, NULL, "print the operation's id and return at once"},
    {"timeout", 0, "TIME", "give up waiting after this time, such as 90s or 5m (default 120s)"},
    {0},
};

const struct flag flags_wait_vm[] = {
    {"wait", 0, "[=CONDITION]",
     "wait for the end of the operation (the default), and then until the VM is running, off, "
     "paused, saved, crashed, MEMBER==VALUE or has written serial:REGEX"},
    {"no-wait", 0, NULL, "print the operation's id and return at once"},
    {"timeout", 0, "TIME", "give up waiting after this time, such as 90s or 5m (default 120s)"},
    {0},
};

const struct flag flags_confirm[] = {
    {"yes", 'y', NULL, "do not ask (it is asked at a terminal only)"},
    {0},
};

const struct noun *noun_find(const char *name)
{
    for (const struct noun *n = nouns; n->name; n++)
        if (str_eq(n->name, name))
            return n;
    return NULL;
}

static const struct command *find_exactly(const struct noun *noun, const char *verb)
{
    for (const struct command *c = noun->commands; c->run; c++)
        if (str_eq(c->verb, verb))
            return c;
    return NULL;
}

const struct command *command_find(const struct noun *noun, const char *verb)
{
    const struct command *found = find_exactly(noun, verb);

    if (!found && str_eq(verb, "ls"))
        found = find_exactly(noun, "list");
    if (!found && str_eq(verb, "rm"))
        found = find_exactly(noun, "delete");
    if (!found && str_eq(verb, "rm"))
        found = find_exactly(noun, "remove");
    return found;
}

const struct noun *shortcut_find(const char *word, const struct command **command)
{
    for (const struct shortcut *s = shortcuts; s->word; s++) {
        if (!str_eq(s->word, word))
            continue;
        *command = command_find(noun_find(s->noun), s->verb);
        return noun_find(s->noun);
    }
    if (noun_find(word))
        return NULL;
    *command = command_find(&nouns[0], word); /* "pause web" for "vm pause web" */
    return *command ? &nouns[0] : NULL;
}

bool flag_needs_value(const struct flag *flag)
{
    return flag->value && flag->value[0] != '[';
}

const char *command_name(const struct noun *noun, const struct command *command, char out[64])
{
    snprintf(out, 64, "%s%s%s", noun->name, command->verb ? " " : "",
             command->verb ? command->verb : "");
    return out;
}

static void add_table(struct flag_tables *t, const struct flag *table, const char *title)
{
    if (!table)
        return;
    t->table[t->n] = table;
    t->title[t->n++] = title;
}

struct flag_tables command_flags(const struct command *command)
{
    struct flag_tables t = {0};

    add_table(&t, command->flags, "Flags");
    add_table(&t, command->uses & USES_WAIT_VM ? flags_wait_vm : NULL, "Waiting");
    add_table(&t, command->uses & USES_WAIT ? flags_wait : NULL, "Waiting");
    add_table(&t, command->uses & USES_PICK ? flags_pick : NULL, "Selection");
    add_table(&t, command->uses & USES_LIST ? flags_list : NULL, "Selection");
    add_table(&t, command->uses & USES_CONFIRM ? flags_confirm : NULL, "Confirmation");
    add_table(&t, command->uses & USES_OUTPUT ? flags_output : NULL, "Output");
    add_table(&t, flags_connection, "Connection");
    return t;
}
