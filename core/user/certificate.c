/* Users' certificates: see certificate.h. Row first, then memory, as all changes of users. */
#include "core/user/certificate.h"

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/user/inside.h"
#include "core/user/user.h"

#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LEAST_BITS   112 /* of security: RSA with 2048, curves with 224 */
#define SUBJECT_TEXT 160

static void certificate_free(struct certificate *c)
{
    if (!c)
        return;
    free(c->subject);
    free(c->created_by);
    free(c);
}

static void certificate_freep(struct certificate **c)
{
    certificate_free(*c);
}

/* ---- reading one ---- */

static int no_passphrase(char *out, int size, int writing, void *arg)
{
    return -1;
}

static int64_t end_of(const X509 *x)
{
    struct tm tm = {0};

    return ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm) == 1 ? (int64_t)timegm(&tm) * 1000 : 0;
}

/* For people, so with nothing in it that would not be one line. */
static char *subject_of(const X509 *x)
{
    char text[SUBJECT_TEXT] = "";

    if (!X509_NAME_oneline(X509_get_subject_name(x), text, sizeof text))
        *text = 0;
    for (char *c = text; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    return str_dup(*text ? text : "(no name)");
}

static bool examine(X509 *x, struct certificate *out, struct err *err)
{
    EVP_PKEY *key = X509_get0_pubkey(x);
    unsigned len = sizeof out->sha256;

    out->subject = subject_of(x);
    out->expires_ms = end_of(x);
    if (out->expires_ms <= clock_wall_ms())
        return err_field(err, ERR_INVALID, "/pem", "the certificate has expired");
    if (!key || EVP_PKEY_get_security_bits(key) < LEAST_BITS)
        return err_field(err, ERR_INVALID, "/pem",
                         "the certificate's key is too weak: RSA needs 2048 bits, a curve 224");
    return X509_digest(x, EVP_sha256(), out->sha256, &len) == 1 ||
           err_set(err, ERR_INTERNAL, "the certificate's fingerprint cannot be made");
}

static bool read_pem(const char *text, struct certificate *out, struct err *err)
{
    BIO *bio = BIO_new_mem_buf(text, -1);
    X509 *x = bio ? PEM_read_bio_X509(bio, NULL, no_passphrase, NULL) : NULL;
    bool ok = x ? examine(x, out, err)
                : err_field(err, ERR_INVALID, "/pem",
                            "this is no certificate: a text is expected that begins with "
                            "-----BEGIN CERTIFICATE-----");

    X509_free(x);
    BIO_free(bio);
    return ok;
}

/* ---- finding and showing ---- */

static json_t *view(const struct certificate *c)
{
    char hex[65];
    json_t *v = json_object();

    str_hex(c->sha256, sizeof c->sha256, hex);
    json_put_text(v, "id", UUID_STR(&c->id));
    json_put_text(v, "subject", c->subject);
    json_put_text(v, "sha256", hex);
    json_put_time(v, "expires_at", c->expires_ms);
    json_put_time(v, "created_at", c->created_ms);
    json_put_text(v, "created_by", c->created_by);
    return v;
}

static struct certificate *find(struct users *users, const struct uuid *user, const char *text)
    REQUIRES(users->lock)
{
    struct certificate *c, *next;
    struct uuid id;

    if (uuid_parse(text, &id))
        HASH_ITER (hh, users->certificates, c, next)
            if (uuid_eq(&c->id, &id) && uuid_eq(&c->user, user))
                return c;
    return NULL;
}

static bool missing_fail(const char *user, const char *id, struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "%.64s has no certificate '%.64s'", user, id);
}

json_t *certificate_show(struct core *core, const char *ref, const char *id, struct err *err)
{
    struct users *users = core->users;
    struct certificate *c;
    struct user *u;
    json_t *v;

    lock_take(&users->lock);
    u = user_find(users, ref);
    c = u ? find(users, &u->id, id) : NULL;
    v = c ? view(c) : NULL;
    lock_drop(&users->lock);
    if (!v)
        (void)(u ? missing_fail(ref, id, err) : user_missing_fail(ref, err));
    return v;
}

static int by_age(const struct certificate *a, const struct certificate *b)
{
    return (a->created_ms > b->created_ms) - (a->created_ms < b->created_ms);
}

json_t *certificate_list(struct core *core, const char *ref, struct err *err)
{
    struct users *users = core->users;
    struct certificate *c, *next;
    json_t *list = NULL;
    struct user *u;

    lock_take(&users->lock);
    u = user_find(users, ref);
    if (u) {
        list = json_array();
        HASH_SORT(users->certificates, by_age);
        HASH_ITER (hh, users->certificates, c, next)
            if (uuid_eq(&c->user, &u->id))
                json_array_append_new(list, view(c));
    }
    lock_drop(&users->lock);
    if (!list)
        user_missing_fail(ref, err);
    return list;
}

bool certificate_check(struct core *core, const uint8_t sha256[32], struct who *out,
                       struct err *err)
{
    struct users *users = core->users;
    struct certificate *c;
    struct uuid user = {0};

    lock_take(&users->lock);
    HASH_FIND(hh, users->certificates, sha256, sizeof c->sha256, c);
    if (c && c->expires_ms <= clock_wall_ms()) /* on a connection that was there before its end */
        c = NULL;
    if (c)
        user = c->user;
    lock_drop(&users->lock);
    if (!c)
        return err_set(err, ERR_UNAUTHENTICATED,
                       "the certificate that was shown is nobody's, or has expired: 'vmmctl user "
                       "add-certificate' gives one to a user");
    if (!user_is(core, &user, out, err))
        return false;
    out->by = BY_CERTIFICATE;
    return true;
}

/* ---- changing ---- */

static void record_of(const struct certificate *c, struct certificate_record *out)
{
    *out = (struct certificate_record){.id = c->id,
                                       .user = c->user,
                                       .subject = c->subject,
                                       .expires_ms = c->expires_ms,
                                       .created_ms = c->created_ms,
                                       .created_by = c->created_by};
    memcpy(out->sha256, c->sha256, sizeof out->sha256);
}

static json_t *event_of(const struct certificate *c)
{
    CLEANUP(json_decrefp) json_t *whole = view(c);
    json_t *data = json_object();

    json_put_text(data, "certificate", json_get_text(whole, "id"));
    json_put_text(data, "subject", c->subject);
    json_put_text(data, "sha256", json_get_text(whole, "sha256"));
    return data;
}

static bool write_new(struct core *core, const struct certificate *c, const struct origin *origin,
                      struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(core->store, err);
    struct certificate_record record;

    record_of(c, &record);
    return txn && store_certificate_put(txn, &record, err) &&
           event_add(txn, "user.certificate-added", "user", &c->user, event_of(c), err) &&
           idem_add(txn, origin, "certificate", &c->id, err) && store_commit(&txn, err);
}

static bool write_gone(struct core *core, const struct certificate *c, struct err *err)
{
    CLEANUP(store_rollback) struct store_txn *txn = store_begin(core->store, err);

    return txn && store_certificate_remove(txn, &c->id, err) &&
           event_add(txn, "user.certificate-removed", "user", &c->user, event_of(c), err) &&
           store_commit(&txn, err);
}

/* Whether the user may have it; fills in whose it is. */
static bool may_have(struct users *users, const char *ref, struct certificate *c, struct err *err)
{
    struct certificate *same, *other, *next;
    unsigned n = 0;
    struct user *u;

    lock_take(&users->lock);
    u = user_find(users, ref);
    HASH_FIND(hh, users->certificates, c->sha256, sizeof c->sha256, same);
    HASH_ITER (hh, users->certificates, other, next)
        n += u && uuid_eq(&other->user, &u->id);
    if (u)
        c->user = u->id;
    lock_drop(&users->lock);
    if (!u)
        return user_missing_fail(ref, err);
    if (same)
        return err_field(err, ERR_EXISTS, "/pem", "the certificate is a user's already");
    return n < CERTIFICATES_MAX || err_set(err, ERR_WRONG_STATE,
                                           "the user has %d certificates already: remove one that "
                                           "has expired",
                                           CERTIFICATES_MAX);
}

/* Under 'writing'. Takes *c when it is there. */
static bool add(struct core *core, const char *ref, struct certificate **c,
                const struct origin *origin, struct err *err)
{
    struct users *users = core->users;
    struct certificate *new;

    if (!may_have(users, ref, *c, err))
        return false;
    if (origin->dry_run)
        return true;
    if (!write_new(core, *c, origin, err))
        return false;
    new = TAKE(*c);
    lock_take(&users->lock);
    HASH_ADD(hh, users->certificates, sha256, sizeof new->sha256, new);
    lock_drop(&users->lock);
    accounts_ring(core);
    return true;
}

bool certificate_add(struct core *core, const char *user, const char *pem,
                     const struct origin *origin, struct uuid *id, struct err *err)
{
    CLEANUP(certificate_freep) struct certificate *c = mem_alloc(sizeof *c);
    bool ok;

    *c = (struct certificate){.id = uuid_new(), .created_ms = clock_wall_ms()};
    c->created_by = str_dup(origin->principal);
    *id = c->id;
    if (!read_pem(pem, c, err))
        return false;
    lock_take(&core->users->writing);
    ok = add(core, user, &c, origin, err);
    lock_drop(&core->users->writing);
    return ok;
}

/* Under 'writing', so that what was found stays. */
static bool remove_one(struct core *core, const char *ref, const char *id,
                       const struct origin *origin, struct err *err)
{
    struct users *users = core->users;
    struct certificate *c;
    struct user *u;

    lock_take(&users->lock);
    u = user_find(users, ref);
    c = u ? find(users, &u->id, id) : NULL;
    lock_drop(&users->lock);
    if (!c)
        return u ? missing_fail(ref, id, err) : user_missing_fail(ref, err);
    if (origin->dry_run)
        return true;
    if (!write_gone(core, c, err))
        return false;
    lock_take(&users->lock);
    HASH_DELETE(hh, users->certificates, c);
    lock_drop(&users->lock);
    certificate_free(c);
    accounts_ring(core);
    return true;
}

bool certificate_remove(struct core *core, const char *user, const char *id,
                        const struct origin *origin, struct err *err)
{
    bool ok;

    lock_take(&core->users->writing);
    ok = remove_one(core, user, id, origin, err);
    lock_drop(&core->users->writing);
    return ok;
}

/* ---- at the start, and with their users ---- */

void certificates_load(struct users *users, const struct certificate_record *r)
{
    struct certificate *c = mem_alloc(sizeof *c);

    *c = (struct certificate){.id = r->id,
                              .user = r->user,
                              .subject = str_dup(r->subject),
                              .created_by = str_dup(r->created_by),
                              .expires_ms = r->expires_ms,
                              .created_ms = r->created_ms};
    memcpy(c->sha256, r->sha256, sizeof c->sha256);
    lock_take(&users->lock);
    HASH_ADD(hh, users->certificates, sha256, sizeof c->sha256, c);
    lock_drop(&users->lock);
}

void certificates_forget(struct users *users, const struct uuid *user)
{
    struct certificate *c, *next;

    HASH_ITER (hh, users->certificates, c, next)
        if (!user || uuid_eq(&c->user, user)) {
            HASH_DELETE(hh, users->certificates, c);
            certificate_free(c);
        }
}

NO_TSA void certificates_free(struct users *users)
{
    certificates_forget(users, NULL);
}
