/* The host as the API sees it: schema Host, with findings that a doctor can print. */
#pragma once
#include "core/core/core.h"
#include "core/port/backend.h"

json_t *host_show(struct core *core, struct err *err) MUST_USE;
/* What the host is made of: schema HostInventory. */
json_t *host_inventory(struct core *core, struct err *err) MUST_USE;
/* Can this host enforce what the configuration limits? UNSUPPORTED with what to do when it cannot;
 * 'missing' (may be NULL) gets the names, "io, pids". Without require_limits memory and what vmmd
 * chooses do not count. */
bool host_enforces(struct core *core, const struct vm_spec *spec, char missing[64],
                   struct err *err) MUST_USE;
/* Before a VM becomes 'spec' from 'old' (NULL: it is new): the same where it requires its limits.
 * One that this host could not start before may be edited. */
bool host_may_require(struct core *core, const struct vm_spec *old, const struct vm_spec *spec,
                      struct err *err) MUST_USE;
/* What guests can be limited in ("cpu, memory") and what not ("io"). */
void host_limits_words(const struct core *core, char have[64], char lack[64]);
/* What 'accel' of a VM becomes on this host, with the reason as one sentence. UNSUPPORTED with the
 * fix when "kvm" is demanded and not healthy. */
bool host_choose_accel(struct core *core, enum vm_accel wanted, enum vm_accel *chosen,
                       char reason[256], struct err *err) MUST_USE;
