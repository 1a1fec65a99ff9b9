/* Users and their sessions from inside: what the files of this room share. Their number is small,
 * so all of them live in memory beside their rows. */
#pragma once
#include "core/base/thread.h"
#include "core/core/parts.h"
#include "core/port/pam.h"
#include "core/user/grant.h"
#include "core/user/secret.h"
#include "core/user/who.h"

#include <uthash.h>

#define SESSION_IDLE_MS (12 * 3600 * 1000LL)
#define SESSION_MAX_MS  (7 * 24 * 3600 * 1000LL)
#define SESSION_SAVE_MS (5 * 60 * 1000) /* how old the row's "used" may be */
#define SESSION_MAX     32              /* of one user; the one that was not used longest goes */
#define USER_MAX        4096

struct user {
    struct uuid id;
    char *name, *created_by;
    enum role role;
    char *password; /* PHC string, or NULL */
    bool pam;       /* the host knows the password, and here is none */
    bool disabled;
    int64_t password_ms, created_ms, changed_ms;
    uint8_t link_sha256[32]; /* of the one-time link … */
    int64_t link_ends_ms;    /* … while this is in the future; 0: none */
    struct grants *grants;   /* NULL: none */
    UT_hash_handle hh;
};

struct session {
    struct uuid id, user;
    uint8_t sha256[32];
    int64_t created_ms, used_ms, saved_ms, expires_ms;
    char origin[64];
    UT_hash_handle hh;
};

struct certificate {
    struct uuid id, user;
    uint8_t sha256[32];
    char *subject, *created_by;
    int64_t expires_ms, created_ms;
    UT_hash_handle hh;
};

struct users {
    struct lock lock;
    /* Held around each change, row and memory; never while a password is hashed. Before 'lock'. */
    struct lock writing;
    struct user *by_id GUARDED_BY(lock);
    struct session *sessions GUARDED_BY(lock);         /* by id */
    struct certificate *certificates GUARDED_BY(lock); /* by sha256 */
    int64_t idle_ms, max_ms;                           /* of sessions */
    pam_ask *pam;                                      /* NULL: it is off */
};

struct user *user_find(struct users *users, const char *ref) REQUIRES(users->lock);
struct user *user_by_id(struct users *users, const struct uuid *id) REQUIRES(users->lock);
bool user_missing_fail(const char *ref, struct err *err);
/* The texts stay the user's. */
void user_record(const struct user *u, struct user_record *out);
/* With a reference to the user's grants: who_clear(). */
void user_who(const struct user *u, struct who *out);
/* Takes up a grant from the store; of a user who is not there it is left out. */
void grants_load(struct users *users, const struct grant_record *record);
/* Under 'writing': row, event, and the end of the user's sessions if 'ends'; then memory. */
bool user_write(struct core *core, const struct user_record *record, const char *event, bool ends,
                const struct origin *origin, struct err *err) MUST_USE;

/* Whose password it was, as that user was then. */
struct proof {
    struct uuid user;
    bool pam;
    char *phc; /* the hash it fits; NULL with 'pam' */
};
/* Is it the password of 'name'? UNAUTHENTICATED for whatever is wrong, in the same words and, as
 * far as that can be had, after the same time; FORBIDDEN when the host will not have the account;
 * UNAVAILABLE. Blocks: for a hash, or for as long as the host takes. */
bool proof_find(struct core *core, const char *name, const char *password, const char *from,
                struct proof *out, struct err *err) MUST_USE;
/* Whether it still is. */
bool proof_holds(const struct proof *proof, const struct user *u);
void proof_clear(struct proof *proof);
bool proof_wrong_fail(struct err *err); /* UNAUTHENTICATED, in the words of all */

void sessions_load(struct users *users, const struct session_record *record);
void sessions_forget(struct users *users, const struct uuid *user) REQUIRES(users->lock);

void certificates_load(struct users *users, const struct certificate_record *record);
void certificates_forget(struct users *users, const struct uuid *user) REQUIRES(users->lock);
void certificates_free(struct users *users);
