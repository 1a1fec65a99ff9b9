/* The folders that each pool root has one of ("exports", "bundles"): opened, and shown as one list.
 * Whatever lies in them may be anybody's. */
#pragma once
#include "core/base/str.h"
#include "core/core/core.h"
#include "core/model/query.h"

/* The folder in a root (its index). -1: the root cannot be reached, or has none yet. */
int folder_open(const struct core *core, unsigned root, const char *folder,
                struct err *err) MUST_USE;

/* One entry as the API shows it, the caller's, or NULL for what is not to be shown. 'dir' is the
 * folder, borrowed. */
typedef json_t *folder_show(int dir, const char *name, unsigned root);

/* All entries in all roots that can be reached, as a page of the list. */
void folder_list(const struct core *core, const char *folder, folder_show *show,
                 const struct query *query, struct strbuf *out);
