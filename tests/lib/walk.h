/* The walk: one operation of the real daemon on a VM with the counting guest, with a process killed
 * at each failpoint it passes, whatever process passes it, and with each failpoint failing.
 *
 * Theory of operation. A dry run records the points. Then, for each victim and each point: the VM
 * is brought to the state the operation begins in; the point is armed; the request is sent; when a
 * process stands at the point, the victim is killed; the process goes on (if it was not the
 * victim); vmmd is started again if it was the victim; all comes to rest (settled.h); what the
 * client was told must be true, and what the guest said it wrote must be on its disk. A failpoint
 * that is added anywhere is walked without further work. A point where the victim does not exist
 * yet is passed by. Then, for each point once more: the step fails there, before its effect or
 * behind it, and nobody is killed. */
#pragma once
#include "tests/lib/rig.h"

#define WALK_VM "web"

enum walk_start { WALK_ABSENT, WALK_OFF, WALK_RUNNING, WALK_PAUSED };

struct walk_operation {
    const char *name;
    enum walk_start begin;
    const char *method, *path;
    char *(*where)(struct rig *r);  /* instead of 'path': the caller's text */
    char *(*body)(void);            /* the caller's; NULL: no body */
    const char *const *ends;        /* run.state it may leave; NULL: VM absent */
    void (*after)(struct rig *r);   /* more that holds once it succeeded, or NULL */
    bool same_guest;                /* the guest goes on in the same process */
    bool once;                      /* a point counts at its first passage; $VMMD_WALK_ALL: all */
    const char *own;                /* what its points' names begin with, or NULL: all are walked */
    bool brief;                     /* what worker, jail and QEMU do in it another one walks */
    bool starts;                    /* worker and QEMU come to be in it: they are victims, too */
    bool goes_back;                 /* what the guest wrote last need not be on its disk */
    void (*prepare)(struct rig *r); /* before the VM is brought to 'begin', or NULL */
    void (*ready)(struct rig *r);   /* and after that, or NULL */
    void (*again)(struct rig *r);   /* after a failure: what a client does to bring it to an end */
    void (*always)(struct rig *r);  /* what holds of a VM that lives, done or not, or NULL */
};

/* Walks all of them, one cmocka test each; the number that failed. Where that cannot be it says so.
 * 'group' names the program; the VM is that of counter_spec() with the members 'more' (JSON text,
 * or ""). */
int walk_all(const char *group, const struct walk_operation *operations, unsigned n,
             const char *more);
