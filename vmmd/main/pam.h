/* The client of vmmd-pam: core/port/pam.h, for as many threads as PAM_AT_ONCE. See
 * vmmd/pam/proto.h.
 */
#pragma once
#include "core/port/pam.h"

/* 'link' is kept. */
bool pam_client_init(int link, struct err *err) MUST_USE;
pam_ask pam_client_ask;
/* Who waits stops waiting, and nobody will again: before the API is stopped. Without
 * pam_client_init(): nothing. */
void pam_client_stop(void);
