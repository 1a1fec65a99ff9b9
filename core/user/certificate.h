/* Certificates of users, which programs prove by TLS who they are with: schema Certificate. One is
 * known by its SHA-256; who signed it does not matter. docs/accounts.md, "Certificates". */
#pragma once
#include "core/core/core.h"
#include "core/user/who.h"

#define CERTIFICATE_PEM_MAX (16u << 10)
#define CERTIFICATES_MAX    16 /* of one user */

/* 'pem': the certificate as text, without its key. INVALID for what is none, has expired or has a
 * weak key; EXISTS when it is somebody's already; NOT_FOUND: no such user. */
bool certificate_add(struct core *core, const char *user, const char *pem,
                     const struct origin *origin, struct uuid *id, struct err *err) MUST_USE;
/* NOT_FOUND. Owned by the caller; so is the list, oldest first. */
json_t *certificate_show(struct core *core, const char *user, const char *id,
                         struct err *err) MUST_USE;
json_t *certificate_list(struct core *core, const char *user, struct err *err) MUST_USE;
bool certificate_remove(struct core *core, const char *user, const char *id,
                        const struct origin *origin, struct err *err) MUST_USE;
/* Whose it is: UNAUTHENTICATED for nobody's, and when the user is gone or disabled. That whoever
 * shows it has its key, and that it has not expired, the caller knows. */
bool certificate_check(struct core *core, const uint8_t sha256[32], struct who *out,
                       struct err *err) MUST_USE;
