/* passt: the user-mode network of a guest, a process of its own outside QEMU's jail. It speaks with
 * QEMU over one end of a socket pair (-netdev stream,addr.type=fd) and has no way to the host's
 * loopback (--no-map-gw). This is its command line; vmmd/net starts it. */
#pragma once
#include "core/base/err.h"

#define PASST_PATH        "/usr/bin/passt"
#define PASST_MAX_OPTIONS 32 /* words a caller may add */
#define PASST_MAX_ARGS    (PASST_MAX_OPTIONS + 10)
#define PASST_FD          3 /* the number under which passt finds its socket */

/* True when the program is there and may be executed. */
bool passt_is_present(void);
/* Fills 'argv' (NULL-terminated) with the fixed options and the caller's words, which must be
 * options of the table in passt.c with their values: INVALID otherwise. The strings are borrowed.
 */
bool passt_argv(const char *const *options, unsigned n_options, const char *argv[PASST_MAX_ARGS],
                struct err *err) MUST_USE;
