/* Bundles: VMs as folders to carry to other hosts, and VMs made of them. The shape, the steps and
 * what is refused are in docs/bundles.md. Also the API's calls. */
#pragma once
#include "core/base/str.h"
#include "core/core/core.h"
#include "core/model/query.h"
#include "core/snap/snap.h"

#define BUNDLE_NAME_MAX 63

struct bundle_ask {
    const char *pool;             /* name or id: the bundle goes to its root */
    const char *name;             /* of the bundle; NULL: the VM's */
    bool snapshots;               /* else the present state alone */
    enum consistency consistency; /* of a VM that runs: of the snapshot that is taken for it */
    bool limited;                 /* 'bytes_per_s' counts */
    uint64_t bytes_per_s;         /* 0: as fast as it goes */
};
/* Submits "vm.export", which holds the VM. Of one that runs a snapshot is taken, copied, and
 * deleted by an operation of its own. With origin->dry_run nothing is submitted, and '*plan' (the
 * caller's) says what it would do: schema BundlePlan, with "blockers" in the place of an error.
 * NOT_FOUND, INVALID, WRONG_STATE, BUSY, EXISTS, NO_SPACE. Looks at all files. */
bool vm_export(struct core *core, const char *ref, const struct bundle_ask *ask,
               const struct origin *origin, struct uuid *op, json_t **plan,
               struct err *err) MUST_USE;

struct import_ask {
    const char *bundle; /* its name */
    const char *pool;   /* name or id, for all files */
    const char *name;   /* of the VM; NULL: as it was */
    bool keep;          /* ids and MAC addresses stay */
    bool drop_memory;   /* the VM is off, snapshots are of their disks alone */
    bool start;         /* and start it */
    bool limited;       /* 'bytes_per_s' counts */
    uint64_t bytes_per_s;
};
/* Submits "vm.import", whose object is the new VM. With origin->dry_run nothing is submitted, and
 * '*plan' (the caller's) says what differs here: schema ImportPlan. NOT_FOUND; INVALID for a bundle
 * that is not sound; EXISTS, NO_SPACE, UNSUPPORTED. Looks at all files, not into them. */
bool vm_import(struct core *core, const struct import_ask *ask, const struct origin *origin,
               struct uuid *op, json_t **plan, struct err *err) MUST_USE;

/* Appends {"items":[Bundle…],"next_page_token":…} for a query of schema_bundle. Reads the folders.
 */
void bundle_list(struct core *core, const struct query *query, struct strbuf *out);
/* The first of that name in any root. NOT_FOUND. Blocks until its files' names are gone. */
bool bundle_remove(struct core *core, const char *name, const struct origin *origin,
                   struct err *err) MUST_USE;
/* At a start, once all operations are known: removes what exports that have ended could not. */
void bundles_sweep(struct core *core);
