/* Users and their sessions from inside: what the files of this room share. Their number is small,
 * so all of them live in memory beside their rows. */
#pragma once
#include "core/base/thread.h"
#include "core/core/parts.h"
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
    bool disabled;
    int64_t password_ms, created_ms, changed_ms;
    uint8_t link_sha256[32]; /* of the one-time link … */
    int64_t link_ends_ms;    /* … while this is in the future; 0: none */
    UT_hash_handle hh;
};

struct session {
    struct uuid id, user;
    uint8_t sha256[32];
    int64_t created_ms, used_ms, saved_ms, expires_ms;
    char origin[64];
    UT_hash_handle hh;
};

struct users {
    struct lock lock;
    /* Held around each change, row and memory; never while a password is hashed. Before 'lock'. */
    struct lock writing;
    struct user *by_id GUARDED_BY(lock);
    struct session *sessions GUARDED_BY(lock); /* by id */
    int64_t idle_ms, max_ms;                   /* of sessions */
};

struct user *user_find(struct users *users, const char *ref) REQUIRES(users->lock);
struct user *user_by_id(struct users *users, const struct uuid *id) REQUIRES(users->lock);
bool user_missing_fail(const char *ref, struct err *err);
/* The texts stay the user's. */
void user_record(const struct user *u, struct user_record *out);
void user_who(const struct user *u, struct who *out);
/* Under 'writing': row, event, and the end of the user's sessions if 'ends'; then memory. */
bool user_write(struct core *core, const struct user_record *record, const char *event, bool ends,
                const struct origin *origin, struct err *err) MUST_USE;

void sessions_load(struct users *users, const struct session_record *record);
void sessions_forget(struct users *users, const struct uuid *user) REQUIRES(users->lock);
