/* Completion: see complete.h. Pure; complete_run.c asks the service and the shells ask that.
 *
 * Theory of operation: the words before the last one are walked once, which tells what the last one
 * is: a noun, a verb, a flag, a flag's value, or the n-th argument. Nothing is refused here; behind
 * a word that means nothing there are no offers. */
#include "cli/complete.h"

#include "cli/cli.h"
#include "cli/member.h"
#include "cli/vm.h"
#include "core/base/mem.h"
#include "core/model/vm.h"

#include <stdio.h>
#include <string.h>

/* ---- where the last word stands ---- */

static bool is_flag(const struct place *p, const char *word)
{
    return !p->flags_end && word[0] == '-' && word[1];
}

static void take_flag(struct place *p, const char *word)
{
    const struct flag *flag = args_flag(p->command, word);
    const char *value = flag ? args_value_inside(word) : NULL;

    if (str_eq(word, "--"))
        p->flags_end = true;
    else if (flag && flag_needs_value(flag) && !value)
        p->flag = flag; /* the next word is its value */
    else if (flag && value)
        p->given[p->n_given++] = (struct given){flag, value};
}

static void take_word(struct place *p, const char *word)
{
    if (!p->noun) {
        p->noun = shortcut_find(word, &p->command);
        if (!p->noun)
            p->noun = noun_find(word);
        if (p->noun && !p->command)
            p->command = command_find(p->noun, NULL);
        p->lost = !p->noun;
    } else if (!p->command) {
        p->command = command_find(p->noun, word);
        p->lost = !p->command;
    } else {
        if (!p->position++)
            p->first = word;
    }
}

static void stand_on(struct place *p, const char *word)
{
    const char *value;

    p->word = word;
    if (p->flag || !is_flag(p, word))
        return;
    value = word[1] == '-' ? args_value_inside(word) : NULL;
    p->flag = value ? args_flag(p->command, word) : NULL;
    p->head = value ? (size_t)(value - word) : 0;
    p->lost = p->lost || (value && (!p->flag || !p->flag->value));
}

void place_find(const char *const *words, size_t n, struct place *out)
{
    *out = (struct place){.word = ""};
    out->given = mem_array(n + 1, sizeof *out->given);
    for (size_t i = 0; i + 1 < n; i++) {
        if (out->flag) {
            out->given[out->n_given++] = (struct given){out->flag, words[i]};
            out->flag = NULL;
        } else if (is_flag(out, words[i])) {
            take_flag(out, words[i]);
        } else {
            take_word(out, words[i]);
        }
    }
    if (n)
        stand_on(out, words[n - 1]);
}

void place_clear(struct place *place)
{
    mem_freep(&place->given);
}

/* ---- offers ---- */

struct offer offer_for(const struct place *place, struct strbuf *out)
{
    return (struct offer){place, place->word + place->head, out};
}

/* Names come from the service: nothing in them may reach a shell as more than a word. */
static bool is_plain(const char *value)
{
    return *value &&
           value[strspn(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                               "-_.:=+/@,")] == 0;
}

void offer_value(const struct offer *offer, const char *value, const char *about)
{
    if (!is_plain(value) || !str_starts(value, offer->prefix))
        return;
    strbuf_addf(offer->out, "%.*s%s\t%s\n", (int)offer->place->head, offer->place->word, value,
                about ? about : "");
}

static void offer_files(const struct place *place, struct strbuf *out)
{
    if (!place->head) /* "--file=pa": no shell is told to replace a part of a word by a path */
        strbuf_adds(out, ":files\n");
}

/* "a|b|c", without "...". */
static void offer_choices(const struct offer *offer, const char *choices)
{
    while (*choices) {
        size_t n = strcspn(choices, "|");
        CLEANUP(mem_freep) char *one = str_format("%.*s", (int)n, choices);

        if (!str_eq(one, "..."))
            offer_value(offer, one, NULL);
        choices += n + (choices[n] == '|');
    }
}

static void offer_field(const struct offer *offer, const struct field *field)
{
    if (field->type == FIELD_BOOL)
        offer_choices(offer, "true|false");
    for (size_t i = 0; field->type == FIELD_ENUM && field->names[i]; i++)
        offer_value(offer, field->names[i], NULL);
}

struct members {
    const struct offer *offer;
    const char *typed; /* "cpu.model=…" or a part of it */
};

static void offer_member(void *arg, const char *path, const struct field *field)
{
    const struct members *m = arg;
    size_t n = strlen(path);
    CLEANUP(mem_freep) char *open = str_format("%s=", path);

    if (strncmp(m->typed, path, n) == 0 && m->typed[n] == '=') {
        struct place deeper = *m->offer->place;
        struct offer value;

        deeper.head += n + 1;
        value = offer_for(&deeper, m->offer->out);
        offer_field(&value, field);
    } else if (field->type != FIELD_LABELS) {
        offer_value(m->offer, open, field->help);
    }
}

static void offer_nouns(const struct offer *offer)
{
    for (const struct noun *n = nouns; n->name; n++)
        if (!n->commands[0].hidden)
            offer_value(offer, n->name, n->summary);
    for (const struct shortcut *s = shortcuts; s->word; s++) {
        CLEANUP(mem_freep) char *about = str_format("vmmctl %s %s", s->noun, s->verb);
        offer_value(offer, s->word, about);
    }
    for (const struct command *c = nouns[0].commands; c->run; c++)
        offer_value(offer, c->verb, c->summary);
}

static void offer_verbs(const struct offer *offer, const struct noun *noun)
{
    for (const struct command *c = noun->commands; c->run; c++)
        if (!c->hidden && c->verb)
            offer_value(offer, c->verb, c->summary);
}

static void offer_flags(const struct place *p, struct strbuf *out)
{
    struct flag_tables tables = command_flags(p->command ? p->command : args_any_command());
    struct offer offer = offer_for(p, out);

    for (unsigned t = 0; t < tables.n; t++)
        for (const struct flag *f = tables.table[t]; f->name; f++) {
            CLEANUP(mem_freep) char *name = str_format("--%s", f->name);
            offer_value(&offer, name, f->help);
        }
}

/* What a placeholder of the help stands for, when vmmctl knows it. */
static const struct known_word {
    const char *placeholder, *choices;
} known_words[] = {
    {"FORMAT", "table|wide|json|jsonl|yaml|name|csv"},
    {"METHOD", "GET|POST|PATCH|DELETE"},
    {"ROLE", "viewer|operator|admin"},
    {"STATE", "queued|running|cancelling|succeeded|failed|cancelled|interrupted"},
    {"KINDS", "disk|cdrom|network"},
    {"KEYS", "ctrl-alt-delete|ctrl-alt-f1|ctrl-alt-f2|ret|esc|tab|spc|alt-tab|alt-f4|meta_l"},
    {"BUTTON", "left|middle|right|wheel-up|wheel-down"},
    {"CONDITION]", "running|off|paused|saved|crashed|serial:"},
    {"CONDITION", "running|off|paused|saved|crashed|deleted|serial:"},
};

static bool offer_placeholder(const struct place *p, const char *what, struct strbuf *out)
{
    struct offer offer = offer_for(p, out);

    if (strchr(what, '|')) {
        offer_choices(&offer, what);
        return true;
    }
    if (str_eq(what, "FILE") || str_eq(what, "PATH") || str_eq(what, "DIR")) {
        if (!str_eq(p->noun ? p->noun->name : "", "api"))
            offer_files(p, out);
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(known_words); i++)
        if (str_eq(known_words[i].placeholder, what)) {
            offer_choices(&offer, known_words[i].choices);
            return true;
        }
    return false;
}

static void placeholder_of_argument(const struct command *command, size_t i, char out[32])
{
    const char *at = command->args;

    out[0] = 0;
    if (i >= command->max_args)
        return;
    for (; i && strchr(at, ' '); i--)
        at = strchr(at, ' ') + 1;
    at += strspn(at, "[");
    snprintf(out, 32, "%.*s", (int)strcspn(at, " .]"), at);
}

static void offer_flag_value(const struct place *p, struct strbuf *out, char wanted[32])
{
    struct offer offer = offer_for(p, out);
    const struct field *field = p->command ? vm_flag_field(p->command, p->flag->name) : NULL;
    const char *what = p->flag->value + strspn(p->flag->value, "[=");

    if (str_eq(p->flag->name, "set")) {
        struct members members = {&offer, offer.prefix};
        member_each(&vm_model, offer_member, &members);
    } else if (field && (field->type == FIELD_ENUM || field->type == FIELD_BOOL)) {
        offer_field(&offer, field);
    } else if (!offer_placeholder(p, what, out)) {
        snprintf(wanted, 32, "%.*s", (int)strcspn(what, " .]"), what);
    }
}

static void offer_argument(const struct place *p, struct strbuf *out, char wanted[32])
{
    struct offer offer = offer_for(p, out);
    char what[32];

    placeholder_of_argument(p->command, p->position, what);
    if (str_eq(what, "COMMAND"))
        offer_nouns(&offer);
    else if (str_eq(what, "VERB") && p->first && noun_find(p->first))
        offer_verbs(&offer, noun_find(p->first));
    else if (!offer_placeholder(p, what, out))
        memcpy(wanted, what, 32);
}

const char *offer_known(const struct place *p, struct strbuf *out, char wanted[32])
{
    struct offer offer = offer_for(p, out);

    wanted[0] = 0;
    if (p->lost)
        return wanted;
    if (p->flag)
        offer_flag_value(p, out, wanted);
    else if (!p->flags_end && p->word[0] == '-')
        offer_flags(p, out);
    else if (!p->noun)
        offer_nouns(&offer);
    else if (!p->command)
        offer_verbs(&offer, p->noun);
    else
        offer_argument(p, out, wanted);
    return wanted;
}
