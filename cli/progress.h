/* What an operation is at, on stderr: one line that is drawn over at a terminal, else a line for
 * every new step. */
#pragma once
#include "cli/cli.h"

struct progress {
    const struct cli *cli;
    char step[64];    /* that was said last */
    int64_t since_ms; /* monotonic */
    bool drawn;       /* a line stands on the terminal */
};

void progress_init(struct progress *p, const struct cli *cli);
void progress_show(struct progress *p, const json_t *operation);
void progress_end(struct progress *p); /* wipes the line */
/* "hello vm.create: allocate [#####.....] 50% 3s", at most 'columns' wide; owned by the caller. */
char *progress_line(const json_t *operation, unsigned columns, int64_t elapsed_s);
