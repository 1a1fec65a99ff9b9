/* More of the fake core: users "viewer", "operator" and "admin" with the password PASSWORD, each
 * with one session, whose cookie is COOKIE_OF(role). Included behind fake_core.c. */
#include "core/user/certificate.h"
#include "core/user/granting.h"
#include "core/user/password.h"
#include "core/user/session.h"
#include "core/user/sight.h"
#include "core/user/user.h"

#define PASSWORD "correct horse battery"
#define SECRET_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

const char *const password_source_names[] = {"own", "pam", NULL};
const char *const who_by_names[] = {"nothing", "unix", "token", "session", "certificate"};

static const char *const fake_cookies[] = {"", "00000000000000000000000000000001_" SECRET_A,
                                           "00000000000000000000000000000002_" SECRET_A,
                                           "00000000000000000000000000000003_" SECRET_A};

static void fake_who(enum role role, struct who *who)
{
    *who = (struct who){.role = role, .rights = role_rights(role), .by = BY_SESSION};
    who->user.b[0] = who->session.b[0] = (uint8_t)role;
    snprintf(who->principal, sizeof who->principal, "user:%s", role_names[role]);
}

/* "vmmd_only_<right>": an administrator's token with this right alone. */
static bool fake_only(const char *text, struct who *out)
{
    uint64_t rights = 0;

    if (!str_starts(text, "vmmd_only_"))
        return false;
    for (enum right right = RIGHT_VM_READ; right < RIGHT_COUNT; right++)
        if (str_eq(text + strlen("vmmd_only_"), right_names[right]))
            rights = RIGHT_BIT(right);
    *out = (struct who){.role = ROLE_ADMIN, .rights = rights, .by = BY_TOKEN};
    snprintf(out->principal, sizeof out->principal, "token:only");
    return true;
}

bool token_check(struct core *c, const char *text, struct who *out, struct err *err)
{
    bool revoked, narrowed;

    lock_take(&c->lock);
    revoked = c->token_revoked;
    narrowed = c->token_narrowed;
    lock_drop(&c->lock);
    if (fake_only(text, out))
        return true;
    for (enum role role = ROLE_VIEWER; role <= ROLE_ADMIN && !revoked; role++) {
        char good[32];
        snprintf(good, sizeof good, "vmmd_%s_x", role_names[role]);
        if (!str_eq(text, good))
            continue;
        out->role = role;
        out->rights = narrowed ? 0 : role_rights(role);
        out->by = BY_TOKEN;
        snprintf(out->principal, sizeof out->principal, "token:%s", role_names[role]);
        return true;
    }
    return err_set(err, ERR_UNAUTHENTICATED, "the token is not known");
}

bool session_begin(struct core *c, const char *name, const char *password, const char *from,
                   struct who *who, char text[SESSION_TEXT], struct err *err)
{
    if (!str_eq(password, PASSWORD) || !role_parse(name))
        return err_set(err, ERR_UNAUTHENTICATED, "the user or the password is wrong");
    return session_begin_for(c, name, from, who, text, err);
}

bool session_begin_for(struct core *c, const char *name, const char *from, struct who *who,
                       char text[SESSION_TEXT], struct err *err)
{
    enum role role = role_parse(name) ? role_parse(name) : ROLE_VIEWER;

    fake_who(role, who);
    str_copy(text, SESSION_TEXT, fake_cookies[role]);
    return true;
}

bool session_check(struct core *c, const char *text, struct who *who, struct err *err)
{
    bool over;

    lock_take(&c->lock);
    over = c->session_over;
    lock_drop(&c->lock);
    for (enum role role = ROLE_VIEWER; role <= ROLE_ADMIN && !over; role++)
        if (str_eq(text, fake_cookies[role])) {
            fake_who(role, who);
            return true;
        }
    return err_set(err, ERR_UNAUTHENTICATED, "the session is over: sign in again");
}

/* Not what it is in truth, but as long: "csrf" and the digits of the user. */
void session_csrf(const char *text, char out[SESSION_CSRF])
{
    memset(out, 'c', SESSION_CSRF - 1);
    out[0] = text[31];
    out[SESSION_CSRF - 1] = 0;
}

int64_t session_ends_ms(struct core *c, const struct uuid *id)
{
    return INT64_MAX / 2;
}

/* The user of fake_who(), by its role. */
bool session_user(struct core *c, const struct uuid *id, struct uuid *user, struct err *err)
{
    *user = (struct uuid){.b[0] = id->b[0]};
    return id->b[0] <= ROLE_ADMIN || err_set(err, ERR_NOT_FOUND, "there is no such session");
}

bool session_end(struct core *c, const struct uuid *id, const struct uuid *user,
                 const struct origin *origin, struct err *err)
{
    lock_take(&c->lock);
    c->session_over = !origin->dry_run;
    lock_drop(&c->lock);
    return true;
}

bool session_end_all(struct core *c, const char *user, const struct origin *origin, struct err *err)
{
    return true;
}

bool session_list(struct core *c, const char *user, const struct query *query, struct strbuf *out,
                  struct err *err)
{
    one_page(named(POOL_ID), query, out);
    return true;
}

unsigned accounts_version(struct core *c)
{
    unsigned version;

    lock_take(&c->lock);
    version = c->accounts;
    lock_drop(&c->lock);
    return version;
}

bool user_create(struct core *c, const struct user_spec *spec, const struct origin *origin,
                 struct uuid *id, struct err *err)
{
    remember(c, origin, "user");
    return uuid_parse(POOL_ID, id);
}

json_t *user_show(struct core *c, const char *ref, struct err *err)
{
    return named(POOL_ID);
}

void user_list(struct core *c, const struct query *query, struct strbuf *out)
{
    one_page(named(POOL_ID), query, out);
}

bool user_edit(struct core *c, const char *ref, const struct user_spec *spec,
               const struct origin *origin, struct err *err)
{
    return true;
}

bool user_delete(struct core *c, const char *ref, const struct origin *origin, struct err *err)
{
    return true;
}

bool user_rights(struct core *c, const char *ref, struct uuid *id, uint64_t *rights,
                 struct err *err)
{
    if (uuid_parse(ref, id)) { /* of fake_who() */
        *rights = id->b[0] <= ROLE_ADMIN ? role_rights((enum role)id->b[0]) : 0;
        return true;
    }
    *rights = role_rights(role_parse(ref));
    return uuid_parse(POOL_ID, id);
}

bool user_set_password(struct core *c, const char *ref, const char *password,
                       const struct origin *origin, struct err *err)
{
    return true;
}

bool user_change_password(struct core *c, const struct uuid *id, const char *old,
                          const char *password, const struct origin *origin, struct err *err)
{
    return str_eq(old, PASSWORD) || err_field(err, ERR_FORBIDDEN, "/old", "wrong");
}

bool user_link(struct core *c, const char *ref, const struct origin *origin, char code[LINK_TEXT],
               int64_t *ends_ms, struct err *err)
{
    str_copy(code, LINK_TEXT, "the-code");
    *ends_ms = 1;
    return true;
}

bool user_use_link(struct core *c, const char *code, const char *password,
                   const struct origin *origin, char *name, struct err *err)
{
    strcpy(name, "viewer");
    return str_eq(code, "the-code") || err_set(err, ERR_UNAUTHENTICATED, "the link is unknown");
}

bool grant_create(struct core *c, const char *user, const struct grant_spec *spec,
                  const struct origin *origin, struct uuid *id, struct err *err)
{
    remember(c, origin, "grant");
    return uuid_parse(POOL_ID, id);
}

json_t *grant_show(struct core *c, const char *user, const char *id, struct err *err)
{
    return named(POOL_ID);
}

json_t *grant_list(struct core *c, const char *user, struct err *err)
{
    return json_pack("[o]", named(POOL_ID));
}

bool grant_delete(struct core *c, const char *user, const char *id, const struct origin *origin,
                  struct err *err)
{
    return true;
}

json_t *grants_of_who(struct core *c, const struct who *who)
{
    return json_array();
}

bool certificate_add(struct core *c, const char *user, const char *pem, const struct origin *origin,
                     struct uuid *id, struct err *err)
{
    remember(c, origin, "certificate");
    return uuid_parse(POOL_ID, id);
}

json_t *certificate_show(struct core *c, const char *user, const char *id, struct err *err)
{
    return named(POOL_ID);
}

json_t *certificate_list(struct core *c, const char *user, struct err *err)
{
    return json_pack("[o]", named(POOL_ID));
}

bool certificate_remove(struct core *c, const char *user, const char *id,
                        const struct origin *origin, struct err *err)
{
    return true;
}

bool certificate_check(struct core *c, const uint8_t sha256[32], struct who *out, struct err *err)
{
    return err_set(err, ERR_UNAUTHENTICATED, "nobody's");
}

/* Nobody here has grants, so that nobody is asked about. */
bool user_is(struct core *c, const struct uuid *id, struct who *out, struct err *err)
{
    return err_set(err, ERR_UNAUTHENTICATED, "the user is gone or disabled");
}

void sight_begin(const struct who *who, enum right right)
{
}

void sight_end(void)
{
}

bool sight_event(struct core *c, const struct who *who, const struct event_line *line)
{
    return who_may(who, RIGHT_EVENT_READ);
}

#define FAKE_FIND(name)                                                                            \
    bool name(struct core *c, const char *ref, uint64_t *rights, struct err *err)                  \
    {                                                                                              \
        return err_set(err, ERR_NOT_FOUND, "there is no '%s'", ref);                               \
    }
FAKE_FIND(sight_find_vm)
FAKE_FIND(sight_find_snapshot)
FAKE_FIND(sight_find_disk)
FAKE_FIND(sight_find_pool)
FAKE_FIND(sight_find_template)
FAKE_FIND(sight_find_operation)

bool job_missing_fail(const char *ref, struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "there is no operation '%.63s'; it is named by its id", ref);
}
