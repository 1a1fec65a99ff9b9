/* Whether a password is that of a user: by the hash that is kept, or by asking the host (PAM), as
 * the user's record says.
 *
 * Theory of operation. Whoever signs in wrongly shall not learn what was wrong: not by the words,
 * and not by the time. A hash takes the same time for somebody who does not exist. How long the
 * host takes nobody knows; so where PAM is on, no refusal goes out before REFUSAL_MS are over,
 * whoever it was about. The host is asked about users only whose record says so: a name that is
 * none, or disabled, costs a hash. */
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/user/inside.h"
#include "core/user/password.h"

#include <poll.h>
#include <string.h>

#define REFUSAL_MS 1000
#define LOOK_MS    50 /* whether vmmd ends meanwhile */

bool proof_wrong_fail(struct err *err)
{
    return err_set(err, ERR_UNAUTHENTICATED, "the user or the password is wrong");
}

void proof_clear(struct proof *proof)
{
    if (proof->phc)
        explicit_bzero(proof->phc, strlen(proof->phc));
    mem_freep(&proof->phc);
}

bool proof_holds(const struct proof *proof, const struct user *u)
{
    return uuid_eq(&proof->user, &u->id) && proof->pam == u->pam &&
           (proof->pam || str_eq(u->password, proof->phc));
}

/* What there is to compare with; nothing for somebody who cannot sign in. */
static void look(struct users *users, const char *name, struct proof *out)
{
    struct uuid ignored;
    struct user *u;

    lock_take(&users->lock);
    u = uuid_parse(name, &ignored) ? NULL : user_find(users, name);
    if (u && !u->disabled) {
        out->user = u->id;
        out->pam = u->pam;
        out->phc = str_dup(u->password);
    }
    lock_drop(&users->lock);
}

static bool ask_host(const struct users *users, const char *name, const char *password,
                     const char *from, struct err *err)
{
    enum pam_answer answer = PAM_SAYS_WRONG;
    char address[64];

    str_copy(address, sizeof address, from);
    address[strcspn(address, " ")] = 0;
    if (!users->pam(name, password, address, &answer, err))
        return false;
    if (answer == PAM_SAYS_REFUSED)
        return err_set(err, ERR_FORBIDDEN,
                       "the host does not let this account in: it is locked or has expired, or its "
                       "password has to be changed there first");
    return answer == PAM_SAYS_GOOD || proof_wrong_fail(err);
}

static bool compare(const char *phc_or_null, const char *password, struct err *err)
{
    bool good;

    return password_check(phc_or_null, password, &good, err) && (good || proof_wrong_fail(err));
}

static bool prove(const struct users *users, const char *name, const char *password,
                  const char *from, const struct proof *proof, struct err *err)
{
    if (proof->pam && users->pam)
        return ask_host(users, name, password, from, err);
    if (proof->pam)
        log_warn("the user %s cannot sign in: its password is the host's, and pam_service is not "
                 "set in vmmd.conf",
                 name);
    return compare(proof->pam ? NULL : proof->phc, password, err);
}

static void wait_until(const struct core *core, int64_t until_ms)
{
    int64_t left;

    while ((left = clock_left_ms(until_ms)) > 0 && !atomic_load(&core->closing))
        poll(NULL, 0, (int)(left < LOOK_MS ? left : LOOK_MS));
}

bool proof_find(struct core *core, const char *name, const char *password, const char *from,
                struct proof *out, struct err *err)
{
    int64_t refusal_ms = clock_mono_ms() + REFUSAL_MS;
    struct users *users = core->users;
    bool ok;

    look(users, name, out);
    ok = prove(users, name, password, from, out, err);
    if (!ok && users->pam && err->code != ERR_UNAVAILABLE)
        wait_until(core, refusal_ms);
    return ok;
}
