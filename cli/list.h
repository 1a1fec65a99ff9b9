/* Lists from the service: --filter, --order, --fields and --limit are its own query language, so
 * they are passed on, and no more is fetched than is shown. */
#pragma once
#include "cli/output.h"

/* All pages of a list, at most 'most' objects (0: all); 'path' may have a query. Owned by the
 * caller. */
json_t *list_fetch(struct cli *cli, const char *path, uint64_t most, struct fault *fault) MUST_USE;
/* The same, page by page, for lists that are too long to be held: 'take' gets the items of each. */
typedef bool list_take(void *ctx, const json_t *items, struct fault *fault);
bool list_pages(struct cli *cli, const char *path, list_take *take, void *ctx,
                struct fault *fault) MUST_USE;
/* Fetches what the flags of this command line ask for and prints it. */
bool list_print(struct cli *cli, const char *path, const struct column *columns,
                struct fault *fault) MUST_USE;
