/* Media: the ISO files in the folder "media" of each pool root. People put them there; vmmd lists
 * them and hands them to VMs read-only, and never writes there. A name found in two roots is the
 * one of the root that vmmd.conf names first. */
#pragma once
#include "core/core/core.h"

#define MEDIA_FOLDER "media"
/* What the active configuration says of a drive of which nobody knows what is in it: no medium can
 * be called that. */
#define MEDIA_UNKNOWN "?"

/* {"items":[Medium…],"next_page_token":…} by name and root; owned by the caller. Reads the folders
 * anew. 'page_token' NULL for the first page. */
json_t *media_list(struct core *core, unsigned page_size, const char *page_token);
/* Opens a medium for reading: a regular file, no links followed. NOT_FOUND, INVALID with what to
 * do. -1 on failure; the caller owns the descriptor. */
int media_open(struct core *core, const char *name, struct err *err) MUST_USE;
