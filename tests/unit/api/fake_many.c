/* Bulk actions of fake_core.c's one VM: "hello" is acted on, "seen" may only be seen, others are
 * not found; and templates. Included after it. */
#include "core/model/profile.h"
#include "core/template/template.h"
#include "core/vm/bulk.h"

static json_t *fake_item(const char *ref, bool dry_run)
{
    json_t *item = json_object();
    struct err err = {0};
    bool ok =
        str_eq(ref, "seen") ? err_set(&err, ERR_FORBIDDEN, "not for this VM") : is_hello(ref, &err);

    json_put(item, "vm", named(HELLO_ID));
    json_put_text(item, "operation", ok && !dry_run ? OP_ID : NULL);
    json_put_err(item, "error", &err);
    return item;
}

json_t *vm_act_all(struct core *c, const json_t *refs, enum vm_verb verb, const json_t *args,
                   const struct origin *origin, struct err *err)
{
    json_t *all = json_object(), *items = json_array(), *ref;
    size_t i;

    remember(c, origin, "batch");
    lock_take(&c->lock);
    c->acts++;
    lock_drop(&c->lock);
    json_array_foreach (refs, i, ref)
        json_array_append_new(items, fake_item(json_string_value(ref), origin->dry_run));
    json_put(all, "items", items);
    return all;
}

json_t *vm_matching(struct core *c, const char *filter, size_t most, struct err *err)
{
    return strcmp(filter, "bad") == 0
               ? (err_field(err, ERR_INVALID, "/filter", "it cannot be read"), NULL)
               : json_pack("[s]", HELLO_ID);
}

json_t *core_idem_note(struct core *c, const struct origin *origin, struct err *err)
{
    json_t *all = json_object(), *items = json_array();

    json_array_append_new(items, fake_item("hello", false));
    json_put(all, "items", items);
    return all;
}

/* ---- templates: one, "hello", that says nothing ---- */

bool vm_create_decode(struct core *c, const json_t *body, struct vm_spec *spec, bool *start,
                      struct err *err)
{
    return vm_spec_decode(body, spec, err);
}

bool template_create(struct core *c, const json_t *body, const struct origin *origin,
                     struct uuid *id, struct err *err)
{
    remember(c, origin, "template");
    return uuid_parse(POOL_ID, id);
}

json_t *template_show(struct core *c, const char *ref, uint64_t *revision, struct err *err)
{
    if (revision)
        *revision = 3;
    return named(POOL_ID);
}

void template_list(struct core *c, const struct query *query, struct strbuf *out)
{
    one_page(named(POOL_ID), query, out);
}

bool template_edit(struct core *c, const char *ref, const json_t *patch,
                   const uint64_t *if_revision, const struct origin *origin, struct uuid *id,
                   struct err *err)
{
    if (if_revision && *if_revision != 3)
        return err_set(err, ERR_REVISION, "it is at 3");
    return uuid_parse(POOL_ID, id);
}

bool template_delete(struct core *c, const char *ref, const uint64_t *if_revision,
                     const struct origin *origin, struct err *err)
{
    return !if_revision || *if_revision == 3 || err_set(err, ERR_REVISION, "it is at 3");
}

/* ---- logs ---- */

bool vm_log_tail(struct core *c, const char *ref, enum vm_log_source source, unsigned port,
                 unsigned lines, struct strbuf *out, struct err *err)
{
    if (!is_hello(ref, err))
        return false;
    strbuf_addf(out, "%u lines of %s %u\n", lines, source == VM_LOG_SERIAL ? "serial" : "qemu",
                port);
    return true;
}
