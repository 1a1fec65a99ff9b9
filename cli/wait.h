/* Waiting for operations. */
#pragma once
#include "cli/cli.h"

/* With --no-wait prints the operation's id on stdout and leaves '*end' NULL. Else waits up to
 * cli->timeout_ms and gives the ended operation in '*end' (owned by the caller; 'end' may be NULL).
 *
 * FAILED: the operation failed or was cancelled; TIMED_OUT: it goes on; INTERRUPTED: Ctrl-C (a
 * second one within two seconds cancels the operation); UNREACHABLE: the service was away until the
 * end. */
bool wait_follow(struct cli *cli, const json_t *operation, json_t **end,
                 struct fault *fault) MUST_USE;
/* As above for an operation by its id, whatever --no-wait says. */
bool wait_id(struct cli *cli, const char *id, json_t **end, struct fault *fault) MUST_USE;
/* POST 'path' and wait_follow(). */
bool wait_post(struct cli *cli, const char *path, const json_t *body, json_t **end,
               struct fault *fault) MUST_USE;
bool wait_is_over(const json_t *operation);
