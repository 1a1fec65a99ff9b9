/* Users: people with a name, a role and (most of them) a password. docs/accounts.md. */
#pragma once
#include "core/base/str.h"
#include "core/core/core.h"
#include "core/model/query.h"
#include "core/user/who.h"

/* What a client may say; texts are borrowed. In an edit NULL and ROLE_NONE leave a member. */
struct user_spec {
    const char *name;
    enum role role;
    bool to_none; /* an edit: ROLE_NONE is what is meant */
    bool disabled, keep_disabled;
    bool to_pam, to_own; /* whose its password is from now on: the host's, or ours */
};

extern const char *const password_source_names[]; /* "own", "pam"; NULL-terminated */

/* EXISTS for a name taken. It has no password yet, unless it is the host's: nobody can sign in with
 * it. WRONG_STATE when the host's is meant and PAM is off; the same in an edit. */
bool user_create(struct core *core, const struct user_spec *spec, const struct origin *origin,
                 struct uuid *id, struct err *err) MUST_USE;
json_t *user_show(struct core *core, const char *ref, struct err *err) MUST_USE;
/* Appends {"items":[User…],"next_page_token":…} for a query of schema_user. */
void user_list(struct core *core, const struct query *query, struct strbuf *out);
/* Another role, another source of the password, and disabling end the user's sessions; with the
 * source its hash goes. */
bool user_edit(struct core *core, const char *ref, const struct user_spec *spec,
               const struct origin *origin, struct err *err) MUST_USE;
/* With its sessions, tokens and grants. */
bool user_delete(struct core *core, const char *ref, const struct origin *origin,
                 struct err *err) MUST_USE;
/* The rights that the user has, for whatever object, disabled or not: nobody changes somebody who
 * may do more. */
bool user_rights(struct core *core, const char *ref, struct uuid *id, uint64_t *rights,
                 struct err *err) MUST_USE;
/* Another number whenever somebody's rights may have changed, whoever's; and whoever waits for a
 * guest's words is woken then. What lasts looks at it, and asks again (user_is() and its like). */
unsigned accounts_version(struct core *core);
/* What somebody who is known may do now, grants included: who_clear(). UNAUTHENTICATED when the
 * user is gone or disabled. */
bool user_is(struct core *core, const struct uuid *id, struct who *out, struct err *err) MUST_USE;

/* A new password: the user's sessions end, and so does its link. Blocks for a hash (password.h).
 * WRONG_STATE, as for a link, when the host has the password. */
bool user_set_password(struct core *core, const char *ref, const char *password,
                       const struct origin *origin, struct err *err) MUST_USE;
/* The same by the user itself, who knows the old one; FORBIDDEN when it is wrong. */
bool user_change_password(struct core *core, const struct uuid *id, const char *old,
                          const char *password, const struct origin *origin,
                          struct err *err) MUST_USE;

/* A one-time link: whoever has its code sets the user's password, within LINK_MS. A new one takes
 * the place of an old one; they do not outlive the daemon. 'code' is shown this one time. */
#define LINK_MS   (10 * 60 * 1000)
#define LINK_TEXT 128
bool user_link(struct core *core, const char *ref, const struct origin *origin,
               char code[LINK_TEXT], int64_t *ends_ms, struct err *err) MUST_USE;
/* Sets the password and tells whose: 'name' has NAME_MAX_BYTES + 1. UNAUTHENTICATED for a code that
 * is unknown, used or too old. */
bool user_use_link(struct core *core, const char *code, const char *password,
                   const struct origin *origin, char *name, struct err *err) MUST_USE;
