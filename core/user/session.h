/* Sessions: a browser that signed in, known by the secret in its cookie. docs/accounts.md. */
#pragma once
#include "core/base/str.h"
#include "core/core/core.h"
#include "core/model/query.h"
#include "core/user/who.h"

#define SESSION_TEXT 128 /* "<32 hex digits>_<64 hex digits>" */
#define SESSION_CSRF 65

/* Signs in: fills 'who', for who_clear() even on failure, and the cookie's 'text'. UNAUTHENTICATED
 * for a wrong name or password and a disabled user alike, at the same cost; FORBIDDEN for a right
 * one whose account the host has locked. 'from' is shown to people, and its first word to the host.
 * Blocks for a hash, or for as long as the host takes to answer (core/port/pam.h). */
bool session_begin(struct core *core, const char *name, const char *password, const char *from,
                   struct who *who, char text[SESSION_TEXT], struct err *err) MUST_USE;
/* The same for somebody who proved who it is otherwise. */
bool session_begin_for(struct core *core, const char *name, const char *from, struct who *who,
                       char text[SESSION_TEXT], struct err *err) MUST_USE;
/* Who sends the cookie 'text', for who_clear(); counts as a use. UNAUTHENTICATED when there is no
 * such session, or not any more. */
bool session_check(struct core *core, const char *text, struct who *who, struct err *err) MUST_USE;
/* What changes of this session carry in X-VMM-CSRF. */
void session_csrf(const char *text, char out[SESSION_CSRF]);
int64_t session_ends_ms(struct core *core, const struct uuid *id); /* 0: it is over */
/* Whose it is; NOT_FOUND. */
bool session_user(struct core *core, const struct uuid *id, struct uuid *user,
                  struct err *err) MUST_USE;
/* NOT_FOUND: no such session; 'user' (zero: anybody) is whose it must be. */
bool session_end(struct core *core, const struct uuid *id, const struct uuid *user,
                 const struct origin *origin, struct err *err) MUST_USE;
bool session_end_all(struct core *core, const char *user, const struct origin *origin,
                     struct err *err) MUST_USE;
/* Those of a user, by a query of schema_session. */
bool session_list(struct core *core, const char *user, const struct query *query,
                  struct strbuf *out, struct err *err) MUST_USE;
