/* Media: the ISO files in the folder "media" of each pool root. People put them there; vmmd lists
 * them and hands them to VMs read-only, and never writes there. A name found in two roots is the
 * one of the root that vmmd.conf names first. */
#pragma once
#include "core/base/str.h"
#include "core/core/core.h"
#include "core/model/query.h"

#define MEDIA_FOLDER "media"
/* What the active configuration says of a drive of which nobody knows what is in it: no medium can
 * be called that. */
#define MEDIA_UNKNOWN "?"

/* Appends {"items":[Medium…],"next_page_token":…} for a query of schema_medium. Reads the folders
 * anew. */
void media_list(struct core *core, const struct query *query, struct strbuf *out);
/* Opens a medium for reading: a regular file, no links followed. NOT_FOUND, INVALID with what to
 * do. -1 on failure; the caller owns the descriptor. */
int media_open(struct core *core, const char *name, struct err *err) MUST_USE;
