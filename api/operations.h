/* How a request that began an operation is answered. */
#pragma once
#include "api/request.h"

/* 202 with Location and the Operation. With "Prefer: wait=N" waits for the end: 200 with the
 * Operation when it succeeded in time (for "vm.create" 201 with the VM), its error when it failed.
 */
bool operation_reply(struct request *rq, const struct uuid *op, struct err *err) MUST_USE;
/* The id in the request's path; NOT_FOUND when it is none. */
bool operation_ref(const struct request *rq, struct uuid *id, struct err *err) MUST_USE;
