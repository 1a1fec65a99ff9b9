/* What may be done, and by whom: the rights that routes ask for, and the roles, which are sets of
 * them. A route without a right does not exist (api/routes.c); a caller has exactly the rights it
 * was given. docs/accounts.md has this table for people; a test compares. */
#pragma once
#include "core/base/json.h"

#include <stdbool.h>
#include <stdint.h>

enum role { ROLE_NONE, ROLE_VIEWER, ROLE_OPERATOR, ROLE_ADMIN };
extern const char *const role_names[]; /* indexed by enum role, NULL-terminated */

/* X(name, word, least role that has it, what it allows). The only place a right is declared. */
#define RIGHTS(X)                                                                                  \
    X(VM_READ, "vm-read", VIEWER, "see VMs, their disks and snapshots")                            \
    X(VM_POWER, "vm-power", OPERATOR, "start, stop, pause, save and reset VMs")                    \
    X(VM_EDIT, "vm-edit", OPERATOR, "change VMs, their disks and where they lie")                  \
    X(VM_CREATE, "vm-create", OPERATOR, "create and clone VMs, and start them with it")            \
    X(VM_DELETE, "vm-delete", OPERATOR, "delete VMs")                                              \
    X(SNAPSHOT, "snapshot", OPERATOR, "take, change and delete snapshots, and revert to them")     \
    X(DATA_READ, "data-read", OPERATOR, "read what is on disks: exports, disks of snapshots")      \
    X(DATA_WRITE, "data-write", OPERATOR, "upload images to import, and delete them")              \
    X(CONSOLE_SEE, "console-see", OPERATOR, "see screens, serial consoles and logs of guests")     \
    X(CONSOLE_TYPE, "console-type", OPERATOR, "type and point in consoles, send an NMI")           \
    X(STORAGE_READ, "storage-read", VIEWER, "see pools, their files and ISO files")                \
    X(STORAGE_EDIT, "storage-edit", ADMIN, "create, change and delete pools")                      \
    X(TEMPLATE_READ, "template-read", VIEWER, "see templates")                                     \
    X(TEMPLATE_EDIT, "template-edit", OPERATOR, "create, change and delete templates")             \
    X(OPERATION_READ, "operation-read", VIEWER, "see operations")                                  \
    X(OPERATION_EDIT, "operation-edit", OPERATOR, "cancel and limit operations")                   \
    X(EVENT_READ, "event-read", VIEWER, "follow events")                                           \
    X(HOST_READ, "host-read", VIEWER, "see the host, its devices and its metrics")                 \
    X(HOST_ADMIN, "host-admin", ADMIN, "bring all guests down")                                    \
    X(WEBHOOK_ADMIN, "webhook-admin", ADMIN, "create, change and delete webhooks")                 \
    X(ACCOUNT_ADMIN, "account-admin", ADMIN, "create, change and delete users and tokens")         \
    X(AUDIT_READ, "audit-read", ADMIN, "read who changed what, and who was refused")

/* RIGHT_NONE is nobody's and no route's: a table's entry that forgot its right would have it. */
enum right {
    RIGHT_NONE,
    RIGHT_PUBLIC, /* of a route that asks nobody who it is */
    RIGHT_SELF,   /* of a route for whoever is known, whatever the rights */
#define X(name, word, role, help) RIGHT_##name,
    RIGHTS(X)
#undef X
        RIGHT_COUNT
};
#define RIGHT_BIT(right) (UINT64_C(1) << (right))

extern const char *const right_names[]; /* indexed by enum right, NULL-terminated */
/* The rights of a role: a set of RIGHT_BIT()s, with RIGHT_SELF's and RIGHT_PUBLIC's. */
uint64_t role_rights(enum role role);
enum role right_role(enum right right); /* the least role that has it; ROLE_NONE: of everybody */
enum role role_parse(const char *text); /* ROLE_NONE for what is none that can be given */
/* The names of a set that can be given and asked for, as a list; and back, with false for a word
 * that is none. */
json_t *rights_json(uint64_t rights);
bool rights_parse(const json_t *list, uint64_t *out) MUST_USE;
