/* Templates in memory and their changes: see template.h. Each change is one transaction of row,
 * event and Idempotency-Key; memory follows it. */
#include "core/template/template.h"

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/core/parts.h"
#include "core/model/page.h"
#include "core/model/profile.h"
#include "core/model/rules.h"
#include "core/user/sight_inside.h"
#include "core/vm/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a client may say. */
struct content {
    char *name, *notes;
    json_t *labels; /* NULL: none */
    json_t *spec;
};

struct template
{
    struct uuid id; /* never changes, nor do the next two */
    char *created_by;
    int64_t created_ms;
    struct content content;
    uint64_t revision;
    int64_t updated_ms;
    struct template *next;
};

struct templates {
    struct lock writing; /* held over a change, so that rows and memory come in one order */
    struct lock lock;    /* after the store */
    struct template *first GUARDED_BY(lock); /* by name */
    unsigned n GUARDED_BY(lock);
};

#define OF(member) .offset = offsetof(struct content, member)
static const struct field fields[] = {
    {.name = "name",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED,
     OF(name),
     .min = 1,
     .max = NAME_MAX_BYTES,
     .check = check_name,
     .help = "unique; usable instead of the id"},
    {.name = "notes", .type = FIELD_TEXT, OF(notes), .max = 4096, .help = "free text"},
    {.name = "labels",
     .type = FIELD_LABELS,
     OF(labels),
     .max = 64,
     .help = "your own key-value pairs, of the template"},
    {.name = "spec",
     .type = FIELD_JSON,
     .flags = FIELD_REQUIRED,
     OF(spec),
     .help = "what VMs get: members of VmSpec, but no name and no MAC addresses"},
};
static const struct model model = {"TemplateSpec", sizeof(struct content), fields,
                                   ARRAY_LEN(fields)};

static void content_clear(struct content *content)
{
    model_clear(&model, content);
}

static void template_free(struct template *t)
{
    if (!t)
        return;
    content_clear(&t->content);
    free(t->created_by);
    free(t);
}

static void template_freep(struct template **t)
{
    template_free(*t);
}

/* ---- in memory ---- */

static void place(struct templates *all, struct template *t) REQUIRES(all->lock);
static void place(struct templates *all, struct template *t)
{
    struct template **p = &all->first;

    while (*p && strcmp((*p)->content.name, t->content.name) < 0)
        p = &(*p)->next;
    t->next = *p;
    *p = t;
    all->n++;
}

static void take_out(struct templates *all, const struct template *t) REQUIRES(all->lock);
static void take_out(struct templates *all, const struct template *t)
{
    struct template **p = &all->first;

    while (*p != t)
        p = &(*p)->next;
    *p = t->next;
    all->n--;
}

static struct template *find(struct templates *all, const char *ref) REQUIRES(all->lock);
static struct template *find(struct templates *all, const char *ref)
{
    struct uuid id;
    bool by_id = uuid_parse(ref, &id);

    for (struct template *t = all->first; t; t = t->next)
        if (by_id ? uuid_eq(&t->id, &id) : strcmp(t->content.name, ref) == 0)
            return t;
    return NULL;
}

static bool missing(const char *ref, struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "there is no template '%.64s': GET /templates lists them",
                   ref);
}

/* ---- loading ---- */

static struct template *template_of(const struct template_record *r, struct err *err)
{
    CLEANUP(json_decrefp) json_t *content = json_loads(r->content, 0, NULL);
    CLEANUP(template_freep) struct template *t = mem_alloc(sizeof *t);

    if (!model_decode(&model, content, MODEL_STORED, &t->content, err))
        return NULL;
    t->id = r->id;
    t->created_by = str_dup(r->created_by);
    t->created_ms = r->created_ms;
    t->updated_ms = r->updated_ms;
    t->revision = r->revision;
    return TAKE(t);
}

struct loading {
    struct templates *all;
    struct err err;
};

static bool load(void *ctx, const struct template_record *r)
{
    struct loading *l = ctx;
    struct template *t = template_of(r, &l->err);

    if (!t)
        return err_prefix(&l->err, "the template %s", UUID_STR(&r->id));
    lock_take(&l->all->lock);
    place(l->all, t);
    lock_drop(&l->all->lock);
    return true;
}

bool template_is_sound(const json_t *json, const char *name)
{
    struct content content;
    struct err err = {0};
    bool ok;

    if (!model_decode(&model, json, MODEL_STORED, &content, &err))
        return false;
    ok = str_eq(content.name, name);
    content_clear(&content);
    return ok;
}

bool templates_load(struct core *core, struct err *err)
{
    struct loading l = {.all = mem_alloc(sizeof *l.all)};

    lock_init(&l.all->writing);
    lock_init(&l.all->lock);
    core->templates = l.all;
    if (!store_template_each(core->store, load, &l, err))
        return false;
    if (l.err.code)
        *err = l.err;
    return !l.err.code;
}

NO_TSA void templates_free(struct templates *all)
{
    if (!all)
        return;
    while (all->first) {
        struct template *t = all->first;
        all->first = t->next;
        template_free(t);
    }
    lock_clear(&all->lock);
    lock_clear(&all->writing);
    free(all);
}

/* ---- showing ---- */

static json_t *view(const struct template *t)
{
    json_t *v = model_encode(&model, &t->content);

    json_put_text(v, "id", UUID_STR(&t->id));
    json_put_u64(v, "revision", t->revision);
    json_put_time(v, "created_at", t->created_ms);
    json_put_time(v, "updated_at", t->updated_ms);
    json_put_text(v, "created_by", t->created_by);
    return v;
}

json_t *template_show(struct core *core, const char *ref, uint64_t *revision, struct err *err)
{
    struct templates *all = core->templates;
    struct template *t;
    json_t *v = NULL;

    lock_take(&all->lock);
    t = find(all, ref);
    if (t && !sight_labels(t->content.labels, RIGHT_TEMPLATE_READ))
        t = NULL;
    if (t)
        v = view(t);
    if (t && revision)
        *revision = t->revision;
    lock_drop(&all->lock);
    if (!v)
        missing(ref, err);
    return v;
}

json_t *template_spec(struct core *core, const char *ref, struct err *err)
{
    CLEANUP(json_decrefp) json_t *shown = template_show(core, ref, NULL, err);

    return shown ? json_incref(json_object_get(shown, "spec")) : NULL;
}

void template_list(struct core *core, const struct query *query, struct strbuf *out)
{
    CLEANUP(page_clear) struct page page = {.query = query};
    struct templates *all = core->templates;

    lock_take(&all->lock);
    for (struct template *t = all->first; t; t = t->next)
        if (sight_labels(t->content.labels, RIGHT_TEMPLATE_READ))
            page_offer(&page, view(t));
    lock_drop(&all->lock);
    page_write(&page, NULL, NULL, out);
}

/* ---- what a template may say ---- */

static bool has_no_macs(const json_t *spec, struct err *err)
{
    const json_t *nic;
    char pointer[40];
    size_t i;

    json_array_foreach (json_object_get(spec, "nics"), i, nic) {
        if (!json_get_text(nic, "mac"))
            continue;
        snprintf(pointer, sizeof pointer, "/spec/nics/%zu/mac", i);
        return err_field(err, ERR_INVALID, pointer,
                         "a template has no MAC addresses: each VM gets its own");
    }
    return true;
}

/* A VM could be made of it with nothing but a name. What depends on the host (pools, media, boot
 * entries) is looked at when one is. */
static bool check_vm(const json_t *spec, bool rules, struct err *err)
{
    CLEANUP(json_decrefp) json_t *whole = json_deep_copy(spec);
    CLEANUP(vm_spec_clear) struct vm_spec vm = {0};

    if (!json_is_object(spec))
        return err_field(err, ERR_INVALID, "/spec", "spec must be an object");
    if (json_object_get(spec, "name"))
        return err_field(err, ERR_INVALID, "/spec/name",
                         "a template does not name its VMs: each is given a name when it is made");
    json_put_text(whole, "name", "x");
    return (vm_spec_decode(whole, &vm, err) && (!rules || vm_spec_rules(&vm, err))) ||
           err_under(err, "/spec");
}

/* 'given': what the client says of 'spec', where every member must be known, or NULL. Members that
 * are null leave it to the profile, as absent ones do, and are not kept. */
static bool check(struct content *content, const json_t *given, struct err *err)
{
    json_t *spec;

    if (given && !check_vm(given, false, err))
        return false;
    spec = json_object();
    json_merge(spec, content->spec);
    json_decref(content->spec);
    content->spec = spec;
    return has_no_macs(spec, err) && check_vm(spec, true, err);
}

/* 'self': the one that is edited, NULL for a new one. */
static bool check_place(struct templates *all, const char *name, const struct template *self,
                        struct err *err)
{
    const struct template *same;
    unsigned n;

    lock_take(&all->lock);
    same = find(all, name);
    n = all->n;
    lock_drop(&all->lock);
    if (same && same != self)
        return err_field(err, ERR_EXISTS, "/name", "there is a template named '%s' already", name);
    return self || n < TEMPLATE_MAX ||
           err_set(err, ERR_WRONG_STATE, "there are %d templates already: delete one",
                   TEMPLATE_MAX);
}

/* ---- changing ---- */

static bool write_row(struct core *core, const struct template *t, const char *event,
                      const struct origin *origin, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(core->store, err);
    CLEANUP(json_decrefp) json_t *content = model_encode(&model, &t->content);
    CLEANUP(mem_freep) char *text = json_write(content);
    const struct template_record record = {.id = t->id,
                                           .name = t->content.name,
                                           .content = text,
                                           .revision = t->revision,
                                           .created_ms = t->created_ms,
                                           .updated_ms = t->updated_ms,
                                           .created_by = t->created_by};
    json_t *data;

    if (!txn || !FAILPOINT("template.write", err) || !store_template_put(txn, &record, err))
        return false;
    data = json_object();
    json_put_text(data, "name", t->content.name);
    json_put_u64(data, "revision", t->revision);
    return event_add(txn, event, "template", &t->id, data, err) &&
           idem_add(txn, origin, "template", &t->id, err) && store_commit(&txn, err);
}

static void insert(struct templates *all, struct template *t)
{
    lock_take(&all->lock);
    place(all, t);
    lock_drop(&all->lock);
}

static bool create(struct core *core, const json_t *body, const struct origin *origin,
                   struct uuid *id, struct err *err)
{
    CLEANUP(template_freep) struct template *t = mem_alloc(sizeof *t);

    if (!model_decode(&model, body, MODEL_CLIENT, &t->content, err) ||
        !check(&t->content, json_object_get(body, "spec"), err) ||
        !check_place(core->templates, t->content.name, NULL, err))
        return false;
    if (origin->dry_run)
        return true;
    *id = t->id = uuid_new();
    t->created_by = str_dup(origin->principal);
    t->created_ms = t->updated_ms = clock_wall_ms();
    t->revision = 1;
    if (!write_row(core, t, "template.created", origin, err))
        return false;
    insert(core->templates, TAKE(t));
    events_ring(core);
    host_copy_later(core);
    return true;
}

bool template_create(struct core *core, const json_t *body, const struct origin *origin,
                     struct uuid *id, struct err *err)
{
    bool ok;

    lock_take(&core->templates->writing);
    ok = create(core, body, origin, id, err);
    lock_drop(&core->templates->writing);
    return ok;
}

/* The one to be changed: it stays while 'writing' is held. */
static struct template *claim(struct core *core, const char *ref, const uint64_t *if_revision,
                              struct err *err)
{
    struct templates *all = core->templates;
    struct template *t;

    lock_take(&all->lock);
    t = find(all, ref);
    lock_drop(&all->lock);
    if (!t)
        return missing(ref, err), NULL;
    if (!if_revision || *if_revision == t->revision)
        return t;
    err_set(err, ERR_REVISION, "%s is at revision %llu, the request was for %llu: read it again",
            t->content.name, (unsigned long long)t->revision, (unsigned long long)*if_revision);
    return NULL;
}

static bool edit(struct core *core, struct template *old, const json_t *patch,
                 const struct origin *origin, struct err *err)
{
    CLEANUP(template_freep) struct template *t = mem_alloc(sizeof *t);
    struct templates *all = core->templates;

    if (!model_patch(&model, &old->content, patch, &t->content, err) ||
        !check(&t->content, json_object_get(patch, "spec"), err) ||
        !check_place(all, t->content.name, old, err))
        return false;
    if (origin->dry_run)
        return true;
    t->id = old->id;
    t->created_by = str_dup(old->created_by);
    t->created_ms = old->created_ms;
    t->updated_ms = clock_wall_ms();
    t->revision = old->revision + 1;
    if (!write_row(core, t, "template.changed", origin, err))
        return false;
    lock_take(&all->lock);
    take_out(all, old);
    place(all, TAKE(t));
    lock_drop(&all->lock);
    template_free(old);
    events_ring(core);
    host_copy_later(core);
    return true;
}

bool template_edit(struct core *core, const char *ref, const json_t *patch,
                   const uint64_t *if_revision, const struct origin *origin, struct uuid *id,
                   struct err *err)
{
    struct template *t;
    bool ok = false;

    lock_take(&core->templates->writing);
    t = claim(core, ref, if_revision, err);
    if (t) {
        *id = t->id;
        ok = edit(core, t, patch, origin, err);
    }
    lock_drop(&core->templates->writing);
    return ok;
}

static bool write_gone(struct core *core, const struct template *t, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(core->store, err);
    json_t *data;

    if (!txn)
        return false;
    data = json_object();
    json_put_text(data, "name", t->content.name);
    return event_add(txn, "template.deleted", "template", &t->id, data, err) &&
           store_template_remove(txn, &t->id, err) && FAILPOINT("template.remove", err) &&
           store_commit(&txn, err);
}

bool template_delete(struct core *core, const char *ref, const uint64_t *if_revision,
                     const struct origin *origin, struct err *err)
{
    struct templates *all = core->templates;
    struct template *t;
    bool ok;

    lock_take(&all->writing);
    t = claim(core, ref, if_revision, err);
    ok = t && (origin->dry_run || write_gone(core, t, err));
    if (ok && !origin->dry_run) {
        lock_take(&all->lock);
        take_out(all, t);
        lock_drop(&all->lock);
        template_free(t);
        events_ring(core);
        host_copy_later(core);
    }
    lock_drop(&all->writing);
    return ok;
}
