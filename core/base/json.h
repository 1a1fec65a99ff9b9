/* JSON helpers over jansson: reading hostile text, and building replies without ceremony. */
#pragma once
#include "core/base/err.h"

#include <jansson.h>
#include <stdint.h>

#define JSON_MAX_DEPTH   32
#define JSON_MAX_MEMBERS 10000

/* For every json_dumps(): 99.04 and not 99.040000000000006. */
#define JSON_SHORT_REALS JSON_REAL_PRECISION(15)

/* CLEANUP(json_decrefp) json_t *v: jansson brings json_decrefp() along. */

/* Parses a hostile text: depth, number of values, duplicate members, encoding are checked before
 * anything is built. NULL with MALFORMED and the position. */
json_t *json_read(const char *text, size_t len, struct err *err) MUST_USE;
/* Compact text, owned by the caller. */
char *json_write(const json_t *value) MUST_USE;

/* Members of an object; NULL / the default when missing or of another type. */
const char *json_get_text(const json_t *object, const char *key);
uint64_t json_get_u64(const json_t *object, const char *key, uint64_t or_else);
bool json_get_bool(const json_t *object, const char *key, bool or_else);

void json_put_text(json_t *object, const char *key, const char *text); /* NULL gives null */
void json_put_u64(json_t *object, const char *key, uint64_t value);
void json_put_bool(json_t *object, const char *key, bool value);
void json_put(json_t *object, const char *key, json_t *value); /* takes 'value'; NULL gives null */
/* {"code","detail","pointer"} as in schema OperationError; null when there is no error. */
void json_put_err(json_t *object, const char *key, const struct err *err);
/* The same as one more item of a list, unless it is there already. */
void json_add_err(json_t *list, const struct err *err);
/* RFC 7396: 'target' is changed by the merge patch 'patch' in place; both are objects. */
void json_merge(json_t *target, const json_t *patch);
void json_put_time(json_t *object, const char *key, int64_t wall_ms); /* 0 gives null */
