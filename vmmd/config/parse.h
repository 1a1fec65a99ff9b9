/* Between the files of this room: the text of vmmd.conf -> struct config. */
#pragma once
#include "vmmd/config/config.h"

/* Fills '*c' (zeroed) from a NUL-terminated text; keys that are not given stay 0/NULL. 'name'
 * stands in front of the line number in errors. */
bool config_parse(struct config *c, const char *name, const char *text, struct err *err) MUST_USE;
/* The i-th key of [vmmd], NULL behind the last one. */
const char *config_key(size_t i);
/* True if 'path' can stand in the file: absolute, no control characters, no ';', no blanks around.
 */
bool config_path_ok(const char *path);
/* "127.0.0.1:8443", "[::1]:8443" */
bool config_parse_listen(struct config *c, const char *text);
/* "12:34" */
bool config_parse_ids(const char *text, uid_t *uid, gid_t *gid);
