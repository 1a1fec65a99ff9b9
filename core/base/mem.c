/* Memory that cannot fail: see mem.h. */
#include "core/base/mem.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef VMMD_FAILPOINTS
static atomic_uint allocations, fail_at;

void mem_fail_at(unsigned n)
{
    fail_at = 0;
    allocations = 0;
    fail_at = n;
}

unsigned mem_count(void)
{
    return allocations;
}

static bool is_out(void)
{
    return ++allocations == fail_at;
}
#else
static bool is_out(void)
{
    return false;
}
#endif

/* The one place where a process ends because memory has. */
static void *or_abort(void *p)
{
    if (!p || is_out()) {
        fputs("vmmd: out of memory\n", stderr);
        abort();
    }
    return p;
}

void *mem_alloc(size_t size)
{
    return or_abort(calloc(1, size ? size : 1));
}

void *mem_array(size_t count, size_t size)
{
    return or_abort(calloc(count ? count : 1, size ? size : 1));
}

void *mem_resize(void *old, size_t count, size_t size)
{
    return or_abort(reallocarray(old, count ? count : 1, size ? size : 1));
}

void *mem_dup(const void *data, size_t size)
{
    void *copy = mem_alloc(size);

    if (size)
        memcpy(copy, data, size);
    return copy;
}

void mem_freep(void *pointer_to_pointer)
{
    void **p = pointer_to_pointer;

    free(*p);
    *p = NULL;
}

void mem_free_secret(void *data, size_t size)
{
    if (!data)
        return;
    explicit_bzero(data, size);
    free(data);
}
