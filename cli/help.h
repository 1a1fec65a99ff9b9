/* Help texts from the table of commands. */
#pragma once
#include "cli/args.h"
#include "core/base/str.h"

/* For what --help stands behind: everything, a noun, or a command. */
void help_write(const struct args *args, unsigned columns, struct strbuf *out);
/* Words broken into lines of at most 'columns', each behind 'indent' blanks; keeps paragraphs and
 * lines that start with a blank. */
void help_wrap(const char *text, unsigned indent, unsigned columns, struct strbuf *out);
/* "-o, --output FORMAT" */
void help_flag(const struct flag *flag, struct strbuf *out);
