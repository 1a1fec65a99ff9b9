/* Random texts that let somebody in: "<prefix><32 hex digits of an id>_<64 hex digits>", of which
 * only the SHA-256 of the last part is kept. 256 random bits cannot be guessed, so a fast hash is
 * good enough; passwords are another matter (password.h). */
#pragma once
#include "core/base/id.h"

#define SECRET_TEXT 128

/* A new one: its text, for its owner's eyes only, and what is kept of it. */
void secret_make(const char *prefix, const struct uuid *id, char text[SECRET_TEXT],
                 uint8_t sha256[32]);
/* Reads 'text' and hashes its secret. False for what is none; 'sha256' is then that of something
 * else, so that the caller goes on as with a good one. */
bool secret_read(const char *prefix, const char *text, struct uuid *id, uint8_t sha256[32]);
/* In constant time. */
bool secret_is(const uint8_t given[32], const uint8_t kept[32]);
/* Another secret that follows from 'text' and does not lead back to it, as 64 hex digits. */
void secret_derive(const char *label, const char *text, char out[65]);
