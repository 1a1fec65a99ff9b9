/* More of the fake core: the audit trail, which keeps what it was told, and webhooks, which agree
 * to everything. Included behind fake_core.c. */
#include "core/event/audit.h"
#include "core/hook/hook.h"
#include "core/model/page.h"

/* What the audit trail was told. */
static struct {
    struct audit_note note;
    unsigned noted, done, refused;
    char changes[512], principal[80];
} fake_trail;

/* ---- webhooks ---- */

bool hook_create(struct core *c, const struct hook_spec *spec, const struct origin *origin,
                 struct uuid *id, char secret[HOOK_SECRET_TEXT], struct err *err)
{
    if (strcmp(spec->name, "taken") == 0)
        return err_field(err, ERR_EXISTS, "/name", "taken");
    uuid_parse(POOL_ID, id);
    strcpy(secret, spec->secret ? "" : "whsec_made");
    return true;
}

json_t *hook_show(struct core *c, const char *ref, struct err *err)
{
    return named(POOL_ID);
}

void hook_list(struct core *c, const struct query *query, struct strbuf *out)
{
    one_page(named(POOL_ID), query, out);
}

bool hook_edit(struct core *c, const char *ref, const struct hook_spec *spec,
               const struct origin *origin, char secret[HOOK_SECRET_TEXT], struct err *err)
{
    strcpy(secret, spec->renew_secret ? "whsec_new" : "");
    return true;
}

bool hook_delete(struct core *c, const char *ref, const struct origin *origin, struct err *err)
{
    return true;
}

json_t *hook_test(struct core *c, const char *ref, struct err *err)
{
    return named(POOL_ID);
}

json_t *hook_deliveries(struct core *c, const char *ref, struct err *err)
{
    json_t *page = json_object();

    json_put(page, "items", json_array());
    json_put(page, "next_page_token", NULL);
    return page;
}

/* ---- the audit trail ---- */

void audit_begin(const struct audit_note *note)
{
    fake_trail.noted++;
    fake_trail.note = *note;
    str_copy(fake_trail.changes, sizeof fake_trail.changes, "");
    if (note->changes) {
        CLEANUP(mem_freep) char *text = json_write(note->changes);
        str_copy(fake_trail.changes, sizeof fake_trail.changes, text);
    }
}

void audit_end(struct core *c, bool done)
{
    (void)c;
    fake_trail.done += done;
}

void audit_refusal(struct core *c, const struct audit_note *note, const struct err *why)
{
    (void)c;
    (void)why;
    fake_trail.refused++;
    str_copy(fake_trail.principal, sizeof fake_trail.principal, note->principal);
}

bool audit_list(struct core *c, const struct query *query, struct strbuf *out, struct err *err)
{
    one_page(named(POOL_ID), query, out);
    return true;
}
