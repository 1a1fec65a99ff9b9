/* vmmd-main as "vmmd --recover" starts it: it looks at the disaster copies, makes a new database if
 * it is told to, says what it did on standard output as JSON, and leaves. See docs/recovery.md. */
#pragma once
#include "core/base/err.h"

#include <stdbool.h>

/* Descriptors that it finds open; the roots follow in the order of vmmd.conf, a regular file in
 * place of one that cannot be opened. */
enum recover_fd { RECOVER_FD_CONFIG = 3, RECOVER_FD_LOCK, RECOVER_FD_ROOTS };

/* True when the command line is that of a recovery: '*apply', '*doubtful'. */
bool recover_asked(int argc, char **argv, bool *apply, bool *doubtful);
/* The exit code. */
int recover_main(bool apply, bool doubtful);
