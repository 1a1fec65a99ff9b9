/* The kill walk: one operation of the real daemon on a VM with the counting guest, with a process
 * killed at each failpoint it passes, whatever process passes it.
 *
 * Theory of operation. A dry run records the points. Then, for each victim and each point: the VM
 * is brought to the state the operation begins in; the point is armed; the request is sent; when a
 * process stands at the point, the victim is killed; the process goes on (if it was not the
 * victim); vmmd is started again if it was the victim; all comes to rest (settled.h); what the
 * client was told must be true, and what the guest said it wrote must be on its disk. A failpoint
 * that is added anywhere is walked without further work. A point where the victim does not exist
 * yet is passed by. */
#pragma once
#include "tests/lib/rig.h"

#define WALK_VM "web"

enum walk_start { WALK_ABSENT, WALK_OFF, WALK_RUNNING, WALK_PAUSED };

struct walk_operation {
    const char *name;
    enum walk_start begin;
    const char *method, *path;
    char *(*body)(void);          /* the caller's; NULL: no body */
    const char *const *ends;      /* run.state it may leave; NULL: VM absent */
    void (*after)(struct rig *r); /* more that holds once it succeeded, or NULL */
    bool same_guest;              /* the guest goes on in the same process */
};

/* Walks all of them, one cmocka test each; the number that failed. 'group' names the program. */
int walk_all(const char *group, const struct walk_operation *operations, unsigned n);
