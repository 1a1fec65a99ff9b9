/* Guest profiles: what a VM of a certain kind of guest gets where its client said nothing. One
 * table; pure. A profile fills in members of the request before it is decoded, so that what a VM
 * is always stands in its configuration and never depends on a later vmmd's table. */
#pragma once
#include "core/model/vm.h"

struct profile {
    const char *help;     /* which guests it is for, and what it does */
    const char *defaults; /* JSON: members of VmSpec */
    const char *disk;     /* JSON: members of every VmDisk */
    const char *nic;      /* JSON: members of every VmNic */
};

extern const struct profile profiles[]; /* by enum vm_profile */

/* A client's VmSpec: the profile's defaults, then the field tables'. Errors as model_decode(). */
bool vm_spec_decode(const json_t *value, struct vm_spec *out, struct err *err) MUST_USE;
/* The same of a disk that a VM of this profile gets. */
bool vm_disk_decode(int profile, const json_t *value, struct vm_disk *out,
                    struct err *err) MUST_USE;
/* As model_patch(); a member that is null gets the default of the profile that holds afterwards. */
bool vm_spec_patch(const struct vm_spec *spec, const json_t *patch, struct vm_spec *out,
                   struct err *err) MUST_USE;
