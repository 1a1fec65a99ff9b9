/* The host as the API sees it: schema Host, with findings that a doctor can print. */
#pragma once
#include "core/core/core.h"
#include "core/port/backend.h"

json_t *host_show(struct core *core, struct err *err) MUST_USE;
/* What the host is made of: schema HostInventory. */
json_t *host_inventory(struct core *core, struct err *err) MUST_USE;
/* What 'accel' of a VM becomes on this host, with the reason as one sentence. UNSUPPORTED with the
 * fix when "kvm" is demanded and not healthy. */
bool host_choose_accel(struct core *core, enum vm_accel wanted, enum vm_accel *chosen,
                       char reason[256], struct err *err) MUST_USE;
