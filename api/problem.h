/* struct err as application/problem+json (RFC 9457). */
#pragma once
#include "core/base/err.h"
#include "core/base/json.h"

#define PROBLEM_TYPE "application/problem+json"

/* 'instance' is what failed: the request's path or an operation's. 'blockers': all that stands in
 * the way, or NULL. */
json_t *problem_json(const struct err *err, const char *instance, const char *request_id,
                     unsigned retry_s, json_t *blockers) MUST_USE;
/* Seconds after which the client may try again, 0 when trying again does not help. */
unsigned problem_retry_s(enum err_code code);
