/* Paths of members: see place.h. "run.state" is found in the schema's own table, "boot.kernel" in
 * its field table, "label.ci" in its labels; what lies in front of a dot is a member too, which can
 * be shown as a whole. */
#include "core/model/place.h"

#include "core/base/mem.h"
#include "core/base/str.h"

#include <stdlib.h>
#include <string.h>

#define ORDERED_TEXT_BYTES 255 /* a page token holds it */
#define LISTED_BYTES       300

static const struct field *member(const struct model *model, const char *name)
{
    for (size_t i = 0; model && i < model->n_fields; i++)
        if (strcmp(model->fields[i].name, name) == 0)
            return &model->fields[i];
    return NULL;
}

static enum query_type type_of(const struct field *f)
{
    switch (f->type) {
    case FIELD_BOOL:
        return QUERY_BOOL;
    case FIELD_U32:
    case FIELD_U64:
        return QUERY_NUMBER;
    case FIELD_TEXT:
        return f->max > ORDERED_TEXT_BYTES ? QUERY_PROSE : QUERY_TEXT;
    case FIELD_UUID:
        return QUERY_TEXT;
    case FIELD_ENUM:
        return QUERY_WORD;
    case FIELD_LABELS:
        return QUERY_LABELS;
    default:
        return QUERY_ANY;
    }
}

/* In the schema's own table: 'path' itself or a part in front of one of its dots. */
static bool find_own(const struct query_schema *schema, const char *path, struct query_place *out)
{
    size_t n = strlen(path);
    bool part = false;

    for (size_t i = 0; i < schema->n_fields; i++) {
        const struct query_field *f = &schema->fields[i];

        if (strcmp(f->path, path) == 0) {
            out->type = f->type;
            out->words = f->words;
            return true;
        }
        part |= strncmp(f->path, path, n) == 0 && f->path[n] == '.';
    }
    out->type = QUERY_ANY;
    return part;
}

/* In the field table, by steps that are cut already. */
static bool find_model(const struct model *model, struct query_place *out)
{
    for (unsigned i = 0; i < out->n_steps; i++) {
        const struct field *f = member(model, out->steps[i]);

        if (!f)
            return false;
        out->type = type_of(f);
        out->words = f->names;
        out->many |= f->type == FIELD_LIST;
        model = f->type == FIELD_OBJECT || f->type == FIELD_LIST ? f->of : NULL;
    }
    return true;
}

/* "label.a.b" is the text with the key "a.b" of the member that has labels: "labels", "data". */
static const char *labels_of(const struct query_schema *schema)
{
    for (size_t i = 0; i < schema->n_fields; i++)
        if (schema->fields[i].type == QUERY_LABELS)
            return schema->fields[i].path;
    for (size_t i = 0; schema->model && i < schema->model->n_fields; i++)
        if (schema->model->fields[i].type == FIELD_LABELS)
            return schema->model->fields[i].name;
    return NULL;
}

static bool find_label(const struct query_schema *schema, struct query_place *out)
{
    const char *labels = labels_of(schema);
    char *dot = strchr(out->text, '.');

    if (!labels || !dot || !dot[1])
        return false;
    *dot = 0;
    if (strcmp(out->text, labels) != 0 &&
        (strcmp(out->text, "label") != 0 || strcmp(labels, "labels") != 0)) {
        *dot = '.';
        return false;
    }
    out->steps[0] = labels;
    out->steps[1] = dot + 1;
    out->n_steps = 2;
    out->type = QUERY_TEXT;
    return true;
}

static bool cut(struct query_place *out)
{
    char *rest = out->text, *step;

    while ((step = strsep(&rest, "."))) {
        if (!*step || out->n_steps == QUERY_STEPS)
            return false;
        out->steps[out->n_steps++] = step;
    }
    return true;
}

static bool find(const struct query_schema *schema, struct query_place *out)
{
    if (find_label(schema, out))
        return true;
    if (find_own(schema, out->text, out))
        return cut(out);
    return cut(out) && find_model(schema->model, out);
}

static bool is_usable(const struct query_place *place, enum place_use use)
{
    bool comparable = place->type != QUERY_ANY && place->type != QUERY_LABELS;

    return use == PLACE_SHOWN || (use == PLACE_COMPARED && comparable) ||
           (comparable && place->type != QUERY_PROSE && !place->many);
}

/* ---- what there is ---- */

static void list_one(struct strbuf *list, const char *prefix, const char *name)
{
    if (list->len < LISTED_BYTES)
        strbuf_addf(list, "%s%s%s", list->len ? ", " : "", prefix, name);
    else if (list->data[list->len - 1] != '.')
        strbuf_adds(list, ", ...");
}

static void list_model(struct strbuf *list, const struct model *model, const char *prefix,
                       enum place_use use, bool many)
{
    for (size_t i = 0; model && i < model->n_fields; i++) {
        const struct field *f = &model->fields[i];
        const struct query_place place = {.type = type_of(f), .many = many};

        if (f->type == FIELD_OBJECT || f->type == FIELD_LIST) {
            CLEANUP(mem_freep) char *below = str_format("%s%s.", prefix, f->name);
            list_model(list, f->of, below, use, many || f->type == FIELD_LIST);
        } else if (f->type == FIELD_LABELS) {
            list_one(list, prefix, "label.KEY");
        } else if (is_usable(&place, use)) {
            list_one(list, prefix, f->name);
        }
    }
}

static bool unknown(const struct query_schema *schema, const char *path, enum place_use use,
                    struct err *err)
{
    static const char *const verbs[] = {"show", "compare", "order by"};
    CLEANUP(strbuf_clear) struct strbuf list = {0};

    for (size_t i = 0; i < schema->n_fields; i++) {
        const struct query_place place = {.type = schema->fields[i].type};
        if (is_usable(&place, use))
            list_one(&list, "", schema->fields[i].path);
    }
    list_model(&list, schema->model, "", use, false);
    return err_field(err, ERR_INVALID, "", "cannot %s '%.40s' of a %s; there are: %s", verbs[use],
                     path, schema->object, list.data);
}

bool place_find(const struct query_schema *schema, const char *text, size_t n, enum place_use use,
                struct query_place *out, struct err *err)
{
    CLEANUP(mem_freep) char *path = str_format("%.*s", (int)(n < 256 ? n : 256), text);

    *out = (struct query_place){.text = str_dup(path)};
    if (find(schema, out) && is_usable(out, use))
        return true;
    place_clear(out);
    str_scrub(path);
    return unknown(schema, path, use, err);
}

void place_clear(struct query_place *place)
{
    free(place->text);
    *place = (struct query_place){0};
}
