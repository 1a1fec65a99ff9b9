/* vmmctl audit …: who changed what. The chain is checked here, not by the service: vmmctl computes
 * each record's hash itself. */
#include "cli/list.h"
#include "cli/text.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/chain.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES (1u << 20)

static bool audit_list_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool audit_export_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool audit_verify_run(struct cli *cli, struct fault *fault) MUST_USE;

static const struct column columns[] = {
    {"SEQ", "seq", CELL_TEXT, false},
    {"AT", "at", CELL_TIME, false},
    {"WHO", "principal", CELL_TEXT, false},
    {"FROM", "from", CELL_TEXT, false},
    {"WHAT", "operation", CELL_TEXT, false},
    {"RESULT", "result", CELL_TEXT, false},
    {"PATH", "path", CELL_TEXT, true},
    {"REQUEST", "request_id", CELL_TEXT, true},
    {0},
};
static const struct flag verify_flags[] = {
    {"head", 0, "SEQ:HASH", "a record's number and hash, as noted earlier: it must be there still"},
    {0},
};

const struct command audit_commands[] = {
    {"list", "", 0, 0, USES_LIST | USES_OUTPUT, NULL, "list records, the newest first", NULL,
     "  vmmctl audit list --filter 'principal==token:ci,at>=2026-11-01' --limit 20", audit_list_run,
     false},
    {"export", "", 0, 0, 0, NULL, "print all records as JSON lines, the oldest first", NULL,
     "  vmmctl audit export >audit.jsonl", audit_export_run, false},
    {"verify", "[FILE]", 0, 1, 0, verify_flags, "check that no record was changed or left out",
     "Each record's hash covers the one before it. Whoever can write to the database could make "
     "all "
     "of them anew; that shows by a hash that was noted elsewhere: the last line that this command "
     "prints, or what the service writes to its log every hour.\n\n"
     "FILE is what 'audit export' printed; - for standard input. Without it the service is asked.",
     "  vmmctl audit verify\n  vmmctl audit verify --head 1204:9f86d0… audit.jsonl",
     audit_verify_run, false},
    {0},
};

static bool audit_list_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/audit");

    return list_print(cli, path, columns, fault);
}

/* ---- all records, a page at a time ---- */

static bool print_page(void *ctx, const json_t *items, struct fault *fault)
{
    struct cli *cli = ctx;
    const json_t *record;
    size_t i;

    json_array_foreach (items, i, record) {
        CLEANUP(mem_freep) char *line = json_dumps(record, JSON_COMPACT | JSON_SORT_KEYS);
        if (fprintf(cli->out, "%s\n", line) < 0)
            return fault_set(fault, CLI_FAILED, "cannot write: %s", strerror(errno));
    }
    return true;
}

static bool audit_export_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/audit?order=seq");

    return list_pages(cli, path, print_page, cli, fault);
}

/* ---- verify ---- */

struct verify {
    struct chain_check check;
    uint64_t head_seq; /* 0: none was given */
    uint8_t head[CHAIN_HASH];
    bool head_seen;
};

static bool verify_one(struct verify *v, const json_t *record, struct fault *fault)
{
    struct err err = {0};

    if (!chain_next(&v->check, record, &err))
        return fault_set(fault, CLI_FAILED, "the audit trail is not as it was: %s", err.detail);
    if (v->check.seq != v->head_seq)
        return true;
    v->head_seen = true;
    return memcmp(v->check.hash, v->head, CHAIN_HASH) == 0 ||
           fault_set(fault, CLI_FAILED,
                     "the audit trail is not as it was: record %" PRIu64 " is another than then",
                     v->head_seq);
}

static bool verify_page(void *ctx, const json_t *items, struct fault *fault)
{
    const json_t *record;
    size_t i;

    json_array_foreach (items, i, record) {
        if (!verify_one(ctx, record, fault))
            return false;
    }
    return true;
}

static bool verify_lines(struct verify *v, FILE *file, struct fault *fault)
{
    CLEANUP(mem_freep) char *line = NULL;
    size_t size = 0;
    ssize_t n;

    while ((n = getline(&line, &size, file)) > 0) {
        struct err err = {0};
        CLEANUP(json_decrefp)
        json_t *record = n < LINE_MAX_BYTES ? json_read(line, (size_t)n, &err) : NULL;
        if (!record)
            return fault_set(fault, CLI_FAILED,
                             "what follows record %" PRIu64 " is no JSON line of a record",
                             v->check.seq);
        if (!verify_one(v, record, fault))
            return false;
    }
    return true;
}

static bool verify_file(struct verify *v, const char *name, struct fault *fault)
{
    bool is_stdin = str_eq(name, "-"), ok;
    FILE *file = is_stdin ? stdin : fopen(name, "re");

    if (!file)
        return fault_set(fault, CLI_USAGE, "cannot read %s: %s", name, strerror(errno));
    ok = verify_lines(v, file, fault);
    if (!is_stdin)
        fclose(file);
    return ok;
}

static bool parse_head(struct cli *cli, struct verify *v, struct fault *fault)
{
    const char *text = args_text(cli->args, "head"), *colon = text ? strchr(text, ':') : NULL;
    CLEANUP(mem_freep) char *number = colon ? strndup(text, (size_t)(colon - text)) : NULL;

    if (!text)
        return true;
    return (colon && str_to_u64(number, &v->head_seq) && v->head_seq &&
            chain_parse(colon + 1, v->head)) ||
           fault_set(fault, CLI_USAGE,
                     "--head is a number, a colon and 64 hexadecimal digits, as 'audit verify' "
                     "prints them");
}

static bool tell(struct cli *cli, const struct verify *v, struct fault *fault)
{
    char hash[CHAIN_TEXT];

    if (v->head_seq && !v->head_seen)
        return fault_set(fault, CLI_FAILED,
                         "record %" PRIu64 ", which was there, is missing: the trail has %" PRIu64
                         " to %" PRIu64,
                         v->head_seq, v->check.first, v->check.seq);
    if (v->check.n == 0) {
        cli_say(cli, "there are no records");
        return true;
    }
    chain_text(v->check.hash, hash);
    cli_say(cli, "%" PRIu64 " records, from number %" PRIu64 " on, follow from each other",
            v->check.n, v->check.first);
    fprintf(cli->out, "%" PRIu64 ":%s\n", v->check.seq, hash);
    return true;
}

static bool audit_verify_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/audit?order=seq");
    const char *file = cli->args->n_words ? cli_word(cli, 0) : NULL;
    struct verify v = {0};

    return parse_head(cli, &v, fault) &&
           (file ? verify_file(&v, file, fault) : list_pages(cli, path, verify_page, &v, fault)) &&
           tell(cli, &v, fault);
}
