/* The request target: path segments and query parameters, decoded strictly. */
#pragma once
#include "api/request.h"

/* Splits and decodes rq->path into rq->segments. MALFORMED for empty segments (a trailing slash
 * too), "." and "..", a '/', NUL or control character behind a percent sign, wrong UTF-8. */
bool target_path(struct request *rq, struct err *err) MUST_USE;
/* Decodes the query into rq->query. MALFORMED for what cannot be decoded, INVALID for a parameter
 * that the route does not know or that comes twice. */
bool target_query(struct request *rq, struct err *err) MUST_USE;
