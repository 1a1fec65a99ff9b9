/* docs/vm.md says of every member of a VM's configuration what the tables say: this makes the
 * page's table from them and compares. With "--table" it prints the table, for the page; with
 * "--json" the tables themselves, which the contract test compares with openapi.yaml. */
#include "tests/lib/harness.h"

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/profile.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BEGIN "<!-- members: made from core/model/vm.c -->\n"
#define END   "<!-- end of members -->\n"

static const char *const type_names[] = {"boolean", "integer", "integer", "text",           "word",
                                         "uuid",    "labels",  "object",  "list of objects"};

/* ---- the table of the page ---- */

static const char *applies(const struct field *f, unsigned inherited)
{
    unsigned flags = f->flags | inherited;

    if (flags & FIELD_READ_ONLY)
        return "never";
    if (flags & FIELD_CREATE_ONLY)
        return "on create only";
    return flags & FIELD_NEXT_START ? "next start" : "at once";
}

static void add_limits(struct strbuf *b, const struct field *f)
{
    if (f->type == FIELD_ENUM)
        for (unsigned i = 0; f->names[i]; i++)
            strbuf_addf(b, "%s%s", i ? ", " : "", f->names[i]);
    else if (f->type == FIELD_U32 || f->type == FIELD_U64)
        strbuf_addf(b, "%llu–%llu", (unsigned long long)f->min, (unsigned long long)f->max);
    else if (f->type == FIELD_TEXT)
        strbuf_addf(b, "%llu–%llu bytes", (unsigned long long)f->min, (unsigned long long)f->max);
    else if (f->type == FIELD_LIST || f->type == FIELD_LABELS)
        strbuf_addf(b, "up to %llu", (unsigned long long)f->max);
    else
        strbuf_addf(b, "%s", type_names[f->type]);
}

/* What a profile says for the member at 'path' ("firmware.type", "disks[].bus"), or NULL. */
static json_t *profile_default(const struct profile *p, const char *path)
{
    const char *table = str_starts(path, "disks[].")  ? p->disk
                        : str_starts(path, "nics[].") ? p->nic
                                                      : p->defaults;
    const char *inner = strstr(path, "[].");
    CLEANUP(json_decrefp) json_t *value = json_loads(table, 0, NULL);
    CLEANUP(mem_freep) char *copy = str_dup(inner ? inner + 3 : path);
    char *save = NULL;
    json_t *at = value;

    for (char *part = strtok_r(copy, ".", &save); part; part = strtok_r(NULL, ".", &save))
        at = json_object_get(at, part);
    return json_incref(at);
}

static char *plain(const json_t *value)
{
    return json_is_string(value) ? str_dup(json_string_value(value))
                                 : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
}

static void add_default(struct strbuf *b, const struct field *f, const char *path)
{
    CLEANUP(json_decrefp)
    json_t *fallback = f->fallback ? json_loads(f->fallback, JSON_DECODE_ANY, NULL) : NULL;
    CLEANUP(mem_freep) char *text = fallback ? plain(fallback) : str_dup("");

    strbuf_addf(b, "%s", f->flags & FIELD_REQUIRED ? "required" : text);
    if (f->type == FIELD_OBJECT)
        return;
    for (unsigned i = 0; vm_profile_names[i]; i++) {
        CLEANUP(json_decrefp) json_t *own = profile_default(&profiles[i], path);
        CLEANUP(mem_freep) char *value = own ? plain(own) : NULL;

        if (value && !str_eq(value, text))
            strbuf_addf(b, "; %s: %s", vm_profile_names[i], value);
    }
}

static void add_model(struct strbuf *b, const struct model *model, const char *prefix,
                      unsigned inherited);

static void add_row(struct strbuf *b, const struct field *f, const char *prefix, unsigned inherited)
{
    CLEANUP(mem_freep) char *path = str_format("%s%s", prefix, f->name);
    CLEANUP(mem_freep) char *under = str_format(f->type == FIELD_LIST ? "%s[]." : "%s.", path);

    strbuf_addf(b, "| `%s` | ", path);
    add_limits(b, f);
    strbuf_addf(b, " | ");
    add_default(b, f, path);
    strbuf_addf(b, " | %s | %s |\n", applies(f, inherited), f->help);
    if (f->of)
        add_model(b, f->of, under, inherited | (f->flags & (FIELD_NEXT_START | FIELD_CREATE_ONLY)));
}

static void add_model(struct strbuf *b, const struct model *model, const char *prefix,
                      unsigned inherited)
{
    for (size_t i = 0; i < model->n_fields; i++)
        add_row(b, &model->fields[i], prefix, inherited);
}

static char *table(void)
{
    struct strbuf b = {0};

    strbuf_addf(&b, "| member | values | default | a change applies | |\n|---|---|---|---|---|\n");
    add_model(&b, &vm_model, "", 0);
    return b.data;
}

static char *page_text(void)
{
    const char *src = getenv("VMMD_SRC");
    CLEANUP(mem_freep) char *path = str_format("%s/docs/vm.md", src ? src : ".");
    CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct err err = {0};
    char *text = NULL;

    if (fd < 0 || !fs_read_all(fd, 1u << 20, &text, NULL, &err))
        fail_msg("docs/vm.md cannot be read");
    return text;
}

static void the_page_says_what_the_tables_say(void **state)
{
    CLEANUP(mem_freep) char *expected = table();
    CLEANUP(mem_freep) char *page = page_text();
    char *begin = strstr(page, BEGIN), *end = strstr(page, END);

    assert_true(begin && end && begin < end);
    *end = 0;
    if (strcmp(begin + strlen(BEGIN), expected) != 0)
        fail_msg("docs/vm.md is not what the tables say: take the output of this program with "
                 "--table");
}

static void the_page_names_every_profile(void **state)
{
    CLEANUP(mem_freep) char *page = page_text();

    for (unsigned i = 0; vm_profile_names[i]; i++) {
        CLEANUP(mem_freep)
        char *row = str_format("| `%s` | %s |", vm_profile_names[i], profiles[i].help);
        if (!strstr(page, row))
            fail_msg("docs/vm.md lacks the row: %s", row);
    }
}

/* ---- the tables as data ---- */

static json_t *model_json(const struct model *model);

static json_t *field_json(const struct field *f)
{
    json_t *v = json_object();
    CLEANUP(json_decrefp) json_t *names = NULL;

    json_put_text(v, "type", type_names[f->type]);
    json_put_u64(v, "min", f->min);
    json_put_u64(v, "max", f->max);
    json_put(v, "required", json_boolean(f->flags & FIELD_REQUIRED));
    json_put(v, "read_only", json_boolean(f->flags & FIELD_READ_ONLY));
    json_put(v, "create_only", json_boolean(f->flags & FIELD_CREATE_ONLY));
    json_put(v, "next_start", json_boolean(f->flags & FIELD_NEXT_START));
    json_put(v, "by_profile", json_boolean(f->flags & FIELD_BY_PROFILE));
    if (f->fallback)
        json_put(v, "fallback", json_loads(f->fallback, JSON_DECODE_ANY, NULL));
    if (f->names) {
        names = json_array();
        for (unsigned i = 0; f->names[i]; i++)
            json_array_append_new(names, json_string(f->names[i]));
        json_object_set(v, "names", names);
    }
    if (f->of)
        json_put(v, "of", model_json(f->of));
    return v;
}

static json_t *model_json(const struct model *model)
{
    json_t *v = json_object(), *members = json_object();

    for (size_t i = 0; i < model->n_fields; i++)
        json_put(members, model->fields[i].name, field_json(&model->fields[i]));
    json_put_text(v, "schema", model->name);
    json_put(v, "members", members);
    return v;
}

static int print_json(void)
{
    CLEANUP(json_decrefp) json_t *v = model_json(&vm_model);

    return json_dumpf(v, stdout, JSON_INDENT(1)) ? 1 : 0;
}

static int print_table(void)
{
    CLEANUP(mem_freep) char *text = table();

    return fputs(text, stdout) < 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_page_says_what_the_tables_say),
        cmocka_unit_test(the_page_names_every_profile),
    };

    if (argc > 1)
        return str_eq(argv[1], "--json") ? print_json() : print_table();
    return cmocka_run_group_tests_name("unit/model_docs", tests, NULL, NULL);
}
