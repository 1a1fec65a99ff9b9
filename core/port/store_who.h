/* What the store keeps of who asks: users, their sessions, tokens, and the keys of requests. Part
 * of store.h, which has the rules for all families. */
#pragma once
#include "core/base/err.h"
#include "core/base/id.h"

#include <stdint.h>

struct store;
struct store_txn;

/* ---- Users: of a password only its argon2id hash is kept, as a PHC string ---- */
struct user_record {
    struct uuid id;
    const char *name;
    const char *role;     /* none, viewer, operator, admin */
    const char *password; /* "$argon2id$…", or NULL */
    int64_t password_ms;  /* when it was set, 0: never */
    bool pam;             /* its password is the host's: then there is no hash */
    bool disabled;
    int64_t created_ms, changed_ms;
    const char *created_by;
};
/* EXISTS: the name is taken. */
bool store_user_put(struct store_txn *txn, const struct user_record *user,
                    struct err *err) MUST_USE;
/* With its sessions, tokens, grants and certificates. */
bool store_user_remove(struct store_txn *txn, const struct uuid *id, struct err *err) MUST_USE;
bool store_user_each(struct store *store, bool (*each)(void *ctx, const struct user_record *),
                     void *ctx, struct err *err) MUST_USE;

/* ---- Sessions of browsers: only the SHA-256 of the secret is kept ---- */
struct session_record {
    struct uuid id, user;
    uint8_t sha256[32];
    int64_t created_ms, used_ms, expires_ms;
    const char *origin; /* where it came from, for people */
};
/* NOT_FOUND: no such user. */
bool store_session_put(struct store_txn *txn, const struct session_record *session,
                       struct err *err) MUST_USE;
bool store_session_remove(struct store_txn *txn, const struct uuid *id, struct err *err) MUST_USE;
/* All of a user's. */
bool store_session_remove_of(struct store_txn *txn, const struct uuid *user,
                             struct err *err) MUST_USE;
bool store_session_each(struct store *store, bool (*each)(void *ctx, const struct session_record *),
                        void *ctx, struct err *err) MUST_USE;

/* ---- Grants: what a user may do with some objects. One goes with its user and with its pool ----
 */
struct grant_record {
    struct uuid id, user;
    const char *label_key, *label_value; /* NULL: it selects by … */
    struct uuid pool;                    /* … this; zero */
    const char *role;                    /* viewer, operator, admin; NULL: … */
    const char *rights;                  /* … these, a JSON list of words */
    int64_t created_ms;
    const char *created_by;
};
/* A new one; NOT_FOUND: no such user or pool. */
bool store_grant_put(struct store_txn *txn, const struct grant_record *grant,
                     struct err *err) MUST_USE;
bool store_grant_remove(struct store_txn *txn, const struct uuid *id, struct err *err) MUST_USE;
bool store_grant_each(struct store *store, bool (*each)(void *ctx, const struct grant_record *),
                      void *ctx, struct err *err) MUST_USE;

/* ---- Certificates that clients show in TLS: known by their SHA-256 alone ---- */
struct certificate_record {
    struct uuid id, user;
    uint8_t sha256[32];
    const char *subject; /* for people */
    int64_t expires_ms;  /* its last moment */
    int64_t created_ms;
    const char *created_by;
};
/* A new one. EXISTS: it is somebody's already; NOT_FOUND: no such user. */
bool store_certificate_put(struct store_txn *txn, const struct certificate_record *certificate,
                           struct err *err) MUST_USE;
bool store_certificate_remove(struct store_txn *txn, const struct uuid *id,
                              struct err *err) MUST_USE;
bool store_certificate_each(struct store *store,
                            bool (*each)(void *ctx, const struct certificate_record *), void *ctx,
                            struct err *err) MUST_USE;

/* ---- Tokens: only the SHA-256 of the secret is kept ---- */
struct token_record {
    struct uuid id;
    const char *name;
    const char *role; /* viewer, operator, admin */
    uint8_t sha256[32];
    int64_t created_ms;
    int64_t expires_ms; /* 0: never */
    const char *created_by;
    struct uuid owner;  /* whose it is, with whom it goes; zero: nobody's */
    const char *rights; /* JSON list of words, of which it has no more than its role; NULL: all */
};
/* NOT_FOUND: no such owner. */
bool store_token_put(struct store_txn *txn, const struct token_record *token,
                     struct err *err) MUST_USE;
bool store_token_remove(struct store_txn *txn, const struct uuid *id, struct err *err) MUST_USE;
bool store_token_each(struct store *store, bool (*each)(void *ctx, const struct token_record *),
                      void *ctx, struct err *err) MUST_USE;

/* ---- Idempotency keys ---- */
struct idem_record {
    const char *principal, *key;
    const char *route; /* "POST /vms/{id}/actions/start" with the real path */
    uint8_t body_sha256[32];
    const char *object_type; /* what the first request made: "operation", "pool", "token", … */
    struct uuid object;
    const char *note; /* JSON: more of what it made, or NULL */
    int64_t created_ms;
};
/* EXISTS when the principal has used the key already (and the key is not older than 24 h). */
bool store_idem_put(struct store_txn *txn, const struct idem_record *idem,
                    struct err *err) MUST_USE;
/* '*found' tells; the callback runs once then. A key older than 24 h is not found. */
bool store_idem_get(struct store *store, const char *principal, const char *key,
                    bool (*each)(void *ctx, const struct idem_record *), void *ctx, bool *found,
                    struct err *err) MUST_USE;
bool store_idem_trim(struct store_txn *txn, int64_t older_than_ms, bool *more,
                     struct err *err) MUST_USE;
