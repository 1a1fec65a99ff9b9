/* Users whose password is the host's: whom the host is asked about, what its answers are worth, and
 * what vmmd does not do for them. The host is a function here; integration/pam has the real one. */
#include "tests/lib/world.h"

#include "core/base/clock.h"
#include "core/base/str.h"
#include "core/user/password.h"
#include "core/user/session.h"
#include "core/user/user.h"

#include <string.h>

#define PASSWORD "correct horse battery"

static struct world w;
static struct err why;

static unsigned asked;
static enum pam_answer answer;
static bool mute;
static char asked_user[64], asked_password[64], asked_from[64];

static bool host(const char *user, const char *password, const char *address, enum pam_answer *out,
                 struct err *err)
{
    asked++;
    str_copy(asked_user, sizeof asked_user, user);
    str_copy(asked_password, sizeof asked_password, password);
    str_copy(asked_from, sizeof asked_from, address);
    *out = answer;
    return !mute || err_set(err, ERR_UNAVAILABLE, "nobody answers");
}

static int setup(void **state)
{
    world_pam = host;
    asked = 0;
    mute = false;
    answer = PAM_SAYS_GOOD;
    world_make(&w);
    return 0;
}

static int teardown(void **state)
{
    world_remove(&w);
    world_pam = NULL;
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

static void make_user(const char *name, bool pam)
{
    const struct user_spec spec = {.name = name, .role = ROLE_OPERATOR, .to_pam = pam};
    struct uuid id;

    MUST(user_create(w.core, &spec, &world_admin, &id, &why));
    if (!pam)
        MUST(user_set_password(w.core, name, PASSWORD, &world_admin, &why));
}

/* The code of the refusal, 0: in. */
static int sign_in(const char *name, const char *password, char text[SESSION_TEXT])
{
    struct who who = {0};
    bool ok;

    why = (struct err){0};
    ok = session_begin(w.core, name, password, "192.0.2.7 port 1", &who, text, &why);
    who_clear(&who);
    return ok ? 0 : (int)why.code;
}

static bool is_in(const char *text)
{
    struct err err = {0};
    struct who who = {0};
    bool ok = session_check(w.core, text, &who, &err);

    who_clear(&who);
    return ok;
}

static void the_host_is_asked_and_believed(void **state)
{
    char text[SESSION_TEXT];

    make_user("ann", true);
    assert_int_equal(sign_in("ann", "whatever the host likes", text), 0);
    assert_true(is_in(text));
    assert_string_equal(asked_user, "ann");
    assert_string_equal(asked_password, "whatever the host likes");
    assert_string_equal(asked_from, "192.0.2.7");
    answer = PAM_SAYS_WRONG;
    assert_int_equal(sign_in("ann", "x", text), ERR_UNAUTHENTICATED);
    answer = PAM_SAYS_REFUSED;
    assert_int_equal(sign_in("ann", "x", text), ERR_FORBIDDEN);
    mute = true;
    assert_int_equal(sign_in("ann", "x", text), ERR_UNAVAILABLE);
    assert_int_equal(asked, 4);
}

/* A name that no record has is nobody, whatever the host knows of it. */
static void nobody_else_is_asked_about(void **state)
{
    static const char *const names[] = {"root", "bob", "off", "../ann", ""};
    const struct user_spec off = {.disabled = true};
    char text[SESSION_TEXT];

    make_user("bob", false);
    make_user("off", true);
    MUST(user_edit(w.core, "off", &off, &world_admin, &why));
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        uint64_t before = password_hashes();
        assert_int_equal(sign_in(names[i], "wrong but long", text), ERR_UNAUTHENTICATED);
        assert_int_equal(password_hashes() - before, 1);
    }
    assert_int_equal(sign_in("bob", PASSWORD, text), 0);
    assert_int_equal(asked, 0);
}

/* Whoever it is about, and however fast the host is. */
static void a_refusal_takes_the_same_time_for_all(void **state)
{
    static const char *const names[] = {"ann", "bob", "nobody"};
    char text[SESSION_TEXT];
    struct err first = {0};

    make_user("ann", true);
    make_user("bob", false);
    answer = PAM_SAYS_WRONG;
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        int64_t begin = clock_mono_ms();
        assert_int_equal(sign_in(names[i], "wrong but long", text), ERR_UNAUTHENTICATED);
        assert_true(clock_mono_ms() - begin >= 1000);
        if (!i)
            first = why;
        assert_string_equal(why.detail, first.detail);
    }
}

static void its_password_is_not_set_changed_or_reset_here(void **state)
{
    char text[SESSION_TEXT], code[LINK_TEXT];
    struct who who = {0};
    int64_t ends_ms;

    make_user("ann", true);
    MUST(session_begin(w.core, "ann", "x", "here", &who, text, &why));
    MUST_FAIL(user_set_password(w.core, "ann", PASSWORD, &world_admin, &why), ERR_WRONG_STATE);
    MUST_FAIL(user_change_password(w.core, &who.user, "x", PASSWORD, &world_admin, &why),
              ERR_WRONG_STATE);
    MUST_FAIL(user_link(w.core, "ann", &world_admin, code, &ends_ms, &why), ERR_WRONG_STATE);
    assert_true(is_in(text));
    who_clear(&who);
}

static void expect_source(const char *source, bool has_password)
{
    json_t *shown = user_show(w.core, "ann", &why);

    assert_non_null(shown);
    assert_string_equal(json_get_text(shown, "password_source"), source);
    assert_true(json_is_true(json_object_get(shown, "has_password")) == has_password);
    json_decref(shown);
}

static void with_another_source_the_old_password_goes(void **state)
{
    const struct user_spec to_host = {.keep_disabled = true, .to_pam = true};
    const struct user_spec back = {.keep_disabled = true, .to_own = true};
    char text[SESSION_TEXT], code[LINK_TEXT], name[NAME_MAX_BYTES + 1];
    int64_t ends_ms;

    make_user("ann", false);
    expect_source("own", true);
    assert_int_equal(sign_in("ann", PASSWORD, text), 0);
    MUST(user_link(w.core, "ann", &world_admin, code, &ends_ms, &why));
    MUST(user_edit(w.core, "ann", &to_host, &world_admin, &why));
    expect_source("pam", true);
    assert_false(is_in(text));
    MUST_FAIL(user_use_link(w.core, code, PASSWORD, &world_admin, name, &why), ERR_UNAUTHENTICATED);
    assert_int_equal(sign_in("ann", "the host's", text), 0);
    MUST(user_edit(w.core, "ann", &to_host, &world_admin, &why)); /* as it is: nothing ends */
    assert_true(is_in(text));
    MUST(user_edit(w.core, "ann", &back, &world_admin, &why));
    expect_source("own", false);
    assert_false(is_in(text));
    answer = PAM_SAYS_GOOD;
    assert_int_equal(sign_in("ann", PASSWORD, text), ERR_UNAUTHENTICATED); /* it was dropped */
}

static void where_pam_is_off_its_users_stay_out(void **state)
{
    const struct user_spec more = {.name = "bob", .role = ROLE_VIEWER, .to_pam = true};
    const struct user_spec role = {.role = ROLE_VIEWER, .keep_disabled = true};
    char text[SESSION_TEXT];
    struct uuid id;

    make_user("ann", true);
    assert_int_equal(sign_in("ann", "x", text), 0);
    world_close(&w);
    world_pam = NULL;
    assert_true(world_open(&w));
    expect_source("pam", true);
    assert_int_equal(sign_in("ann", "x", text), ERR_UNAUTHENTICATED);
    assert_int_equal(asked, 1);
    MUST_FAIL(user_create(w.core, &more, &world_admin, &id, &why), ERR_WRONG_STATE);
    MUST(user_edit(w.core, "ann", &role, &world_admin, &why)); /* other things can be changed */
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_host_is_asked_and_believed),
        T(nobody_else_is_asked_about),
        T(a_refusal_takes_the_same_time_for_all),
        T(its_password_is_not_set_changed_or_reset_here),
        T(with_another_source_the_old_password_goes),
        T(where_pam_is_off_its_users_stay_out),
    };

    return cmocka_run_group_tests_name("core/pam", tests, NULL, NULL);
}
