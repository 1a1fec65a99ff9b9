/* Passwords: see password.h. */
#include "core/user/password.h"

#include "core/base/clock.h"
#include "core/base/id.h"
#include "core/base/str.h"
#include "core/base/thread.h"

#include <argon2.h>
#include <stdatomic.h>
#include <string.h>

#define PASSES     2
#define MEMORY_KIB 19456
#define LANES      1
#define SALT_BYTES 16
#define HASH_BYTES 32

#define AT_ONCE 2
#define WAITING 16
#define WAIT_MS 10000

/* The turnstile: memory and processor for so many hashes at a time. */
static struct {
    struct lock lock;
    struct cond left;
    unsigned running GUARDED_BY(lock), waiting GUARDED_BY(lock);
} gate = {.lock = {PTHREAD_MUTEX_INITIALIZER}};
static pthread_once_t gate_once = PTHREAD_ONCE_INIT;
static _Atomic uint64_t hashes;

static void gate_init(void)
{
    cond_init(&gate.left);
}

static bool gate_wait(void) REQUIRES(gate.lock);
static bool gate_wait(void)
{
    int64_t deadline = clock_mono_ms() + WAIT_MS;
    bool more = true;

    if (gate.running >= AT_ONCE && gate.waiting >= WAITING)
        return false;
    gate.waiting++;
    while (gate.running >= AT_ONCE && more)
        more = cond_wait_until(&gate.left, &gate.lock, deadline);
    gate.waiting--;
    return gate.running < AT_ONCE;
}

static bool gate_enter(struct err *err)
{
    bool ok;

    pthread_once(&gate_once, gate_init);
    lock_take(&gate.lock);
    ok = gate_wait();
    if (ok)
        gate.running++;
    lock_drop(&gate.lock);
    return ok || err_set(err, ERR_UNAVAILABLE,
                         "too many passwords are being checked at the moment: try again");
}

static void gate_leave(void)
{
    atomic_fetch_add(&hashes, 1);
    lock_take(&gate.lock);
    gate.running--;
    cond_wake_one(&gate.left);
    lock_drop(&gate.lock);
}

uint64_t password_hashes(void)
{
    return atomic_load(&hashes);
}

static size_t characters(const char *text)
{
    size_t n = 0;

    for (const char *p = text; *p; p++)
        n += (*p & 0xc0) != 0x80;
    return n;
}

bool password_allowed(const char *password, const char *user, const char *field, struct err *err)
{
    if (characters(password) < PASSWORD_MIN_CHARS)
        return err_field(err, ERR_INVALID, field, "a password has at least %d characters",
                         PASSWORD_MIN_CHARS);
    if (strlen(password) > PASSWORD_MAX_BYTES)
        return err_field(err, ERR_INVALID, field, "a password has up to %d bytes",
                         PASSWORD_MAX_BYTES);
    if (strcasecmp(password, user) == 0)
        return err_field(err, ERR_INVALID, field, "a password must not be the user's name");
    return true;
}

static bool failed(int rc, struct err *err)
{
    if (rc == ARGON2_MEMORY_ALLOCATION_ERROR)
        return err_set(err, ERR_UNAVAILABLE, "there is no memory to check passwords: try again");
    return err_set(err, ERR_INTERNAL, "argon2id: %s", argon2_error_message(rc));
}

bool password_hash(const char *password, char phc[PASSWORD_PHC], struct err *err)
{
    uint8_t salt[SALT_BYTES];
    int rc;

    if (!gate_enter(err))
        return false;
    random_bytes(salt, sizeof salt);
    rc = argon2id_hash_encoded(PASSES, MEMORY_KIB, LANES, password, strlen(password), salt,
                               sizeof salt, HASH_BYTES, phc, PASSWORD_PHC);
    gate_leave();
    return rc == ARGON2_OK || failed(rc, err);
}

/* As much work as for somebody who exists. */
static int check_nobody(const char *password)
{
    static const uint8_t salt[SALT_BYTES];
    uint8_t waste[HASH_BYTES];
    int rc = argon2id_hash_raw(PASSES, MEMORY_KIB, LANES, password, strlen(password), salt,
                               sizeof salt, waste, sizeof waste);

    explicit_bzero(waste, sizeof waste);
    return rc == ARGON2_OK ? ARGON2_VERIFY_MISMATCH : rc;
}

/* The library compares in constant time. */
bool password_check(const char *phc_or_null, const char *password, bool *good, struct err *err)
{
    size_t len = strlen(password);
    int rc;

    *good = false;
    if (!gate_enter(err))
        return false;
    if (phc_or_null && len <= PASSWORD_MAX_BYTES)
        rc = argon2id_verify(phc_or_null, password, len);
    else
        rc = check_nobody(password);
    gate_leave();
    *good = rc == ARGON2_OK;
    return *good || rc == ARGON2_VERIFY_MISMATCH || failed(rc, err);
}
