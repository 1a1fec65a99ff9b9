/* Templates: configurations with a name, from which VMs are made. A template holds what was written
 * and nothing else; what it leaves open is chosen when a VM is made, by its guest profile. It holds
 * no disks' data, and VMs made from it do not follow its changes. See docs/templates.md. */
#pragma once
#include "core/base/str.h"
#include "core/core/core.h"
#include "core/model/query.h"

#define TEMPLATE_MAX 1000

/* 'body': TemplateSpec {"name","notes","labels","spec"}. INVALID, with "/spec/…" where no VM could
 * be like that; EXISTS for a name taken, WRONG_STATE when there are TEMPLATE_MAX. */
bool template_create(struct core *core, const json_t *body, const struct origin *origin,
                     struct uuid *id, struct err *err) MUST_USE;
/* '*revision' may be NULL. NOT_FOUND. */
json_t *template_show(struct core *core, const char *ref, uint64_t *revision,
                      struct err *err) MUST_USE;
void template_list(struct core *core, const struct query *query, struct strbuf *out);
/* RFC 7396, inside "spec" too. 'if_revision' NULL: whatever it is at; else REVISION. */
bool template_edit(struct core *core, const char *ref, const json_t *patch,
                   const uint64_t *if_revision, const struct origin *origin, struct uuid *id,
                   struct err *err) MUST_USE;
bool template_delete(struct core *core, const char *ref, const uint64_t *if_revision,
                     const struct origin *origin, struct err *err) MUST_USE;
/* Whether what a row says can be taken up: its content, under this name. */
bool template_is_sound(const json_t *content, const char *name);
/* Its "spec", for a new VM; owned by the caller. NOT_FOUND. */
json_t *template_spec(struct core *core, const char *ref, struct err *err) MUST_USE;
