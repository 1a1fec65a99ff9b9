/* Reading /proc and /sys beneath a root: the real one, or a directory with a few files that a test
 * made. Paths are relative to it ("sys/class/net"), and symbolic links, absolute ones too, never
 * leave it.
 *
 * What stands there is partly written by strangers (names of USB devices): single values come with
 * control characters and broken UTF-8 replaced. Nothing here fails loudly: a file that is missing
 * or that we may not read is a fact about the host, not an error. */
#pragma once
#include "core/base/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The host's own root, or -1; closed by the caller. */
int sys_root(void);
/* -1 with errno. 'flags' as for open(); O_CLOEXEC is added. */
int sys_open(int root, const char *path, int flags);
bool sys_exists(int root, const char *fmt, ...) PRINTF(2, 3);
/* The first line of a file, without blanks around it. False, and "" in 'out', when it cannot be
 * read. */
bool sys_text(int root, char *out, size_t size, const char *fmt, ...) PRINTF(4, 5);
/* A decimal or 0x-hexadecimal number. */
bool sys_u64(int root, uint64_t *out, const char *fmt, ...) PRINTF(3, 4);
/* "1" and "Y" are true; 'or_else' when the file is not there. */
bool sys_flag(int root, bool or_else, const char *fmt, ...) PRINTF(3, 4);
/* The last part of a symbolic link's target: the driver of a device, its IOMMU group. */
bool sys_link(int root, char *out, size_t size, const char *fmt, ...) PRINTF(4, 5);
/* The whole file as it is, at most 'max' bytes of it; NULL when it cannot be read. Owned by the
 * caller. */
char *sys_whole(int root, size_t max, const char *fmt, ...) PRINTF(3, 4);

/* The names in a directory in natural order (eth2 before eth10), none beginning with a dot. */
struct sys_names {
    char **name;
    size_t n;
};
struct sys_names sys_list(int root, const char *fmt, ...) PRINTF(2, 3);
void sys_names_clear(struct sys_names *names); /* for CLEANUP(sys_names_clear) */

/* True when the blank-separated 'list' holds 'word' as a whole. */
bool sys_has_word(const char *list, const char *word);
