/* Columns of text for people. Pure: cells come in escaped, lines go out. */
#pragma once
#include "core/base/str.h"

struct table {
    size_t n_columns;
    const char *const *titles;
    const bool *right;  /* numbers stand to the right; NULL: none */
    char *const *cells; /* row after row */
    size_t n_rows;
    bool headers;
    size_t width; /* cut lines to so many columns; 0: never */
};

void table_render(const struct table *table, struct strbuf *out);
