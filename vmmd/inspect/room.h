/* What vmmd-inspect can do once it has locked itself in: core/base/room.h. */
#pragma once
#include "core/base/err.h"

bool inspect_lock(struct err *err) MUST_USE; /* never opens again */
