/* Finding a member by its path in a schema. For query.c only. */
#pragma once
#include "core/model/query.h"

enum place_use { PLACE_SHOWN, PLACE_COMPARED, PLACE_ORDERED };

/* The member named by the 'n' bytes at 'text'; INVALID with "" as field and what there is. */
bool place_find(const struct query_schema *schema, const char *text, size_t n, enum place_use use,
                struct query_place *out, struct err *err) MUST_USE;
void place_clear(struct query_place *place);
