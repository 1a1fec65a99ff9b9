/* Bulk actions of fake_core.c's one VM: "hello" is acted on, others are not found. Included after
 * it. */
#include "core/vm/bulk.h"

static json_t *fake_item(const char *ref, bool dry_run)
{
    json_t *item = json_object();
    struct err err = {0};
    bool ok = is_hello(ref, &err);

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
