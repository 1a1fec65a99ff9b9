/* Editing an object: a merge patch from --set, --patch or an editor, sent with If-Match so that
 * nobody else's change is lost. vm edit and template edit are this. */
#pragma once
#include "cli/output.h"

/* A kind of object that can be edited. */
struct editable {
    const char *collection; /* "/vms" */
    const char *what;       /* "VM" */
    const char *file;       /* what the editor is to call it: "vm.yaml" */
    const struct column *columns;
    /* What a patch may name of an object; owned by the caller. */
    json_t *(*writable)(const json_t *object);
    /* "member=value" into 'wanted', what --set says; 'known' is the object as it was. USAGE. */
    bool (*set)(const char *text, const json_t *known, json_t *wanted, struct fault *fault);
    void (*tidy)(json_t *page); /* what a person wrote, as the service wants it */
};

/* Edits the object that the first word names, by the flags --set, --patch and --dry-run, or else in
 * $EDITOR. */
bool edit_run(struct cli *cli, const struct editable *kind, struct fault *fault) MUST_USE;
/* PATCH of the object at 'path'; 'etag' NULL: whatever its revision is. The object, or with
 * 'dry_run' what the service says about it; owned by the caller. */
json_t *edit_patch(struct cli *cli, const char *path, const json_t *patch, const char *etag,
                   bool dry_run, struct fault *fault) MUST_USE;
/* Prints what edit_patch() gave. */
bool edit_print(struct cli *cli, const struct editable *kind, const json_t *reply,
                struct fault *fault) MUST_USE;
