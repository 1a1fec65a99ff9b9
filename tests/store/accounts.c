/* Users in the database: their sessions and tokens go with them. */
#include "tests/store/with_store.h"

#include <string.h>

static char *dir;
static struct store *store;
static struct store_txn *txn; /* open during a test unless it ended it */

static int set_up(void **state)
{
    struct err err = {0};

    dir = tmp_dir_make();
    store = open_store(dir);
    MUST(txn = store_begin(store, &err));
    return 0;
}

static int tear_down(void **state)
{
    store_rollback(&txn);
    store_close(store);
    tmp_dir_remove(dir);
    return 0;
}

static unsigned n_users, n_sessions, n_owned;
static char seen_password[32];

static bool see_user(void *ctx, const struct user_record *user)
{
    n_users++;
    str_copy(seen_password, sizeof seen_password, user->password ? user->password : "none");
    return true;
}

static bool see_session(void *ctx, const struct session_record *session)
{
    n_sessions++;
    assert_int_equal(session->used_ms, 7);
    return true;
}

static bool see_owned(void *ctx, const struct token_record *token)
{
    n_owned += !uuid_is_zero(&token->owner) && str_eq(token->rights, "[\"vm-read\"]");
    return true;
}

static void count_accounts(unsigned users, unsigned sessions, unsigned tokens)
{
    struct err err = {0};

    n_users = n_sessions = n_owned = 0;
    MUST(store_user_each(store, see_user, NULL, &err));
    MUST(store_session_each(store, see_session, NULL, &err));
    MUST(store_token_each(store, see_owned, NULL, &err));
    assert_int_equal(n_users, users);
    assert_int_equal(n_sessions, sessions);
    assert_int_equal(n_owned, tokens);
}

static void a_user_goes_with_its_sessions_and_tokens(void **state)
{
    struct user_record user = {.id = uuid_new(), .name = "ann", .role = "viewer"};
    struct session_record session = {
        .id = uuid_new(), .user = user.id, .created_ms = 1, .expires_ms = 9, .origin = "here"};
    struct token_record token = {.id = uuid_new(),
                                 .name = "anns",
                                 .role = "viewer",
                                 .owner = user.id,
                                 .rights = "[\"vm-read\"]"};
    struct err err = {0};

    memset(token.sha256, 3, sizeof token.sha256);
    MUST_FAIL(store_session_put(txn, &session, &err), ERR_NOT_FOUND);
    MUST(store_user_put(txn, &user, &err));
    user.password = "$argon2id$v=19$x";
    MUST(store_user_put(txn, &user, &err));
    MUST(store_session_put(txn, &session, &err));
    session.used_ms = 7;
    MUST(store_session_put(txn, &session, &err));
    MUST(store_token_put(txn, &token, &err));
    MUST(store_commit(&txn, &err));
    count_accounts(1, 1, 1);
    assert_string_equal(seen_password, "$argon2id$v=19$x");
    MUST(txn = store_begin(store, &err));
    MUST(store_user_remove(txn, &user.id, &err));
    MUST(store_commit(&txn, &err));
    count_accounts(0, 0, 0);
}

static void a_name_is_one_users(void **state)
{
    struct user_record user = {.id = uuid_new(), .name = "ann", .role = "viewer"};
    struct err err = {0};

    MUST(store_user_put(txn, &user, &err));
    user.id = uuid_new();
    MUST_FAIL(store_user_put(txn, &user, &err), ERR_EXISTS);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static unsigned n_grants;

static bool see_grant(void *ctx, const struct grant_record *grant)
{
    n_grants++;
    assert_true(str_eq(grant->role, "operator") != str_eq(grant->rights, "[\"vm-read\"]"));
    assert_true(!grant->label_key == !uuid_is_zero(&grant->pool));
    return true;
}

static unsigned count_grants(void)
{
    struct err err = {0};

    n_grants = 0;
    MUST(store_grant_each(store, see_grant, NULL, &err));
    return n_grants;
}

static void a_grant_goes_with_its_user_and_with_its_pool(void **state)
{
    struct user_record user = {.id = uuid_new(), .name = "ann", .role = "none"};
    struct pool_record pool = {
        .id = uuid_new(), .name = "fast", .root = "main", .default_format = "qcow2"};
    struct grant_record by_label = {.id = uuid_new(),
                                    .user = user.id,
                                    .label_key = "team",
                                    .label_value = "a",
                                    .role = "operator"};
    struct grant_record by_pool = {
        .id = uuid_new(), .user = user.id, .pool = pool.id, .rights = "[\"vm-read\"]"};
    struct err err = {0};

    MUST_FAIL(store_grant_put(txn, &by_label, &err), ERR_NOT_FOUND);
    MUST(store_user_put(txn, &user, &err));
    MUST(store_grant_put(txn, &by_label, &err));
    MUST_FAIL(store_grant_put(txn, &by_pool, &err), ERR_NOT_FOUND);
    MUST(store_pool_put(txn, &pool, &err));
    MUST(store_grant_put(txn, &by_pool, &err));
    MUST(store_commit(&txn, &err));
    assert_int_equal(count_grants(), 2);
    MUST(txn = store_begin(store, &err));
    MUST(store_pool_remove(txn, &pool.id, &err));
    MUST(store_commit(&txn, &err));
    assert_int_equal(count_grants(), 1);
    MUST(txn = store_begin(store, &err));
    MUST(store_user_remove(txn, &user.id, &err));
    MUST(store_commit(&txn, &err));
    assert_int_equal(count_grants(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_user_goes_with_its_sessions_and_tokens),
        T(a_grant_goes_with_its_user_and_with_its_pool),
        T(a_name_is_one_users),
    };

    return cmocka_run_group_tests_name("store/accounts", tests, NULL, NULL);
}
