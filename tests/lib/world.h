/* A whole daemon but for its processes: core on a real store below a temporary directory, the fake
 * backend, and a host whose helper always says yes. */
#pragma once
#include "tests/lib/harness.h"

#include "core/core/core.h"
#include "core/vm/vm.h"

struct world {
    char *dir; /* state/ and two pool roots, "main" and "second" */
    struct core *core;
};

extern const struct origin world_admin;
extern pam_ask *world_pam; /* what worlds that are opened from now on ask; NULL: PAM is off */

void world_make(struct world *w);               /* directory and core, with the pool "main" */
void world_make_in(struct world *w, char *dir); /* the same in 'dir', which is taken */
/* The directories of a world, without its core: 'dir' is taken, and what is missing in it made. */
void world_adopt(struct world *w, char *dir);
void world_without_qemu(void);      /* from now on no world asks QEMU for its version */
bool world_open(struct world *w);   /* the core alone: a daemon start; false if it refused */
void world_close(struct world *w);  /* the core alone: an orderly end */
void world_remove(struct world *w); /* all of it */
/* Before fork(): waits until no thread of a closed world is about to end. What it holds then (the
 * allocator's locks) the child would wait for for ever. */
void world_await_alone(void);

/* The JSON text of a VM: {"name":name,"backend":"fake","nics":[], …more}, where 'more' may name a
 * template and so on */
bool world_try_create(struct world *w, const char *name, const char *more, struct uuid *op,
                      struct err *err) MUST_USE;
void world_create(struct world *w, const char *name, const char *more);
/* Submits and waits; the operation's final state as text ("succeeded"), the error's slug, or
 * "broken" when the store broke. */
const char *world_act(struct world *w, const char *name, enum vm_verb verb);
const char *world_delete(struct world *w, const char *name);
/* The final operation; asserts that it ended within 20 s. NULL when the store broke meanwhile: a
 * real daemon would leave then. The caller owns it. */
json_t *world_end_of(struct world *w, const struct uuid *op);
/* Member of a VM's JSON as text ("state", "run.state"); the buffer is static. */
const char *world_vm(struct world *w, const char *name, const char *member);
bool world_has_vm(struct world *w, const char *name);
/* Waits up to 10 s until a VM's member has the value. */
void world_await(struct world *w, const char *name, const char *member, const char *value);
/* Waits up to 10 s until no operation holds the VM, or it is gone. */
void world_settle(struct world *w, const char *name);
/* A list as the API gives it: 'schema' says of what. NULL with *err when it is refused. */
json_t *world_list(struct world *w, const struct query_schema *schema, struct query_ask ask,
                   struct err *err) MUST_USE;
/* The disaster copy of a VM once it has this revision; NULL when it does not come to it within 10
 * s. */
json_t *world_copy_of(struct world *w, const char *vm_id, uint64_t revision);
unsigned world_files(struct world *w); /* image files in all pools */
/* All image files that there are now have 1 MiB on the disk, as if guests had written to them. */
void world_fatten(struct world *w);
unsigned world_fat_files(struct world *w); /* that have as much */
