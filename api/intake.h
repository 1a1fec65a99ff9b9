/* Bodies that are files (BODY_FILE): nothing of them is collected, they go to core as they come,
 * for hours if need be. server.c calls it; imports.c answers when the body has ended. */
#pragma once
#include "api/request.h"

struct upload;

/* Whether the body that is announced may come, asked before its first byte: so a client that waits
 * for "100 Continue" sends nothing in vain. True for requests of other kinds. */
bool intake_begin(struct request *rq, struct err *err) MUST_USE;
/* The next bytes; blocks on the disk. Sets how long the client has for more: a kilobyte a second,
 * looked at over three times config.stall_ms, without a limit for the whole. */
bool intake_add(struct request *rq, const char *data, size_t len, struct err *err) MUST_USE;
/* For the handler: what was taken so far, the caller's from now on. */
struct upload *intake_take(struct request *rq) MUST_USE;
void intake_end(struct request *rq); /* of any request: nothing stays open */
