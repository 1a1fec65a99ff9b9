/* The documents of vmmctl apply: see apply.h. */
#include "cli/apply.h"
#include "cli/document.h"
#include "cli/member.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/model/pool.h"
#include "core/model/vm.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_OBJECTS 10000

static const char *const pool_edited[] = {"quota_bytes", "reserve_bytes", "default_format", NULL};
static const char *const webhook_edited[] = {"url", "types", "enabled", NULL};

static const char *const template_edited[] = {"notes", "labels", "spec", NULL};

const struct kind apply_kinds[] = {
    {"pool", "/pools", &pool_model, pool_edited, false},
    {"webhook", "/webhooks", NULL, webhook_edited, false},
    {"template", "/templates", NULL, template_edited, false},
    {"vm", "/vms", &vm_model, NULL, true},
    {0},
};

static const struct kind *kind_find(const char *name)
{
    for (const struct kind *k = apply_kinds; k->name; k++)
        if (str_eq(k->name, name))
            return k;
    return NULL;
}

static bool is_twin(const struct objects *objects, const struct object *object)
{
    for (size_t i = 0; i < objects->n; i++)
        if (objects->item[i].kind == object->kind && str_eq(objects->item[i].name, object->name))
            return true;
    return false;
}

/* A document without a kind is a VM, as for vm create -f. */
static bool take(const json_t *document, const char *where, size_t number, struct objects *out,
                 struct fault *fault)
{
    const char *called = json_get_text(document, "kind");
    struct object o = {.kind = kind_find(called ? called : "vm"),
                       .name = json_get_text(document, "name")};

    if (!json_is_object(document))
        return fault_set(fault, CLI_USAGE, "%.200s: document %zu is no mapping", where, number);
    if (!o.kind || (json_object_get(document, "kind") && !called))
        return fault_set(
            fault, CLI_USAGE,
            "%.200s: document %zu has a kind that is not known (vm, template, pool, webhook)",
            where, number);
    if (!o.name || !*o.name)
        return fault_set(fault, CLI_USAGE, "%.200s: document %zu has no name", where, number);
    if (is_twin(out, &o))
        return fault_set(fault, CLI_USAGE, "%.200s: document %zu: %s/%.63s is described twice",
                         where, number, o.kind->name, o.name);
    if (out->n == MAX_OBJECTS)
        return fault_set(fault, CLI_USAGE, "more than %d objects", MAX_OBJECTS);
    o.spec = json_deep_copy(document);
    json_object_del(o.spec, "kind");
    if (o.kind->model)
        member_tidy(o.kind->model, o.spec);
    else if (json_is_object(json_object_get(o.spec, "spec"))) /* of a template */
        member_tidy(&vm_model, json_object_get(o.spec, "spec"));
    o.name = json_get_text(o.spec, "name");
    out->item = mem_resize(out->item, out->n + 1, sizeof *out->item);
    out->item[out->n++] = o;
    return true;
}

/* A JSON array stands for its elements. */
static bool take_all(const json_t *documents, const char *where, struct objects *out,
                     struct fault *fault)
{
    const json_t *first = json_array_get(documents, 0), *one;
    size_t i;

    if (json_array_size(documents) == 1 && json_is_array(first))
        documents = first;
    json_array_foreach (documents, i, one)
        if (!take(one, where, i + 1, out, fault))
            return false;
    return true;
}

static bool read_file(struct cli *cli, const char *path, struct objects *out, struct fault *fault)
{
    CLEANUP(json_decrefp) json_t *documents = document_read(cli, path, fault);

    return documents &&
           take_all(documents, str_eq(path, "-") ? "standard input" : path, out, fault);
}

static int is_document(const struct dirent *entry)
{
    static const char *const endings[] = {".yaml", ".yml", ".json"};
    const char *dot = strrchr(entry->d_name, '.');

    for (size_t i = 0; i < ARRAY_LEN(endings) && entry->d_name[0] != '.'; i++)
        if (str_eq(dot, endings[i]))
            return 1;
    return 0;
}

static bool read_folder(struct cli *cli, const char *path, struct objects *out, struct fault *fault)
{
    struct dirent **entries = NULL;
    int n = scandir(path, &entries, is_document, alphasort);
    bool ok = n > 0;

    if (n <= 0)
        fault_set(fault, CLI_USAGE, "%.200s: %s", path,
                  n < 0 ? strerror(errno) : "no .yaml, .yml or .json file in this folder");
    for (int i = 0; i < n; i++) {
        CLEANUP(mem_freep) char *file = str_format("%s/%s", path, entries[i]->d_name);

        ok = ok && read_file(cli, file, out, fault);
        free(entries[i]);
    }
    free(entries);
    return ok;
}

static int by_kind(const void *a, const void *b)
{
    const struct object *x = a, *y = b;

    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    return strcmp(x->name, y->name);
}

bool objects_read(struct cli *cli, struct objects *out, struct fault *fault)
{
    const char *path;
    struct stat st;

    for (size_t i = 0; (path = args_nth(cli->args, "file", i)); i++) {
        bool folder = !str_eq(path, "-") && stat(path, &st) == 0 && S_ISDIR(st.st_mode);

        if (folder ? !read_folder(cli, path, out, fault) : !read_file(cli, path, out, fault))
            return false;
    }
    if (!out->n)
        return fault_set(fault, CLI_USAGE,
                         args_has(cli->args, "file")
                             ? "there is nothing in it"
                             : "-f FILE is missing: vmmctl apply -f web.yaml");
    qsort(out->item, out->n, sizeof *out->item, by_kind);
    return true;
}

void objects_clear(struct objects *objects)
{
    for (size_t i = 0; i < objects->n; i++)
        json_decref(objects->item[i].spec);
    free(objects->item);
    *objects = (struct objects){0};
}
