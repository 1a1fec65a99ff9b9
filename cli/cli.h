/* One run of vmmctl: what a command's function gets. */
#pragma once
#include "cli/args.h"
#include "cli/http.h"

enum output {
    OUTPUT_TABLE,
    OUTPUT_WIDE,
    OUTPUT_JSON,
    OUTPUT_JSONL,
    OUTPUT_YAML,
    OUTPUT_NAME,
    OUTPUT_CSV,
    OUTPUT_COUNT
};
extern const char *const output_names[OUTPUT_COUNT];

struct cli {
    const struct args *args;
    struct connection connection;
    struct http *http;

    FILE *out; /* data only */
    FILE *err; /* messages, progress, questions */
    int in;    /* descriptor of standard input */
    bool out_tty, err_tty, in_tty;
    bool colour;      /* on err; NO_COLOR and TERM=dumb switch it off */
    unsigned columns; /* of the terminal, 80 when unknown */

    enum output output;
    bool output_given;  /* -o was given: commands that print nothing by themselves then print */
    const char *fields; /* "a,b" or NULL */
    bool headers, quiet;

    bool wait, yes;
    const char *wait_for; /* the condition of --wait=CONDITION, or NULL */
    int64_t timeout_ms;   /* for waiting */
};

/* Runs one command line and returns the exit code. 'out' and 'err' stay open. */
int cli_main(int argc, char *const *argv, FILE *out, FILE *err, int in);

/* A line on stderr unless -q was given. */
void cli_say(const struct cli *cli, const char *fmt, ...) PRINTF(2, 3);
/* Asks at a terminal: true for yes, for --yes, and where nobody can be asked. */
bool cli_confirm(const struct cli *cli, const char *question, struct fault *fault) MUST_USE;
/* The whole of a file, or of standard input for "-"; NUL-terminated, owned by the caller. */
bool cli_read_input(const struct cli *cli, const char *path, char **text, size_t *len,
                    struct fault *fault) MUST_USE;
/* The i-th word of the command line. */
const char *cli_word(const struct cli *cli, size_t i);
