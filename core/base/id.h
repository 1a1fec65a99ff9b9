/* Identifiers: UUID version 4, shown in lower case. A name never looks like one. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define UUID_TEXT 37

struct uuid {
    uint8_t b[16];
};

struct uuid uuid_new(void); /* from getrandom(2) */
bool uuid_parse(const char *text, struct uuid *out);
void uuid_text(const struct uuid *id, char out[UUID_TEXT]);
bool uuid_eq(const struct uuid *a, const struct uuid *b);
bool uuid_is_zero(const struct uuid *id);
void random_bytes(void *out, uint32_t len); /* getrandom(2); aborts if the kernel has none */
/* The id as text in a buffer of the calling expression: for log lines and format arguments. */
#define UUID_STR(id) (uuid_str_((char[UUID_TEXT]){0}, (id)))
const char *uuid_str_(char *buffer, const struct uuid *id);
