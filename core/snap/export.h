/* Disks of snapshots as image files for people: in the folder "exports" of a pool root, from where
 * they are downloaded or taken by whoever has access to the host. Also the API's calls. */
#pragma once
#include "core/base/str.h"
#include "core/core/core.h"
#include "core/model/query.h"
#include "core/model/vm.h"

#define EXPORTS_FOLDER  "exports"
#define EXPORT_NAME_MAX 160

struct export_ask {
    enum disk_format format;
    const char *root; /* id of a pool root; NULL: that of the snapshot's file */
    uint32_t disk;    /* which of the snapshot's disks, from 0 on */
};

/* Submits "snapshot.export". The VM is not held meanwhile: it runs, changes and may even be
 * deleted. NOT_FOUND; BUSY while an operation on the VM removes files; NO_SPACE. */
bool snapshot_export(struct core *core, const char *vm, const char *snapshot,
                     const struct export_ask *ask, const struct origin *origin, struct uuid *op,
                     struct err *err) MUST_USE;

/* Appends {"items":[Export…],"next_page_token":…} for a query of schema_export. Reads the folders.
 */
void export_list(struct core *core, const struct query *query, struct strbuf *out);
/* For reading; '*size' in bytes. -1 with NOT_FOUND. The caller owns the descriptor. */
int export_open(struct core *core, const char *name, uint64_t *size, struct err *err) MUST_USE;
bool export_remove(struct core *core, const char *name, const struct origin *origin,
                   struct err *err) MUST_USE;
/* The folder of a root, made when it is missing; -1 on failure. For export.c. */
int export_folder(struct core *core, const char *root, struct err *err) MUST_USE;
