/* The command line, split by the table of commands. Pure: nothing is looked up outside argv. */
#pragma once
#include "cli/command.h"

#include <stddef.h>
#include <stdint.h>

struct given {
    const struct flag *flag;
    const char *value; /* NULL for a switch; borrowed from argv */
};

struct args {
    const struct noun *noun;       /* NULL: none was given (help only) */
    const struct command *command; /* NULL: a noun alone (help only) */
    const char **words;            /* positional arguments, borrowed from argv */
    size_t n_words;
    struct given *given;
    size_t n_given;
    bool help; /* --help stands somewhere: nothing else was checked */
};

/* Fills '*out', to be cleared whatever comes out. The fault (exit 2) is one line that says what is
 * expected, with the nearest known word. */
bool args_parse(int argc, char *const *argv, struct args *out, struct fault *fault) MUST_USE;
void args_clear(struct args *args);

/* The flag that a word "--name", "--name=value", "-n" means for a command, or NULL; NULL for the
 * command stands for flags that commands share. */
const struct flag *args_flag(const struct command *command, const char *word);
const struct command *args_any_command(void);
/* The value that stands in the same word ("--a=b", "-ab"), or NULL. */
const char *args_value_inside(const char *word);

/* The flag's last value; NULL when it, or its value, was not given. Unknown names are a bug of the
 * caller. */
const char *args_text(const struct args *args, const char *flag);
/* As above; 'switched' for one that was given without a value. */
const char *args_text_or(const struct args *args, const char *flag, const char *switched);
bool args_has(const struct args *args, const char *flag);
/* The i-th value of a flag that may be repeated, NULL behind the last one. */
const char *args_nth(const struct args *args, const char *flag, size_t i);
/* A duration flag in ms; 'or_else' when not given. */
bool args_duration(const struct args *args, const char *flag, int64_t or_else, int64_t *ms,
                   struct fault *fault) MUST_USE;
bool args_number(const struct args *args, const char *flag, uint64_t or_else, uint64_t *out,
                 struct fault *fault) MUST_USE;
bool args_size(const struct args *args, const char *flag, uint64_t or_else, uint64_t *bytes,
               struct fault *fault) MUST_USE;
