/* API tokens: "vmmd_<id>_<secret>", of which only the SHA-256 of the secret is kept. */
#pragma once
#include "core/base/str.h"
#include "core/core/core.h"
#include "core/model/query.h"
#include "core/user/who.h"

#define TOKEN_TEXT 128

struct token_spec {
    const char *name;
    enum role role;
    uint64_t ttl_s;    /* 0: for ever */
    struct uuid owner; /* with whom it goes, and whose rights bound its own; zero: nobody's */
    uint64_t rights;   /* a set, of which no more than its role's count; 0: all of them */
};
bool token_create_as(struct core *core, const struct token_spec *spec, const struct origin *origin,
                     struct uuid *id, char text[TOKEN_TEXT], struct err *err) MUST_USE;
/* The same for a token that is nobody's and has all rights of its role. The token's text is shown
 * once, in 'text'. 'ttl_s' 0: never expires. EXISTS for a name taken. */
bool token_create(struct core *core, const char *name, enum role role, uint64_t ttl_s,
                  const struct origin *origin, struct uuid *id, char text[TOKEN_TEXT],
                  struct err *err) MUST_USE;
/* Who that is, for who_clear(). UNAUTHENTICATED for anything that is not a live token; takes the
 * same time for all of them. */
bool token_check(struct core *core, const char *text, struct who *out, struct err *err) MUST_USE;
json_t *token_show(struct core *core, const char *ref, struct err *err) MUST_USE;
/* Appends {"items":[Token…],"next_page_token":…} for a query of schema_token. */
void token_list(struct core *core, const struct query *query, struct strbuf *out);
bool token_revoke(struct core *core, const char *ref, const struct origin *origin,
                  struct err *err) MUST_USE;
