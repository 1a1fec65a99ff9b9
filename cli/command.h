/* The table of commands: it drives parsing, --help at every level, suggestions and the man page.
 * Each noun's file defines its own rows; commands.c lists the nouns. */
#pragma once
#include "cli/fault.h"

struct cli;
struct args;

struct flag {
    const char *name;  /* without the dashes */
    char letter;       /* 0: long form only */
    const char *value; /* what the value is called in the help; NULL: a switch. "[=CONDITION]": it
                          may be left out, and stands in the same word if it is given */
    const char *help;
};

/* Groups of flags that a command takes besides its own; the connection's always count. */
enum command_uses {
    USES_OUTPUT = 1,     /* -o, --fields, --no-headers, -q */
    USES_WAIT = 2,       /* --wait, --no-wait, --timeout */
    USES_CONFIRM = 4,    /* --yes */
    USES_NO_SERVICE = 8, /* nothing is looked up about the connection */
    USES_WAIT_VM = 32,   /* as USES_WAIT, with --wait=CONDITION */
    USES_LIST = 64,      /* --filter, --order, --limit */
    USES_PICK = 128,     /* --filter instead of names of VMs: see vm_targets() */
    USES_ANY_WORDS = 16, /* words may be empty */
};

struct command {
    const char *verb; /* NULL: the noun alone is the command */
    const char *args; /* "NAME", "VM...": as in the help; one word each, "" for none */
    unsigned min_args, max_args;
    unsigned uses;
    const struct flag *flags; /* own ones, ended by a name of NULL; NULL for none */
    const char *summary;      /* one line without a full stop */
    const char *details;      /* paragraphs separated by an empty line, or NULL */
    const char *example;      /* lines as typed, or NULL */
    bool (*run)(struct cli *cli, struct fault *fault) MUST_USE;
    bool hidden; /* not in the help */
};

struct noun {
    const char *name;
    const char *summary;
    const struct command *commands; /* ended by a run of NULL */
    const char *fallback;           /* verb when none is given, or NULL */
};

/* "start VM" for "vm start VM". */
struct shortcut {
    const char *word, *noun, *verb;
};

extern const struct noun nouns[];         /* ended by a name of NULL */
extern const struct shortcut shortcuts[]; /* ended by a word of NULL */

extern const struct flag flags_connection[], flags_output[], flags_wait[], flags_list[],
    flags_pick[], flags_wait_vm[], flags_confirm[];

const struct noun *noun_find(const char *name);
/* By its verb; ls and rm stand for list and delete. */
const struct command *command_find(const struct noun *noun, const char *verb);
/* The noun of a shortcut with its command, or NULL. Every verb of the first noun, vm, is one. */
const struct noun *shortcut_find(const char *word, const struct command **command);
/* Whether a value must follow; else there is none, or it may be left out. */
bool flag_needs_value(const struct flag *flag);
/* "vm create"; in a buffer of the caller. */
const char *command_name(const struct noun *noun, const struct command *command, char out[64]);

/* The tables of flags that count for a command, in the order of the help. */
struct flag_tables {
    const struct flag *table[6];
    const char *title[6];
    unsigned n;
};
struct flag_tables command_flags(const struct command *command);

/* The noun tables. */
extern const struct command vm_commands[], console_commands[], screenshot_commands[], op_commands[],
    event_commands[], user_commands[], whoami_commands[], token_commands[], webhook_commands[],
    pool_commands[], disk_commands[], host_commands[], doctor_commands[], api_commands[],
    version_commands[], help_commands[], man_commands[], template_commands[], context_commands[],
    login_commands[], media_commands[], apply_commands[], bundle_commands[], snapshot_commands[],
    complete_commands[], completion_commands[], recover_commands[], audit_commands[];
