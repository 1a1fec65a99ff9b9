/* How a user gets a password: set by an administrator, changed by the user, or chosen by whoever
 * has the code of a one-time link. See user.h. */
#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/model/field.h"
#include "core/user/inside.h"
#include "core/user/password.h"
#include "core/user/user.h"

#include <string.h>

static bool is_the_hosts(struct err *err)
{
    return err_set(err, ERR_WRONG_STATE,
                   "the password of this user is the host's: change it there (passwd), or let "
                   "vmmd have one of its own with 'vmmctl user edit USER --own-password'");
}

/* The user's name and (NULL: none) hash, as they are now; owned by the caller. */
static bool look(struct users *users, const char *ref, char **name, char **phc, struct err *err)
{
    struct user *u;
    bool pam;

    lock_take(&users->lock);
    u = user_find(users, ref);
    pam = u && u->pam;
    if (u) {
        *name = str_dup(u->name);
        *phc = str_dup(u->password);
    }
    lock_drop(&users->lock);
    if (pam)
        return is_the_hosts(err);
    return u || user_missing_fail(ref, err);
}

/* Under 'writing'. 'was': the hash that was proved to be known; another one has come meanwhile when
 * it is no more. 'code_sha256': the link that is used up by this. */
static bool put(struct core *core, const char *ref, const char *phc, const char *was,
                const uint8_t *code_sha256, const struct origin *origin, struct err *err)
{
    struct users *users = core->users;
    bool ok = true;
    struct user_record r;
    struct user *u;

    lock_take(&users->lock);
    u = user_find(users, ref);
    if (u)
        user_record(u, &r);
    if (u && code_sha256)
        ok = u->link_ends_ms > clock_wall_ms() && secret_is(code_sha256, u->link_sha256);
    lock_drop(&users->lock);
    if (!u)
        return user_missing_fail(ref, err);
    if (r.pam)
        return is_the_hosts(err);
    if (!ok || (was && !str_eq(was, r.password)))
        return err_set(err, ERR_BUSY, "the password was changed by somebody else meanwhile");
    r.password = phc;
    r.password_ms = r.changed_ms = clock_wall_ms();
    return user_write(core, &r, "user.password-set", true, origin, err);
}

static bool set(struct core *core, const char *ref, const char *password, const char *was,
                const uint8_t *code_sha256, const struct origin *origin, struct err *err)
{
    CLEANUP(mem_freep) char *name = NULL, *old = NULL;
    char phc[PASSWORD_PHC];
    bool ok;

    if (!look(core->users, ref, &name, &old, err) ||
        !password_allowed(password, name, "/password", err))
        return false;
    if (origin->dry_run)
        return true;
    if (!password_hash(password, phc, err))
        return false;
    lock_take(&core->users->writing);
    ok = put(core, ref, phc, was, code_sha256, origin, err);
    lock_drop(&core->users->writing);
    explicit_bzero(phc, sizeof phc);
    return ok;
}

bool user_set_password(struct core *core, const char *ref, const char *password,
                       const struct origin *origin, struct err *err)
{
    return set(core, ref, password, NULL, NULL, origin, err);
}

bool user_change_password(struct core *core, const struct uuid *id, const char *old,
                          const char *password, const struct origin *origin, struct err *err)
{
    CLEANUP(mem_freep) char *name = NULL, *phc = NULL;
    bool good;

    if (!look(core->users, UUID_STR(id), &name, &phc, err) || !password_check(phc, old, &good, err))
        return false;
    if (!good)
        return err_field(err, ERR_FORBIDDEN, "/old", "the old password is wrong");
    return set(core, UUID_STR(id), password, phc, NULL, origin, err);
}

bool user_link(struct core *core, const char *ref, const struct origin *origin,
               char code[LINK_TEXT], int64_t *ends_ms, struct err *err)
{
    struct users *users = core->users;
    uint8_t sha256[32];
    struct user *u;
    bool ok, pam;

    *ends_ms = clock_wall_ms() + LINK_MS;
    lock_take(&users->lock);
    u = user_find(users, ref);
    ok = u && !u->disabled;
    pam = u && u->pam;
    if (ok && !pam && !origin->dry_run) {
        secret_make("", &u->id, code, sha256);
        memcpy(u->link_sha256, sha256, sizeof sha256);
        u->link_ends_ms = *ends_ms;
    }
    lock_drop(&users->lock);
    if (!u)
        return user_missing_fail(ref, err);
    if (pam)
        return is_the_hosts(err);
    return ok || err_set(err, ERR_WRONG_STATE, "the user is disabled: enable it first");
}

bool user_use_link(struct core *core, const char *code, const char *password,
                   const struct origin *origin, char *name, struct err *err)
{
    struct users *users = core->users;
    uint8_t given[32], kept[32] = {0};
    int64_t now = clock_wall_ms();
    struct user *u = NULL;
    struct uuid id = {0};
    bool known = secret_read("", code, &id, given);

    lock_take(&users->lock);
    u = user_by_id(users, &id);
    if (u) {
        memcpy(kept, u->link_sha256, sizeof kept);
        str_copy(name, NAME_MAX_BYTES + 1, u->name);
    }
    known = secret_is(given, kept) && known && u && !u->disabled && now < u->link_ends_ms;
    lock_drop(&users->lock);
    if (!known)
        return err_set(err, ERR_UNAUTHENTICATED,
                       "the link is unknown, was used already or is older than 10 minutes: ask for "
                       "a new one");
    return set(core, UUID_STR(&id), password, NULL, given, origin, err);
}
