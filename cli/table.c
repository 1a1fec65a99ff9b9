/* Columns of text: see table.h. */
#include "cli/table.h"

#include "cli/text.h"
#include "core/base/mem.h"

#define GAP 2

static void pad(struct strbuf *out, size_t n)
{
    while (n--)
        strbuf_adds(out, " ");
}

static size_t column_width(const struct table *t, size_t column)
{
    size_t width = t->headers ? text_width(t->titles[column]) : 0;

    for (size_t row = 0; row < t->n_rows; row++) {
        size_t w = text_width(t->cells[row * t->n_columns + column]);
        width = w > width ? w : width;
    }
    return width;
}

static void add_cell(const struct table *t, size_t column, const char *cell, size_t width,
                     struct strbuf *line)
{
    bool right = t->right && t->right[column], last = column + 1 == t->n_columns;
    size_t fill = width - text_width(cell);

    pad(line, right ? fill : 0);
    strbuf_adds(line, cell);
    pad(line, last ? 0 : GAP + (right ? 0 : fill));
}

static void add_line(const struct table *t, const size_t *widths, char *const *cells,
                     struct strbuf *out)
{
    struct strbuf line = {0};

    for (size_t column = 0; column < t->n_columns; column++)
        add_cell(t, column, cells[column], widths[column], &line);
    while (line.len && line.data[line.len - 1] == ' ')
        line.data[--line.len] = 0;
    if (t->width && line.data && text_width(line.data) > t->width) {
        strbuf_add(out, line.data, text_fit(line.data, t->width - 1));
        strbuf_adds(out, "\u2026");
    } else if (line.data) {
        strbuf_adds(out, line.data);
    }
    strbuf_adds(out, "\n");
    strbuf_clear(&line);
}

void table_render(const struct table *table, struct strbuf *out)
{
    CLEANUP(mem_freep) size_t *widths = mem_array(table->n_columns, sizeof *widths);

    for (size_t column = 0; column < table->n_columns; column++)
        widths[column] = column_width(table, column);
    if (table->headers)
        add_line(table, widths, (char *const *)table->titles, out);
    for (size_t row = 0; row < table->n_rows; row++)
        add_line(table, widths, table->cells + row * table->n_columns, out);
}
