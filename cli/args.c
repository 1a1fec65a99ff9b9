/* The command line: see args.h.
 *
 * Two passes. The first finds the noun and the verb, stepping over flags that stand before them
 * (only shared ones can: which flags a command has is not known yet). The second reads flags and
 * words in any order against the command's own tables; "--" ends the flags. */
#include "cli/args.h"

#include "cli/quantity.h"
#include "cli/suggest.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static const struct command any_command = {.uses = USES_LIST | USES_OUTPUT | USES_WAIT_VM |
                                                   USES_CONFIRM};

/* Where the noun and the verb stand in argv; 0: nowhere. */
struct places {
    int noun, verb;
};

static bool is_flag(const char *word)
{
    return word[0] == '-' && word[1];
}

/* Does "--name", "--name=value", "-n", "-nvalue" mean this flag? */
static bool flag_matches(const struct flag *flag, const char *word)
{
    size_t n = strlen(flag->name);

    if (word[1] != '-')
        return flag->letter && word[1] == flag->letter;
    return strncmp(word + 2, flag->name, n) == 0 && (!word[2 + n] || word[2 + n] == '=');
}

const struct command *args_any_command(void)
{
    return &any_command;
}

const struct flag *args_flag(const struct command *command, const char *word)
{
    struct flag_tables tables = command_flags(command ? command : &any_command);

    for (unsigned t = 0; t < tables.n; t++)
        for (const struct flag *f = tables.table[t]; f->name; f++)
            if (flag_matches(f, word))
                return f;
    return NULL;
}

static bool unknown_flag(const struct command *command, const char *where, const char *word,
                         struct fault *fault)
{
    struct flag_tables tables = command_flags(command);
    CLEANUP(mem_freep) char *name = str_dup(word + strspn(word, "-"));
    struct suggest s = {.typed = name};
    char did_you[96];

    name[strcspn(name, "=")] = 0;
    for (unsigned t = 0; t < tables.n; t++)
        for (const struct flag *f = tables.table[t]; f->name; f++)
            suggest_try(&s, f->name);
    return fault_set(fault, CLI_USAGE, "unknown flag %.60s%s (see: vmmctl %s--help)", word,
                     suggest_text(&s, "--", did_you), where);
}

const char *args_value_inside(const char *word)
{
    const char *equals = strchr(word, '=');

    if (word[1] != '-')
        return word[2] ? word + 2 + (word[2] == '=') : NULL;
    return equals ? equals + 1 : NULL;
}

/* ---- first pass ---- */

static bool is_help(const char *word)
{
    return str_eq(word, "--help") || str_eq(word, "-h");
}

/* The next word from argv[*at] on that is no flag; 0 when there is none. */
static int next_word(int argc, char *const *argv, int *at)
{
    for (; *at < argc; ++*at) {
        const char *word = argv[*at];
        const struct flag *flag;

        if (!is_flag(word))
            return *at;
        if (str_eq(word, "--"))
            return 0;
        flag = args_flag(NULL, word);
        if (!flag)
            return 0; /* a command's own flag: the second pass judges it */
        if (flag_needs_value(flag) && !args_value_inside(word))
            ++*at;
    }
    return 0;
}

static bool unknown_noun(const char *word, struct fault *fault)
{
    struct suggest s = {.typed = word};
    char did_you[96];

    for (const struct noun *n = nouns; n->name; n++)
        if (!n->commands[0].hidden)
            suggest_try(&s, n->name);
    for (const struct shortcut *c = shortcuts; c->word; c++)
        suggest_try(&s, c->word);
    for (const struct command *c = nouns[0].commands; c->run; c++)
        suggest_try(&s, c->verb);
    if (suggest_first(word) || suggest_verb(word))
        s.best = suggest_first(word) ? suggest_first(word) : suggest_verb(word);
    return fault_set(fault, CLI_USAGE, "unknown command '%.60s'%s (see: vmmctl --help)", word,
                     suggest_text(&s, "", did_you));
}

static bool unknown_verb(const struct noun *noun, const char *word, struct fault *fault)
{
    struct suggest s = {.typed = word};
    struct strbuf verbs = {0};
    char did_you[96];

    for (const struct command *c = noun->commands; c->run; c++) {
        suggest_try(&s, c->verb);
        strbuf_addf(&verbs, "%s%s", verbs.len ? ", " : "", c->verb);
    }
    if (suggest_verb(word) && command_find(noun, suggest_verb(word)))
        s.best = suggest_verb(word);
    if (*word)
        fault_set(fault, CLI_USAGE, "'%s' has no verb '%.60s'%s (it has: %s)", noun->name, word,
                  suggest_text(&s, "", did_you), verbs.data);
    else
        fault_set(fault, CLI_USAGE, "'vmmctl %s' needs a verb: %s", noun->name, verbs.data);
    strbuf_clear(&verbs);
    return false;
}

static bool find_verb(int argc, char *const *argv, struct places *places, struct args *out,
                      struct fault *fault)
{
    int at = places->noun + 1;

    out->command = command_find(out->noun, NULL);
    if (out->command)
        return true;
    places->verb = next_word(argc, argv, &at);
    if (places->verb && str_eq(argv[places->verb], "help")) { /* vmmctl vm help */
        out->help = true;
        return true;
    }
    if (places->verb)
        out->command = command_find(out->noun, argv[places->verb]);
    else if (out->noun->fallback)
        out->command = command_find(out->noun, out->noun->fallback);
    if (out->command || (out->help && !places->verb))
        return true;
    return unknown_verb(out->noun, places->verb ? argv[places->verb] : "", fault);
}

static bool find_command(int argc, char *const *argv, struct places *places, struct args *out,
                         struct fault *fault)
{
    int at = 1;

    for (int i = 1; i < argc && !str_eq(argv[i], "--"); i++)
        out->help = out->help || is_help(argv[i]);
    places->noun = next_word(argc, argv, &at);
    if (!places->noun) {
        if (out->help)
            return true;
        if (at < argc)
            return unknown_flag(&any_command, "", argv[at], fault);
        return fault_set(fault, CLI_USAGE, "a command is needed (see: vmmctl --help)");
    }
    out->noun = shortcut_find(argv[places->noun], &out->command);
    if (out->noun)
        return true;
    out->noun = noun_find(argv[places->noun]);
    if (!out->noun)
        return unknown_noun(argv[places->noun], fault);
    return find_verb(argc, argv, places, out, fault);
}

/* ---- second pass ---- */

static bool take_flag(struct args *out, int argc, char *const *argv, int *at, struct fault *fault)
{
    const char *word = argv[*at];
    const struct flag *flag = args_flag(out->command, word);
    const char *value = args_value_inside(word);
    char name[64], where[80];

    if (!flag) {
        snprintf(where, sizeof where, "%s ", command_name(out->noun, out->command, name));
        return unknown_flag(out->command, where, word, fault);
    }
    if (flag_needs_value(flag) && !value) {
        if (*at + 1 >= argc)
            return fault_set(fault, CLI_USAGE, "--%s needs a value: --%s %s", flag->name,
                             flag->name, flag->value);
        value = argv[++*at];
    } else if (!flag->value && value) {
        return fault_set(fault, CLI_USAGE, "%.40s: --%s takes no value", word, flag->name);
    }
    out->given[out->n_given++] = (struct given){flag, value};
    return true;
}

/* The i-th word of "METHOD PATH"; the last one for those behind, without the dots of "VM...". */
static void arg_name(const char *args, size_t i, char out[32])
{
    while (i-- && strchr(args, ' '))
        args = strchr(args, ' ') + 1;
    snprintf(out, 32, "%.*s", (int)strcspn(args, " ."), args);
}

static bool check_words(const struct args *args, struct fault *fault)
{
    char name[64], arg[32];

    command_name(args->noun, args->command, name);
    for (size_t i = 0; i < args->n_words; i++) {
        arg_name(args->command->args, i, arg);
        if (i >= args->command->max_args)
            return fault_set(fault, CLI_USAGE, "'%.60s' is one word too many: vmmctl %s%s%s",
                             args->words[i], name, *arg ? " " : "", args->command->args);
        if (!*args->words[i] && !(args->command->uses & USES_ANY_WORDS))
            return fault_set(fault, CLI_USAGE, "%s is empty: vmmctl %s %s", arg, name,
                             args->command->args);
    }
    if (args->n_words >= args->command->min_args)
        return true;
    arg_name(args->command->args, args->n_words, arg);
    return fault_set(fault, CLI_USAGE, "%s is missing: vmmctl %s %s", arg, name,
                     args->command->args);
}

bool args_parse(int argc, char *const *argv, struct args *out, struct fault *fault)
{
    struct places places = {0};
    bool flags_end = false;

    *out = (struct args){0};
    if (!find_command(argc, argv, &places, out, fault))
        return false;
    if (out->help)
        return true;
    out->words = mem_array((size_t)argc, sizeof *out->words);
    out->given = mem_array((size_t)argc, sizeof *out->given);
    for (int i = 1; i < argc; i++) {
        if (i == places.noun || i == places.verb)
            continue;
        if (!flags_end && str_eq(argv[i], "--"))
            flags_end = true;
        else if (flags_end || !is_flag(argv[i]))
            out->words[out->n_words++] = argv[i];
        else if (!take_flag(out, argc, argv, &i, fault))
            return false;
    }
    return check_words(out, fault);
}

void args_clear(struct args *args)
{
    mem_freep(&args->words);
    mem_freep(&args->given);
    *args = (struct args){0};
}

/* ---- reading ---- */

const char *args_nth(const struct args *args, const char *flag, size_t i)
{
    for (size_t k = 0; k < args->n_given; k++)
        if (str_eq(args->given[k].flag->name, flag) && i-- == 0)
            return args->given[k].value;
    return NULL;
}

static const struct given *last_given(const struct args *args, const char *flag)
{
    for (size_t k = args->n_given; k-- > 0;)
        if (str_eq(args->given[k].flag->name, flag))
            return &args->given[k];
    return NULL;
}

const char *args_text(const struct args *args, const char *flag)
{
    const struct given *g = last_given(args, flag);

    assert(!g || g->flag->value);
    return g ? g->value : NULL;
}

const char *args_text_or(const struct args *args, const char *flag, const char *switched)
{
    const struct given *g = last_given(args, flag);

    return g && !g->value ? switched : g ? g->value : NULL;
}

bool args_has(const struct args *args, const char *flag)
{
    return last_given(args, flag) != NULL;
}

bool args_duration(const struct args *args, const char *flag, int64_t or_else, int64_t *ms,
                   struct fault *fault)
{
    const char *text = args_text(args, flag);

    *ms = or_else;
    if (!text || duration_parse(text, ms))
        return true;
    return fault_set(fault, CLI_USAGE, "--%s: '%.40s' is no time; write 90s, 5m, 2h or 30d", flag,
                     text);
}

bool args_number(const struct args *args, const char *flag, uint64_t or_else, uint64_t *out,
                 struct fault *fault)
{
    const char *text = args_text(args, flag);

    *out = or_else;
    if (!text || str_to_u64(text, out))
        return true;
    return fault_set(fault, CLI_USAGE, "--%s: '%.40s' is no number", flag, text);
}

bool args_size(const struct args *args, const char *flag, uint64_t or_else, uint64_t *bytes,
               struct fault *fault)
{
    const char *text = args_text(args, flag);

    *bytes = or_else;
    if (!text || size_parse(text, bytes))
        return true;
    return fault_set(fault, CLI_USAGE,
                     "--%s: '%.40s' is no size; write 512M, 1G or bytes (K M G T count in 1024s)",
                     flag, text);
}
