/* API objects on stdout, in the format that -o asks for. */
#pragma once
#include "cli/cli.h"

enum cell {
    CELL_TEXT,    /* as it is; lists of texts joined by commas; null is "-" */
    CELL_BYTES,   /* "512 MiB" */
    CELL_TIME,    /* "2026-11-21 01:02:03" */
    CELL_COUNT,   /* elements of a list */
    CELL_PERCENT, /* of {done, total} */
};

struct column {
    const char *title;
    const char *path; /* "run.state": member of a member */
    enum cell cell;
    bool wide; /* with -o wide only */
};

/* What a list of one kind of object looks like; ended by a title of NULL. */
bool output_list(struct cli *cli, const json_t *items, const struct column *columns,
                 struct fault *fault) MUST_USE;
/* One object: as a table it is a list of all its members, one a line. */
bool output_object(struct cli *cli, const json_t *object, const struct column *columns,
                   struct fault *fault) MUST_USE;
/* The members that will be shown of each object, with commas between, owned by the caller; NULL:
 * all of them. USAGE. */
bool output_members(const struct cli *cli, const struct column *columns, char **members,
                    struct fault *fault) MUST_USE;
/* GET of one object and output_object. */
bool output_shown(struct cli *cli, const char *path, const struct column *columns,
                  struct fault *fault) MUST_USE;
