/* The two doors through which connections come in: the front's link and the unix socket. */
#pragma once
#include "api/api.h"

/* Starts a thread a door; they end with the process. */
bool doors_open(struct api *api, int front, int listening, struct err *err) MUST_USE;
/* No connection is taken any more; what waits is served by the successor. */
void doors_close(void);
