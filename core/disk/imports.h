/* The folder "imports" of each pool root: images that can be made into disks (import.h), and those
 * of which a part has come through the API so far (upload.h). People put files there as well. */
#pragma once
#include "core/base/str.h"
#include "core/core/core.h"
#include "core/model/query.h"

#define IMPORTS_FOLDER  "imports"
#define IMPORT_NAME_MAX 160
#define PART_NAME_MAX   (IMPORT_NAME_MAX + 32)

/* Appends {"items":[Import…],"next_page_token":…} for a query of schema_import. Reads the folders,
 * and makes those that are missing. */
void import_list(struct core *core, const struct query *query, struct strbuf *out);
/* One Import; the image, or what there is of it. NOT_FOUND. */
json_t *import_show(struct core *core, const char *root, const char *name,
                    struct err *err) MUST_USE;
/* Removes an image and what has come of it. NOT_FOUND; BUSY while it is being uploaded, or made
 * into a disk. */
bool import_remove(struct core *core, const char *root, const char *name,
                   const struct origin *origin, struct err *err) MUST_USE;

/* ---- for core/disk ---- */

/* The folder of a root, made when it is missing; '*index' (may be NULL) is which root it is. -1
 * with NOT_FOUND. */
int import_folder(struct core *core, const char *root, unsigned *index, struct err *err) MUST_USE;
bool import_name_is_good(const char *name);
/* The event of a change in the folder, durable on return. */
bool import_record(struct core *core, const char *type, const char *root, const char *name,
                   struct err *err) MUST_USE;

/* An unfinished one as it lies in the folder: ".NAME.TOTAL.part", as large as what has come. */
struct part {
    char entry[PART_NAME_MAX + 1], name[IMPORT_NAME_MAX + 1];
    uint64_t total_bytes, have_bytes, file_bytes;
    int64_t modified_ms;
};
/* False when 'entry' is none, or no plain file. */
bool part_read(int dir, const char *entry, struct part *out) MUST_USE;
/* That of an image; '*count' (may be NULL) is how many unfinished ones there are in all. */
bool part_find(int dir, const char *name, struct part *out, unsigned *count) MUST_USE;
