/* Looking into an image: pure functions over a struct source, so that tests and fuzzers have them
 * too. What is told and refused is that of image_inspect() in core/port/image.h. */
#pragma once
#include "vmmd/inspect/source.h"

/* 'stated' is an enum image_format; IMAGE_UNKNOWN: whatever its content says, which is never raw.
 */
bool image_look(const struct source *s, int stated, struct image_facts *out,
                struct err *err) MUST_USE;
