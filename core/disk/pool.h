/* Storage pools and disks as the API sees them: schemas Pool, PoolList, Disk, DiskList. */
#pragma once
#include "core/core/core.h"

/* A pool is a directory named by its id below a configured root. */
bool pool_create(struct core *core, const char *name, const char *root, const struct origin *origin,
                 struct uuid *id, struct err *err) MUST_USE;
json_t *pool_show(struct core *core, const char *ref, struct err *err) MUST_USE;
json_t *pool_list(struct core *core, unsigned page_size, const char *page_token,
                  struct err *err) MUST_USE;
/* IN_USE while disks lie in it. */
bool pool_delete(struct core *core, const char *ref, const struct origin *origin,
                 struct err *err) MUST_USE;
json_t *disk_show(struct core *core, const char *ref, struct err *err) MUST_USE;
/* 'vm' (ref) narrows to one VM's disks when not NULL. */
json_t *disk_list(struct core *core, const char *vm, unsigned page_size, const char *page_token,
                  struct err *err) MUST_USE;
