/* Scope-bound ownership: CLEANUP(fn) on a declaration runs fn(&variable) when the scope ends;
 * TAKE(pointer) hands the object over and leaves NULL behind. */
#pragma once
#include <stddef.h>

#define CLEANUP(fn) __attribute__((cleanup(fn), unused))
#define TAKE(p)                                                                                    \
    __extension__({                                                                                \
        __typeof__(p) take_ = (p);                                                                 \
        (p) = NULL;                                                                                \
        take_;                                                                                     \
    })
#define TAKE_FD(fd)                                                                                \
    __extension__({                                                                                \
        int take_ = (fd);                                                                          \
        (fd) = -1;                                                                                 \
        take_;                                                                                     \
    })

#define MUST_USE        __attribute__((warn_unused_result))
#define PRINTF(fmt, va) __attribute__((format(printf, fmt, va)))
#define ARRAY_LEN(a)    (sizeof(a) / sizeof((a)[0]))
