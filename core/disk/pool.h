/* Storage pools and disks as the API sees them: schemas Pool, PoolList, Disk, DiskList. */
#pragma once
#include "core/base/str.h"
#include "core/core/core.h"
#include "core/model/query.h"

/* A pool is a directory named by its id below a configured root. */
bool pool_create(struct core *core, const char *name, const char *root, const struct origin *origin,
                 struct uuid *id, struct err *err) MUST_USE;
json_t *pool_show(struct core *core, const char *ref, struct err *err) MUST_USE;
/* Appends {"items":[Pool…],"next_page_token":…} for a query of schema_pool. */
void pool_list(struct core *core, const struct query *query, struct strbuf *out);
/* IN_USE while disks lie in it. */
bool pool_delete(struct core *core, const char *ref, const struct origin *origin,
                 struct err *err) MUST_USE;
json_t *disk_show(struct core *core, const char *ref, struct err *err) MUST_USE;
/* The same of disks; 'vm' (ref) narrows to one VM's when not NULL: NOT_FOUND. */
bool disk_list(struct core *core, const char *vm, const struct query *query, struct strbuf *out,
               struct err *err) MUST_USE;
