/* Strings: duplicates that cannot fail, a growing buffer, and the predicates used everywhere. */
#pragma once
#include "core/base/cleanup.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

char *str_dup(const char *s); /* NULL gives NULL */
char *str_format(const char *fmt, ...) PRINTF(1, 2);
bool str_eq(const char *a, const char *b); /* NULL equals only NULL */
bool str_starts(const char *s, const char *prefix);
/* Whole string as a decimal number; false for anything else, overflow included. */
bool str_to_u64(const char *s, uint64_t *out);
bool str_is_utf8(const char *s, size_t len); /* well-formed, without NUL and surrogates */
bool str_is_control(const char *s);          /* a control character (C0, DEL, C1) starts at 's' */
/* Makes a text that may quote a stranger, or was cut in mid-character, fit to be shown: bytes that
 * are not UTF-8 become '?'; str_scrub() does the same to control characters. */
void str_scrub_utf8(char *s);
void str_scrub(char *s);
void str_hex(const uint8_t *data, size_t len, char *out);  /* out: 2*len+1 */
bool str_unhex(const char *hex, uint8_t *out, size_t len); /* exactly 2*len lower-case digits */
size_t str_copy(char *dst, size_t size, const char *src);  /* truncates; returns the length kept */

/* A growing buffer, always NUL-terminated when data is not NULL. */
struct strbuf {
    char *data;
    size_t len, cap;
};
void strbuf_add(struct strbuf *b, const void *data, size_t len);
void strbuf_adds(struct strbuf *b, const char *s);
void strbuf_addf(struct strbuf *b, const char *fmt, ...) PRINTF(2, 3);
void strbuf_clear(struct strbuf *b); /* frees; the buffer may be used again */
char *strbuf_take(struct strbuf *b); /* the text ("" if none), owned by the caller */
