/* Whether storage answers: for core/disk/blocks.c. */
#pragma once
#include "core/core/parts.h"
#include "core/disk/file.h"

/* Returns once a change of the file's time has reached the disk, at once where that cannot be tried
 * ('*did' says so). Blocks as long as the storage does; false when the daemon ends meanwhile. */
bool answer_await(struct core *core, const struct layer *file, bool *did) MUST_USE;
