/* Memory: allocation that cannot fail (it aborts in one place), and cleanup helpers.
 * Sizes that a client controls are bounded before they come here. */
#pragma once
#include "core/base/cleanup.h"

#include <stddef.h>

void *mem_alloc(size_t size) __attribute__((malloc, returns_nonnull));       /* zeroed */
void *mem_array(size_t count, size_t size) __attribute__((returns_nonnull)); /* zeroed, checked */
void *mem_resize(void *old, size_t count, size_t size) __attribute__((returns_nonnull));
void *mem_dup(const void *data, size_t size) __attribute__((returns_nonnull));
void mem_freep(void *pointer_to_pointer); /* for CLEANUP(mem_freep) char *x */
#ifdef VMMD_FAILPOINTS
/* For tests: the n-th allocation from now on finds no memory; 0: none does. */
void mem_fail_at(unsigned n);
unsigned mem_count(void); /* allocations since */
#endif
/* Zeroes in a way the compiler cannot drop, then frees. For tokens. */
void mem_free_secret(void *data, size_t size);
