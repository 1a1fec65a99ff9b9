/* What vmmd-net can do once passt runs: core/base/room.h. */
#pragma once
#include "core/base/err.h"

bool net_lock(struct err *err) MUST_USE; /* never opens again */
