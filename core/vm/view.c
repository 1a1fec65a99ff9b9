/* VMs as the API shows them: schemas Vm and VmList. */
#include "core/vm/vm.h"

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/disk/disks.h"
#include "core/disk/file.h"
#include "core/model/page.h"
#include "core/ram/image.h"
#include "core/user/sight_inside.h"
#include "core/vm/kinds.h"
#include "core/vm/registry.h"
#include "core/vm/restart.h"

#include <stdlib.h>
#include <string.h>

const char *vm_derived_state(const struct vm *vm)
{
    if (vm->phase == VM_CREATING)
        return "creating";
    if (vm->phase == VM_DELETING)
        return "deleting";
    if (!vm_run_is_live(vm->run) &&
        (str_eq(vm->job_kind, "vm.start") || str_eq(vm->job_kind, "vm.restart")))
        return "starting";
    if (vm_run_is_live(vm->run) && vm->job_kind == vm_save_kind.name)
        return "saving";
    return vm_run_text(vm->run);
}

static json_t *run_view(const struct vm *vm)
{
    json_t *v = json_object();
    bool live = vm_run_is_live(vm->run);

    json_put_text(v, "state", vm_run_text(vm->run));
    json_put_text(v, "reason", vm_reason_text(vm->reason));
    json_put_text(v, "detail", vm->detail);
    json_put_time(v, "since", vm->state_since_ms);
    json_put_time(v, "restart_at", restart_is_due(vm) ? vm->restarts->due_ms : 0);
    json_put_text(v, "accel", live && vm->accel_reason[0] ? vm_accel_names[vm->accel] : NULL);
    json_put_text(v, "accel_reason", live && vm->accel_reason[0] ? vm->accel_reason : NULL);
    return v;
}

static json_t *actions_view(const struct vm *vm)
{
    json_t *list = json_array();
    bool held = !uuid_is_zero(&vm->job) || vm->phase != VM_DEFINED;

    for (unsigned verb = 0; verb < VM_VERB_COUNT; verb++) {
        bool may =
            vm_may((enum vm_verb)verb, vm->run) || (verb == VM_VERB_STOP && restart_is_due(vm));
        if (may && (!held || !vm_verb_is_exclusive((enum vm_verb)verb)))
            json_array_append_new(list, json_string(vm_verb_text((enum vm_verb)verb)));
    }
    return list;
}

static json_t *job_view(const struct vm *vm)
{
    json_t *v;

    if (uuid_is_zero(&vm->job))
        return NULL;
    v = json_object();
    json_put_text(v, "id", UUID_STR(&vm->job));
    json_put_text(v, "kind", vm->job_kind);
    return v;
}

/* ---- the members that a VM has besides its configuration ---- */

static json_t *id_view(const struct vm *vm)
{
    return json_string(UUID_STR(&vm->id));
}

static json_t *state_view(const struct vm *vm)
{
    return json_string(vm_derived_state(vm));
}

static json_t *desired_view(const struct vm *vm)
{
    return json_string(vm_desired_text(vm->desired));
}

/* What of it only the image knows adds complete(). */
static json_t *saved_view(const struct vm *vm)
{
    return uuid_is_zero(&vm->memory) ? NULL : json_object();
}

static json_t *pending_view(const struct vm *vm)
{
    return vm->active ? model_pending(&vm_model, vm->active, &vm->spec) : NULL;
}

static json_t *pending_reason_view(const struct vm *vm)
{
    return vm->pending_reason[0] ? json_string(vm->pending_reason) : NULL;
}

static json_t *revision_view(const struct vm *vm)
{
    return json_integer((json_int_t)vm->revision);
}

static json_t *time_view(int64_t wall_ms)
{
    char text[CLOCK_TEXT];

    clock_text(wall_ms, text);
    return json_string(text);
}

static json_t *created_view(const struct vm *vm)
{
    return time_view(vm->created_ms);
}

static json_t *updated_view(const struct vm *vm)
{
    return time_view(vm->updated_ms);
}

static const struct {
    const char *name;
    json_t *(*make)(const struct vm *vm); /* NULL is shown as null */
} members[] = {
    {"id", id_view},
    {"state", state_view},
    {"run", run_view},
    {"desired", desired_view},
    {"job", job_view},
    {"actions", actions_view},
    {"saved", saved_view},
    {"pending", pending_view},
    {"pending_reason", pending_reason_view},
    {"revision", revision_view},
    {"created_at", created_view},
    {"updated_at", updated_view},
};

static void complete_saved(struct core *core, const struct vm *vm, json_t *saved)
    REQUIRES(core->registry.lock);
static void complete_saved(struct core *core, const struct vm *vm, json_t *saved)
{
    CLEANUP(json_decrefp) json_t *image = ram_image_json(core, &vm->memory);
    const struct file *file = file_find(core, &vm->memory);

    json_put_text(saved, "at", json_get_text(image, "created_at"));
    json_put_u64(saved, "ram_bytes", json_get_u64(image, "ram_bytes", 0));
    json_put_u64(saved, "held_bytes", json_get_u64(image, "held_bytes", 0));
    json_put(saved, "pool", file ? pool_name_of(core, UUID_STR(&file->pool)) : NULL);
}

/* What only the whole core knows of a member of the configuration. */
static void complete(struct core *core, const struct vm *vm, json_t *view)
    REQUIRES(core->registry.lock);
static void complete(struct core *core, const struct vm *vm, json_t *view)
{
    json_t *disk, *saved = json_object_get(view, "saved");
    size_t i;

    if (json_is_object(saved))
        complete_saved(core, vm, saved);
    json_array_foreach (json_object_get(view, "disks"), i, disk)
        json_put(disk, "pool", pool_name_of(core, vm->spec.disks[i].pool));
}

json_t *vm_view(struct core *core, const struct vm *vm)
{
    json_t *v = model_encode(&vm_model, &vm->spec);

    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        json_put(v, members[i].name, members[i].make(vm));
    complete(core, vm, v);
    return v;
}

static json_t *member_view(const struct vm *vm, const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        if (strcmp(members[i].name, name) == 0)
            return members[i].make(vm);
    return model_encode_member(&vm_model, &vm->spec, name);
}

/* What filter and order look at: all of it for thousands of VMs would take its time. */
static json_t *glance(struct core *core, const struct vm *vm, const struct query *q)
    REQUIRES(core->registry.lock);
static json_t *glance(struct core *core, const struct vm *vm, const struct query *q)
{
    json_t *v = json_object();

    for (unsigned i = 0; i < q->n_order + q->n_terms; i++) {
        const char *name =
            i < q->n_order ? q->order[i].place.steps[0] : q->terms[i - q->n_order].place.steps[0];
        if (!json_object_get(v, name))
            json_put(v, name, member_view(vm, name));
    }
    complete(core, vm, v);
    return v;
}

json_t *vm_show(struct core *core, const char *ref, struct etag *etag, struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get(core, ref, err)};
    json_t *v;

    if (!hold.vm)
        return NULL;
    lock_take(&core->registry.lock);
    v = vm_view(core, hold.vm);
    *etag = (struct etag){hold.vm->revision, hold.vm->state_revision};
    lock_drop(&core->registry.lock);
    return v;
}

char *vm_show_text(struct core *core, const char *ref, struct etag *etag, size_t *len,
                   struct err *err)
{
    CLEANUP(vm_drop) struct vm_hold hold = {core, vm_get(core, ref, err)};
    struct vm *vm = hold.vm;
    const char *text;
    char *copy = NULL;

    if (!vm)
        return NULL;
    lock_take(&core->registry.lock);
    text = shown_text(core, vm, len);
    if (text)
        copy = mem_dup(text, *len + 1);
    *etag = (struct etag){vm->revision, vm->state_revision};
    lock_drop(&core->registry.lock);
    if (!copy)
        err_set(err, ERR_INTERNAL, "the VM could not be written as JSON");
    return copy;
}

/* ---- lists ---- */

#define AT_ONCE 256 /* VMs that are looked at before others get the lock */

/* Offers the next VMs after the name 'last', which moves on; false when there are no more. */
static bool offer_some(struct core *core, struct page *page, char last[NAME_MAX_BYTES + 1])
{
    size_t i, end;
    bool more;

    lock_take(&core->registry.lock);
    i = names_after(&core->registry, last);
    more = core->registry.n_names - i > AT_ONCE;
    end = more ? i + AT_ONCE : core->registry.n_names;
    for (; i < end && !(page->query->default_order && page_is_full(page)); i++) {
        if (sight_vm(core, core->registry.names[i], RIGHT_VM_READ))
            page_offer(page, glance(core, core->registry.names[i], page->query));
        str_copy(last, NAME_MAX_BYTES + 1, core->registry.names[i]->name);
    }
    lock_drop(&core->registry.lock);
    return more;
}

struct show {
    struct core *core;
    const struct query *query;
};

/* The text of a VM, or of what is asked for of it; it may be gone by now. */
static bool show(void *ctx, const json_t *glanced, struct strbuf *out)
{
    const struct show *s = ctx;
    struct err gone = {0};
    CLEANUP(vm_drop)
    struct vm_hold hold = {s->core, vm_get(s->core, json_get_text(glanced, "id"), &gone)};
    CLEANUP(json_decrefp) json_t *view = NULL, *narrowed = NULL;
    CLEANUP(mem_freep) char *written = NULL;
    size_t len = 0, before = out->len;

    if (!hold.vm)
        return false;
    lock_take(&s->core->registry.lock);
    if (s->query->n_fields) {
        view = vm_view(s->core, hold.vm);
    } else {
        const char *text = shown_text(s->core, hold.vm, &len);
        strbuf_add(out, text ? text : "", len);
    }
    lock_drop(&s->core->registry.lock);
    if (view) {
        narrowed = query_project(s->query, view);
        written = json_write(narrowed);
        strbuf_adds(out, written ? written : "");
    }
    return out->len > before;
}

/* ---- the list that everybody asks for: all VMs by name, whole. Their texts are kept, so a page of
 * a thousand is copying a megabyte, if no JSON is made to look at. ---- */

#define COPIED_AT_ONCE 64 /* a text may have to be made */

struct walk {
    char last[NAME_MAX_BYTES + 1]; /* the VM that was looked at last … */
    char name[NAME_MAX_BYTES + 1]; /* … and the one that was written last */
    struct uuid id;
    size_t left; /* of the page */
    bool more;   /* VMs come after it */
};

static void write_one(struct core *core, struct walk *w, struct vm *vm, struct strbuf *out)
    REQUIRES(core->registry.lock);
static void write_one(struct core *core, struct walk *w, struct vm *vm, struct strbuf *out)
{
    size_t len;
    const char *text = shown_text(core, vm, &len);

    if (text && out->len > strlen(PAGE_BEGIN))
        strbuf_adds(out, ",");
    strbuf_add(out, text ? text : "", text ? len : 0);
    str_copy(w->name, sizeof w->name, vm->name);
    w->id = vm->id;
    w->left--;
}

/* Writes the next VMs; false when that was all of the page. A full page looks on for one more that
 * may be seen. */
static bool walk_on(struct core *core, struct walk *w, struct strbuf *out)
{
    size_t i, end;
    bool full = false;

    lock_take(&core->registry.lock);
    i = names_after(&core->registry, w->last);
    end = i + COPIED_AT_ONCE;
    for (; i < end && i < core->registry.n_names && !full; i++) {
        struct vm *vm = core->registry.names[i];

        str_copy(w->last, sizeof w->last, vm->name);
        if (!sight_vm(core, vm, RIGHT_VM_READ))
            continue;
        full = !w->left;
        if (!full)
            write_one(core, w, vm, out);
    }
    w->more = full || i < core->registry.n_names;
    lock_drop(&core->registry.lock);
    return !full && w->more;
}

static void list_whole(struct core *core, const struct query *query, const char *from,
                       struct strbuf *out)
{
    CLEANUP(json_decrefp) json_t *keys = NULL;
    struct walk w = {.left = query->page_size};

    str_copy(w.last, sizeof w.last, from);
    strbuf_adds(out, PAGE_BEGIN);
    while (walk_on(core, &w, out))
        ;
    if (w.more)
        keys = json_pack("[s, s]", w.name, UUID_STR(&w.id));
    page_end(query, keys, out);
}

void vm_list(struct core *core, const struct query *query, struct strbuf *out)
{
    CLEANUP(page_clear) struct page page = {.query = query};
    struct show ctx = {core, query};
    char last[NAME_MAX_BYTES + 1] = "";
    const char *from = json_string_value(json_array_get(query->after, 0));

    if (query->default_order && !query->n_terms && !query->n_fields) {
        list_whole(core, query, from ? from : "", out);
        return;
    }
    if (query->default_order && from)
        str_copy(last, sizeof last, from);
    while (offer_some(core, &page, last) && !(query->default_order && page_is_full(&page)))
        ;
    page_write(&page, show, &ctx, out);
}

/* The ids of the next VMs that match; false when there are no more. */
static bool match_some(struct core *core, const struct query *query, json_t *ids,
                       char last[NAME_MAX_BYTES + 1])
{
    size_t i, end;
    bool more;

    lock_take(&core->registry.lock);
    i = names_after(&core->registry, last);
    more = core->registry.n_names - i > AT_ONCE;
    end = more ? i + AT_ONCE : core->registry.n_names;
    for (; i < end; i++) {
        CLEANUP(json_decrefp) json_t *glanced = glance(core, core->registry.names[i], query);

        if (sight_vm(core, core->registry.names[i], RIGHT_VM_READ) && query_matches(query, glanced))
            json_array_append_new(ids, json_string(UUID_STR(&core->registry.names[i]->id)));
        str_copy(last, NAME_MAX_BYTES + 1, core->registry.names[i]->name);
    }
    lock_drop(&core->registry.lock);
    return more;
}

json_t *vm_matching(struct core *core, const char *filter, size_t most, struct err *err)
{
    const struct query_ask ask = {.filter = filter, .page_size = 1};
    CLEANUP(query_clear) struct query query = {0};
    CLEANUP(json_decrefp) json_t *ids = json_array();
    char last[NAME_MAX_BYTES + 1] = "";

    if (!query_parse(&schema_vm, &ask, &query, err)) {
        str_copy(err->field, sizeof err->field, "/filter");
        return NULL;
    }
    while (match_some(core, &query, ids, last))
        ;
    if (json_array_size(ids) <= most)
        return TAKE(ids);
    err_field(err, ERR_INVALID, "/filter",
              "%zu VMs match, and one request is for up to %zu: narrow the filter",
              json_array_size(ids), most);
    return NULL;
}
