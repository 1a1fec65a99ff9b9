/* The Cookie header (RFC 6265 §5.4), as far as we read it. Pure. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

enum cookie_found { COOKIE_NONE, COOKIE_ONE, COOKIE_BAD };

/* Looks for the cookie 'name' in 'header' (NULL: none) and copies its value. BAD: it is there
 * twice, or its value has another character than letters, digits and '_', or does not fit. */
enum cookie_found cookie_find(const char *header, const char *name, char *out, size_t size);
