/* Rates of requests: who changes things too fast, and who tries too many wrong tokens, is told when
 * to come again (429 with Retry-After). The unix socket has no rates: whoever administers the host
 * gets in whatever happens on the network. */
#pragma once
#include "api/request.h"

/* After authentication. RATE_LIMITED when the principal makes changes too fast. */
bool rate_check(struct request *rq, struct err *err) MUST_USE;
/* The request has made 'n' changes in place of one: its principal's next ones wait for them. */
void rate_owe(struct request *rq, unsigned n);
/* For a token that was not good, with what is 'wrong': counts it for the address. Fills *err with
 * that or, when there were too many, with RATE_LIMITED and ends the connection; always false. Good
 * tokens of the same address go on working: one broken client behind a shared address locks nobody
 * out. */
bool rate_wrong_token(struct request *rq, const struct err *wrong, struct err *err) MUST_USE;
