/* The client of the privileged helper: implements core/port/host.h over MAIN_FD_PRIV. */
#pragma once
#include "core/base/err.h"
#include "vmmd/config/config.h"

/* 'config' is borrowed for the life of the process. */
bool helper_init(const struct config *config, int sock, struct err *err) MUST_USE;
/* Tells the parent that requests are served. */
bool helper_ready(struct err *err) MUST_USE;
