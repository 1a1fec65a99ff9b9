/* What the thread's caller may see and do, for core's own files: see sight.h. An object is seen by
 * whoever has the right to see it on this object, or that to do what the request is for. */
#pragma once
#include "core/core/parts.h"
#include "core/user/grant.h"
#include "core/user/sight.h"

bool sight_is_narrow(void); /* there is somebody, who has grants */
/* Whether all objects are seen that this right shows, without a look at each. */
bool sight_is_whole(enum right right);
bool sight_vm(struct core *core, const struct vm *vm, enum right right)
    REQUIRES(core->registry.lock);
/* By id; false for one that is not there, unless all are seen. */
bool sight_vm_id(struct core *core, const struct uuid *id, enum right right)
    REQUIRES(core->registry.lock);
bool sight_pool(const struct pool *pool, enum right right);
bool sight_labels(const json_t *labels, enum right right);
/* An operation: by its object, or since the caller began it. Takes the registry lock. */
bool sight_operation(struct core *core, const char *object_type, const struct uuid *object,
                     const char *principal);

/* FORBIDDEN unless the request's right is on this VM. */
bool sight_may(struct core *core, struct vm *vm, struct err *err) MUST_USE;
/* FORBIDDEN unless the caller may make a VM like 'after' of what is like 'before' (NULL: of
 * nothing): docs/accounts.md, "Nobody gives himself rights". */
bool sight_may_become(struct core *core, const struct selectable *before,
                      const struct selectable *after, struct err *err) MUST_USE;
/* The same for a VM that would have other labels, or a disk in one more pool; under vm->writing or
 * the registry lock. */
bool sight_may_label(struct core *core, struct vm *vm, const json_t *labels,
                     struct err *err) MUST_USE;
bool sight_may_add_pool(struct core *core, struct vm *vm, const char *pool,
                        struct err *err) MUST_USE;

/* A VM that goes is remembered as it was, for those who hear of it later: the last DEPARTED_MAX. */
#define DEPARTED_MAX 1024
void sight_depart(struct registry *r, const struct vm *vm) REQUIRES(r->lock);
void departed_clear(struct registry *registry);
