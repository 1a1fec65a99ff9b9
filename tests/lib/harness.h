/* The tests' harness: verbs shared by the suites. */
#pragma once
/* cmocka wants these four first, in this order. */
/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdbool.h>

/* A fresh directory below $TMPDIR, removed with all below it by tmp_dir_remove(). */
char *tmp_dir_make(void);
void tmp_dir_remove(char *path);
