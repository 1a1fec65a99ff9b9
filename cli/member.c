/* Members by their path: see member.h. */
#include "cli/member.h"

#include "cli/quantity.h"
#include "cli/suggest.h"
#include "core/base/mem.h"

#include <string.h>
#include <strings.h>

static bool set_in(const struct member_of *of, json_t *object, const char *path, const char *text,
                   struct fault *fault);

/* ---- names ---- */

static bool same_name(const char *name, const char *typed, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (name[i] != typed[i] && !(name[i] == '_' && typed[i] == '-'))
            return false;
    return true;
}

/* A unit at the name's end may be left out: the value says it ("1G", "60s"). */
static bool is_called(const struct field *f, const char *typed, size_t len)
{
    size_t n = strlen(f->name);

    if (n < len || !same_name(f->name, typed, len))
        return false;
    return n == len || str_eq(f->name + len, "_bytes") || str_eq(f->name + len, "_s");
}

static const struct field *find_field(const struct model *model, const char *typed, size_t len)
{
    for (size_t i = 0; i < model->n_fields; i++)
        if (is_called(&model->fields[i], typed, len))
            return &model->fields[i];
    return NULL;
}

/* How a field is called on the command line; owned by the caller. */
static char *short_name(const struct field *f)
{
    size_t n = strlen(f->name);

    return n > 6 && str_eq(f->name + n - 6, "_bytes") ? str_format("%.*s", (int)n - 6, f->name)
                                                      : str_dup(f->name);
}

static bool unknown(const struct member_of *of, const char *name, size_t len, struct fault *fault)
{
    CLEANUP(mem_freep) char *typed = str_format("%.*s", (int)(len > 40 ? 40 : len), name);
    CLEANUP(mem_freep) char *nearest = NULL;
    struct suggest s = {.typed = typed};
    struct strbuf known = {0};
    char did_you[96];

    for (size_t i = 0; i < of->model->n_fields; i++) {
        char *shown = short_name(&of->model->fields[i]);

        if (!(of->model->fields[i].flags & FIELD_READ_ONLY)) {
            suggest_try(&s, shown);
            strbuf_addf(&known, "%s%s", known.len ? ", " : "", shown);
        }
        if (s.best == shown) {
            free(nearest);
            nearest = shown;
        } else {
            free(shown);
        }
    }
    fault_set(fault, CLI_USAGE, "%s has no '%s'%s (it has: %.400s)", of->what, typed,
              suggest_text(&s, "", did_you), known.data ? known.data : "");
    strbuf_clear(&known);
    return false;
}

/* ---- values ---- */

static json_t *number(const char *name, const char *text)
{
    size_t n = strlen(name);
    uint64_t value;
    int64_t ms;

    if (n > 6 && str_eq(name + n - 6, "_bytes")) {
        if (!size_parse(text, &value))
            return NULL;
    } else if (n > 2 && str_eq(name + n - 2, "_s")) {
        if (!duration_parse(text, &ms))
            return NULL;
        value = (uint64_t)(ms + 999) / 1000;
    } else if (!str_to_u64(text, &value)) {
        return NULL;
    }
    return value <= INT64_MAX ? json_integer((json_int_t)value) : NULL;
}

static json_t *truth(const char *text)
{
    static const char *const yes[] = {"true", "yes", "on"}, *const no[] = {"false", "no", "off"};

    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        if (strcasecmp(text, yes[i]) == 0)
            return json_true();
        if (strcasecmp(text, no[i]) == 0)
            return json_false();
    }
    return NULL;
}

static json_t *parsed(const char *text, bool list)
{
    struct err err;
    json_t *value = json_read(text, strlen(text), &err);

    if (value && (list ? json_is_array(value) : json_is_object(value)))
        return value;
    json_decref(value);
    return NULL;
}

static json_t *make_value(const struct field *f, const char *text)
{
    switch (f->type) {
    case FIELD_BOOL:
        return truth(text);
    case FIELD_U32:
    case FIELD_U64:
        return number(f->name, text);
    case FIELD_LIST:
        return parsed(text, true);
    case FIELD_LABELS:
    case FIELD_OBJECT:
        return parsed(text, false);
    default:
        return str_is_utf8(text, strlen(text)) ? json_string(text) : NULL;
    }
}

static const char *expected(const struct field *f)
{
    size_t n = strlen(f->name);

    switch (f->type) {
    case FIELD_BOOL:
        return "true or false";
    case FIELD_U32:
    case FIELD_U64:
        return n > 6 && str_eq(f->name + n - 6, "_bytes") ? "a size such as 512M or 1G"
               : n > 2 && str_eq(f->name + n - 2, "_s")   ? "a time such as 60s or 5m"
                                                          : "a number";
    case FIELD_LIST:
        return "a JSON list, or a member of one by its index: nics.0.model=virtio";
    case FIELD_LABELS:
    case FIELD_OBJECT:
        return "a JSON object, or a member of it by its path: boot.menu=true";
    default:
        return "UTF-8 text";
    }
}

static json_t *inner(json_t *object, const char *member)
{
    json_t *found = json_object_get(object, member);

    if (!json_is_object(found)) {
        found = json_object();
        json_put(object, member, found);
    }
    return found;
}

static bool put(const struct field *f, json_t *object, const char *text, struct fault *fault)
{
    json_t *value;

    if (f->type == FIELD_OBJECT && *text && *text != '{')
        return put(&f->of->fields[0], inner(object, f->name), text, fault);
    value = *text ? make_value(f, text) : json_null();
    if (!value)
        return fault_set(fault, CLI_USAGE, "%s=%.40s: expected %s", f->name, text, expected(f));
    json_put(object, f->name, value);
    return true;
}

/* ---- paths ---- */

static bool put_label(json_t *labels, const char *key, const char *text, struct fault *fault)
{
    if (!*key || !str_is_utf8(key, strlen(key)) || !str_is_utf8(text, strlen(text)))
        return fault_set(fault, CLI_USAGE, "'label.%.60s': write label.KEY=VALUE", key);
    json_put_text(labels, key, *text ? text : NULL);
    return true;
}

/* "0.model" into the list 'f' of 'object'. */
static bool set_element(const struct field *f, json_t *object, const char *path, const char *text,
                        struct fault *fault)
{
    struct member_of of = {f->of, f->name, NULL};
    size_t n = strcspn(path, ".");
    CLEANUP(mem_freep) char *digits = str_format("%.*s", (int)n, path);
    json_t *list = json_object_get(object, f->name), *element;
    uint64_t index;

    if (!str_to_u64(digits, &index) || index > json_array_size(list))
        return fault_set(fault, CLI_USAGE, "%s.%.40s: the list has %zu elements, from 0 on",
                         f->name, digits, json_array_size(list));
    list = json_is_array(list) ? json_copy(list) : json_array();
    json_put(object, f->name, list);
    if (!path[n] && !*text)
        return json_array_remove(list, (size_t)index) == 0 ||
               fault_set(fault, CLI_USAGE, "%s has no element %s", f->name, digits);
    element = index < json_array_size(list) ? json_copy(json_array_get(list, (size_t)index))
                                            : json_object();
    if (index < json_array_size(list))
        json_array_set_new(list, (size_t)index, element);
    else
        json_array_append_new(list, element);
    if (path[n])
        return set_in(&of, element, path + n + 1, text, fault);
    return fault_set(fault, CLI_USAGE, "%s.%s: name its member too, such as %s.%s.%s", f->name,
                     digits, f->name, digits, f->of->fields[0].name);
}

static bool set_in(const struct member_of *of, json_t *object, const char *path, const char *text,
                   struct fault *fault)
{
    size_t n = strcspn(path, ".");
    const struct field *f = find_field(of->model, path, n);
    struct member_of deeper;

    if (!f || f->flags & FIELD_READ_ONLY)
        return unknown(of, path, n, fault);
    if (!path[n])
        return put(f, object, text, fault);
    if (f->type == FIELD_LABELS)
        return put_label(inner(object, f->name), path + n + 1, text, fault);
    if (f->type == FIELD_LIST)
        return set_element(f, object, path + n + 1, text, fault);
    if (f->type != FIELD_OBJECT)
        return fault_set(fault, CLI_USAGE, "%.60s: '%s' has no members", path, f->name);
    deeper = (struct member_of){f->of, f->name, NULL};
    return set_in(&deeper, inner(object, f->name), path + n + 1, text, fault);
}

/* A member that only the service knows: its present value tells the type. */
static bool set_known(const json_t *known, json_t *object, const char *path, const char *text,
                      struct fault *fault)
{
    size_t n = strcspn(path, ".");
    CLEANUP(mem_freep) char *name = str_format("%.*s", (int)n, path);
    const json_t *now = json_object_get(known, name);
    struct field f = {.name = name, .type = FIELD_TEXT};

    if (path[n] && json_is_object(now))
        return set_known(now, inner(object, name), path + n + 1, text, fault);
    if (path[n] || !now)
        return fault_set(fault, CLI_USAGE, "the VM has no '%.60s'", path);
    if (json_is_boolean(now))
        f.type = FIELD_BOOL;
    else if (json_is_number(now))
        f.type = FIELD_U64;
    else if (json_is_array(now))
        f.type = FIELD_LIST;
    else if (json_is_object(now))
        f.type = FIELD_LABELS;
    return put(&f, object, text, fault);
}

bool member_set(const struct member_of *of, json_t *object, const char *path, const char *text,
                struct fault *fault)
{
    size_t n = strcspn(path, ".");
    CLEANUP(mem_freep) char *first = str_format("%.*s", (int)n, path);

    if (of->known && !find_field(of->model, path, n) && json_object_get(of->known, first))
        return set_known(of->known, object, path, text, fault);
    return set_in(of, object, path, text, fault);
}

static json_t *tidy_value(const struct field *f, json_t *value)
{
    const char *text = json_string_value(value);
    json_t *element, *better = NULL;
    size_t i;

    if (text && (f->type == FIELD_U32 || f->type == FIELD_U64))
        better = number(f->name, text);
    else if (text && f->type == FIELD_OBJECT)
        better = json_pack("{sO}", f->of->fields[0].name, value);
    else if (f->type == FIELD_OBJECT && json_is_object(value))
        member_tidy(f->of, value);
    else if (f->type == FIELD_LIST)
        json_array_foreach (value, i, element)
            member_tidy(f->of, element);
    return better ? better : json_incref(value);
}

void member_tidy(const struct model *model, json_t *object)
{
    CLEANUP(json_decrefp) json_t *before = json_copy(object);
    const char *key;
    json_t *value;

    json_object_foreach (before, key, value) {
        const struct field *f = find_field(model, key, strlen(key));

        if (!f || (!str_eq(f->name, key) && json_object_get(before, f->name)))
            continue;
        value = tidy_value(f, value);
        json_object_del(object, key);
        json_object_set_new(object, f->name, value);
    }
}

const struct field *member_find(const struct model *model, const char *path)
{
    size_t n = strcspn(path, ".");
    const struct field *f = find_field(model, path, n);

    return f && path[n] && f->of ? member_find(f->of, path + n + 1) : f;
}

json_t *member_list(const struct member_of *of, const char *text, struct fault *fault)
{
    CLEANUP(mem_freep) char *copy = str_dup(text);
    CLEANUP(json_decrefp) json_t *object = json_object(), *seen = json_object();
    char *rest = copy, *part;

    while ((part = strsep(&rest, ","))) {
        char *value = strchr(part, '=');

        if (!value || !value[1]) {
            fault_set(fault, CLI_USAGE, "%s '%.60s': write key=value with commas between", of->what,
                      text);
            return NULL;
        }
        *value++ = 0;
        if (json_object_get(seen, part)) {
            fault_set(fault, CLI_USAGE, "%s: '%s' is given twice", of->what, part);
            return NULL;
        }
        if (!member_set(of, object, part, value, fault))
            return NULL;
        json_put(seen, part, json_true());
    }
    return TAKE(object);
}

static void each(const struct model *model, const char *before,
                 void (*see)(void *arg, const char *path, const struct field *field), void *arg)
{
    for (size_t i = 0; i < model->n_fields; i++) {
        const struct field *f = &model->fields[i];
        CLEANUP(mem_freep) char *path = str_format("%s%s", before, f->name);
        CLEANUP(mem_freep)
        char *inside = str_format("%s.%s", path, f->type == FIELD_LIST ? "N." : "");

        if (f->flags & FIELD_READ_ONLY)
            continue;
        if (f->of)
            each(f->of, inside, see, arg);
        else
            see(arg, path, f);
    }
}

void member_each(const struct model *model,
                 void (*see)(void *arg, const char *path, const struct field *field), void *arg)
{
    each(model, "", see, arg);
}
