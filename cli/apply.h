/* Objects that files describe: vmmctl apply. */
#pragma once
#include "cli/cli.h"
#include "core/model/field.h"

/* A kind of object that a document can describe. */
struct kind {
    const char *name;          /* value of the document's member "kind" */
    const char *collection;    /* "/vms" */
    const struct model *model; /* types its members, NULL for none */
    const char *const *edited; /* members that can be changed later, ended by NULL; NULL: those of
                                  the model */
    bool by_operation;         /* creating it is an operation */
};
extern const struct kind apply_kinds[]; /* in the order in which they are made; ends with no name */

/* One document. */
struct object {
    const struct kind *kind;
    json_t *spec; /* without "kind" */
    const char *name;
};

struct objects {
    struct object *item;
    size_t n;
};

enum outcome {
    OUTCOME_UNCHANGED,
    OUTCOME_CREATED,
    OUTCOME_CHANGED,
    OUTCOME_DELETED,
    OUTCOME_FAILED
};
extern const char *const outcome_names[];

/* Reads every -f of the command line: files, folders (their .yaml, .yml and .json files by name),
 * "-". USAGE when one cannot be read or describes nothing; then nothing has happened. Ordered by
 * kind. */
bool objects_read(struct cli *cli, struct objects *out, struct fault *fault) MUST_USE;
void objects_clear(struct objects *objects); /* for CLEANUP(objects_clear) */

/* Makes the object what the document says, or with 'dry_run' only finds out. '*changes' is a list
 * of {member, from, to} of what was there already, owned by the caller. The faults are the
 * service's; CONFLICT: a member that can never be changed is another. */
bool object_apply(struct cli *cli, const struct object *object, bool dry_run, enum outcome *outcome,
                  json_t **changes, struct fault *fault) MUST_USE;
