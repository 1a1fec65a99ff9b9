/* What of an API object stands in a table's cell. */
#pragma once
#include "cli/output.h"

/* "run.state" of an object, "label.ci", or "disks.size_bytes" as a list; NULL when there is no such
 * member. Owned by the caller. */
json_t *cell_find(const json_t *object, const char *path);
/* For people ('human') or exact, for CSV. Not escaped; owned by the caller. */
char *cell_text(const json_t *value, enum cell cell, bool human);
/* How a member without a column of its own is shown: by its name ("…_bytes", "…_at"). */
enum cell cell_guess(const char *path);
