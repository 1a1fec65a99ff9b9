/* Users, their passwords, sessions and links: who gets in, and who does not any more. */
#include "tests/lib/world.h"

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/event/audit.h"
#include "core/event/event.h"
#include "core/user/certificate.h"
#include "core/user/granting.h"
#include "core/user/password.h"
#include "core/user/session.h"
#include "core/user/token.h"
#include "core/user/user.h"

#include <openssl/pem.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define PASSWORD "correct horse battery"

static struct world w;
static struct err why; /* of MUST() */

static int setup(void **state)
{
    world_make(&w);
    return 0;
}

static int teardown(void **state)
{
    world_remove(&w);
    return 0;
}

#define MUST(call)                                                                                 \
    do {                                                                                           \
        why = (struct err){0};                                                                     \
        if (!(call))                                                                               \
            fail_msg("%s: %s", #call, why.detail);                                                 \
    } while (0)

#define MUST_FAIL(call, expected)                                                                  \
    do {                                                                                           \
        why = (struct err){0};                                                                     \
        assert_false(call);                                                                        \
        assert_int_equal(why.code, expected);                                                      \
    } while (0)

static struct uuid make_user(const char *name, enum role role, const char *password)
{
    const struct user_spec spec = {.name = name, .role = role};
    struct uuid id;

    MUST(user_create(w.core, &spec, &world_admin, &id, &why));
    if (password)
        MUST(user_set_password(w.core, name, password, &world_admin, &why));
    return id;
}

static void sign_in(const char *name, struct who *who, char text[SESSION_TEXT])
{
    MUST(session_begin(w.core, name, PASSWORD, "192.0.2.7 port 1", who, text, &why));
}

static bool is_in(const char *text)
{
    struct err err = {0};
    struct who who;
    bool ok = session_check(w.core, text, &who, &err);

    if (!ok)
        assert_int_equal(err.code, ERR_UNAUTHENTICATED);
    return ok;
}

static void who_signs_in_has_the_rights_of_the_role(void **state)
{
    struct uuid id = make_user("ann", ROLE_OPERATOR, PASSWORD);
    struct who who, again;
    char text[SESSION_TEXT];

    sign_in("ann", &who, text);
    assert_string_equal(who.principal, "user:ann");
    assert_true(uuid_eq(&who.user, &id));
    MUST(session_check(w.core, text, &again, &why));
    assert_int_equal(again.rights, role_rights(ROLE_OPERATOR));
    assert_int_equal(again.by, BY_SESSION);
    assert_true(session_ends_ms(w.core, &again.session) > 0);
}

/* Nobody, wrong, disabled, without a password: the same words after the same work. */
static void a_stranger_learns_nothing_from_a_refusal(void **state)
{
    static const char *const names[] = {"ann", "nobody", "off", "empty", "../x", ""};
    const struct user_spec off = {.disabled = true};
    char text[SESSION_TEXT];
    struct err first = {0};
    struct who who;

    make_user("ann", ROLE_ADMIN, PASSWORD);
    make_user("off", ROLE_ADMIN, "wrong but long");
    make_user("empty", ROLE_ADMIN, NULL);
    MUST(user_edit(w.core, "off", &off, &world_admin, &why));
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        uint64_t before = password_hashes();
        struct err err = {0};
        assert_false(session_begin(w.core, names[i], "wrong but long", "x", &who, text, &err));
        assert_int_equal(err.code, ERR_UNAUTHENTICATED);
        assert_int_equal(password_hashes() - before, 1);
        if (!i)
            first = err;
        assert_string_equal(err.detail, first.detail);
    }
}

static void a_password_follows_the_rules(void **state)
{
    CLEANUP(mem_freep) char *longest = mem_alloc(PASSWORD_MAX_BYTES + 2);

    memset(longest, 'x', PASSWORD_MAX_BYTES + 1);
    make_user("ann-of-green-gables", ROLE_VIEWER, NULL);
    MUST_FAIL(user_set_password(w.core, "ann-of-green-gables", "123456789", &world_admin, &why),
              ERR_INVALID);
    MUST_FAIL(user_set_password(w.core, "ann-of-green-gables",
                                "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", &world_admin, &why),
              ERR_INVALID); /* characters count, not bytes */
    MUST_FAIL(
        user_set_password(w.core, "ann-of-green-gables", "Ann-of-Green-Gables", &world_admin, &why),
        ERR_INVALID);
    MUST_FAIL(user_set_password(w.core, "ann-of-green-gables", longest, &world_admin, &why),
              ERR_INVALID);
    MUST(user_set_password(w.core, "ann-of-green-gables", "1234567890", &world_admin, &why));
}

static void a_session_survives_the_daemon_and_not_its_end(void **state)
{
    char stays[SESSION_TEXT], goes[SESSION_TEXT];
    struct uuid nobody = {0};
    struct who who;

    make_user("ann", ROLE_VIEWER, PASSWORD);
    sign_in("ann", &who, stays);
    sign_in("ann", &who, goes);
    world_close(&w);
    assert_true(world_open(&w));
    assert_true(is_in(stays));
    assert_true(is_in(goes));
    MUST(session_end(w.core, &who.session, &nobody, &world_admin, &why));
    MUST_FAIL(session_end(w.core, &who.session, &nobody, &world_admin, &why), ERR_NOT_FOUND);
    assert_false(is_in(goes));
    world_close(&w);
    assert_true(world_open(&w));
    assert_true(is_in(stays));
    assert_false(is_in(goes));
}

static void expect_end(const char *name, bool (*change)(struct err *err))
{
    char text[SESSION_TEXT];
    struct who who;

    make_user(name, ROLE_VIEWER, PASSWORD);
    sign_in(name, &who, text);
    assert_true(is_in(text));
    MUST(change(&why));
    assert_false(is_in(text));
}

static bool another_password(struct err *err)
{
    return user_set_password(w.core, "p", "another password", &world_admin, err);
}

static bool another_role(struct err *err)
{
    const struct user_spec spec = {.role = ROLE_ADMIN, .keep_disabled = true};

    return user_edit(w.core, "r", &spec, &world_admin, err);
}

static bool disabling(struct err *err)
{
    const struct user_spec spec = {.disabled = true};

    return user_edit(w.core, "d", &spec, &world_admin, err);
}

static bool deleting(struct err *err)
{
    return user_delete(w.core, "x", &world_admin, err);
}

static bool signing_out_everywhere(struct err *err)
{
    return session_end_all(w.core, "s", &world_admin, err);
}

static void what_changes_a_user_ends_the_sessions(void **state)
{
    expect_end("p", another_password);
    expect_end("r", another_role);
    expect_end("d", disabling);
    expect_end("x", deleting);
    expect_end("s", signing_out_everywhere);
}

static void a_cookie_that_is_bent_is_nobodys(void **state)
{
    char text[SESSION_TEXT], bent[SESSION_TEXT];
    struct who who;

    make_user("ann", ROLE_VIEWER, PASSWORD);
    sign_in("ann", &who, text);
    for (unsigned i = 0; text[i]; i++) {
        strcpy(bent, text);
        bent[i] = bent[i] == '0' ? '1' : '0';
        assert_false(is_in(bent));
    }
    assert_false(is_in(""));
    assert_false(is_in("x"));
    text[strlen(text) - 1] = 0;
    assert_false(is_in(text));
}

static void the_oldest_session_gives_way(void **state)
{
    char first[SESSION_TEXT], text[SESSION_TEXT];
    struct who who;

    make_user("ann", ROLE_VIEWER, NULL);
    for (unsigned i = 0; i < 33; i++) {
        MUST(session_begin_for(w.core, "ann", "x", &who, text, &why));
        if (!i)
            strcpy(first, text);
    }
    assert_false(is_in(first));
    assert_true(is_in(text));
}

/* ... and the record of the request is about the session that begins. */
static void a_sign_in_is_recorded_as_what_it_began(void **state)
{
    static const struct audit_note note = {.operation = "signIn", .principal = "user:ann"};
    uint64_t before, newest;
    struct event_line lines[16];
    char text[SESSION_TEXT];
    unsigned records = 0;
    struct who who;
    ssize_t n;
    bool gap;

    make_user("ann", ROLE_VIEWER, NULL);
    for (unsigned i = 0; i < 32; i++)
        MUST(session_begin_for(w.core, "ann", "x", &who, text, &why));
    before = event_newest(w.core);
    audit_begin(&note);
    MUST(session_begin_for(w.core, "ann", "x", &who, text, &why));
    audit_end(w.core, true);
    n = event_wait(w.core, before, 0, lines, ARRAY_LEN(lines), &gap, &newest, &why);
    for (ssize_t i = 0; i < n; i++) {
        if (str_eq(lines[i].type, "audit.change")) {
            records++;
            assert_non_null(strstr(lines[i].json, UUID_STR(&who.session)));
        }
        event_line_clear(&lines[i]);
    }
    assert_int_equal(records, 1);
}

static void the_owner_of_a_password_changes_it(void **state)
{
    struct uuid id = make_user("ann", ROLE_VIEWER, PASSWORD);
    char text[SESSION_TEXT];
    struct who who;

    MUST_FAIL(user_change_password(w.core, &id, "not the old one", "a newer password", &world_admin,
                                   &why),
              ERR_FORBIDDEN);
    MUST(user_change_password(w.core, &id, PASSWORD, "a newer password", &world_admin, &why));
    MUST(session_begin(w.core, "ann", "a newer password", "x", &who, text, &why));
    MUST_FAIL(session_begin(w.core, "ann", PASSWORD, "x", &who, text, &why), ERR_UNAUTHENTICATED);
}

static void a_link_sets_one_password_once(void **state)
{
    char code[LINK_TEXT], newer[LINK_TEXT], name[64];
    int64_t ends;

    make_user("ann", ROLE_ADMIN, NULL);
    MUST(user_link(w.core, "ann", &world_admin, code, &ends, &why));
    MUST(user_link(w.core, "ann", &world_admin, newer, &ends, &why));
    MUST_FAIL(user_use_link(w.core, code, PASSWORD, &world_admin, name, &why), ERR_UNAUTHENTICATED);
    MUST_FAIL(user_use_link(w.core, newer, "short", &world_admin, name, &why), ERR_INVALID);
    MUST(user_use_link(w.core, newer, PASSWORD, &world_admin, name, &why));
    assert_string_equal(name, "ann");
    MUST_FAIL(user_use_link(w.core, newer, PASSWORD, &world_admin, name, &why),
              ERR_UNAUTHENTICATED);
    MUST_FAIL(user_use_link(w.core, "", PASSWORD, &world_admin, name, &why), ERR_UNAUTHENTICATED);
}

static void make_token(const char *name, const struct uuid *owner, uint64_t rights,
                       char text[TOKEN_TEXT])
{
    const struct token_spec spec = {
        .name = name, .role = ROLE_OPERATOR, .owner = *owner, .rights = rights};
    struct uuid id;

    MUST(token_create_as(w.core, &spec, &world_admin, &id, text, &why));
}

static void a_token_can_do_no_more_than_it_was_given_and_its_owner_may(void **state)
{
    struct uuid ann = make_user("ann", ROLE_VIEWER, NULL);
    struct uuid nobody = {0};
    char narrow[TOKEN_TEXT], owned[TOKEN_TEXT];
    struct who who;

    make_token("narrow", &nobody, RIGHT_BIT(RIGHT_VM_POWER) | RIGHT_BIT(RIGHT_HOST_ADMIN), narrow);
    make_token("owned", &ann, 0, owned);
    for (unsigned i = 0; i < 2; i++) { /* and again after a restart */
        MUST(token_check(w.core, narrow, &who, &why));
        assert_true(who_may(&who, RIGHT_VM_POWER));
        assert_false(who_may(&who, RIGHT_VM_READ));
        assert_false(who_may(&who, RIGHT_HOST_ADMIN)); /* its role has not got that */
        MUST(token_check(w.core, owned, &who, &why));
        assert_true(who_may(&who, RIGHT_VM_READ));
        assert_false(who_may(&who, RIGHT_VM_POWER)); /* nor has its owner got this */
        world_close(&w);
        assert_true(world_open(&w));
    }
}

static void a_token_dies_with_its_owner(void **state)
{
    const struct user_spec off = {.disabled = true}, on = {0};
    struct uuid ann = make_user("ann", ROLE_ADMIN, NULL);
    char text[TOKEN_TEXT];
    struct err err = {0};
    struct who who;

    make_token("ci", &ann, 0, text);
    MUST(user_edit(w.core, "ann", &off, &world_admin, &why));
    MUST_FAIL(token_check(w.core, text, &who, &why), ERR_UNAUTHENTICATED);
    MUST(user_edit(w.core, "ann", &on, &world_admin, &why));
    MUST(token_check(w.core, text, &who, &why));
    MUST(user_delete(w.core, "ann", &world_admin, &why));
    MUST_FAIL(token_check(w.core, text, &who, &why), ERR_UNAUTHENTICATED);
    assert_null(token_show(w.core, "ci", &err));
    world_close(&w);
    assert_true(world_open(&w));
    assert_null(token_show(w.core, "ci", &err));
}

static void a_name_is_one_users(void **state)
{
    const struct user_spec same = {.name = "ann", .role = ROLE_VIEWER, .keep_disabled = true};
    struct uuid id;

    make_user("ann", ROLE_VIEWER, NULL);
    make_user("bob", ROLE_VIEWER, NULL);
    MUST_FAIL(user_create(w.core, &same, &world_admin, &id, &why), ERR_EXISTS);
    MUST_FAIL(user_edit(w.core, "bob", &same, &world_admin, &why), ERR_EXISTS);
    MUST(user_edit(w.core, "ann", &same, &world_admin, &why));
    MUST_FAIL(user_delete(w.core, "nobody", &world_admin, &why), ERR_NOT_FOUND);
}

/* A P-256 key's own certificate. */
static char *make_certificate(long seconds)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    BIO *out = BIO_new(BIO_s_mem());
    X509 *x = X509_new();
    char *text, *copy;
    long n;

    assert_int_equal(X509_set_pubkey(x, key), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), 0));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), seconds));
    assert_int_not_equal(X509_sign(x, key, EVP_sha256()), 0);
    assert_int_equal(PEM_write_bio_X509(out, x), 1);
    n = BIO_get_mem_data(out, &text);
    copy = mem_dup(text, (size_t)n + 1);
    copy[n] = 0;
    BIO_free(out);
    X509_free(x);
    EVP_PKEY_free(key);
    return copy;
}

static void fingerprint(const char *id, uint8_t out[32])
{
    json_t *shown = certificate_show(w.core, "ann", id, &why);

    assert_non_null(shown);
    assert_true(str_unhex(json_get_text(shown, "sha256"), out, 32));
    json_decref(shown);
}

static void a_certificate_is_one_users_and_goes_with_it(void **state)
{
    const struct user_spec off = {.disabled = true}, on = {0};
    struct uuid ann = make_user("ann", ROLE_OPERATOR, NULL), id, other;
    char *pem = make_certificate(86400);
    uint8_t sha256[32];
    struct who who = {0};

    make_user("bob", ROLE_VIEWER, NULL);
    MUST(certificate_add(w.core, "ann", pem, &world_admin, &id, &why));
    MUST_FAIL(certificate_add(w.core, "bob", pem, &world_admin, &other, &why), ERR_EXISTS);
    fingerprint(UUID_STR(&id), sha256);
    world_close(&w);
    assert_true(world_open(&w));
    MUST(certificate_check(w.core, sha256, &who, &why));
    assert_true(uuid_eq(&who.user, &ann) && who.role == ROLE_OPERATOR);
    who_clear(&who);
    MUST(user_edit(w.core, "ann", &off, &world_admin, &why));
    MUST_FAIL(certificate_check(w.core, sha256, &who, &why), ERR_UNAUTHENTICATED);
    MUST(user_edit(w.core, "ann", &on, &world_admin, &why));
    MUST(user_delete(w.core, "ann", &world_admin, &why));
    MUST_FAIL(certificate_check(w.core, sha256, &who, &why), ERR_UNAUTHENTICATED);
    MUST(certificate_add(w.core, "bob", pem, &world_admin, &other, &why));
    free(pem);
}

static void a_certificate_ends_on_an_open_connection_too(void **state)
{
    char *pem = make_certificate(2);
    struct who who = {0};
    uint8_t sha256[32];
    struct uuid id;

    make_user("ann", ROLE_OPERATOR, NULL);
    MUST(certificate_add(w.core, "ann", pem, &world_admin, &id, &why));
    fingerprint(UUID_STR(&id), sha256);
    MUST(certificate_check(w.core, sha256, &who, &why));
    while (certificate_check(w.core, sha256, &who, &why)) {
        who_clear(&who);
        (void)poll(NULL, 0, 20); /* asked again until it has ended */
    }
    assert_int_equal(why.code, ERR_UNAUTHENTICATED);
    free(pem);
}

/* What lasts (streams, consoles) asks again whenever this number is another one. */
static void every_change_of_rights_is_told(void **state)
{
    const struct user_spec off = {.disabled = true}, on = {0};
    const struct user_spec viewer = {.role = ROLE_VIEWER, .keep_disabled = true};
    const struct grant_spec spec = {.label = "team=a", .role = ROLE_VIEWER};
    const struct token_spec token = {.name = "t", .role = ROLE_VIEWER};
    unsigned version = accounts_version(w.core);
    struct uuid ann, grant, certificate, t, nobody = {0};
    char *pem = make_certificate(86400), text[SESSION_TEXT], secret[TOKEN_TEXT];
    struct who who;

#define TOLD(call)                                                                                 \
    do {                                                                                           \
        version = accounts_version(w.core);                                                        \
        MUST(call);                                                                                \
        if (accounts_version(w.core) == version)                                                   \
            fail_msg("nobody is told of %s", #call);                                               \
    } while (0)
    ann = make_user("ann", ROLE_OPERATOR, PASSWORD);
    TOLD(grant_create(w.core, "ann", &spec, &world_admin, &grant, &why));
    TOLD(grant_delete(w.core, "ann", UUID_STR(&grant), &world_admin, &why));
    MUST(certificate_add(w.core, "ann", pem, &world_admin, &certificate, &why));
    TOLD(certificate_remove(w.core, "ann", UUID_STR(&certificate), &world_admin, &why));
    MUST(token_create_as(w.core, &token, &world_admin, &t, secret, &why));
    TOLD(token_revoke(w.core, "t", &world_admin, &why));
    sign_in("ann", &who, text);
    TOLD(session_end(w.core, &who.session, &nobody, &world_admin, &why));
    TOLD(session_end_all(w.core, "ann", &world_admin, &why));
    TOLD(user_edit(w.core, "ann", &viewer, &world_admin, &why));
    TOLD(user_edit(w.core, "ann", &off, &world_admin, &why));
    TOLD(user_edit(w.core, "ann", &on, &world_admin, &why));
    TOLD(user_set_password(w.core, UUID_STR(&ann), "another password", &world_admin, &why));
    TOLD(user_delete(w.core, "ann", &world_admin, &why));
    free(pem);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(who_signs_in_has_the_rights_of_the_role),
        T(a_stranger_learns_nothing_from_a_refusal),
        T(a_password_follows_the_rules),
        T(a_session_survives_the_daemon_and_not_its_end),
        T(what_changes_a_user_ends_the_sessions),
        T(a_cookie_that_is_bent_is_nobodys),
        T(the_oldest_session_gives_way),
        T(a_sign_in_is_recorded_as_what_it_began),
        T(the_owner_of_a_password_changes_it),
        T(a_link_sets_one_password_once),
        T(a_token_can_do_no_more_than_it_was_given_and_its_owner_may),
        T(a_token_dies_with_its_owner),
        T(a_certificate_is_one_users_and_goes_with_it),
        T(a_certificate_ends_on_an_open_connection_too),
        T(every_change_of_rights_is_told),
        T(a_name_is_one_users),
    };

    return cmocka_run_group_tests_name("core/accounts", tests, NULL, NULL);
}
