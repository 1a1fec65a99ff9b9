/* API objects on stdout: see output.h. Hostile text is escaped in what people read (tables); JSON,
 * YAML and CSV have their own quoting, and JSON is pure ASCII on a terminal. */
#include "cli/output.h"

#include "cli/cell.h"
#include "cli/table.h"
#include "cli/text.h"
#include "cli/yaml.h"
#include "core/base/json.h"
#include "core/base/mem.h"

#include <stdlib.h>
#include <string.h>

#define MAX_COLUMNS 32

const char *const output_names[OUTPUT_COUNT] = {
    [OUTPUT_TABLE] = "table", [OUTPUT_WIDE] = "wide", [OUTPUT_JSON] = "json",
    [OUTPUT_JSONL] = "jsonl", [OUTPUT_YAML] = "yaml", [OUTPUT_NAME] = "name",
    [OUTPUT_CSV] = "csv"};

/* The columns that count now: those of --fields, or the command's own. */
struct chosen {
    struct column column[MAX_COLUMNS];
    size_t n;
    char *names; /* what --fields' columns borrow from */
};

static bool choose_fields(const struct cli *cli, const struct column *columns, struct chosen *out,
                          struct fault *fault)
{
    char *rest = out->names = str_dup(cli->fields);
    char *name;

    while ((name = strsep(&rest, ","))) {
        struct column column = {.title = name, .path = name, .cell = cell_guess(name)};

        if (!*name)
            return fault_set(fault, CLI_USAGE,
                             "--fields: write names with commas between: name,id");
        if (out->n == MAX_COLUMNS)
            return fault_set(fault, CLI_USAGE, "--fields: %d members at most", MAX_COLUMNS);
        for (const struct column *c = columns; c->title; c++)
            if (str_eq(c->path, name) || strcasecmp(c->title, name) == 0)
                column = *c;
        out->column[out->n++] = column;
    }
    return true;
}

static bool choose(const struct cli *cli, const struct column *columns, struct chosen *out,
                   struct fault *fault)
{
    bool wide = cli->output == OUTPUT_WIDE || cli->output == OUTPUT_CSV;

    *out = (struct chosen){0};
    if (cli->fields)
        return choose_fields(cli, columns, out, fault);
    for (const struct column *c = columns; c->title && out->n < MAX_COLUMNS; c++)
        if (wide || !c->wide)
            out->column[out->n++] = *c;
    return true;
}

bool output_members(const struct cli *cli, const struct column *columns, char **members,
                    struct fault *fault)
{
    struct chosen chosen;
    struct strbuf b = {0};
    bool all = !cli->fields && (cli->output == OUTPUT_JSON || cli->output == OUTPUT_JSONL ||
                                cli->output == OUTPUT_YAML || cli->output == OUTPUT_NAME);
    bool ok = choose(cli, columns, &chosen, fault), inside = false;

    *members = NULL;
    if (cli->output == OUTPUT_NAME || cli->quiet)
        chosen.n = 0; /* by name or id, whichever there is */
    for (size_t i = 0; ok && !all && i < chosen.n; i++) {
        const char *path = chosen.column[i].path;

        if (!str_starts(path, "spec."))
            strbuf_addf(&b, "%s%s", b.len ? "," : "", path);
        inside = inside || str_starts(path, "spec.");
    }
    if (inside) /* of a template: the service shows it whole or not at all */
        strbuf_addf(&b, "%sspec", b.len ? "," : "");
    if (b.len)
        *members = strbuf_take(&b);
    free(chosen.names);
    return ok;
}

/* ---- machine formats ---- */

static size_t json_flags(const struct cli *cli)
{
    return JSON_ENCODE_ANY | JSON_SHORT_REALS | (cli->out_tty ? JSON_ENSURE_ASCII : 0);
}

/* With --fields an object of just these members; else the API's object itself. A new reference. */
static json_t *narrow(const struct cli *cli, const json_t *object, const struct chosen *chosen)
{
    json_t *narrowed;

    if (!cli->fields)
        return json_incref((json_t *)object);
    narrowed = json_object();
    for (size_t i = 0; i < chosen->n; i++) {
        const char *path = chosen->column[i].path;
        json_put(narrowed, path, cell_find(object, path));
    }
    return narrowed;
}

static void print_json(const struct cli *cli, const json_t *value)
{
    CLEANUP(mem_freep) char *text = json_dumps(value, json_flags(cli) | JSON_INDENT(2));

    fprintf(cli->out, "%s\n", text);
}

static void print_yaml(const struct cli *cli, const json_t *value)
{
    struct strbuf b = {0};

    yaml_write(value, &b);
    fputs(b.data, cli->out);
    strbuf_clear(&b);
}

static void print_jsonl(const struct cli *cli, const json_t *items)
{
    const json_t *item;
    size_t i;

    json_array_foreach (items, i, item) {
        CLEANUP(mem_freep) char *text = json_dumps(item, json_flags(cli) | JSON_COMPACT);
        fprintf(cli->out, "%s\n", text);
    }
}

/* RFC 4180. */
static void csv_cell(FILE *out, const char *text)
{
    if (!text[strcspn(text, "\",\r\n")]) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (; *text; text++)
        fprintf(out, *text == '"' ? "\"\"" : "%c", *text);
    fputc('"', out);
}

static void print_csv(const struct cli *cli, const json_t *items, const struct chosen *chosen)
{
    const json_t *item;
    size_t row;

    for (size_t i = 0; cli->headers && i < chosen->n; i++)
        fprintf(cli->out, "%s%s", chosen->column[i].path, i + 1 < chosen->n ? "," : "\r\n");
    json_array_foreach (items, row, item) {
        for (size_t i = 0; i < chosen->n; i++) {
            const struct column *c = &chosen->column[i];
            CLEANUP(json_decrefp) json_t *value = cell_find(item, c->path);
            CLEANUP(mem_freep) char *text = cell_text(value, c->cell, false);
            csv_cell(cli->out, text);
            fputs(i + 1 < chosen->n ? "," : "\r\n", cli->out);
        }
    }
}

static void print_names(const struct cli *cli, const json_t *items)
{
    const json_t *item;
    size_t i;

    json_array_foreach (items, i, item) {
        const char *name = cli->quiet ? NULL : json_get_text(item, "name");
        const char *id = json_get_text(item, "id");
        CLEANUP(mem_freep) char *text = text_escape(name ? name : id ? id : "-");
        fprintf(cli->out, "%s\n", text);
    }
}

/* ---- tables ---- */

static char *escaped_cell(const json_t *value, enum cell cell)
{
    CLEANUP(mem_freep) char *text = cell_text(value, cell, true);

    return text_escape(text);
}

static bool is_right(enum cell cell)
{
    return cell == CELL_BYTES || cell == CELL_COUNT || cell == CELL_PERCENT;
}

static void print_rows(const struct cli *cli, char **cells, size_t n_rows,
                       const struct chosen *chosen)
{
    const char *titles[MAX_COLUMNS];
    bool right[MAX_COLUMNS];
    struct table table = {.n_columns = chosen->n,
                          .titles = titles,
                          .right = right,
                          .cells = cells,
                          .n_rows = n_rows,
                          .headers = cli->headers,
                          .width = cli->out_tty && cli->output == OUTPUT_TABLE ? cli->columns : 0};
    struct strbuf b = {0};

    for (size_t i = 0; i < chosen->n; i++) {
        titles[i] = chosen->column[i].title;
        right[i] = is_right(chosen->column[i].cell);
    }
    table_render(&table, &b);
    fputs(b.data ? b.data : "", cli->out);
    strbuf_clear(&b);
}

static void print_table(const struct cli *cli, const json_t *items, const struct chosen *chosen)
{
    size_t n_rows = json_array_size(items), n = n_rows * chosen->n;
    char **cells = mem_array(n, sizeof *cells);
    const json_t *item;
    size_t row;

    json_array_foreach (items, row, item) {
        for (size_t i = 0; i < chosen->n; i++) {
            CLEANUP(json_decrefp) json_t *value = cell_find(item, chosen->column[i].path);
            cells[row * chosen->n + i] = escaped_cell(value, chosen->column[i].cell);
        }
    }
    print_rows(cli, cells, n_rows, chosen);
    for (size_t i = 0; i < n; i++)
        free(cells[i]);
    free(cells);
}

/* Every member on a line of its own, inner ones with their whole path. */
static void print_members(const struct cli *cli, const char *path, const json_t *value)
{
    const char *key;
    json_t *item;
    size_t i;

    if (json_is_object(value) && json_object_size(value)) {
        json_object_foreach ((json_t *)value, key, item) {
            CLEANUP(mem_freep) char *inner = str_format("%s%s%s", path, *path ? "." : "", key);
            print_members(cli, inner, item);
        }
    } else if (json_is_object(json_array_get(value, 0))) {
        json_array_foreach (value, i, item) {
            CLEANUP(mem_freep) char *inner = str_format("%s[%zu]", path, i);
            print_members(cli, inner, item);
        }
    } else {
        CLEANUP(mem_freep) char *name = text_escape(path);
        CLEANUP(mem_freep) char *text = escaped_cell(value, cell_guess(path));
        bool nothing = json_is_object(value);
        fprintf(cli->out, "%-22s %s\n", name, nothing ? "-" : text);
    }
}

static json_t *narrow_all(const struct cli *cli, const json_t *items, const struct chosen *chosen)
{
    json_t *all = json_array();
    const json_t *item;
    size_t i;

    json_array_foreach (items, i, item)
        json_array_append_new(all, narrow(cli, item, chosen));
    return all;
}

bool output_list(struct cli *cli, const json_t *items, const struct column *columns,
                 struct fault *fault)
{
    CLEANUP(json_decrefp) json_t *narrowed = NULL;
    struct chosen chosen;
    bool ok = choose(cli, columns, &chosen, fault);

    if (ok) {
        narrowed = narrow_all(cli, items, &chosen);
        if (cli->quiet || cli->output == OUTPUT_NAME)
            print_names(cli, items);
        else if (cli->output == OUTPUT_JSON)
            print_json(cli, narrowed);
        else if (cli->output == OUTPUT_JSONL)
            print_jsonl(cli, narrowed);
        else if (cli->output == OUTPUT_YAML)
            print_yaml(cli, narrowed);
        else if (cli->output == OUTPUT_CSV)
            print_csv(cli, items, &chosen);
        else
            print_table(cli, items, &chosen);
    }
    free(chosen.names);
    return ok;
}

bool output_object(struct cli *cli, const json_t *object, const struct column *columns,
                   struct fault *fault)
{
    CLEANUP(json_decrefp) json_t *list = json_array();
    CLEANUP(json_decrefp) json_t *narrowed = NULL;
    struct chosen chosen;
    bool ok;

    json_array_append(list, (json_t *)object);
    if (cli->quiet || cli->output == OUTPUT_NAME || cli->output == OUTPUT_JSONL ||
        cli->output == OUTPUT_CSV)
        return output_list(cli, list, columns, fault);
    ok = choose(cli, columns, &chosen, fault);
    if (ok) {
        narrowed = narrow(cli, object, &chosen);
        if (cli->output == OUTPUT_JSON)
            print_json(cli, narrowed);
        else if (cli->output == OUTPUT_YAML)
            print_yaml(cli, narrowed);
        else
            print_members(cli, "", narrowed);
    }
    free(chosen.names);
    return ok;
}

/* ---- from the service ---- */

bool output_shown(struct cli *cli, const char *path, const struct column *columns,
                  struct fault *fault)
{
    CLEANUP(json_decrefp) json_t *object = http_get(cli->http, path, fault);

    return object && output_object(cli, object, columns, fault);
}
