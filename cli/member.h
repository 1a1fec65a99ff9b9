/* Members of API objects by their dotted path, typed by the field tables of core/model: what
 * "cpu.max_vcpus=4" or "memory=1G" means. Pure. The values are the service's to check; here only
 * their form counts. */
#pragma once
#include "cli/fault.h"
#include "core/base/str.h"
#include "core/model/field.h"

/* Where a member is looked for, and what the messages call that. */
struct member_of {
    const struct model *model;
    const char *what;    /* "a VM", "--disk" */
    const json_t *known; /* an object of that kind as the service gave it, or NULL: members that
                            'model' lacks are typed by what stands there */
};

/* The member in 'object' at 'path' becomes what 'text' says; "" gives null, the default. Memory may
 * be called by memory_bytes or memory, lists are JSON or by index (nics.0.model; the first free
 * index adds), and an object's text is that of its first member (firmware=uefi). USAGE. */
bool member_set(const struct member_of *of, json_t *object, const char *path, const char *text,
                struct fault *fault) MUST_USE;
/* The field at a path, or NULL. */
const struct field *member_find(const struct model *model, const char *path);
/* "a=b,c=d" as a new object. NULL with USAGE. */
json_t *member_list(const struct member_of *of, const char *text, struct fault *fault) MUST_USE;

/* What people write in files as the API wants it: memory: 1G becomes memory_bytes, firmware: uefi
 * its member type. What is not understood stays for the service to refuse. */
void member_tidy(const struct model *model, json_t *object);

/* The members that can be set, each with its path; lists of objects as "disks.N.bus". */
void member_each(const struct model *model,
                 void (*see)(void *arg, const char *path, const struct field *field), void *arg);
